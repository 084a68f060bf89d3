//! The parameter list of UNMAP.

use crate::ParseError;
use crate::bits::{head, len_u16};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Head of the list. Source: SBC-3, 5.28.2.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHead {
    /// Bytes after this field.
    data_len: U16,
    /// Bytes of descriptors.
    descriptors_len: U16,
    reserved: [u8; 4],
}
const _: () = assert!(size_of::<RawHead>() == 8);

#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDescriptor {
    lba: U64,
    blocks: U32,
    reserved: [u8; 4],
}
const _: () = assert!(size_of::<RawDescriptor>() == 16);

/// A range to unmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmapRange {
    /// First logical block.
    pub lba: u64,
    /// Number of logical blocks; 0 is nothing to do, and no error.
    pub blocks: u32,
}

/// The ranges of an UNMAP command, lying in its parameter list.
#[derive(Clone, Copy, Debug)]
pub struct UnmapList<'a> {
    descriptors: &'a [[u8; 16]],
}

impl<'a> UnmapList<'a> {
    /// Most ranges that a parameter list can hold, by its 16-bit lengths.
    pub const MOST: usize = 4095;

    /// Reads a parameter list. As SBC-3 says, an incomplete descriptor at the end is ignored.
    ///
    /// # Errors
    /// [`ParseError`] where the head is missing, or its two lengths contradict each other or the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        const WHAT: &str = "UNMAP parameter list";
        let raw: RawHead = head(bytes, WHAT)?;
        let (data, descriptors) = (usize::from(raw.data_len.get()), usize::from(raw.descriptors_len.get()));
        if data < descriptors.saturating_add(6) {
            let value = raw.data_len.get().into();
            return Err(ParseError::Field { what: WHAT, field: "data length", value });
        }
        let whole = bytes.get(8..descriptors.saturating_add(8)).ok_or(ParseError::Field {
            what: WHAT,
            field: "block descriptor data length",
            value: raw.descriptors_len.get().into(),
        })?;
        Ok(Self { descriptors: whole.as_chunks().0 })
    }

    /// The ranges, in their order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = UnmapRange> + Clone + use<'a> {
        self.descriptors.iter().map(|bytes| {
            let raw: RawDescriptor = zerocopy::transmute!(*bytes);
            UnmapRange { lba: raw.lba.get(), blocks: raw.blocks.get() }
        })
    }

    /// The bytes of a parameter list; none for more than [`UnmapList::MOST`] ranges.
    pub fn encode(ranges: &[UnmapRange]) -> Option<Vec<u8>> {
        if ranges.len() > Self::MOST {
            return None;
        }
        let len = ranges.len().saturating_mul(16);
        let raw = RawHead {
            data_len: U16::new(len_u16(len.saturating_add(6))),
            descriptors_len: U16::new(len_u16(len)),
            reserved: [0; 4],
        };
        let mut bytes = raw.as_bytes().to_vec();
        for range in ranges {
            let raw =
                RawDescriptor { lba: U64::new(range.lba), blocks: U32::new(range.blocks), reserved: [0; 4] };
            bytes.extend_from_slice(raw.as_bytes());
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{UnmapList, UnmapRange};
    use proptest::prelude::*;

    #[test]
    fn lengths_are_checked() {
        let good = UnmapList::encode(&[UnmapRange { lba: 8, blocks: 16 }]).unwrap();
        assert_eq!(good[..8], [0, 22, 0, 16, 0, 0, 0, 0]);
        assert!(UnmapList::parse(&good[..7]).is_err());
        assert!(UnmapList::parse(&good[..20]).is_err());
        let mut bad = good.clone();
        bad[1] = 21;
        assert!(UnmapList::parse(&bad).is_err());
        assert!(UnmapList::encode(&vec![UnmapRange { lba: 0, blocks: 1 }; 4096]).is_none());
    }

    #[test]
    fn a_part_of_a_descriptor_is_ignored() {
        let mut bytes = UnmapList::encode(&[UnmapRange { lba: 8, blocks: 16 }]).unwrap();
        (bytes[1], bytes[3]) = (26, 20);
        bytes.extend_from_slice(&[0xff; 4]);
        assert_eq!(UnmapList::parse(&bytes).unwrap().ranges().len(), 1);
    }

    proptest! {
        #[test]
        fn comes_back(ranges in proptest::collection::vec((any::<u64>(), any::<u32>()), 0..40)) {
            let ranges: Vec<UnmapRange> =
                ranges.into_iter().map(|(lba, blocks)| UnmapRange { lba, blocks }).collect();
            let bytes = UnmapList::encode(&ranges).unwrap();
            let back: Vec<UnmapRange> = UnmapList::parse(&bytes).unwrap().ranges().collect();
            prop_assert_eq!(back, ranges);
        }
    }
}
