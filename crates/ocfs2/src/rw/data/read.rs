//! Reading under the locks.

use ocfs2_format::BlockNum;

use crate::lock::{Level, Rank};
use crate::rw::Writable;
use crate::{Data, Error};

impl Writable {
    /// Reads `len` bytes of the regular file `ino` from byte `offset` on; fewer, or none, at its end. As
    /// [`Volume::read`](crate::Volume::read), but it never sees clusters that the file is giving up meanwhile.
    ///
    /// # Errors
    /// [`Error::NotFile`]; or when the extent tree or the data cannot be read.
    pub async fn read(&self, ino: BlockNum, offset: u64, len: u64) -> Result<Data, Error> {
        self.judged(self.try_read(ino, offset, len).await)
    }

    async fn try_read(&self, ino: BlockNum, offset: u64, len: u64) -> Result<Data, Error> {
        let mut op = self.operation();
        let generation = op.lock_data(ino, Level::Shared).await?;
        let together = self.join(ino);
        if together.is_none() {
            op.lock_inode(Rank::Child, ino, Level::Shared).await?;
        }
        let inode = self.volume().inode(ino).await?;
        if inode.attr().generation != generation {
            drop(together);
            op.release_from(Rank::Rw);
            let inode = op.lock_file(ino, Level::Shared, Level::Shared).await?;
            return self.volume().read(&inode, offset, len).await;
        }
        self.volume().read(&inode, offset, len).await
    }
}
