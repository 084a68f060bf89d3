//! Where a metadata block came from: slot, bit and group of a suballocator.

use zerocopy::little_endian::{U16, U64};

use crate::error::Corrupt;
use crate::raw::Input;
use crate::units::BlockNum;

/// The allocator bit that stands for a metadata block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suballoc {
    /// Slot whose allocator owns the block; [`Suballoc::GLOBAL`] for the global one.
    pub slot: u16,
    /// Bit within the group.
    pub bit: u16,
    /// Group descriptor, where it is written down: always in discontiguous groups.
    pub group: Option<BlockNum>,
}

impl Suballoc {
    /// Slot number of the global inode allocator.
    pub const GLOBAL: u16 = 0xffff;

    pub(crate) fn parse(input: &Input<'_, '_>, slot: U16, bit: U16, loc: U64) -> Result<Self, Corrupt> {
        Ok(Self { slot: slot.get(), bit: bit.get(), group: input.pointer("suballoc_loc", loc.get())? })
    }

    /// The group descriptor of `block`: the one written down, else the block less its bit.
    #[must_use]
    pub fn group_of(&self, block: BlockNum) -> Option<BlockNum> {
        self.group.or_else(|| block.0.checked_sub(u64::from(self.bit)).map(BlockNum))
    }
}
