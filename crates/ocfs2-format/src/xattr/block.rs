//! Xattr blocks: entries, or the tree that leads to buckets of them.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::entries::XattrEntries;
use crate::ecc::RawBlockCheck;
use crate::error::{Check, Corrupt, Structure};
use crate::extent_list::{ExtentList, RawExtentList, Tree};
use crate::raw::{Input, layout};
use crate::suballoc::Suballoc;
use crate::units::BlockNum;
use crate::volume::Volume;

/// Head of an xattr block as it lies on disk (`struct ocfs2_xattr_block`); header or tree root follow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawXattrBlock {
    /// `xb_signature`: [`XattrBlock::SIGNATURE`].
    pub signature: [u8; 8],
    /// `xb_suballoc_slot`.
    pub suballoc_slot: U16,
    /// `xb_suballoc_bit`.
    pub suballoc_bit: U16,
    /// `xb_fs_generation`.
    pub fs_generation: U32,
    /// `xb_blkno`.
    pub blkno: U64,
    /// `xb_check`.
    pub check: RawBlockCheck,
    /// `xb_flags`: bit 0 = a tree root follows.
    pub flags: U16,
    /// Reserved.
    pub reserved0: U16,
    /// Reserved.
    pub reserved1: U32,
    /// `xb_suballoc_loc`.
    pub suballoc_loc: U64,
}
layout!(RawXattrBlock, 0x30, { fs_generation: 0x0c, blkno: 0x10, check: 0x18, flags: 0x20, suballoc_loc: 0x28 });

/// Root of the tree of buckets as it lies on disk (`struct ocfs2_xattr_tree_root`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawXattrTreeRoot {
    /// `xt_clusters`.
    pub clusters: U32,
    /// Reserved.
    pub reserved: U32,
    /// `xt_last_eb_blk`.
    pub last_eb_blk: U64,
    /// `xt_list`; records follow.
    pub list: RawExtentList,
}
layout!(RawXattrTreeRoot, 0x20, { last_eb_blk: 8, list: 0x10 });

/// What an xattr block holds.
#[derive(Clone, Copy, Debug)]
pub enum XattrBody<'a> {
    /// The entries.
    Entries(XattrEntries<'a>),
    /// The tree of buckets.
    Tree {
        /// Clusters of buckets.
        clusters: u32,
        /// Rightmost leaf extent block.
        last_leaf: Option<BlockNum>,
        /// Root of the tree, by name hash.
        list: ExtentList<'a>,
    },
}

/// A checked xattr block.
#[derive(Clone, Copy, Debug)]
pub struct XattrBlock<'a> {
    /// Which allocator it came from.
    pub suballoc: Suballoc,
    /// Entries or tree.
    pub body: XattrBody<'a>,
}

impl<'a> XattrBlock<'a> {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"XATTR01\0";
    /// Bit of `xb_flags`: a tree root follows.
    pub const FLAG_INDEXED: u16 = 1;

    /// Checks the xattr block in block `block`.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(volume: &Volume, block: BlockNum, data: &'a [u8]) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::XattrBlock, data)?;
        let raw: &RawXattrBlock = input.at(0)?;
        input.signature(raw.signature, Self::SIGNATURE)?;
        input.self_block("xb_blkno", raw.blkno.get())?;
        input.generation("xb_fs_generation", raw.fs_generation.get())?;
        let unknown = u64::from(raw.flags.get() & !Self::FLAG_INDEXED);
        let (structure, field) = (input.structure, "xb_flags");
        input.ensure(unknown == 0, Check::UnknownFlags { structure, field, found: unknown })?;
        let start = size_of::<RawXattrBlock>();
        let body = if raw.flags.get() & Self::FLAG_INDEXED == 0 {
            let area = input.bytes_at(start, volume.block_len().saturating_sub(start))?;
            XattrBody::Entries(XattrEntries::parse(&Input { data: area, ..input })?)
        } else {
            let root: &RawXattrTreeRoot = input.at(start)?;
            XattrBody::Tree {
                clusters: root.clusters.get(),
                last_leaf: input.pointer("xt_last_eb_blk", root.last_eb_blk.get())?,
                list: ExtentList::parse(
                    &input,
                    start.saturating_add(std::mem::offset_of!(RawXattrTreeRoot, list)),
                    volume.geometry.block_size.room(0x50, 16),
                    Tree::XattrIndex,
                )?,
            }
        };
        let suballoc = Suballoc::parse(&input, raw.suballoc_slot, raw.suballoc_bit, raw.suballoc_loc)?;
        Ok(Self { suballoc, body })
    }
}
