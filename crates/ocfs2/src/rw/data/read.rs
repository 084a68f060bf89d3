//! Reading under the locks.

use ocfs2_format::BlockNum;

use crate::lock::Level;
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
        let inode = op.lock_file(ino, Level::Shared, Level::Shared).await?;
        self.volume().read(&inode, offset, len).await
    }
}
