//! A journal's contents brought home.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jbd2::{JournalSuperblock, Sequence};
use ocfs2_format::BlockNum;

use crate::file_map::FileMap;
use crate::inode::Inode;
use crate::overlay::LogCopy;
use crate::{Error, JournalError, Volume};

/// Blocks on their way home at once.
const DEPTH: usize = 32;

impl Volume {
    /// Brings home what the complete transactions of the journal `inode` hold, and empties its log. Returns how many
    /// blocks that were. All of it is on stable storage then, so doing it again is harmless at any point.
    ///
    /// Nothing is written before the log has been walked to its end and found sound.
    pub(super) async fn replay_home(&self, inode: &Inode) -> Result<usize, JournalError> {
        let log = self.file_map(inode).await?;
        let recovered = self.scan(inode, &log).await?;
        let count = recovered.copies.len();
        let copies = recovered.copies.into_iter().map(|(block, copy)| {
            let log = &log;
            async move {
                let at = log.place(copy.log_block)?;
                let mut chunk = self.meta().disk().read_blocks(at.0, 1).await?;
                LogCopy { at: at.0, escaped: copy.escaped }.restore(chunk.bytes_mut());
                self.write_block(BlockNum(block), "a block out of a journal", &chunk).await
            }
        });
        stream::iter(copies).buffer_unordered(DEPTH).try_collect::<()>().await?;
        self.flush_device().await?;
        self.empty_log(&log, recovered.next_sequence).await?;
        Ok(count)
    }

    /// Makes sure that the log of a clean journal is empty, and that what is left in it cannot be taken for new.
    pub(super) async fn wipe_log(&self, inode: &Inode) -> Result<(), JournalError> {
        let superblock = self.journal_superblock(inode).await?;
        if superblock.start.is_none() {
            return Ok(());
        }
        let log = self.file_map(inode).await?;
        // A clean journal's log means nothing, but what lies in it may look like transactions from `s_sequence` on. One
        // that cannot be walked (mkfs leaves a start outside of it) has no more of them than it has blocks.
        let next = match self.scan(inode, &log).await {
            Ok(recovered) => recovered.next_sequence,
            Err(JournalError::Log(_)) => Sequence(superblock.sequence.0.wrapping_add(superblock.log_len())),
            Err(error) => return Err(error),
        };
        self.empty_log(&log, next).await
    }

    /// Writes an empty log that goes on with transaction `next`, and waits until it is on stable storage.
    async fn empty_log(&self, log: &FileMap, next: Sequence) -> Result<(), JournalError> {
        let bytes = jbd2::Journal::emptied(&self.journal_head(log).await?, next)?;
        // In blocks of 512 bytes only the first half has changed; both are written.
        for (n, block) in (0..).zip(bytes.chunks(self.meta().volume().block_len())) {
            self.write_block(log.place(n)?, "the superblock of a journal", block).await?;
        }
        Ok(self.flush_device().await?)
    }

    /// The first blocks of a journal, which hold its superblock: one, or two of 512 bytes.
    pub(super) async fn journal_head(&self, log: &FileMap) -> Result<Vec<u8>, Error> {
        let len = self.meta().volume().block_len();
        let mut bytes = Vec::new();
        for n in 0..u32::try_from(JournalSuperblock::LEN.div_ceil(len)).unwrap_or(1) {
            bytes.extend_from_slice(&self.meta().disk().read_blocks(log.place(n)?.0, 1).await?);
        }
        Ok(bytes)
    }
}
