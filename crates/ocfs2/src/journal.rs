//! Dirty journals: what they hold is found, and laid over the device.

use jbd2::{JournalSuperblock, Recovered, Replay};

use crate::file_map::FileMap;
use crate::inode::Inode;
use crate::overlay::{LogCopy, Overlay};
use crate::{JournalError, Volume};

impl Volume {
    /// Lays the last copy of every block that the complete transactions of a journal hold over the device. Returns
    /// their number. `inode` is the journal's.
    pub(crate) async fn replay_into(
        &self,
        inode: &Inode,
        overlay: &mut Overlay,
    ) -> Result<usize, JournalError> {
        let log = self.file_map(inode).await?;
        let recovered = self.scan(inode, &log).await?;
        let count = recovered.copies.len();
        for (block, copy) in recovered.copies {
            let at = log.place(copy.log_block)?.0;
            overlay.insert(block, LogCopy { at, escaped: copy.escaped })?;
        }
        Ok(count)
    }

    /// Walks the log from its superblock to its end.
    pub(crate) async fn scan(&self, inode: &Inode, log: &FileMap) -> Result<Recovered, JournalError> {
        let superblock = self.journal_superblock(inode).await?;
        let mut replay = Replay::new(&superblock, self.geometry().blocks().0)?;
        while let Some(wanted) = replay.wanted() {
            let block = self.meta().disk().read_blocks(log.place(wanted)?.0, 1).await?;
            replay.feed(&block)?;
        }
        Ok(replay.finish())
    }

    /// Reads and checks the superblock of the journal whose inode is `inode`.
    pub(crate) async fn journal_superblock(&self, inode: &Inode) -> Result<JournalSuperblock, JournalError> {
        let block_size = self.geometry().block_size;
        let available = u32::try_from(inode.size() / block_size.bytes()).unwrap_or(u32::MAX);
        let head = self.read_body(inode, 0, JournalSuperblock::LEN as u64).await?.to_vec();
        let size = u32::try_from(block_size.bytes()).unwrap_or(0);
        Ok(JournalSuperblock::parse(&head, size, available)?)
    }
}
