//! READ CAPACITY data.

use std::mem::offset_of;
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ParseError;
use crate::bits::{flag, head};

#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw10 {
    last_lba: U32,
    block_len: U32,
}
const _: () = assert!(size_of::<Raw10>() == 8);

#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw16 {
    last_lba: U64,
    block_len: U32,
    /// P_TYPE (3:1), PROT_EN (0).
    protection: u8,
    /// P_I_EXPONENT (7:4), logical blocks per physical block exponent (3:0).
    exponents: u8,
    /// LBPME (7), LBPRZ (6), lowest aligned LBA, high bits (5:0).
    provisioning: u8,
    lowest_aligned: u8,
    reserved: [u8; 16],
}
const _: () = assert!(size_of::<Raw16>() == 32);
const _: () = assert!(offset_of!(Raw16, provisioning) == 14);

/// READ CAPACITY(10) data. Source: SBC-3, 5.15.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCapacity10 {
    /// The last logical block, or 2^32 - 1 where READ CAPACITY(16) must be asked.
    pub last_lba: u32,
    /// Bytes in a logical block.
    pub block_len: u32,
}

impl ReadCapacity10 {
    /// For a unit of any size.
    pub fn of(last_lba: u64, block_len: u32) -> Self {
        Self { last_lba: u32::try_from(last_lba).unwrap_or(u32::MAX), block_len }
    }

    /// The 8 bytes.
    pub fn encode(&self) -> [u8; 8] {
        let raw = Raw10 { last_lba: U32::new(self.last_lba), block_len: U32::new(self.block_len) };
        zerocopy::transmute!(raw)
    }

    /// Reads the 8 bytes.
    ///
    /// # Errors
    /// [`ParseError`] where bytes are missing, or a block has no power of two of bytes from 512 to 65536.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let raw: Raw10 = head(bytes, "READ CAPACITY(10) data")?;
        let block_len = block_len("READ CAPACITY(10) data", raw.block_len.get())?;
        Ok(Self { last_lba: raw.last_lba.get(), block_len })
    }
}

/// READ CAPACITY(16) data. Source: SBC-3, 5.16.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCapacity16 {
    /// The last logical block.
    pub last_lba: u64,
    /// Bytes in a logical block.
    pub block_len: u32,
    /// Type of protection information less 1, where there is any (P_TYPE with PROT_EN).
    pub protection: Option<u8>,
    /// Logical blocks in a physical block, as a power of two, 0 to 15.
    pub physical_exponent: u8,
    /// First logical block that is at the start of a physical one, 0 to 16383.
    pub lowest_aligned: u16,
    /// Thin or resource provisioned: UNMAP does something (LBPME).
    pub provisioned: bool,
    /// Unmapped blocks read as zeroes (LBPRZ).
    pub unmapped_zeroes: bool,
}

impl ReadCapacity16 {
    /// The 32 bytes.
    pub fn encode(&self) -> [u8; 32] {
        let [aligned_high, aligned_low] = (self.lowest_aligned & 0x3fff).to_be_bytes();
        let raw = Raw16 {
            last_lba: U64::new(self.last_lba),
            block_len: U32::new(self.block_len),
            protection: self.protection.map_or(0, |kind| (kind & 0x07) << 1 | 1),
            exponents: self.physical_exponent & 0x0f,
            provisioning: flag(self.provisioned, 0x80) | flag(self.unmapped_zeroes, 0x40) | aligned_high,
            lowest_aligned: aligned_low,
            reserved: [0; 16],
        };
        zerocopy::transmute!(raw)
    }

    /// Reads the data; what comes after byte 12 may be missing (cut by a small allocation length) and counts as 0.
    ///
    /// # Errors
    /// [`ParseError`] below 12 bytes, where a block has no power of two of bytes from 512 to 65536, or where the
    /// last block is block 2^64 - 1, whose count nothing could hold.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        const WHAT: &str = "READ CAPACITY(16) data";
        if bytes.len() < 12 {
            return Err(ParseError::Short { what: WHAT, need: 12, have: bytes.len() });
        }
        let mut whole = [0u8; 32];
        for (to, from) in whole.iter_mut().zip(bytes) {
            *to = *from;
        }
        let raw: Raw16 = zerocopy::transmute!(whole);
        let last_lba = raw.last_lba.get();
        if last_lba == u64::MAX {
            return Err(ParseError::Field { what: WHAT, field: "last logical block", value: last_lba });
        }
        Ok(Self {
            last_lba,
            block_len: block_len(WHAT, raw.block_len.get())?,
            protection: (raw.protection & 1 != 0).then_some((raw.protection >> 1) & 0x07),
            physical_exponent: raw.exponents & 0x0f,
            lowest_aligned: u16::from_be_bytes([raw.provisioning & 0x3f, raw.lowest_aligned]),
            provisioned: raw.provisioning & 0x80 != 0,
            unmapped_zeroes: raw.provisioning & 0x40 != 0,
        })
    }
}

fn block_len(what: &'static str, bytes: u32) -> Result<u32, ParseError> {
    let fits = bytes.is_power_of_two() && (512..=65536).contains(&bytes);
    fits.then_some(bytes).ok_or(ParseError::Field { what, field: "block length", value: bytes.into() })
}

#[cfg(test)]
mod tests {
    use super::{ReadCapacity10, ReadCapacity16};
    use proptest::prelude::*;

    #[test]
    fn large_units_say_so_in_the_short_form() {
        assert_eq!(ReadCapacity10::of(1 << 40, 512).last_lba, u32::MAX);
        assert_eq!(ReadCapacity10::of(131_071, 512).encode(), [0, 1, 0xff, 0xff, 0, 0, 2, 0]);
    }

    #[test]
    fn silly_block_lengths_are_refused() {
        for len in [0u32, 1, 511, 520, 1 << 17, u32::MAX] {
            let mut bytes = [0u8; 32];
            bytes[4..8].copy_from_slice(&len.to_be_bytes());
            assert!(ReadCapacity10::parse(&bytes).is_err());
            bytes[8..12].copy_from_slice(&len.to_be_bytes());
            assert!(ReadCapacity16::parse(&bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn comes_back(
            last_lba in 0..u64::MAX, power in 9u32..=16, physical_exponent in 0u8..16,
            lowest_aligned in 0u16..0x4000, provisioned: bool, unmapped_zeroes: bool,
            protection in proptest::option::of(0u8..8),
        ) {
            let block_len = 1 << power;
            let data = ReadCapacity16 {
                last_lba, block_len, protection, physical_exponent, lowest_aligned, provisioned, unmapped_zeroes,
            };
            prop_assert_eq!(ReadCapacity16::parse(&data.encode()), Ok(data));
            let short = ReadCapacity10::of(last_lba, block_len);
            prop_assert_eq!(ReadCapacity10::parse(&short.encode()), Ok(short));
        }
    }
}
