//! Ranges of a file that have been read.

/// Bytes from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The first byte behind it.
    pub end: u64,
}

impl ByteRange {
    /// All of a file.
    pub const ALL: Self = Self { start: 0, end: u64::MAX };

    /// Whether they have a byte in common.
    pub fn meets(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The smallest range that holds both.
    pub(super) fn hull(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}
