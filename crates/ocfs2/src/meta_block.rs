//! A metadata block in memory: read, its checksum verified, repaired where the code can.

use std::ops::Range;
use std::sync::Arc;

use ocfs2_format::{BlockKind, BlockNum};

use crate::disk::Chunk;

/// What a metadata block was verified as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One of the structures that carry a checksum.
    Checked(BlockKind),
    /// A block of directory entries from end to end: it has no checksum.
    PlainDir,
}

impl From<BlockKind> for Kind {
    fn from(kind: BlockKind) -> Self {
        Self::Checked(kind)
    }
}

/// A metadata block, or a bucket of several, as it was read and verified.
#[derive(Clone, Debug)]
pub struct MetaBlock {
    blkno: BlockNum,
    kind: Kind,
    bytes: Bytes,
}

/// Whose memory a block is.
#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    /// Its own: what the cache keeps.
    Own(Box<[u8]>),
    /// A part of what one read brought, which lives as long as any block of it.
    Part(Arc<Chunk>, Range<usize>),
}

impl MetaBlock {
    /// Takes bytes whose checksum has been verified as `kind`.
    pub(crate) fn new(blkno: BlockNum, kind: Kind, bytes: Bytes) -> Self {
        Self { blkno, kind, bytes }
    }

    /// Its number, or that of the bucket's first block.
    #[must_use]
    pub fn blkno(&self) -> BlockNum {
        self.blkno
    }

    /// What it was verified as.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// All of its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Own(bytes) => bytes,
            Bytes::Part(chunk, range) => chunk.get(range.clone()).unwrap_or_default(),
        }
    }

    /// The same, to be changed. What shares its memory with others gets its own first.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        if let Bytes::Part(chunk, range) = &self.bytes {
            self.bytes = Bytes::Own(chunk.get(range.clone()).unwrap_or_default().into());
        }
        match &mut self.bytes {
            Bytes::Own(bytes) => bytes,
            Bytes::Part(..) => &mut [],
        }
    }
}
