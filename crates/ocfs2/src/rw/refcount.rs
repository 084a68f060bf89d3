//! Clusters that several extents share: how many do, and how a file gets its own again.
//!
//! Inodes that share clusters are attached to one refcount tree. It counts, for every cluster that an extent with the
//! flag REFCOUNTED refers to, how many such extents there are. The tree is changed under its own cluster lock, which
//! comes after those of the inodes.

mod counts;
mod cow;
#[cfg(test)]
mod tests;
mod tree;

use ocfs2_format::BlockNum;

use super::operation::Operation;
use crate::lock::{Level, LockName, Rank};
use crate::{Error, Inode};

pub(crate) use cow::unshare;
pub(crate) use tree::RefcountTree;

impl Operation<'_> {
    /// Takes the lock of the refcount tree that `inode` is attached to, if any, and drops what is cached of the tree
    /// where it may be old.
    pub(crate) async fn lock_refcounts(&mut self, inode: &Inode) -> Result<Option<RefcountTree>, Error> {
        let Some(root) = inode.dinode().refcount_root else { return Ok(None) };
        self.lock_refcount_root(root).await.map(Some)
    }

    /// The same for the tree with the root `root`.
    pub(crate) async fn lock_refcount_root(&mut self, root: BlockNum) -> Result<RefcountTree, Error> {
        let meta = self.fs().volume().meta();
        // The lock's name has the tree's generation in it, which never changes while there is the tree.
        let generation = tree::generation(meta, root).await?;
        self.lock(Rank::Refcount, LockName::refcount(root, generation), Level::Exclusive).await?;
        Ok(RefcountTree { root })
    }
}
