//! One read for all who miss the same block at the same time, whether they want it alone or in a run.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{FutureExt, Shared, WeakShared};
use ocfs2_format::BlockNum;

use crate::Error;
use crate::meta_block::{Kind, MetaBlock};

pub(super) type Key = (BlockNum, Kind);
pub(super) type Flight = Pin<Box<dyn Future<Output = Landed> + Send>>;

/// How the read of a block ended.
#[derive(Clone, Debug)]
pub(super) enum Landed {
    /// It is here, or cannot be had.
    Block(Result<Arc<MetaBlock>, Error>),
    /// The read of several blocks failed, which says nothing of this one.
    RunFailed,
}

/// The reads on their way.
///
/// A read is carried by all who wait for it: it goes on while any of them is polled, and ends when the last is
/// dropped. So one that is dropped, or rests in a stream that nobody polls, holds up none of the others.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flying: Arc<Mutex<Flying>>,
}

type Flying = BTreeMap<Key, WeakShared<Flight>>;

impl Flights {
    /// Waits for the read of `key` that is on its way, or else for `read`.
    pub(super) fn join(
        &self,
        key: Key,
        read: impl Future<Output = Landed> + Send + 'static,
    ) -> Shared<Flight> {
        let mut flying = lock(&self.flying);
        if let Some(flight) = flying.get(&key).and_then(WeakShared::upgrade) {
            return flight;
        }
        self.depart(&mut flying, key, read)
    }

    /// The reads of those of `keys` that are on their way, and of the others what `begin` makes of them: reads with
    /// their keys, which begin together. It may leave some out, and must not call this.
    pub(super) fn join_all<F: Future<Output = Landed> + Send + 'static>(
        &self,
        keys: impl IntoIterator<Item = Key>,
        begin: impl FnOnce(Vec<Key>) -> Vec<(Key, F)>,
    ) -> Vec<Shared<Flight>> {
        let mut flying = lock(&self.flying);
        let (mut flights, mut others) = (Vec::new(), Vec::new());
        for key in keys {
            match flying.get(&key).and_then(WeakShared::upgrade) {
                Some(flight) => flights.push(flight),
                None => others.push(key),
            }
        }
        for (key, read) in begin(others) {
            flights.push(self.depart(&mut flying, key, read));
        }
        flights
    }

    fn depart(
        &self,
        flying: &mut Flying,
        key: Key,
        read: impl Future<Output = Landed> + Send + 'static,
    ) -> Shared<Flight> {
        let entry = Entry { key, flying: Arc::clone(&self.flying), landed: false };
        let flight: Flight = Box::pin(async move {
            let landed = read.await;
            entry.land();
            landed
        });
        let flight = flight.shared();
        if let Some(weak) = flight.downgrade() {
            flying.insert(key, weak);
        }
        flight
    }
}

impl Flights {
    /// Lets nobody join the reads that are on their way: something has changed. Those who wait for them go on.
    pub(super) fn forget_all(&self) {
        let left = std::mem::take(&mut *lock(&self.flying));
        drop(left);
    }
}

/// Takes the read off the list when it has landed, or when nobody waits for it any more.
struct Entry {
    key: Key,
    flying: Arc<Mutex<Flying>>,
    landed: bool,
}

impl Entry {
    fn land(mut self) {
        self.landed = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut flying = lock(&self.flying);
        // After a read was given up, another may have taken its place.
        let other = flying.get(&self.key).and_then(WeakShared::upgrade);
        if self.landed || other.is_none() {
            flying.remove(&self.key);
        }
        // This may be the last hold on the other one, whose own entry then takes the lock.
        drop(flying);
        drop(other);
    }
}

fn lock(flying: &Mutex<Flying>) -> MutexGuard<'_, Flying> {
    // Every change of the list is one call: no holder leaves it half done.
    flying.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{join, poll_immediate};
    use ocfs2_format::BlockKind;

    use super::*;
    use crate::meta_block::Bytes;

    const KEY: Key = (BlockNum(7), Kind::Checked(BlockKind::Dinode));

    fn block() -> Landed {
        Landed::Block(Ok(Arc::new(MetaBlock::new(KEY.0, KEY.1, Bytes::Own(Box::default())))))
    }

    fn landed(landed: Landed) -> Arc<MetaBlock> {
        match landed {
            Landed::Block(block) => block.unwrap(),
            Landed::RunFailed => panic!("no run was read"),
        }
    }

    /// A read that is done when it is polled for the second time.
    async fn slow(count: Arc<AtomicUsize>) -> Landed {
        count.fetch_add(1, Ordering::Relaxed);
        let mut waited = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        block()
    }

    #[tokio::test]
    async fn those_who_come_together_share_one_read_and_later_ones_do_not() {
        let (flights, count) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let two =
            join(flights.join(KEY, slow(Arc::clone(&count))), flights.join(KEY, slow(Arc::clone(&count))));
        let (one, other) = two.await;
        assert!(Arc::ptr_eq(&landed(one), &landed(other)));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(lock(&flights.flying).is_empty());
        landed(flights.join(KEY, slow(Arc::clone(&count))).await);
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn the_first_may_be_dropped_or_rest_while_the_second_waits() {
        let (flights, count) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let mut first = flights.join(KEY, slow(Arc::clone(&count)));
        assert!(poll_immediate(&mut first).await.is_none(), "on its way");
        // It is not polled again, and the second lands all the same.
        landed(flights.join(KEY, slow(Arc::clone(&count))).await);
        let mut first = flights.join(KEY, slow(Arc::clone(&count)));
        assert!(poll_immediate(&mut first).await.is_none(), "on its way");
        let second = flights.join(KEY, slow(Arc::clone(&count)));
        drop(first);
        landed(second.await);
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_read_that_all_have_given_up_leaves_nothing_behind() {
        let (flights, count) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let mut first = flights.join(KEY, slow(Arc::clone(&count)));
        assert!(poll_immediate(&mut first).await.is_none(), "on its way");
        drop(first);
        assert!(lock(&flights.flying).is_empty());
        landed(flights.join(KEY, slow(Arc::clone(&count))).await);
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
