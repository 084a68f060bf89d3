//! The flags of `lsattr` and `chattr`.

use ocfs2_format::{BlockNum, FileType};
use zerocopy::little_endian::U32;

use super::Writable;
use super::setattr::touch;
use crate::lock::{Level, Rank};
use crate::{Error, Inode};

/// Flags that users may change (`FS_FL_USER_MODIFIABLE`).
const MODIFIABLE: u32 = 0x0003_80ff;
/// `FS_DIRSYNC_FL` and `FS_TOPDIR_FL`: of directories alone.
const OF_DIRECTORIES: u32 = 0x0003_0000;

impl Writable {
    /// Makes the flags of inode `ino` those of `flags` that users may change; the others stay. All of them are kept; it
    /// is `i` (nothing changes) and `a` (it only grows) that are enforced here. Returns the inode as it is then.
    ///
    /// Who may do that is the caller's to judge; these flags themselves do not forbid it.
    ///
    /// # Errors
    /// What every change can fail with.
    pub async fn set_flags(&self, ino: BlockNum, flags: u32) -> Result<Inode, Error> {
        self.judged(self.try_set_flags(ino, flags).await)
    }

    async fn try_set_flags(&self, ino: BlockNum, flags: u32) -> Result<Inode, Error> {
        let mut op = self.operation();
        op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        let now = self.clock().now();
        loop {
            let mut change = op.begin().await?;
            let steps = async {
                let inode = change.inode(ino).await?;
                let directory = inode.attr().kind == FileType::Directory;
                let wanted = if directory { flags } else { flags & !OF_DIRECTORIES };
                let raw = change.dinode(ino).await?;
                raw.attr = U32::new(raw.attr.get() & !MODIFIABLE | wanted & MODIFIABLE);
                touch(raw, now);
                change.inode(ino).await
            };
            let done = steps.await;
            if let Some(inode) = change.end(done).await? {
                return Ok(inode);
            }
        }
    }
}
