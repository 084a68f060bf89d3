//! Root of a directory's index: its free list, and the index itself or the tree that leads to it.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::dx_entry::DxEntries;
use crate::ecc::RawBlockCheck;
use crate::error::{Check, Corrupt, Structure};
use crate::extent_list::{ExtentList, Tree};
use crate::raw::{Input, layout};
use crate::suballoc::Suballoc;
use crate::units::BlockNum;
use crate::volume::Volume;

/// A dx root as it lies on disk before its list at byte 0xC0 (`struct ocfs2_dx_root_block`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawDxRoot {
    /// `dr_signature`: [`DxRoot::SIGNATURE`].
    pub signature: [u8; 8],
    /// `dr_check`.
    pub check: RawBlockCheck,
    /// `dr_suballoc_slot`.
    pub suballoc_slot: U16,
    /// `dr_suballoc_bit`.
    pub suballoc_bit: U16,
    /// `dr_fs_generation`.
    pub fs_generation: U32,
    /// `dr_blkno`.
    pub blkno: U64,
    /// `dr_last_eb_blk`.
    pub last_eb_blk: U64,
    /// `dr_clusters`.
    pub clusters: U32,
    /// `dr_flags`: bit 0 = the entries are in this block.
    pub flags: u8,
    /// Reserved.
    pub reserved0: [u8; 3],
    /// `dr_dir_blkno`.
    pub dir_blkno: U64,
    /// `dr_num_entries`: all names, `.` and `..` too.
    pub num_entries: U32,
    /// Reserved.
    pub reserved1: U32,
    /// `dr_free_blk`: first block of the free list.
    pub free_blk: U64,
    /// `dr_suballoc_loc`.
    pub suballoc_loc: U64,
    /// Reserved.
    pub reserved2: [u8; 112],
}
layout!(RawDxRoot, 0xc0, {
    suballoc_slot: 0x10, fs_generation: 0x14, blkno: 0x18, last_eb_blk: 0x20, clusters: 0x28, flags: 0x2c,
    dir_blkno: 0x30, num_entries: 0x38, free_blk: 0x40, suballoc_loc: 0x48,
});

impl RawDxRoot {
    /// The root of directory `dir`'s index, inline and empty; [`RawDxEntryList::in_root`](crate::RawDxEntryList::in_root) follows it.
    #[must_use]
    pub fn new_inline(volume: &Volume, block: BlockNum, suballoc: Suballoc, dir: BlockNum) -> Self {
        Self {
            signature: DxRoot::SIGNATURE,
            suballoc_slot: U16::new(suballoc.slot),
            suballoc_bit: U16::new(suballoc.bit),
            suballoc_loc: U64::new(suballoc.group.map_or(0, BlockNum::get)),
            fs_generation: U32::new(volume.fs_generation),
            blkno: U64::new(block.0),
            flags: DxRoot::FLAG_INLINE,
            dir_blkno: U64::new(dir.0),
            ..zerocopy::FromZeros::new_zeroed()
        }
    }
}

/// Where the entries of an index are.
#[derive(Clone, Copy, Debug)]
pub enum DxBody<'a> {
    /// In the root.
    Inline(DxEntries<'a>),
    /// In leaves, found by the tree.
    Tree(ExtentList<'a>),
}

/// A checked dx root.
#[derive(Clone, Copy, Debug)]
pub struct DxRoot<'a> {
    /// Which allocator it came from.
    pub suballoc: Suballoc,
    /// Rightmost leaf extent block.
    pub last_leaf: Option<BlockNum>,
    /// Clusters of leaves.
    pub clusters: u32,
    /// The directory.
    pub dir: BlockNum,
    /// Names in the directory, `.` and `..` too.
    pub num_entries: u32,
    /// First directory block with room.
    pub free: Option<BlockNum>,
    /// The index.
    pub body: DxBody<'a>,
}

impl<'a> DxRoot<'a> {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"DXDIR01\0";
    /// Bit of `dr_flags`: the entries are in the root.
    pub const FLAG_INLINE: u8 = 1;

    /// Checks the dx root in block `block` of the directory `dir`, where that is known.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(
        volume: &Volume,
        block: BlockNum,
        data: &'a [u8],
        dir: Option<BlockNum>,
    ) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::DxRoot, data)?;
        let raw: &RawDxRoot = input.at(0)?;
        input.signature(raw.signature, Self::SIGNATURE)?;
        input.self_block("dr_blkno", raw.blkno.get())?;
        input.generation("dr_fs_generation", raw.fs_generation.get())?;
        input.owner("dr_dir_blkno", raw.dir_blkno.get(), dir)?;
        let unknown = u64::from(raw.flags & !Self::FLAG_INLINE);
        let (structure, field) = (input.structure, "dr_flags");
        input.ensure(unknown == 0, Check::UnknownFlags { structure, field, found: unknown })?;
        let list = size_of::<RawDxRoot>();
        let body = if raw.flags & Self::FLAG_INLINE != 0 {
            DxBody::Inline(DxEntries::parse(&input, list)?)
        } else {
            let room = volume.geometry.block_size.room(0xd0, 16);
            DxBody::Tree(ExtentList::parse(&input, list, room, Tree::DirIndex)?)
        };
        Ok(Self {
            suballoc: Suballoc::parse(&input, raw.suballoc_slot, raw.suballoc_bit, raw.suballoc_loc)?,
            last_leaf: input.pointer("dr_last_eb_blk", raw.last_eb_blk.get())?,
            clusters: raw.clusters.get(),
            dir: BlockNum(raw.dir_blkno.get()),
            num_entries: raw.num_entries.get(),
            free: input.pointer("dr_free_blk", raw.free_blk.get())?,
            body,
        })
    }
}
