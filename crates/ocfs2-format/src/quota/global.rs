//! The global quota file: a header, then a radix tree of 4-byte block numbers by id, with entries in its leaves.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{QuotaKind, RawQuotaHeader, usable};
use crate::error::{Corrupt, Structure};
use crate::raw::{Input, layout};
use crate::units::BlockNum;
use crate::volume::Volume;

/// Information after the header of block 0 as it lies on disk (`struct ocfs2_global_disk_dqinfo`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawQuotaInfo {
    /// `dqi_bgrace`: seconds over the soft space limit.
    pub bgrace: U32,
    /// `dqi_igrace`: seconds over the soft inode limit.
    pub igrace: U32,
    /// `dqi_syncms`: milliseconds between syncs of local changes.
    pub syncms: U32,
    /// `dqi_blocks`: blocks of the file.
    pub blocks: U32,
    /// `dqi_free_blk`: first free block.
    pub free_blk: U32,
    /// `dqi_free_entry`: first leaf with a free entry.
    pub free_entry: U32,
}
layout!(RawQuotaInfo, 24, { blocks: 12, free_entry: 20 });

/// Head of a leaf as it lies on disk (`struct qt_disk_dqdbheader`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawQuotaLeafHeader {
    /// `dqdh_next_free`.
    pub next_free: U32,
    /// `dqdh_prev_free`.
    pub prev_free: U32,
    /// `dqdh_entries`: entries in use.
    pub entries: U16,
    /// Padding.
    pub pad1: U16,
    /// Padding.
    pub pad2: U32,
}
layout!(RawQuotaLeafHeader, 16, { entries: 8 });

/// An entry as it lies on disk (`struct ocfs2_global_disk_dqblk`). All zero = free.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawQuotaEntry {
    /// `dqb_id`.
    pub id: U32,
    /// `dqb_use_count`: nodes with local state of it.
    pub use_count: U32,
    /// `dqb_ihardlimit`.
    pub ihardlimit: U64,
    /// `dqb_isoftlimit`.
    pub isoftlimit: U64,
    /// `dqb_curinodes`.
    pub curinodes: U64,
    /// `dqb_bhardlimit`, bytes.
    pub bhardlimit: U64,
    /// `dqb_bsoftlimit`, bytes.
    pub bsoftlimit: U64,
    /// `dqb_curspace`, bytes.
    pub curspace: U64,
    /// `dqb_btime`: when the grace for space ends, Unix seconds.
    pub btime: U64,
    /// `dqb_itime`: when the grace for inodes ends.
    pub itime: U64,
    /// Padding.
    pub pad1: U64,
    /// Padding.
    pub pad2: U64,
}
layout!(RawQuotaEntry, 88, { use_count: 4, curinodes: 0x18, bhardlimit: 0x20, curspace: 0x30, btime: 0x38, pad1: 0x48 });

/// Checked information of a global quota file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaInfo {
    /// Seconds over the soft space limit.
    pub block_grace: u32,
    /// Seconds over the soft inode limit.
    pub inode_grace: u32,
    /// Milliseconds between syncs.
    pub sync_ms: u32,
    /// Blocks of the file.
    pub blocks: u32,
    /// First free block of the file.
    pub free_block: Option<u32>,
    /// First leaf of the file with a free entry.
    pub free_entry: Option<u32>,
}

impl QuotaInfo {
    /// Magic of the file.
    #[must_use]
    pub fn magic(kind: QuotaKind) -> u32 {
        match kind {
            QuotaKind::User => 0x0cf5_2470,
            QuotaKind::Group => 0x0cf5_2471,
        }
    }

    /// Block of the file that is the root of the tree.
    pub const TREE_ROOT: u32 = 1;

    /// Checks block 0 of a global quota file, block `block` of the volume.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(volume: &Volume, block: BlockNum, data: &[u8], kind: QuotaKind) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::QuotaHeader, data)?;
        let header: &RawQuotaHeader = input.at(0)?;
        header.check(&input, Self::magic(kind))?;
        let raw: &RawQuotaInfo = input.at(size_of::<RawQuotaHeader>())?;
        let blocks = raw.blocks.get();
        let nonzero = |field: &'static str, value: U32| -> Result<Option<u32>, Corrupt> {
            input.used((field, value.get()), ("dqi_blocks", blocks))?;
            Ok(Some(value.get()).filter(|&value| value != 0))
        };
        Ok(Self {
            block_grace: raw.bgrace.get(),
            inode_grace: raw.igrace.get(),
            sync_ms: raw.syncms.get(),
            blocks,
            free_block: nonzero("dqi_free_blk", raw.free_blk)?,
            free_entry: nonzero("dqi_free_entry", raw.free_entry)?,
        })
    }
}

/// References in a tree block.
#[must_use]
pub fn qtree_refs(volume: &Volume) -> u32 {
    u32::try_from(usable(volume) / 4).unwrap_or(1)
}

/// Levels of the tree, the leaves not counted: enough for 2^32 ids.
#[must_use]
pub fn qtree_depth(volume: &Volume) -> u32 {
    let refs = u64::from(qtree_refs(volume)).max(2);
    let (mut depth, mut reach) = (1_u32, refs);
    while reach < 1 << 32 {
        reach = reach.saturating_mul(refs);
        depth = depth.saturating_add(1);
    }
    depth
}

