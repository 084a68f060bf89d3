//! Those who read a file, or write it in place, beside each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ocfs2_format::BlockNum;
use tokio::sync::OnceCell;

use crate::Error;
use crate::lock::{Guard, How, Level};
use crate::rw::Writable;

/// How many take part in one: who waits for the lock in another way has his turn after them.
const MOST: u32 = 64;

/// The lock M of a file, held exclusively by this node and shared among those of its tasks that only move data.
///
/// Other nodes keep pages of a file for as long as they hold its lock M shared, so who writes, in place too, must hold
/// it exclusively; but tasks of one node need not wait for each other. Each of them holds the lock W shared, which
/// keeps out who changes where the data lies.
#[derive(Debug, Default)]
pub(super) struct Together {
    guard: OnceCell<Guard>,
    joined: AtomicU32,
}

impl Together {
    /// Whether one more may take part.
    pub(super) fn admits(&self) -> bool {
        self.joined.fetch_add(1, Ordering::Relaxed) < MOST
    }
}

impl Writable {
    /// Takes the lock M of inode `ino` exclusively, together with others who do the same. The lock W is held shared.
    pub(super) async fn lock_together(&self, ino: BlockNum) -> Result<Arc<Together>, Error> {
        let together = self.data().together(ino);
        let lock = async || {
            let held = self.service().lock(self.meta_lock(ino), Level::Exclusive, How::Wait).await?;
            if held.needs_refresh() {
                self.volume().forget(ino);
                held.refreshed();
            }
            Ok::<_, Error>(held)
        };
        together.guard.get_or_try_init(lock).await?;
        Ok(together)
    }

    /// The same for who only reads, where some hold it already.
    pub(super) fn join(&self, ino: BlockNum) -> Option<Arc<Together>> {
        self.data().found_together(ino).filter(|together| together.guard.initialized())
    }
}
