//! What one job brings back: findings, and what the inodes it looked at are and hold.

use std::collections::BTreeMap;

use ocfs2_format::FileType;

use super::finding::Findings;

/// What is kept of an inode in use: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InodeState {
    pub(super) ino: u64,
    pub(super) links: u32,
    /// Byte of the file type in directory entries; 0: none that is known.
    pub(super) file_type: u8,
    pub(super) flags: StateFlags,
    /// Slot of the orphan directory that should list it.
    pub(super) orphan_slot: u16,
}

impl InodeState {
    pub(super) fn is_dir(&self) -> bool {
        FileType::from_dirent(self.file_type) == Some(FileType::Directory)
    }

    pub(super) fn is_orphan(&self) -> bool {
        self.flags.contains(StateFlags::ORPHANED)
    }
}

bitflags::bitflags! {
    /// What else is known of an inode.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct StateFlags: u8 {
        /// A system inode.
        const SYSTEM = 1;
        /// An orphan directory should list it, and no other.
        const ORPHANED = 2;
        /// An orphan directory should list it besides its name.
        const DIO_ORPHANED = 4;
        /// Its bit in the inode allocator is clear.
        const BIT_CLEAR = 8;
        /// An orphan directory lists it (set while directories are read).
        const LISTED = 16;
        /// A directory that can be reached from the root (set while parents are followed).
        const CONNECTED = 32;
    }
}

/// Clusters that an inode holds for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) ino: u64,
    pub(super) start: u32,
    pub(super) count: u32,
    pub(super) system: bool,
}

/// Clusters that an inode shares with others through a refcount tree: one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shared {
    pub(super) root: u64,
    pub(super) start: u32,
    pub(super) count: u32,
}

/// Space in bytes and inodes of one user or group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) space: u64,
    pub(super) inodes: u64,
}

/// What a job found.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) out: Findings,
    pub(super) inodes: Vec<InodeState>,
    pub(super) claims: Vec<Claim>,
    pub(super) shared: Vec<Shared>,
    /// Refcount tree and inode attached to it.
    pub(super) attached: Vec<(u64, u64)>,
    /// Metadata blocks out of extent allocators.
    pub(super) metadata: Vec<u64>,
    pub(super) users: BTreeMap<u32, Usage>,
    pub(super) groups: BTreeMap<u32, Usage>,
    pub(super) dirs: Vec<super::dirs::DirPart>,
    /// Units of progress.
    pub(super) units: u64,
}
