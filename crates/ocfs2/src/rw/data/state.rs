//! What of the data of files is kept in memory: no data, only what has to be known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ocfs2_format::BlockNum;

use crate::Error;
use crate::rw::Writable;

/// What is known of files whose data was changed.
#[derive(Debug, Default)]
pub(in crate::rw) struct DataState {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    writes: u64,
    /// Files that were written in place after their last change: no commit flushes that. With the number of the write.
    unflushed: BTreeMap<BlockNum, u64>,
    /// Files that have shrunk in a change that may not have been committed: what lies behind their end could come back.
    shrunk: BTreeSet<BlockNum>,
}

impl DataState {
    /// Data of inode `ino` was written, and no change follows.
    pub(super) fn written(&self, ino: BlockNum) {
        let mut state = self.state();
        state.writes += 1;
        let number = state.writes;
        state.unflushed.insert(ino, number);
    }

    /// The last write to inode `ino` that no flush is known to have followed.
    pub(in crate::rw) fn unflushed(&self, ino: BlockNum) -> Option<u64> {
        self.state().unflushed.get(&ino).copied()
    }

    /// Whether there is such a write to any file.
    pub(in crate::rw) fn any_unflushed(&self) -> bool {
        !self.state().unflushed.is_empty()
    }

    /// The number of the last write of all.
    pub(in crate::rw) fn last_write(&self) -> u64 {
        self.state().writes
    }

    /// The device was flushed after write number `upto`, to `ino` or to any file.
    pub(in crate::rw) fn flushed(&self, ino: Option<BlockNum>, upto: u64) {
        self.state().unflushed.retain(|of, number| *number > upto || ino.is_some_and(|ino| ino != *of));
    }

    pub(super) fn shrunk(&self, ino: BlockNum) {
        self.state().shrunk.insert(ino);
    }

    /// No holder leaves the maps half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writable {
    /// To be called before anything is written behind the end of inode `ino`, whose lock W is held exclusively: where
    /// the file was longer a moment ago, and that it is not has not been committed, what was there would be lost.
    pub(super) async fn settle_end(&self, ino: BlockNum) -> Result<(), Error> {
        if self.data().state().shrunk.contains(&ino) {
            self.journal().commit_inode(ino).await?;
            self.data().state().shrunk.remove(&ino);
        }
        Ok(())
    }
}
