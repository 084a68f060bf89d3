//! The lock service of a volume that only this host uses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use block::IoFuture;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{Demand, Guard, Held, How, Level, LockError, LockName, LockService, Lvb};

/// Locks among the operations of this host: nothing else changes the volume, so nothing is ever stale, and nobody asks
/// back. Who waits longest is next.
#[derive(Debug, Default)]
pub struct LocalLocks {
    table: Arc<Table>,
}

/// The locks that somebody holds or waits for.
type Table = Mutex<BTreeMap<LockName, Arc<RwLock<()>>>>;

impl LockService for LocalLocks {
    fn lock(&self, name: LockName, level: Level, how: How) -> IoFuture<'_, Result<Guard, LockError>> {
        let place = Place::new(&self.table, name);
        match place.attempt(level) {
            Some(taken) => IoFuture::ready(Ok(Box::new(Local { _taken: taken, _place: place }))),
            None if how == How::Try => IoFuture::ready(Err(LockError::Busy { name })),
            None => IoFuture::boxed(place.wait(level)),
        }
    }

    fn demand(&self) -> IoFuture<'_, Option<Demand>> {
        IoFuture::ready(None)
    }
}

/// A lock in the table, for as long as somebody holds it or waits for it.
#[derive(Debug)]
struct Place {
    name: LockName,
    lock: Arc<RwLock<()>>,
    table: Arc<Table>,
}

impl Place {
    fn new(table: &Arc<Table>, name: LockName) -> Self {
        // No holder leaves the table half changed.
        let mut locks = table.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(locks.entry(name).or_default());
        Self { name, lock, table: Arc::clone(table) }
    }

    fn attempt(&self, level: Level) -> Option<Taken> {
        let lock = Arc::clone(&self.lock);
        Some(match level {
            Level::Shared => Taken::Shared(lock.try_read_owned().ok()?),
            Level::Exclusive => Taken::Exclusive(lock.try_write_owned().ok()?),
        })
    }

    async fn wait(self, level: Level) -> Result<Guard, LockError> {
        let lock = Arc::clone(&self.lock);
        let taken = match level {
            Level::Shared => Taken::Shared(lock.read_owned().await),
            Level::Exclusive => Taken::Exclusive(lock.write_owned().await),
        };
        Ok(Box::new(Local { _taken: taken, _place: self }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut locks = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // The table's own and this one: nobody else can come by another but through the table.
        if Arc::strong_count(&self.lock) == 2 {
            locks.remove(&self.name);
        }
    }
}

/// The lock as tokio has it.
#[derive(Debug)]
enum Taken {
    Shared(#[expect(dead_code, reason = "held")] OwnedRwLockReadGuard<()>),
    Exclusive(#[expect(dead_code, reason = "held")] OwnedRwLockWriteGuard<()>),
}

/// A lock that is held. It is let go before its place in the table is looked at.
#[derive(Debug)]
struct Local {
    _taken: Taken,
    _place: Place,
}

impl Held for Local {
    fn needs_refresh(&self) -> bool {
        false
    }

    fn refreshed(&self) {}

    fn lvb(&self) -> Option<Lvb> {
        None
    }

    fn set_lvb(&self, _lvb: &Lvb) {}
}

#[cfg(test)]
mod tests {
    use ocfs2_format::BlockNum;

    use super::*;
    use crate::test_volume::block_on;

    #[test]
    fn operations_of_one_host_keep_each_other_out() {
        let (locks, name) = (LocalLocks::default(), LockName::open(BlockNum(9)));
        block_on(async {
            let shared = locks.lock(name, Level::Shared, How::Wait).await.unwrap();
            let beside = locks.lock(name, Level::Shared, How::Try).await.unwrap();
            let busy = locks.lock(name, Level::Exclusive, How::Try).await.unwrap_err();
            assert_eq!(busy, LockError::Busy { name });
            let mut waiting = Box::pin(locks.lock_owned(name));
            assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
            let late = locks.lock(name, Level::Shared, How::Try).await.unwrap_err();
            assert_eq!(late, LockError::Busy { name }, "who came later waits its turn");
            drop((shared, beside));
            let exclusive = waiting.await;
            // Given up: nothing of it stays.
            let mut given_up = Box::pin(locks.lock(name, Level::Shared, How::Wait));
            assert!(futures_util::FutureExt::now_or_never(&mut given_up).is_none());
            drop(exclusive);
            drop(given_up);
            assert!(locks.table.lock().unwrap().is_empty());
        });
    }

    impl LocalLocks {
        /// Waits for `name` alone.
        fn lock_owned(&self, name: LockName) -> impl Future<Output = Guard> + use<> {
            let place = Place::new(&self.table, name);
            async move { place.wait(Level::Exclusive).await.unwrap() }
        }
    }
}
