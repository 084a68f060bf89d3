//! Clusters that several extents share: how many do, and how a file gets its own again.
//!
//! Inodes that share clusters are attached to one refcount tree. It counts, for every cluster that an extent with the
//! flag REFCOUNTED refers to, how many such extents there are. The tree is changed under its own cluster lock, which
//! comes after those of the inodes; an operation learns that it needs it as it does with allocators.

mod counts;
mod cow;
mod share;
#[cfg(test)]
mod tests;
mod tree;

pub(super) use cow::give_up;
pub(super) use share::{ENOUGH, Sharing, clusters_of, share};
pub(super) use tree::RefcountTree;
pub(super) use tree::generation;

use std::ops::Range;

use ocfs2_format::BlockNum;

use super::Writable;
use super::operation::Operation;
use crate::Error;
use crate::lock::{Level, Rank};

impl Writable {
    /// Gives the file `ino` clusters of its own for the bytes `range`, where it shares some with clones. Many changes,
    /// each of which leaves the same contents; when one fails, those before it stay.
    ///
    /// # Errors
    /// [`Error::NotFile`], [`Error::NoSpace`]; and what every change can fail with.
    pub async fn unshare(&self, ino: BlockNum, range: Range<u64>) -> Result<(), Error> {
        self.judged(self.try_unshare(ino, range).await)
    }

    async fn try_unshare(&self, ino: BlockNum, range: Range<u64>) -> Result<(), Error> {
        let mut op = self.operation();
        op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        self.volume().inode(ino).await?.expect_file()?;
        let bits = self.volume().geometry().cluster_size.bits();
        let range = (range.start >> bits, range.end.div_ceil(1 << bits).min(1 << 32));
        op.own(ino, range).await
    }
}

impl Operation<'_> {
    /// Gives the file clusters of its own where it shares those of `range`; its locks are held exclusively. They may be
    /// written to then.
    ///
    /// What others shared until a moment ago is not copied. But that they have given it up may not have been committed:
    /// were it written to now, a power cut could bring them back with what is written. So it is committed first.
    pub(super) async fn own(&mut self, ino: BlockNum, (mut at, end): (u64, u64)) -> Result<(), Error> {
        let mut kept = false;
        while at < end {
            let mut change = self.begin().await?;
            let done = cow::unshare(&mut change, ino, (at, end)).await;
            if let Some(step) = change.end(done).await? {
                at = step.next;
                kept |= step.kept;
            }
        }
        if kept {
            self.fs().journal().commit_all().await?;
        }
        Ok(())
    }
}
