//! Inodes that somebody still has, whatever becomes of their names.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ocfs2_format::BlockNum;

use super::Writable;
use crate::Error;
use crate::lock::{Guard, How, Level, LockName, Rank};

/// Who is retained, and how often.
#[derive(Debug, Default)]
pub(super) struct Opens(Mutex<BTreeMap<BlockNum, Open>>);

#[derive(Debug)]
struct Open {
    count: u64,
    /// It may have lost its last name: to be looked at when it is let go.
    orphaned: bool,
    /// The open lock: it tells other nodes not to delete the inode.
    _guard: Guard,
}

impl Writable {
    /// Says that somebody has the inode `ino`: a handle, or the kernel's side of a mount. It is not deleted, whoever
    /// removes its names, until it has been [released](Self::release) as often. What was read of it before counts no
    /// more: another may have taken its number. [`Self::lookup_retained`] and [`Self::create_retained`] leave no such
    /// gap.
    ///
    /// # Errors
    /// [`Error::Stale`] where it has been deleted; and what reading can fail with.
    pub async fn retain(&self, ino: BlockNum) -> Result<(), Error> {
        if self.opens().again(ino) {
            return Ok(());
        }
        let first = async {
            let mut op = self.operation();
            op.lock_inode(Rank::Child, ino, Level::Shared).await?;
            self.volume().inode(ino).await?;
            self.retain_locked(ino).await
        };
        self.judged(first.await)
    }

    /// The same, of an inode that is known to be in use and whose lock is held.
    pub(super) async fn retain_locked(&self, ino: BlockNum) -> Result<(), Error> {
        if self.opens().again(ino) {
            return Ok(());
        }
        // Who deletes an inode holds its lock, too: nobody can have the open lock for long.
        let guard = self.service().lock(LockName::open(ino), Level::Shared, How::Wait).await?;
        self.opens().add(ino, guard);
        Ok(())
    }

    /// Ends one [`Self::retain`]. The last one deletes the inode if it has no name; where that fails it is tried again
    /// later, at the latest when the volume is opened next. What was never retained is left alone.
    pub async fn release(&self, ino: BlockNum) {
        if self.opens().less(ino) {
            self.try_delete(ino).await;
        }
    }

    /// The inode `ino` has lost its last name: deletes it, unless somebody has it.
    pub(super) async fn buried(&self, ino: BlockNum) {
        if !self.opens().note_orphaned(ino) {
            self.try_delete(ino).await;
        }
    }

    /// Deletes the inode `ino` if it has no name and nobody has it. What fails is left for the next scan.
    pub(super) async fn try_delete(&self, ino: BlockNum) {
        if let Err(error) = self.judged(self.delete(ino).await) {
            tracing::warn!(ino = ino.0, %error, "an inode without a name could not be deleted");
        }
    }
}

impl Opens {
    /// Counts one more of an inode that is retained already; false where it is not.
    fn again(&self, ino: BlockNum) -> bool {
        let mut opens = self.table();
        let open = opens.get_mut(&ino);
        open.map(|open| open.count += 1).is_some()
    }

    fn add(&self, ino: BlockNum, guard: Guard) {
        let mut opens = self.table();
        // Another task may have been faster. Then its guard does.
        let open = opens.entry(ino).or_insert(Open { count: 0, orphaned: false, _guard: guard });
        open.count += 1;
    }

    /// Counts one less; true where that was the last one and the inode may have no name.
    fn less(&self, ino: BlockNum) -> bool {
        let mut opens = self.table();
        let Some(open) = opens.get_mut(&ino) else { return false };
        open.count -= 1;
        if open.count > 0 {
            return false;
        }
        opens.remove(&ino).is_some_and(|open| open.orphaned)
    }

    /// Notes that a retained inode may have lost its last name; false where it is not retained.
    fn note_orphaned(&self, ino: BlockNum) -> bool {
        self.table().get_mut(&ino).map(|open| open.orphaned = true).is_some()
    }

    /// Lets go of all of them.
    pub(super) fn clear(&self) {
        self.table().clear();
    }

    /// A panic elsewhere leaves the table whole.
    fn table(&self) -> MutexGuard<'_, BTreeMap<BlockNum, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
