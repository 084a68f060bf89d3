//! VPD page B0h: how much one command may do.

use std::mem::offset_of;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BLOCK_LIMITS, filled, page};
use crate::ParseError;
use crate::bits::flag;

/// Body of the page. Source: SBC-3, 6.6.4; offsets here are 4 less than there.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    /// WSNZ (0).
    flags: u8,
    max_compare_and_write: u8,
    optimal_granularity: U16,
    max_transfer: U32,
    optimal_transfer: U32,
    max_prefetch: U32,
    max_unmap_blocks: U32,
    max_unmap_ranges: U32,
    optimal_unmap_granularity: U32,
    /// UGAVALID (31), alignment (30:0).
    unmap_alignment: U32,
    max_write_same: U64,
    atomic: [u8; 20],
}
const _: () = assert!(size_of::<Raw>() == 60);
const _: () = assert!(offset_of!(Raw, max_write_same) == 32);

/// Block limits (B0h). Counts are logical blocks, and 0 is "no limit told" where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockLimits {
    /// WRITE SAME with 0 blocks is refused (WSNZ).
    pub write_same_nonzero: bool,
    /// Most blocks of COMPARE AND WRITE; 0 means it is not supported.
    pub max_compare_and_write: u8,
    /// Grain of optimal transfers.
    pub optimal_granularity: u16,
    /// Most blocks of a transfer.
    pub max_transfer: u32,
    /// Optimal blocks of a transfer.
    pub optimal_transfer: u32,
    /// Most blocks of PRE-FETCH.
    pub max_prefetch: u32,
    /// Most blocks of one UNMAP; 0 means it is not supported.
    pub max_unmap_blocks: u32,
    /// Most ranges of one UNMAP; 0 means it is not supported.
    pub max_unmap_ranges: u32,
    /// Optimal grain of UNMAP.
    pub optimal_unmap_granularity: u32,
    /// First block at which a grain begins, where told.
    pub unmap_alignment: Option<u32>,
    /// Most blocks of WRITE SAME.
    pub max_write_same: u64,
}

impl BlockLimits {
    /// The page, 64 bytes. An alignment keeps its low 31 bits.
    pub fn encode(&self) -> Vec<u8> {
        let raw = Raw {
            flags: flag(self.write_same_nonzero, 0x01),
            max_compare_and_write: self.max_compare_and_write,
            optimal_granularity: U16::new(self.optimal_granularity),
            max_transfer: U32::new(self.max_transfer),
            optimal_transfer: U32::new(self.optimal_transfer),
            max_prefetch: U32::new(self.max_prefetch),
            max_unmap_blocks: U32::new(self.max_unmap_blocks),
            max_unmap_ranges: U32::new(self.max_unmap_ranges),
            optimal_unmap_granularity: U32::new(self.optimal_unmap_granularity),
            unmap_alignment: U32::new(self.unmap_alignment.map_or(0, |at| at | 1 << 31)),
            max_write_same: U64::new(self.max_write_same),
            atomic: [0; 20],
        };
        page(BLOCK_LIMITS, raw.as_bytes())
    }

    /// Reads the page; fields that an older device does not have are 0.
    ///
    /// # Errors
    /// [`ParseError`] for another page, or a body below the 12 bytes that SBC-2 had.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let raw: Raw = zerocopy::transmute!(filled::<60>(bytes, BLOCK_LIMITS, 12, "VPD page B0h")?);
        let alignment = raw.unmap_alignment.get();
        Ok(Self {
            write_same_nonzero: raw.flags & 0x01 != 0,
            max_compare_and_write: raw.max_compare_and_write,
            optimal_granularity: raw.optimal_granularity.get(),
            max_transfer: raw.max_transfer.get(),
            optimal_transfer: raw.optimal_transfer.get(),
            max_prefetch: raw.max_prefetch.get(),
            max_unmap_blocks: raw.max_unmap_blocks.get(),
            max_unmap_ranges: raw.max_unmap_ranges.get(),
            optimal_unmap_granularity: raw.optimal_unmap_granularity.get(),
            unmap_alignment: (alignment & 1 << 31 != 0).then_some(alignment & !(1 << 31)),
            max_write_same: raw.max_write_same.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BlockLimits;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back(
            write_same_nonzero: bool, max_compare_and_write: u8, optimal_granularity: u16, max_transfer: u32,
            optimal_transfer: u32, max_prefetch: u32, max_unmap_blocks: u32, max_unmap_ranges: u32,
            optimal_unmap_granularity: u32, unmap_alignment in proptest::option::of(0u32..1 << 31),
            max_write_same: u64,
        ) {
            let limits = BlockLimits {
                write_same_nonzero, max_compare_and_write, optimal_granularity, max_transfer, optimal_transfer,
                max_prefetch, max_unmap_blocks, max_unmap_ranges, optimal_unmap_granularity, unmap_alignment,
                max_write_same,
            };
            prop_assert_eq!(limits.encode().len(), 64);
            prop_assert_eq!(BlockLimits::parse(&limits.encode()), Ok(limits));
        }
    }
}
