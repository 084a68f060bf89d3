//! What of the data of files is kept in memory: no data, only what has to be known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ocfs2_format::BlockNum;

use super::together::Together;
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
    /// Files that are read and written by several at once.
    together: BTreeMap<BlockNum, Weak<Together>>,
}

impl DataState {
    /// Data of inode `ino` was written, and no change follows.
    pub(super) fn written(&self, ino: BlockNum) {
        let mut state = self.state();
        state.writes += 1;
        let number = state.writes;
        state.unflushed.insert(ino, number);
    }

    /// Whether no flush is known to have followed the last write to inode `ino`.
    pub(in crate::rw) fn is_unflushed(&self, ino: BlockNum) -> bool {
        self.state().unflushed.contains_key(&ino)
    }

    /// Whether there is such a write to any file.
    pub(in crate::rw) fn any_unflushed(&self) -> bool {
        !self.state().unflushed.is_empty()
    }

    /// The number of the last write of all.
    pub(in crate::rw) fn last_write(&self) -> u64 {
        self.state().writes
    }

    /// The device was flushed after write number `upto`.
    pub(in crate::rw) fn flushed(&self, upto: u64) {
        self.state().unflushed.retain(|_, number| *number > upto);
    }

    /// What lies behind the end of `ino` was part of the file a moment ago.
    pub(super) fn shrunk(&self, ino: BlockNum) {
        self.state().shrunk.insert(ino);
    }

    /// Nothing lies behind the end of `ino` any more, or what was there will not come back.
    pub(super) fn settled(&self, ino: BlockNum) {
        self.state().shrunk.remove(&ino);
    }

    /// The inode is no more.
    pub(in crate::rw) fn forget(&self, ino: BlockNum) {
        let mut state = self.state();
        state.shrunk.remove(&ino);
        state.unflushed.remove(&ino);
    }

    /// Those who hold the lock of `ino` together, if they admit one more; else the first of new ones.
    pub(super) fn together(&self, ino: BlockNum) -> Arc<Together> {
        let mut state = self.state();
        if let Some(found) = state.found_together(ino) {
            return found;
        }
        let new = Arc::new(Together::default());
        new.admits();
        state.together.retain(|_, others| others.strong_count() > 0);
        state.together.insert(ino, Arc::downgrade(&new));
        new
    }

    /// The same, if there are any.
    pub(super) fn found_together(&self, ino: BlockNum) -> Option<Arc<Together>> {
        self.state().found_together(ino)
    }

    /// No holder leaves the maps half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn found_together(&self, ino: BlockNum) -> Option<Arc<Together>> {
        let found = self.together.get(&ino)?.upgrade();
        found.filter(|found| found.admits())
    }
}

impl Writable {
    /// To be called before anything is written behind the end of inode `ino`, whose lock W is held exclusively: where
    /// the file was longer a moment ago, and that it is not has not been committed, what was there would be lost.
    pub(super) async fn settle_end(&self, ino: BlockNum) -> Result<(), Error> {
        let shrunk = self.data().state().shrunk.contains(&ino);
        if shrunk {
            self.journal().commit_inode(ino).await?;
            self.data().settled(ino);
        }
        Ok(())
    }
}
