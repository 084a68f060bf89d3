//! The time of reading.

use ocfs2_format::BlockNum;
use zerocopy::little_endian::{U32, U64};

use super::Writable;
use crate::Error;
use crate::lock::{Level, Rank};

impl Writable {
    /// Makes the last access to inode `ino` the present. Nothing else of it changes, the ctime neither. Whether a
    /// reading is worth that, the caller knows.
    ///
    /// # Errors
    /// What every change can fail with.
    pub async fn touch_atime(&self, ino: BlockNum) -> Result<(), Error> {
        self.judged(self.try_touch_atime(ino).await)
    }

    async fn try_touch_atime(&self, ino: BlockNum) -> Result<(), Error> {
        let mut op = self.operation();
        op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        let now = self.clock().now();
        loop {
            let mut change = op.begin().await?;
            let steps = async {
                change.inode(ino).await?;
                let raw = change.dinode(ino).await?;
                raw.atime = U64::new(now.seconds.cast_unsigned());
                raw.atime_nsec = U32::new(now.nanos);
                Ok(())
            };
            let done = steps.await;
            if let Some(()) = change.end(done).await? {
                return Ok(());
            }
        }
    }
}
