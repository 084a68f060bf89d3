//! What a read gives back: buffers as they came off the disk and runs of zeroes, nothing copied together.

use std::ops::Range;

use block::Buf;
use smallvec::SmallVec;

use crate::disk::Chunk;

/// The contents of a range of a file, in order.
#[derive(Debug, Default)]
pub struct Data {
    parts: SmallVec<[Part; 2]>,
    len: u64,
}

/// One part of a [`Data`], to be passed on without copying.
#[derive(Debug)]
pub enum Part {
    /// The bytes of a buffer in this range, which lies within it.
    Disk(Buf, Range<usize>),
    /// Bytes that were kept in the inode.
    Bytes(Vec<u8>),
    /// So many zero bytes: a hole, an unwritten extent, or what lies past the last extent.
    Zeroes(u64),
}

/// One part of a [`Data`], to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many zero bytes.
    Zeroes(u64),
}

impl Data {
    /// Length in bytes, holes included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing: the range began at or past the end of the file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The parts, in order of the file.
    pub fn into_parts(self) -> impl Iterator<Item = Part> {
        self.parts.into_iter()
    }

    /// The same to look at.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.parts.iter().map(|part| match part {
            Part::Disk(buf, range) => Piece::Bytes(buf.get(range.clone()).unwrap_or_default()),
            Part::Bytes(bytes) => Piece::Bytes(bytes),
            Part::Zeroes(len) => Piece::Zeroes(*len),
        })
    }

    /// All of it in one vector. The caller has bounded the length of the read.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(usize::try_from(self.len).unwrap_or(0));
        for piece in self.pieces() {
            match piece {
                Piece::Bytes(bytes) => all.extend_from_slice(bytes),
                Piece::Zeroes(len) => {
                    all.resize(all.len().saturating_add(usize::try_from(len).unwrap_or(usize::MAX)), 0);
                }
            }
        }
        all
    }

    pub(crate) fn push_chunk(&mut self, chunk: Chunk) {
        self.len += chunk.len() as u64;
        let (buf, range) = chunk.into_parts();
        self.parts.push(Part::Disk(buf, range));
    }

    pub(crate) fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.len += bytes.len() as u64;
        self.parts.push(Part::Bytes(bytes));
    }

    /// Adds zeroes, to those before if it ends with some.
    pub(crate) fn push_zeroes(&mut self, len: u64) {
        if len == 0 {
            return;
        }
        self.len += len;
        match self.parts.last_mut() {
            Some(Part::Zeroes(before)) => *before += len,
            _ => self.parts.push(Part::Zeroes(len)),
        }
    }
}
