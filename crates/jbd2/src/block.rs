//! What the blocks of a log have in common: magic, type, sequence; and the commit block.

use std::fmt;

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First four bytes of every log block that is not a copy of a volume's block.
pub const MAGIC: u32 = 0xc03b_3998;

/// Number of a transaction. Numbers wrap; compare with [`Sequence::is_at_or_after`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sequence(pub u32);

impl Sequence {
    /// The next transaction's.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether this is `other` or later, in arithmetic that wraps.
    #[must_use]
    pub fn is_at_or_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() >= 0
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Head of a log block as it lies on disk (`struct journal_header_s`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawHeader {
    /// `h_magic`: [`MAGIC`].
    pub magic: U32,
    /// `h_blocktype`: [`BlockType`].
    pub blocktype: U32,
    /// `h_sequence`.
    pub sequence: U32,
}
const _: () = assert!(size_of::<RawHeader>() == 12);

impl RawHeader {
    /// The head of a block of this type.
    #[must_use]
    pub fn new(kind: BlockType, sequence: Sequence) -> Self {
        Self { magic: U32::new(MAGIC), blocktype: U32::new(kind.code()), sequence: U32::new(sequence.0) }
    }
}

/// Types of log blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockType {
    /// Names the blocks whose copies follow.
    Descriptor,
    /// Ends a transaction.
    Commit,
    /// The superblock, second version.
    Superblock,
    /// Names blocks of which older copies must not be replayed.
    Revoke,
}

impl BlockType {
    /// The number on disk.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Descriptor => 1,
            Self::Commit => 2,
            Self::Superblock => 4,
            Self::Revoke => 5,
        }
    }
}

/// Type and sequence of a log block; `None` when it has no magic or an unknown type.
#[must_use]
pub fn log_block(data: &[u8]) -> Option<(BlockType, Sequence)> {
    let (raw, _) = RawHeader::ref_from_prefix(data).ok()?;
    let kinds = [BlockType::Descriptor, BlockType::Commit, BlockType::Superblock, BlockType::Revoke];
    let kind = kinds.into_iter().find(|kind| kind.code() == raw.blocktype.get())?;
    (raw.magic.get() == MAGIC).then_some((kind, Sequence(raw.sequence.get())))
}

/// A commit block as it lies on disk (`struct commit_header`); the rest of the block is zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawCommit {
    /// Type 2.
    pub header: RawHeader,
    /// `h_chksum_type`: only with a checksum feature.
    pub chksum_type: u8,
    /// `h_chksum_size`.
    pub chksum_size: u8,
    /// Padding.
    pub padding: [u8; 2],
    /// `h_chksum`.
    pub chksum: [U32; 8],
    /// `h_commit_sec`: Unix seconds.
    pub commit_sec: U64,
    /// `h_commit_nsec`.
    pub commit_nsec: U32,
}
const _: () = assert!(size_of::<RawCommit>() == 0x3c);
const _: () = assert!(std::mem::offset_of!(RawCommit, commit_sec) == 0x30);

impl RawCommit {
    /// A commit block without checksums.
    #[must_use]
    pub fn new(sequence: Sequence, seconds: u64, nanos: u32) -> Self {
        Self {
            header: RawHeader::new(BlockType::Commit, sequence),
            commit_sec: U64::new(seconds),
            commit_nsec: U32::new(nanos),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap() {
        let last = Sequence(u32::MAX);
        assert_eq!(last.next(), Sequence(0));
        assert!(last.next().is_at_or_after(last));
        assert!(!last.is_at_or_after(last.next()));
        assert!(last.is_at_or_after(last));
    }

    #[test]
    fn blocks_without_magic_or_of_unknown_type_are_data() {
        let commit = RawCommit::new(Sequence(7), 1, 2);
        assert_eq!(log_block(commit.as_bytes()), Some((BlockType::Commit, Sequence(7))));
        let mut bytes = commit.as_bytes().to_vec();
        bytes[7] = 3; // a superblock of version 1 has no place inside a log
        assert_eq!(log_block(&bytes), None);
        bytes[7] = 2;
        bytes[0] = 0;
        assert_eq!(log_block(&bytes), None);
        assert_eq!(log_block(&bytes[..11]), None);
    }
}
