//! Looking: a name, an inode.

use ocfs2_format::BlockNum;

use crate::lock::{Level, Rank};
use crate::{Error, Inode, Writable};

impl Writable {
    /// Finds `name` in the directory `dir`; `None` where there is no such name. Holds nothing afterwards: the inode may
    /// be gone, or changed, by the time the caller looks at it.
    ///
    /// # Errors
    /// [`Error::NotDir`], [`Error::NameTooLong`], [`Error::Stale`]; and what reading can fail with.
    pub async fn lookup(&self, dir: BlockNum, name: &[u8]) -> Result<Option<Inode>, Error> {
        self.judged(self.find(dir, name, false).await)
    }

    /// The same, and [retains](Self::retain) what it found, in one step: it is not deleted in between.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    pub async fn lookup_retained(&self, dir: BlockNum, name: &[u8]) -> Result<Option<Inode>, Error> {
        self.judged(self.find(dir, name, true).await)
    }

    async fn find(&self, dir: BlockNum, name: &[u8], retain: bool) -> Result<Option<Inode>, Error> {
        let mut op = self.operation();
        op.lock_inode(Rank::Parent, dir, Level::Shared).await?;
        let parent = self.volume().inode(dir).await?;
        let Some(entry) = self.volume().lookup(&parent, name).await? else { return Ok(None) };
        if name == b".." {
            // It lies above: to wait for its lock with this one held would be against the order.
            drop(op);
            op = self.operation();
        }
        op.lock_inode(Rank::Child, entry.ino, Level::Shared).await?;
        let inode = self.volume().inode(entry.ino).await?;
        if retain {
            self.retain_locked(entry.ino).await?;
        }
        Ok(Some(inode))
    }

    /// The inode `ino` as it is now.
    ///
    /// # Errors
    /// [`Error::Stale`] where it has been deleted; and what reading can fail with.
    pub async fn stat(&self, ino: BlockNum) -> Result<Inode, Error> {
        let read = async {
            let mut op = self.operation();
            op.lock_inode(Rank::Child, ino, Level::Shared).await?;
            self.volume().inode(ino).await
        };
        self.judged(read.await)
    }
}
