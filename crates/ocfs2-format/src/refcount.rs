//! Refcount blocks: how many extents share each cluster.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ecc::RawBlockCheck;
use crate::error::{Check, Corrupt, Structure};
use crate::extent_list::{ExtentList, Tree};
use crate::raw::{Input, index16, layout};
use crate::suballoc::Suballoc;
use crate::units::{BlockNum, ClusterNum};
use crate::volume::Volume;

/// A refcount block as it lies on disk before its list at byte 0x80 (`struct ocfs2_refcount_block`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawRefcountBlock {
    /// `rf_signature`: [`RefcountBlock::SIGNATURE`].
    pub signature: [u8; 8],
    /// `rf_suballoc_slot`.
    pub suballoc_slot: U16,
    /// `rf_suballoc_bit`.
    pub suballoc_bit: U16,
    /// `rf_fs_generation`.
    pub fs_generation: U32,
    /// `rf_blkno`.
    pub blkno: U64,
    /// `rf_parent`: the root, in a leaf; else 0.
    pub parent: U64,
    /// `rf_check`.
    pub check: RawBlockCheck,
    /// `rf_last_eb_blk`.
    pub last_eb_blk: U64,
    /// `rf_count`: inodes attached, in a root.
    pub count: U32,
    /// `rf_flags`: 0, [`RefcountBlock::FLAG_LEAF`] or [`RefcountBlock::FLAG_TREE`].
    pub flags: U32,
    /// `rf_clusters`: leaf blocks of a tree.
    pub clusters: U32,
    /// `rf_cpos`: low half of a leaf's key.
    pub cpos: U32,
    /// `rf_generation`: the same in all blocks of a tree.
    pub generation: U32,
    /// Reserved.
    pub reserved1: U32,
    /// `rf_suballoc_loc`.
    pub suballoc_loc: U64,
    /// Reserved.
    pub reserved2: [u8; 48],
}
layout!(RawRefcountBlock, 0x80, {
    suballoc_slot: 0x08, fs_generation: 0x0c, blkno: 0x10, parent: 0x18, check: 0x20, last_eb_blk: 0x28,
    count: 0x30, flags: 0x34, clusters: 0x38, cpos: 0x3c, generation: 0x40, suballoc_loc: 0x48,
});

/// Head of a refcount list as it lies on disk (`struct ocfs2_refcount_list`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawRefcountList {
    /// `rl_count`: records that fit.
    pub count: U16,
    /// `rl_used`.
    pub used: U16,
    /// Reserved.
    pub reserved: [u8; 12],
}
layout!(RawRefcountList, 16, { used: 2 });

/// A refcount record as it lies on disk (`struct ocfs2_refcount_rec`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawRefcountRec {
    /// `r_cpos`: first cluster on the volume.
    pub cpos: U64,
    /// `r_clusters`.
    pub clusters: U32,
    /// `r_refcount`.
    pub refcount: U32,
}
layout!(RawRefcountRec, 16, { clusters: 8, refcount: 12 });

/// A checked refcount record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefcountRec {
    /// First cluster on the volume.
    pub start: ClusterNum,
    /// Length in clusters.
    pub clusters: u32,
    /// Extents that refer to each of them.
    pub count: u32,
}

/// What a refcount block holds.
#[derive(Clone, Copy, Debug)]
pub enum RefcountBody<'a> {
    /// Records, in a small root or in a leaf.
    Records {
        /// Records that fit.
        capacity: u16,
        /// Records in use.
        records: &'a [RawRefcountRec],
    },
    /// The tree that leads to the leaves.
    Tree(ExtentList<'a>),
}

/// A checked refcount block.
#[derive(Clone, Copy, Debug)]
pub struct RefcountBlock<'a> {
    /// Which allocator it came from.
    pub suballoc: Suballoc,
    /// The root, when this is a leaf.
    pub root: Option<BlockNum>,
    /// Rightmost extent block, when this is the root of a tree.
    pub last_leaf: Option<BlockNum>,
    /// Inodes attached to the tree, when this is a root.
    pub inodes: u32,
    /// Leaf blocks, when this is the root of a tree.
    pub leaves: u32,
    /// Key of a leaf.
    pub cpos: u32,
    /// Generation of the tree.
    pub generation: u32,
    /// Records or tree.
    pub body: RefcountBody<'a>,
}

