//! What every part of a check needs: the volume, and reading its blocks as they lie.

use ocfs2_format::{BlockKind, BlockNum, Geometry};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::Code;
use super::finding::{Finding, Findings};
use crate::Volume;
use crate::disk::Chunk;

/// The volume of a check. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Ctx {
    pub(super) volume: Volume,
}

impl Ctx {
    /// What the format's checks must know.
    pub(super) fn format(&self) -> &ocfs2_format::Volume {
        self.volume.meta().volume()
    }

    pub(super) fn geometry(&self) -> &Geometry {
        self.volume.geometry()
    }

    pub(super) fn block_len(&self) -> usize {
        self.format().block_len()
    }

    /// Blocks in a cluster.
    pub(super) fn per_cluster(&self) -> u64 {
        u64::from(self.geometry().blocks_per_cluster())
    }

    /// Whether `blkno` may hold metadata or data: inside the volume, and past the superblock.
    pub(super) fn holds(&self, blkno: u64) -> bool {
        blkno > 2 && self.geometry().contains(BlockNum(blkno))
    }

    /// The items of `size` bytes that fit a block from byte `from` on.
    pub(super) fn room(&self, from: usize, size: usize) -> u64 {
        self.geometry().block_size.room(from, size) as u64
    }

    /// Reads one block, or bucket, of inode `ino`. A wrong checksum is reported, and the bytes are given all the same,
    /// with one wrong bit set right where that is all: every structure is checked anyway. `None`: it cannot be read.
    pub(super) async fn read(
        &self,
        out: &mut Findings,
        ino: u64,
        blkno: u64,
        kind: BlockKind,
    ) -> Option<Chunk> {
        let count = match kind {
            BlockKind::XattrBucket => (ocfs2_format::xattr::BUCKET_LEN / self.block_len()).max(1) as u64,
            _ => 1,
        };
        let mut chunk = self.read_run(out, ino, blkno, count).await?;
        self.verify(out, ino, blkno, kind, chunk.bytes_mut());
        Some(chunk)
    }

    /// Reads a run of blocks of inode `ino`, unverified.
    pub(super) async fn read_run(
        &self,
        out: &mut Findings,
        ino: u64,
        blkno: u64,
        count: u64,
    ) -> Option<Chunk> {
        if !self.geometry().contains_run(BlockNum(blkno), count) {
            let message = format!("inode {ino}: block {blkno} lies outside the volume");
            out.push(Finding::new(Code::BlockUnreadable, message).block(blkno).inode(ino));
            return None;
        }
        match self.volume.meta().disk().read_blocks(blkno, count).await {
            Ok(chunk) => Some(chunk),
            Err(error) => {
                let message = format!("inode {ino}: block {blkno} cannot be read: {error}");
                out.push(Finding::new(Code::BlockUnreadable, message).block(blkno).inode(ino));
                None
            }
        }
    }

    /// Verifies the check of a block, and sets one wrong bit right.
    pub(super) fn verify(&self, out: &mut Findings, ino: u64, blkno: u64, kind: BlockKind, bytes: &mut [u8]) {
        match kind.verify(self.format(), BlockNum(blkno), bytes) {
            Ok(false) => {}
            Ok(true) => {
                let structure = kind.structure();
                let message =
                    format!("inode {ino}: block {blkno}: {structure}: one bit is wrong, which its ECC names");
                out.push(Finding::new(Code::BadCrc32, message).block(blkno).inode(ino));
            }
            Err(corrupt) => {
                let message = format!("inode {ino}: {corrupt}");
                out.push(Finding::new(Code::BadCrc32, message).block(blkno).inode(ino));
            }
        }
    }
}

/// The structure at byte `offset`; `None` where it does not fit.
pub(super) fn view<T: FromBytes + Immutable + KnownLayout + Unaligned>(
    bytes: &[u8],
    offset: usize,
) -> Option<&T> {
    T::ref_from_prefix(bytes.get(offset..)?).ok().map(|(raw, _)| raw)
}

/// The structures from byte `offset` on, `count` of them or as many as fit.
pub(super) fn views<T: FromBytes + Immutable + Unaligned>(bytes: &[u8], offset: usize, count: u64) -> &[T] {
    let tail = bytes.get(offset..).unwrap_or_default();
    let fit = tail.len().checked_div(size_of::<T>()).unwrap_or(0);
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(fit);
    <[T]>::ref_from_prefix_with_elems(tail, count).map_or(&[], |(raw, _)| raw)
}
