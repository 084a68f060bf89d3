//! Looking at an inode under its lock: nothing of what is read belongs to another by then.

use ocfs2_format::BlockNum;

use super::Writable;
use super::operation::Operation;
use crate::lock::{Level, Rank};
use crate::{Error, Inode, Seek, Xattr};

impl Writable {
    /// Where the symbolic link `ino` leads, and the inode. As [`Volume::readlink`](crate::Volume::readlink).
    ///
    /// # Errors
    /// [`Error::NotSymlink`]; and what reading can fail with.
    pub async fn readlink(&self, ino: BlockNum) -> Result<(Vec<u8>, Inode), Error> {
        let look = async {
            let (_lock, inode) = self.locked(ino).await?;
            Ok((self.volume().readlink(&inode).await?, inode))
        };
        self.judged(look.await)
    }

    /// The value of the extended attribute of that full name. As [`Volume::xattr`](crate::Volume::xattr).
    ///
    /// # Errors
    /// [`Error::NoAttribute`]; and what reading can fail with.
    pub async fn xattr(&self, ino: BlockNum, name: &[u8]) -> Result<Vec<u8>, Error> {
        let look = async {
            let (_lock, inode) = self.locked(ino).await?;
            self.volume().xattr(&inode, name).await
        };
        self.judged(look.await)
    }

    /// All extended attributes. As [`Volume::xattrs`](crate::Volume::xattrs).
    ///
    /// # Errors
    /// What reading can fail with.
    pub async fn xattrs(&self, ino: BlockNum) -> Result<Vec<Xattr>, Error> {
        let look = async {
            let (_lock, inode) = self.locked(ino).await?;
            self.volume().xattrs(&inode).await
        };
        self.judged(look.await)
    }

    /// The next data or hole of a file. As [`Volume::seek`](crate::Volume::seek).
    ///
    /// # Errors
    /// [`Error::NotFile`]; and what reading can fail with.
    pub async fn seek(&self, ino: BlockNum, offset: u64, what: Seek) -> Result<Option<u64>, Error> {
        let look = async {
            let (_lock, inode) = self.locked(ino).await?;
            self.volume().seek(&inode, offset, what).await
        };
        self.judged(look.await)
    }

    /// The inode, and its lock: shared.
    async fn locked(&self, ino: BlockNum) -> Result<(Operation<'_>, Inode), Error> {
        let mut op = self.operation();
        op.lock_inode(Rank::Child, ino, Level::Shared).await?;
        let inode = self.volume().inode(ino).await?;
        Ok((op, inode))
    }
}