impl<'a> RefcountBlock<'a> {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"REFCNT1\0";
    /// Bit of `rf_flags`: a leaf of a tree.
    pub const FLAG_LEAF: u32 = 1;
    /// Bit of `rf_flags`: the root of a tree.
    pub const FLAG_TREE: u32 = 2;

    /// Checks the refcount block in block `block`.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(volume: &Volume, block: BlockNum, data: &'a [u8]) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::RefcountBlock, data)?;
        let raw: &RawRefcountBlock = input.at(0)?;
        input.signature(raw.signature, Self::SIGNATURE)?;
        input.self_block("rf_blkno", raw.blkno.get())?;
        input.generation("rf_fs_generation", raw.fs_generation.get())?;
        let (flags, list) = (raw.flags.get(), size_of::<RawRefcountBlock>());
        let room = volume.geometry.block_size.room(0x90, 16);
        let body = match flags {
            0 | Self::FLAG_LEAF => records(&input, list, room)?,
            Self::FLAG_TREE => RefcountBody::Tree(ExtentList::parse(&input, list, room, Tree::Refcount)?),
            _ => return input.fail(Check::RefcountFlags { flags }),
        };
        let is_leaf = flags == Self::FLAG_LEAF;
        let root = input.pointer("rf_parent", raw.parent.get())?;
        let what =
            Check::PointerRange { structure: input.structure, field: "rf_parent", found: raw.parent.get() };
        input.ensure(root.is_some() == is_leaf, what)?;
        Ok(Self {
            suballoc: Suballoc::parse(&input, raw.suballoc_slot, raw.suballoc_bit, raw.suballoc_loc)?,
            root,
            last_leaf: input.pointer("rf_last_eb_blk", raw.last_eb_blk.get())?,
            inodes: raw.count.get(),
            leaves: raw.clusters.get(),
            cpos: raw.cpos.get(),
            generation: raw.generation.get(),
            body,
        })
    }

    /// The records, in ascending order; none in the root of a tree.
    pub fn records(&self) -> impl ExactSizeIterator<Item = RefcountRec> + use<'a> {
        let records: &'a [RawRefcountRec] = match self.body {
            RefcountBody::Records { records, .. } => records,
            RefcountBody::Tree(_) => &[],
        };
        records.iter().map(|record| RefcountRec {
            // Checked to lie inside the volume, so the number fits.
            start: ClusterNum(u32::try_from(record.cpos.get()).unwrap_or(u32::MAX)),
            clusters: record.clusters.get(),
            count: record.refcount.get(),
        })
    }
}

fn records<'a>(input: &Input<'_, 'a>, list: usize, room: usize) -> Result<RefcountBody<'a>, Corrupt> {
    let raw: &RawRefcountList = input.at(list)?;
    let (count, used) = (raw.count.get(), raw.used.get());
    input.count("rl_count", count, room)?;
    input.used(("rl_used", used), ("rl_count", count))?;
    let start = list.saturating_add(size_of::<RawRefcountList>());
    let records: &[RawRefcountRec] = input.slice_at(start, usize::from(used))?;
    let mut previous_end = 0;
    for (index, record) in records.iter().enumerate() {
        let (index, cpos, clusters) = (index16(index), record.cpos.get(), record.clusters.get());
        input.ensure(cpos >= previous_end, Check::RefcountOrder { index, cpos, previous_end })?;
        let end = cpos.checked_add(u64::from(clusters));
        let inside = end.filter(|&end| clusters != 0 && end <= u64::from(input.volume.geometry.clusters.0));
        let Some(end) = inside else {
            return input.fail(Check::RefcountRange { index, cpos, clusters });
        };
        previous_end = end;
        input.ensure(record.refcount.get() != 0, Check::RefcountZero { index })?;
    }
    Ok(RefcountBody::Records { capacity: count, records })
}
