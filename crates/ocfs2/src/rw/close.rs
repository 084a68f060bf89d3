//! Closing a volume: everything goes home, and the slot is free.

use ocfs2_format::JournalState;

use super::Writable;
use crate::lock::{Level, LockName, Rank};
use crate::{Error, SystemFile};

impl Writable {
    /// Ends all changes: commits, brings everything home, marks the journal clean and gives the slot back. Needs
    /// [`Self::drive`], which ends with it. Operations that come later fail with [`Error::Closed`].
    ///
    /// After an error the journal stays marked dirty: whoever opens the volume next replays it, and what had been
    /// committed is not lost. The device may then still be at work on writes of before; close or drop it.
    ///
    /// # Errors
    /// The first thing that failed; [`Error::Closed`] when it was closed before.
    pub async fn close(&self) -> Result<(), Error> {
        let Some(alive) = self.let_go() else { return Err(Error::Closed) };
        let result = self.try_close().await;
        self.journal().end();
        self.opens().clear();
        drop(alive);
        result
    }

    async fn try_close(&self) -> Result<(), Error> {
        self.scan_after_opening().await;
        // What this slot holds on to goes back first. Where that fails, it is still the next one's to do.
        let mut op = self.operation();
        op.quotas_off().await?;
        op.close_window().await?;
        op.empty_truncate_log(self.slot()).await?;
        drop(op);
        // Nobody begins another change; who is at it ends first.
        let turn = self.turn().lock().await;
        self.journal().refuse_new();
        drop(turn);
        self.journal().flush_all().await?;
        let mut op = self.operation();
        op.lock(Rank::Superblock, LockName::superblock(), Level::Exclusive).await?;
        self.volume().write_slot(self.slot(), None).await?;
        drop(op);
        let ino = self.system_ino(SystemFile::Journal(self.slot()))?;
        self.volume().forget(ino);
        let inode = self.volume().inode(ino).await?;
        let state = inode.dinode().journal().ok_or(Error::NotJournal { ino })?;
        self.volume().write_journal_state(ino, JournalState { dirty: false, ..state }).await
    }
}
