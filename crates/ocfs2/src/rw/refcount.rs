//! Clusters that several extents share: how many do, and how a file gets its own again.
//!
//! Inodes that share clusters are attached to one refcount tree. It counts, for every cluster that an extent with the
//! flag REFCOUNTED refers to, how many such extents there are. The tree is changed under its own cluster lock, which
//! comes after those of the inodes; an operation learns that it needs it as it does with allocators.

mod counts;
mod cow;
#[cfg(test)]
mod tests;
mod tree;

pub(super) use cow::{give_up, unshare};
pub(super) use tree::RefcountTree;
pub(super) use tree::generation;

use std::ops::Range;

use ocfs2_format::BlockNum;

use super::Writable;
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
        let (mut at, end) = (range.start >> bits, range.end.div_ceil(1 << bits).min(1 << 32));
        while at < end {
            let mut change = op.begin().await?;
            let done = cow::unshare(&mut change, ino, (at, end)).await;
            if let Some(next) = change.end(done).await? {
                at = next;
            }
        }
        Ok(())
    }
}