/// Which reference of a tree block at `level` (0 = root) leads to `id`.
#[must_use]
pub fn qtree_slot(volume: &Volume, level: u32, id: u32) -> usize {
    let refs = u64::from(qtree_refs(volume));
    let share = qtree_share(volume, level);
    let index = u64::from(id).checked_div(share).and_then(|index| index.checked_rem(refs));
    index.and_then(|index| usize::try_from(index).ok()).unwrap_or(0)
}

/// How many ids one reference of a tree block at `level` (0 = root) stands for.
#[must_use]
pub fn qtree_share(volume: &Volume, level: u32) -> u64 {
    let below = qtree_depth(volume).saturating_sub(level).saturating_sub(1);
    u64::from(qtree_refs(volume)).saturating_pow(below)
}

/// The reference that tree block `data` at `level` (0 = root) has for `id`: a block of the file, `None` = no such id.
///
/// # Errors
/// [`Corrupt`] when the block is short or the reference lies past the file's `blocks`.
pub fn qtree_index(
    volume: &Volume,
    block: BlockNum,
    data: &[u8],
    (level, id, blocks): (u32, u32, u32),
) -> Result<Option<u32>, Corrupt> {
    let input = Input::new(volume, block, Structure::QuotaTree, data)?;
    let found: &U32 = input.at(qtree_slot(volume, level, id).saturating_mul(4))?;
    input.used(("reference", found.get()), ("blocks of the file", blocks.saturating_sub(1)))?;
    Ok(Some(found.get()).filter(|&found| found != 0))
}

/// A checked entry: limits and usage of one id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaEntry {
    /// User or group id.
    pub id: u32,
    /// Nodes with local state of it.
    pub use_count: u32,
    /// Hard and soft limit of inodes, 0 = none.
    pub inode_limits: (u64, u64),
    /// Inodes in use.
    pub inodes: u64,
    /// Hard and soft limit of space in bytes, 0 = none.
    pub space_limits: (u64, u64),
    /// Bytes in use.
    pub space: u64,
    /// When the graces for space and inodes end, Unix seconds.
    pub grace_ends: (u64, u64),
}

impl RawQuotaEntry {
    /// The entry as it is to lie on disk. One that is all zero, which id 0 can be, gets a meaningless
    /// [`itime`](Self::itime) of 1, as in the kernel: else it would be free.
    #[must_use]
    pub fn new(entry: &QuotaEntry) -> Self {
        let raw = Self {
            id: entry.id.into(),
            use_count: entry.use_count.into(),
            ihardlimit: entry.inode_limits.0.into(),
            isoftlimit: entry.inode_limits.1.into(),
            curinodes: entry.inodes.into(),
            bhardlimit: entry.space_limits.0.into(),
            bsoftlimit: entry.space_limits.1.into(),
            curspace: entry.space.into(),
            btime: entry.grace_ends.0.into(),
            itime: entry.grace_ends.1.into(),
            ..Self::default()
        };
        if raw == Self::default() { Self { itime: 1.into(), ..raw } } else { raw }
    }
}

impl From<&RawQuotaEntry> for QuotaEntry {
    fn from(raw: &RawQuotaEntry) -> Self {
        Self {
            id: raw.id.get(),
            use_count: raw.use_count.get(),
            inode_limits: (raw.ihardlimit.get(), raw.isoftlimit.get()),
            inodes: raw.curinodes.get(),
            space_limits: (raw.bhardlimit.get(), raw.bsoftlimit.get()),
            space: raw.curspace.get(),
            grace_ends: (raw.btime.get(), raw.itime.get()),
        }
    }
}

/// A checked leaf.
#[derive(Clone, Copy, Debug)]
pub struct QuotaLeaf<'a> {
    /// Entries in use, as counted on disk.
    pub used: u16,
    /// The leaf after it in the list of those with free entries.
    pub next_free: Option<u32>,
    /// The leaf before it in that list.
    pub prev_free: Option<u32>,
    entries: &'a [RawQuotaEntry],
}

impl<'a> QuotaLeaf<'a> {
    /// Entries that fit.
    #[must_use]
    pub fn capacity(volume: &Volume) -> usize {
        let room = usable(volume).saturating_sub(size_of::<RawQuotaLeafHeader>());
        room.checked_div(size_of::<RawQuotaEntry>()).unwrap_or(0)
    }

    /// Checks a leaf, block `block` of the volume.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(volume: &Volume, block: BlockNum, data: &'a [u8]) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::QuotaLeaf, data)?;
        let raw: &RawQuotaLeafHeader = input.at(0)?;
        let capacity = Self::capacity(volume);
        input.count("dqdh_entries", raw.entries.get(), capacity)?;
        let entries = input.slice_at(size_of::<RawQuotaLeafHeader>(), capacity)?;
        let link = |link: U32| Some(link.get()).filter(|&block| block != 0);
        let (next_free, prev_free) = (link(raw.next_free), link(raw.prev_free));
        Ok(Self { used: raw.entries.get(), next_free, prev_free, entries })
    }

    /// Byte of a leaf at which entry number `index` begins.
    #[must_use]
    pub fn offset(index: usize) -> usize {
        index.saturating_mul(size_of::<RawQuotaEntry>()).saturating_add(size_of::<RawQuotaLeafHeader>())
    }

    /// All entries in their order; `None` for those that are free.
    pub fn slots(&self) -> impl Iterator<Item = Option<QuotaEntry>> + use<'a> {
        let free = RawQuotaEntry::default();
        self.entries.iter().map(move |raw| (*raw != free).then(|| QuotaEntry::from(raw)))
    }

    /// The entries in use.
    pub fn entries(&self) -> impl Iterator<Item = QuotaEntry> + use<'a> {
        self.slots().flatten()
    }
}
