//! What can be wrong with a journal.

use crate::block::Sequence;

/// A journal that cannot be used, with the log block (block of the journal file) where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the message of each variant is its description; fields carry the kernel's names"
)]
pub enum JournalError {
    #[error("journal superblock: only {len} bytes, {want} needed")]
    Short { len: usize, want: usize },
    #[error("journal superblock: magic is {found:#010x}, not 0xc03b3998")]
    Magic { found: u32 },
    #[error("journal superblock: block type is {found}, not 4 (version 2)")]
    Version { found: u32 },
    #[error("journal superblock: s_blocksize is {found}, the volume's is {expected}")]
    BlockSize { found: u32, expected: u32 },
    #[error("journal superblock: s_maxlen is {found}, but the journal has {available} blocks")]
    MaxLen { found: u32, available: u32 },
    #[error("journal superblock: s_first is {found}, not {lowest} to {maxlen} (s_maxlen)")]
    First { found: u32, lowest: u32, maxlen: u32 },
    #[error("journal superblock: s_start is {found}, not {first} (s_first) to {maxlen} (s_maxlen)")]
    Start { found: u32, first: u32, maxlen: u32 },
    #[error("journal superblock: {word} has unknown bits {bits:#x}")]
    UnknownFeature { word: &'static str, bits: u32 },
    #[error("the journal has the feature {feature}, with which a log cannot be replayed here")]
    Unsupported { feature: &'static str },
    #[error("journal: log block {log_block} was wanted in {want} bytes, {len} were given")]
    BlockLength { log_block: u32, len: usize, want: usize },
    #[error(
        "journal: descriptor at log block {log_block} (transaction {sequence}): block {block} lies outside the volume"
    )]
    TagRange { log_block: u32, sequence: Sequence, block: u64 },
    #[error("journal: revoke block at log block {log_block} (transaction {sequence}): r_count is {count}")]
    RevokeCount { log_block: u32, sequence: Sequence, count: u32 },
    #[error("journal: more than {limit} blocks to replay")]
    TooLarge { limit: usize },
    #[error(
        "journal superblock: s_start is {start}: the log must be replayed or emptied before it is written"
    )]
    NotEmpty { start: u32 },
    #[error("journal: no log block was asked for")]
    NotWanted,
}

impl JournalError {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported { .. } => Some("let a kernel mount the volume once, or run fsck.ocfs2"),
            Self::NotWanted | Self::NotEmpty { .. } | Self::BlockLength { .. } => None,
            _ => Some("the journal is damaged; fsck.ocfs2 can make a new one, and what it held is lost"),
        }
    }
}
