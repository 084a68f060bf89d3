//! Dirty journals: what they hold is found, and laid over the device.

use jbd2::{JournalSuperblock, Recovered, Replay};
use ocfs2_format::{BlockNum, Extent};

use crate::inode::{Body, Inode};
use crate::overlay::{LogCopy, Overlay};
use crate::{Error, JournalError, Volume};

/// The journal file's blocks on the volume.
struct Log {
    ino: BlockNum,
    extents: Vec<Extent>,
    cluster_block_bits: u32,
}

impl Log {
    /// Where block `n` of the journal lies.
    fn place(&self, n: u32) -> Result<BlockNum, Error> {
        let cpos = n >> self.cluster_block_bits;
        let after = self.extents.partition_point(|extent| extent.cpos <= cpos);
        let extent = after.checked_sub(1).and_then(|index| self.extents.get(index));
        match extent {
            Some(extent) if u64::from(cpos) < extent.end() => {
                let skip = u64::from(n) - (u64::from(extent.cpos) << self.cluster_block_bits);
                Ok(BlockNum(extent.block.0 + skip))
            }
            _ => Err(Error::Hole { ino: self.ino, what: "the journal", cpos }),
        }
    }
}

impl Volume {
    /// Lays the last copy of every block that the complete transactions of a journal hold over the device. Returns
    /// their number. `inode` is the journal's.
    pub(crate) async fn replay_into(
        &self,
        inode: &Inode,
        overlay: &mut Overlay,
    ) -> Result<usize, JournalError> {
        let log = self.log(inode).await?;
        let recovered = self.scan(inode, &log).await?;
        let count = recovered.copies.len();
        for (block, copy) in recovered.copies {
            let at = log.place(copy.log_block)?.0;
            overlay.insert(block, LogCopy { at, escaped: copy.escaped })?;
        }
        Ok(count)
    }

    async fn log(&self, inode: &Inode) -> Result<Log, Error> {
        let Body::Tree(tree) = inode.body() else {
            return Err(Error::Hole { ino: inode.ino(), what: "the journal", cpos: 0 });
        };
        let mut extents = Vec::new();
        let mut cursor = tree.cursor(0);
        while let Some(extent) = cursor.next(self.meta()).await? {
            extents.push(extent);
        }
        Ok(Log { ino: inode.ino(), extents, cluster_block_bits: self.geometry().cluster_block_bits() })
    }

    /// Walks the log from its superblock to its end.
    async fn scan(&self, inode: &Inode, log: &Log) -> Result<Recovered, JournalError> {
        let block_size = self.geometry().block_size;
        let blocks = inode.size() / block_size.bytes();
        let available = u32::try_from(blocks).unwrap_or(u32::MAX);
        let head = self.read_body(inode, 0, JournalSuperblock::LEN as u64).await?.to_vec();
        let size = u32::try_from(block_size.bytes()).unwrap_or(0);
        let superblock = JournalSuperblock::parse(&head, size, available)?;
        let mut replay = Replay::new(&superblock, self.geometry().blocks().0)?;
        while let Some(wanted) = replay.wanted() {
            let block = self.meta().disk().read_blocks(log.place(wanted)?.0, 1).await?;
            replay.feed(&block)?;
        }
        Ok(replay.finish())
    }
}
