//! Clusters for data that is yet to come, and holes where there was some: `fallocate(2)`.

use ocfs2_format::{BlockNum, ExtentFlags, RoCompat};

use super::claim::claim_into;
use super::map::{Kind, segments};
use crate::Error;
use crate::inode::{Body, Inode};
use crate::lock::Level;
use crate::rw::Writable;
use crate::rw::operation::Operation;
use crate::rw::setattr::{APPEND, IMMUTABLE, SetAttr};

/// Runs of clusters that one change takes into a tree, at the most.
const RUNS_AT_ONCE: usize = 8;

/// What `fallocate` is to do. Neither: clusters for the whole range, and the file reaches to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FallocateMode {
    /// `FALLOC_FL_KEEP_SIZE`: the file stays as long as it is.
    pub keep_size: bool,
    /// `FALLOC_FL_PUNCH_HOLE`: the range reads as zeroes, and its clusters are given up. Only with `keep_size`.
    pub punch_hole: bool,
}

impl Writable {
    /// Gives the regular file `ino` clusters, which read as zeroes, for `len` bytes from byte `offset` on, or takes
    /// them away. Returns the inode as it is then. The caller retains it, and does not drop the call before its end.
    ///
    /// # Errors
    /// [`Error::NotFile`]; [`Error::Flagged`], also for a file that can but grow; [`Error::NotSupported`] on a volume
    /// without unwritten extents, as in the kernel, and for `punch_hole` without `keep_size`;
    /// [`Error::EmptyRange`]; [`Error::FileTooLarge`]; [`Error::NoSpace`] and [`Error::Quota`]: then some of the
    /// clusters may be there. And what every change can fail with.
    pub async fn fallocate(
        &self,
        ino: BlockNum,
        offset: u64,
        len: u64,
        mode: FallocateMode,
    ) -> Result<Inode, Error> {
        self.judged(self.try_fallocate(ino, offset, len, mode).await)
    }

    async fn try_fallocate(
        &self,
        ino: BlockNum,
        offset: u64,
        len: u64,
        mode: FallocateMode,
    ) -> Result<Inode, Error> {
        if !self.volume().superblock().features.ro_compat.contains(RoCompat::UNWRITTEN) {
            return Err(Error::NotSupported { what: "a volume without unwritten extents" });
        }
        if mode.punch_hole && !mode.keep_size {
            return Err(Error::NotSupported { what: "a file whose length is to change with a hole" });
        }
        let max = self.volume().geometry().max_file_size();
        let end =
            offset.checked_add(len).filter(|end| *end <= max).ok_or(Error::FileTooLarge { ino, max })?;
        if len == 0 {
            return Err(Error::EmptyRange);
        }
        let mut op = self.operation();
        let inode = op.lock_file(ino, Level::Exclusive, Level::Exclusive).await?;
        let flags = inode.dinode().attr;
        if flags & (IMMUTABLE | APPEND) != 0 {
            return Err(Error::Flagged { ino, flags });
        }
        match mode.punch_hole {
            true => op.punch(&inode, (offset, end)).await?,
            false => op.preallocate(&inode, (offset, end), mode.keep_size).await?,
        }
        self.volume().inode(ino).await
    }
}

impl Operation<'_> {
    async fn preallocate(
        &mut self,
        inode: &Inode,
        (start, end): (u64, u64),
        keep_size: bool,
    ) -> Result<(), Error> {
        let (fs, ino) = (self.fs(), inode.ino());
        let fits = matches!(inode.body(), Body::Inline(room) if end <= room.len() as u64);
        if !fits {
            self.move_out(ino).await?;
            let geometry = fs.volume().geometry();
            let range = (start >> geometry.cluster_size.bits(), geometry.clusters_for(end));
            self.fill_holes(ino, range).await?;
        }
        let inode = fs.volume().inode(ino).await?;
        if keep_size || end <= inode.size() {
            return self.stamp(ino, fs.clock().now()).await;
        }
        self.zero_to(&inode, end).await?;
        let set = SetAttr { size: Some(end), ..SetAttr::default() };
        self.set_size(ino, end, &set).await
    }

    /// Puts unwritten clusters where inode `ino` has none.
    async fn fill_holes(&mut self, ino: BlockNum, (mut at, end): (u64, u64)) -> Result<(), Error> {
        while at < end {
            let mut change = self.begin().await?;
            let steps = async {
                let (mut next, mut runs) = (at, 0);
                let inode = change.inode(ino).await?;
                for mut segment in segments(change.blocks(), &inode, (at, end)).await? {
                    while segment.kind == Kind::Hole && segment.start < segment.end {
                        if runs == RUNS_AT_ONCE {
                            return Ok(segment.start);
                        }
                        segment.start =
                            claim_into(&mut change, ino, segment, ExtentFlags::UNWRITTEN).await?.end;
                        runs += 1;
                    }
                    next = segment.end;
                }
                Ok(next)
            };
            let done = steps.await;
            if let Some(next) = change.end(done).await? {
                at = next;
            }
        }
        Ok(())
    }

    async fn punch(&mut self, inode: &Inode, (start, end): (u64, u64)) -> Result<(), Error> {
        let (fs, ino) = (self.fs(), inode.ino());
        if let Body::Inline(_) = inode.body() {
            loop {
                let mut change = self.begin().await?;
                let done = super::inline::clear(&mut change, ino, (start, end)).await;
                if change.end(done).await?.is_some() {
                    return self.stamp(ino, fs.clock().now()).await;
                }
            }
        }
        let geometry = *fs.volume().geometry();
        let bits = geometry.cluster_size.bits();
        let (first, last) = (geometry.clusters_for(start), end >> bits);
        // What is behind the end of the file means nothing: it stays as it is, where its cluster does.
        let size = inode.size();
        if first > last {
            self.zero_within(ino, (start, end.min(size))).await?;
        } else {
            self.zero_within(ino, (start, (first << bits).min(size))).await?;
            self.zero_within(ino, (last << bits, end.min(size))).await?;
            self.drop_extents(ino, (first, last)).await?;
        }
        self.stamp(ino, fs.clock().now()).await
    }

    /// Zeroes the bytes `start` to `end` of inode `ino`, which lie in one cluster, if it has that.
    async fn zero_within(&mut self, ino: BlockNum, (start, end): (u64, u64)) -> Result<(), Error> {
        if start >= end {
            return Ok(());
        }
        let fs = self.fs();
        let geometry = *fs.volume().geometry();
        let range = (start >> geometry.cluster_size.bits(), geometry.clusters_for(end));
        self.own(ino, range).await?;
        for segment in segments(fs.volume().meta(), &fs.volume().inode(ino).await?, range).await? {
            if segment.kind == Kind::Own {
                let at = fs.byte_at(&segment, start);
                fs.put_zeroes(ino, (at, at + (end - start))).await?;
            }
        }
        Ok(())
    }
}
