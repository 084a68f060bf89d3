//! REPORT LUNS data.

use crate::bits::{head, len_u32, to_usize};
use crate::{Lun, ParseError};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Head of the list. Source: SPC-4, 6.33.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHead {
    /// Bytes of the list that follows.
    len: U32,
    reserved: U32,
}
const _: () = assert!(size_of::<RawHead>() == 8);

/// SELECT REPORT: which logical units are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectReport {
    /// Those with peripheral, flat or hierarchical numbers.
    Addressed,
    /// Well-known logical units only.
    WellKnown,
    /// All.
    All,
}

impl SelectReport {
    /// Reads the code; none for codes of other standards.
    pub const fn parse(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Addressed),
            1 => Some(Self::WellKnown),
            2 => Some(Self::All),
            _ => None,
        }
    }

    /// The code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Addressed => 0,
            Self::WellKnown => 1,
            Self::All => 2,
        }
    }
}

/// The logical units of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LunList {
    /// The units that have a number of one level.
    pub luns: Vec<Lun>,
    /// Bytes of list that the whole would need; more than came where the allocation length cut it.
    pub full_len: u32,
    /// Entries of other forms (several levels, well-known units), which are left out of `luns`.
    pub other_forms: usize,
}

impl LunList {
    /// Bytes before the first entry.
    pub const HEAD: usize = 8;

    /// The bytes of a list of these units.
    pub fn encode(luns: impl ExactSizeIterator<Item = Lun>) -> Vec<u8> {
        let len = luns.len().saturating_mul(8);
        let raw = RawHead { len: U32::new(len_u32(len)), reserved: U32::new(0) };
        let mut bytes = Vec::with_capacity(len.saturating_add(Self::HEAD));
        bytes.extend_from_slice(raw.as_bytes());
        for lun in luns {
            bytes.extend_from_slice(&lun.encode());
        }
        bytes
    }

    /// Reads a list. It may be cut off by the allocation length: compare `full_len` and ask again with more room.
    ///
    /// # Errors
    /// [`ParseError`] below 8 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let raw: RawHead = head(bytes, "REPORT LUNS data")?;
        let full_len = raw.len.get();
        let rest = bytes.get(Self::HEAD..).unwrap_or(&[]);
        let rest = rest.get(..to_usize(full_len)).unwrap_or(rest);
        let (entries, _) = rest.as_chunks::<8>();
        let mut list = Self { full_len, ..Self::default() };
        for entry in entries {
            match Lun::parse(*entry) {
                Ok(lun) => list.luns.push(lun),
                Err(_) => list.other_forms = list.other_forms.saturating_add(1),
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::LunList;
    use crate::Lun;
    use proptest::prelude::*;

    #[test]
    fn a_length_field_allocates_nothing() {
        let list = LunList::parse(&[0xff, 0xff, 0xff, 0xf8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(list.luns, [Lun::new(1).unwrap()]);
        assert_eq!(list.full_len, 0xffff_fff8);
        assert!(LunList::parse(&[0; 7]).is_err());
    }

    proptest! {
        #[test]
        fn comes_back(numbers in proptest::collection::vec(0u16..=Lun::MAX, 0..40)) {
            let luns: Vec<Lun> = numbers.into_iter().map(|n| Lun::new(n).unwrap()).collect();
            let list = LunList::parse(&LunList::encode(luns.iter().copied())).unwrap();
            prop_assert_eq!(list.luns, luns);
            prop_assert_eq!(list.other_forms, 0);
        }
    }
}
