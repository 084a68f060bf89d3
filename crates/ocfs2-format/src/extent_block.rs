//! Extent blocks: the nodes of an extent tree below its root.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ecc::RawBlockCheck;
use crate::error::{Check, Corrupt, Structure};
use crate::extent_list::{ExtentList, RawExtentList, RawExtentRec, Tree};
use crate::raw::{Input, head_mut, layout, slice_mut};
use crate::suballoc::Suballoc;
use crate::units::{BlockNum, BlockSize};
use crate::volume::Volume;

/// Head of an extent block as it lies on disk (`struct ocfs2_extent_block`); records follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawExtentBlock {
    /// `h_signature`: [`ExtentBlock::SIGNATURE`].
    pub signature: [u8; 8],
    /// `h_check`.
    pub check: RawBlockCheck,
    /// `h_suballoc_slot`.
    pub suballoc_slot: U16,
    /// `h_suballoc_bit`.
    pub suballoc_bit: U16,
    /// `h_fs_generation`.
    pub fs_generation: U32,
    /// `h_blkno`.
    pub blkno: U64,
    /// `h_suballoc_loc`.
    pub suballoc_loc: U64,
    /// `h_next_leaf_blk`: the leaf to the right, 0 for the last one and above leaves.
    pub next_leaf_blk: U64,
    /// `h_list`.
    pub list: RawExtentList,
}
layout!(RawExtentBlock, 0x40, { suballoc_slot: 0x10, fs_generation: 0x14, blkno: 0x18, next_leaf_blk: 0x28, list: 0x30 });

impl RawExtentBlock {
    /// An extent block with an empty list of depth 0.
    #[must_use]
    pub fn new(volume: &Volume, block: BlockNum, suballoc: Suballoc) -> Self {
        Self {
            signature: ExtentBlock::SIGNATURE,
            suballoc_slot: U16::new(suballoc.slot),
            suballoc_bit: U16::new(suballoc.bit),
            suballoc_loc: U64::new(suballoc.group.map_or(0, BlockNum::get)),
            fs_generation: U32::new(volume.fs_generation),
            blkno: U64::new(block.0),
            list: RawExtentList::empty(ExtentBlock::capacity(volume.geometry.block_size)),
            ..zerocopy::FromZeros::new_zeroed()
        }
    }

    /// The head of the extent block in `data`, to be changed, and its `l_count` records. The caller has checked it.
    ///
    /// # Errors
    /// [`Check::Short`] when `data` is shorter than it says.
    pub fn mut_from(block: BlockNum, data: &mut [u8]) -> Result<(&mut Self, &mut [RawExtentRec]), Corrupt> {
        let (head, tail) = head_mut::<Self>(block, Structure::ExtentBlock, data)?;
        let records = slice_mut(block, Structure::ExtentBlock, tail, head.list.count.get())?;
        Ok((head, records))
    }
}

/// A checked extent block.
#[derive(Clone, Copy, Debug)]
pub struct ExtentBlock<'a> {
    /// Which allocator it came from.
    pub suballoc: Suballoc,
    /// The leaf to the right of this leaf.
    pub next_leaf: Option<BlockNum>,
    /// Its records.
    pub list: ExtentList<'a>,
}

impl<'a> ExtentBlock<'a> {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"EXBLK01\0";
    /// Byte of the check.
    pub const CHECK_OFFSET: usize = 8;

    /// Records that fit: 28, 60, 124 or 252.
    #[must_use]
    pub fn capacity(block_size: BlockSize) -> usize {
        block_size.room(size_of::<RawExtentBlock>(), 16)
    }

    /// Checks block `block` of a `tree`. `depth` is the depth its list must have: its parent's less one.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(
        volume: &Volume,
        block: BlockNum,
        data: &'a [u8],
        tree: Tree,
        depth: Option<u16>,
    ) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::ExtentBlock, data)?;
        let raw: &RawExtentBlock = input.at(0)?;
        input.signature(raw.signature, Self::SIGNATURE)?;
        input.self_block("h_blkno", raw.blkno.get())?;
        input.generation("h_fs_generation", raw.fs_generation.get())?;
        let room = Self::capacity(volume.geometry.block_size);
        let list = ExtentList::parse(&input, std::mem::offset_of!(RawExtentBlock, list), room, tree)?;
        let (found, expected) = (list.depth(), depth.unwrap_or(list.depth()));
        input.ensure(found == expected, Check::TreeDepth { found, expected })?;
        Ok(Self {
            suballoc: Suballoc::parse(&input, raw.suballoc_slot, raw.suballoc_bit, raw.suballoc_loc)?,
            next_leaf: input.pointer("h_next_leaf_blk", raw.next_leaf_blk.get())?,
            list,
        })
    }
}
