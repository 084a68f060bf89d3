//! The system files: found by name in the system directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ocfs2_format::{BlockNum, JournalState};

/// A file of the system directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SystemFile {
    /// Blocks not to be used; an empty file.
    BadBlocks,
    /// Allocator of system inodes.
    GlobalInodeAlloc,
    /// Which node uses which slot.
    SlotMap,
    /// Where the nodes of a cluster beat.
    Heartbeat,
    /// The cluster allocator.
    GlobalBitmap,
    /// Limits and usage of users.
    UserQuota,
    /// Limits and usage of groups.
    GroupQuota,
    /// A slot's files that have lost their last name.
    OrphanDir(u16),
    /// A slot's allocator of metadata blocks.
    ExtentAlloc(u16),
    /// A slot's allocator of inodes.
    InodeAlloc(u16),
    /// A slot's journal.
    Journal(u16),
    /// A slot's window of clusters.
    LocalAlloc(u16),
    /// A slot's clusters to be freed.
    TruncateLog(u16),
    /// A slot's changes of users' usage.
    LocalUserQuota(u16),
    /// A slot's changes of groups' usage.
    LocalGroupQuota(u16),
}

/// The name in the system directory.
impl fmt::Display for SystemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, slot) = match self {
            Self::BadBlocks => return f.write_str("bad_blocks"),
            Self::GlobalInodeAlloc => return f.write_str("global_inode_alloc"),
            Self::SlotMap => return f.write_str("slot_map"),
            Self::Heartbeat => return f.write_str("heartbeat"),
            Self::GlobalBitmap => return f.write_str("global_bitmap"),
            Self::UserQuota => return f.write_str("aquota.user"),
            Self::GroupQuota => return f.write_str("aquota.group"),
            Self::OrphanDir(slot) => ("orphan_dir", slot),
            Self::ExtentAlloc(slot) => ("extent_alloc", slot),
            Self::InodeAlloc(slot) => ("inode_alloc", slot),
            Self::Journal(slot) => ("journal", slot),
            Self::LocalAlloc(slot) => ("local_alloc", slot),
            Self::TruncateLog(slot) => ("truncate_log", slot),
            Self::LocalUserQuota(slot) => ("aquota.user", slot),
            Self::LocalGroupQuota(slot) => ("aquota.group", slot),
        };
        write!(f, "{name}:{slot:04}")
    }
}

/// What the system directory holds.
#[derive(Debug, Default)]
pub(crate) struct SystemFiles {
    names: BTreeMap<Vec<u8>, BlockNum>,
    inos: BTreeSet<BlockNum>,
}

impl SystemFiles {
    /// Most names kept: every file of 255 slots, three times over.
    pub(crate) const MAX: usize = 8192;

    /// Adds one; false when there are too many.
    pub(crate) fn insert(&mut self, name: Vec<u8>, ino: BlockNum) -> bool {
        self.names.insert(name, ino);
        self.inos.insert(ino);
        self.names.len() < Self::MAX
    }

    /// Whether `ino` is the inode of one of them.
    pub(crate) fn has(&self, ino: BlockNum) -> bool {
        self.inos.contains(&ino)
    }

    /// The inode of `file`.
    pub(crate) fn get(&self, file: SystemFile) -> Option<BlockNum> {
        self.names.get(file.to_string().as_bytes()).copied()
    }
}

/// One node slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its number.
    pub number: u16,
    /// The node that holds it, by the slot map: it has the volume mounted, or crashed.
    pub node: Option<u32>,
    /// Its journal's state; `None` where the journal's inode could not be read.
    pub journal: Option<JournalState>,
    /// Blocks of the journal that were replayed into memory.
    pub replayed: usize,
}
