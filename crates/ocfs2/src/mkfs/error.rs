//! What cannot be made.

use ocfs2_format::{BlockSize, ClusterSize};

/// Why the sizes do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The device cannot write as little as a block.
    #[error("the device's sectors have {sector} bytes, more than a block of {block_size}")]
    SectorSize {
        /// Bytes of a sector.
        sector: u32,
        /// Bytes of a block.
        block_size: u64,
    },
    /// The size argument is beyond the device.
    #[error("{asked} blocks were asked for, the device has {available}")]
    Blocks {
        /// As asked for.
        asked: u64,
        /// Of the device.
        available: u64,
    },
    /// `-T datafiles` or `vmstore` on less than 2 GiB.
    #[error("this type of filesystem needs 2 GiB, the device has {bytes} bytes")]
    TypeNeedsSpace {
        /// Size of the device.
        bytes: u64,
    },
    /// Fewer than 2048 blocks.
    #[error("the volume has {blocks} blocks, too few for a journal: 2048 are needed")]
    TooSmall {
        /// Blocks of the volume.
        blocks: u64,
    },
    /// More clusters than can be counted.
    #[error(
        "the volume has {clusters} clusters of {cluster_size} bytes, more than the {} there can be",
        u32::MAX
    )]
    TooManyClusters {
        /// Clusters of the volume.
        clusters: u64,
        /// Size of a cluster.
        cluster_size: ClusterSize,
    },
    /// `-J size=` takes more than there is.
    #[error("{slots} journals of {bytes} bytes are too much for the volume")]
    JournalTooBig {
        /// As asked for.
        bytes: u64,
        /// Count of journals.
        slots: u16,
    },
    /// `-J size=` is less than nine clusters.
    #[error("a journal of {bytes} bytes is too small: {least} are needed")]
    JournalTooSmall {
        /// As asked for.
        bytes: u64,
        /// Nine clusters.
        least: u64,
    },
    /// The smallest journals take more than there is.
    #[error("{slots} journals of {least} bytes, the least there can be, are too much for the volume")]
    NoRoomForJournals {
        /// Nine clusters.
        least: u64,
        /// Count of journals.
        slots: u16,
    },
    /// More blocks than a journal with numbers of 32 bits can name.
    #[error("the volume has {blocks} blocks, more than journals with block numbers of 32 bits can name")]
    BlockNumbers {
        /// Blocks of the volume.
        blocks: u64,
    },
}

impl ShapeError {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BlockNumbers { .. } => Some("give the option -J block64"),
            Self::TooManyClusters { .. } => Some("choose larger clusters: option -C"),
            Self::JournalTooBig { .. } | Self::NoRoomForJournals { .. } => {
                Some("fewer node slots (-N), smaller journals (-J size=) or smaller clusters (-C) take less")
            }
            _ => None,
        }
    }
}

/// Why the volume cannot be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No group of clusters has so many free ones in one piece.
    #[error("no room for {clusters} clusters of {what}")]
    NoRoom {
        /// Clusters wanted.
        clusters: u32,
        /// Whose they were to be.
        what: Owner,
    },
    /// More was asked for at once than the whole volume has.
    #[error("{what} needs {clusters} clusters, the volume has {volume}")]
    LargerThanVolume {
        /// Clusters wanted.
        clusters: u32,
        /// Clusters of the volume.
        volume: u32,
        /// Whose they were to be.
        what: Owner,
    },
    /// Fewer than 1024 blocks, or less than 4 MiB.
    #[error("a journal needs 1024 blocks and 4 MiB, it would have {blocks} blocks")]
    JournalTooSmall {
        /// Blocks it would have.
        blocks: u64,
    },
    /// A journal in more pieces than a tree of one level holds.
    #[error(
        "a journal of {bytes} bytes lies in {extents} pieces on this volume, more than {max} that its inode can name"
    )]
    JournalPieces {
        /// Size of the journal.
        bytes: u64,
        /// Pieces.
        extents: usize,
        /// Most that there can be.
        max: usize,
    },
    /// The system directory's inodes do not fit into one group.
    #[error("{slots} slots have more system files than one group of {block_size}-byte blocks holds")]
    SystemFiles {
        /// Node slots.
        slots: u16,
        /// Size of a block.
        block_size: BlockSize,
    },
}

/// What clusters were wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owner {
    /// System inodes, directories, heartbeat area.
    System,
    /// A copy of the superblock.
    Backup,
    /// A slot's journal.
    Journal(u16),
    /// A slot's allocator of metadata blocks.
    ExtentAlloc(u16),
    /// The slot map.
    SlotMap,
    /// Quota files.
    Quota,
    /// The index of the root and orphan directories.
    Index,
    /// The directory `lost+found`.
    LostFound,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System => f.write_str("the system files"),
            Self::Backup => f.write_str("a backup superblock"),
            Self::Journal(slot) => write!(f, "journal:{slot:04}"),
            Self::ExtentAlloc(slot) => write!(f, "extent_alloc:{slot:04}"),
            Self::SlotMap => f.write_str("the slot map"),
            Self::Quota => f.write_str("the quota files"),
            Self::Index => f.write_str("the directory index"),
            Self::LostFound => f.write_str("lost+found"),
        }
    }
}
