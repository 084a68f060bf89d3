//! Locks on byte ranges of a unit, so that commands which read, change and write back are whole.
//!
//! Plain reads and writes share a range with each other; COMPARE AND WRITE and its kind own theirs. Whoever cannot
//! have a range at once waits in a queue, and what comes later and overlaps waits behind it, so that no waiter
//! starves.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// The locks of one unit.
#[derive(Debug, Default)]
pub(crate) struct RangeLocks {
    state: Mutex<State>,
}

/// How a range is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Beside others that share it.
    Shared,
    /// Alone.
    Owned,
}

/// A range held, until dropped.
#[derive(Debug)]
pub(crate) struct RangeGuard<'a> {
    locks: &'a RangeLocks,
    slot: usize,
    hold: Hold,
}

#[derive(Debug, Default)]
struct State {
    /// Held ranges by slot; an empty range is a free slot.
    shared: Vec<Range<u64>>,
    shared_free: Vec<usize>,
    /// Owned ranges; there are few, so an entry is looked up by its number.
    owned: Vec<(usize, Range<u64>)>,
    waiting: VecDeque<Waiter>,
    next: usize,
}

#[derive(Debug)]
struct Waiter {
    number: usize,
    range: Range<u64>,
    hold: Hold,
    waker: Option<Waker>,
    /// The slot, once it is granted.
    granted: Option<usize>,
}

impl RangeLocks {
    /// The range, if nobody has or awaits anything of it that stands in the way.
    pub(crate) fn try_lock(&self, range: &Range<u64>, hold: Hold) -> Option<RangeGuard<'_>> {
        let mut state = self.lock_state();
        let blocked = state.held_against(range, hold)
            || state.waiting.iter().any(|waiter| waiter.granted.is_none() && overlap(&waiter.range, range));
        (!blocked).then(|| RangeGuard { locks: self, slot: state.grant(range.clone(), hold), hold })
    }

    /// Waits for the range. The place in the queue is kept from the first poll on.
    pub(crate) async fn lock(&self, range: Range<u64>, hold: Hold) -> RangeGuard<'_> {
        let mut place = Place { locks: self, number: None };
        poll_fn(|cx| {
            let Some(number) = place.number else {
                if let Some(guard) = self.try_lock(&range, hold) {
                    return Poll::Ready(guard);
                }
                let mut state = self.lock_state();
                let number = state.number();
                let waker = Some(cx.waker().clone());
                state.waiting.push_back(Waiter { number, range: range.clone(), hold, waker, granted: None });
                place.number = Some(number);
                // What stood in the way may have gone between the two locks.
                state.wake();
                return state.take_grant(number).map_or(Poll::Pending, |slot| {
                    place.number = None;
                    Poll::Ready(RangeGuard { locks: self, slot, hold })
                });
            };
            let mut state = self.lock_state();
            if let Some(slot) = state.take_grant(number) {
                place.number = None;
                return Poll::Ready(RangeGuard { locks: self, slot, hold });
            }
            if let Some(waiter) = state.waiting.iter_mut().find(|waiter| waiter.number == number) {
                waiter.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        // Every holder leaves the lists whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, given up when its future is dropped.
struct Place<'a> {
    locks: &'a RangeLocks,
    number: Option<usize>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.locks.lock_state();
        if let Some(at) = state.waiting.iter().position(|waiter| waiter.number == number) {
            let waiter = state.waiting.remove(at);
            if let Some((slot, hold)) = waiter.and_then(|waiter| Some((waiter.granted?, waiter.hold))) {
                state.release(slot, hold);
            }
            state.wake();
        }
    }
}

impl Drop for RangeGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.locks.lock_state();
        state.release(self.slot, self.hold);
        if !state.waiting.is_empty() {
            state.wake();
        }
    }
}

impl State {
    fn held_against(&self, range: &Range<u64>, hold: Hold) -> bool {
        self.owned.iter().any(|(_, held)| overlap(held, range))
            || hold == Hold::Owned && self.shared.iter().any(|held| overlap(held, range))
    }

    fn number(&mut self) -> usize {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn grant(&mut self, range: Range<u64>, hold: Hold) -> usize {
        if hold == Hold::Owned {
            let number = self.number();
            self.owned.push((number, range));
            return number;
        }
        if let Some(slot) = self.shared_free.pop() {
            self.shared[slot] = range;
            return slot;
        }
        self.shared.push(range);
        self.shared.len() - 1
    }

    fn release(&mut self, slot: usize, hold: Hold) {
        match hold {
            Hold::Owned => self.owned.retain(|(number, _)| *number != slot),
            Hold::Shared => {
                self.shared[slot] = 0..0;
                self.shared_free.push(slot);
            }
        }
    }

    /// Grants what can be granted now, in the order of the queue.
    fn wake(&mut self) {
        for at in 0..self.waiting.len() {
            let waiter = &self.waiting[at];
            if waiter.granted.is_some() {
                continue;
            }
            let (range, hold) = (waiter.range.clone(), waiter.hold);
            let behind = self
                .waiting
                .iter()
                .take(at)
                .any(|earlier| earlier.granted.is_none() && overlap(&earlier.range, &range));
            if behind || self.held_against(&range, hold) {
                continue;
            }
            let slot = self.grant(range, hold);
            let waiter = &mut self.waiting[at];
            waiter.granted = Some(slot);
            if let Some(waker) = waiter.waker.take() {
                waker.wake();
            }
        }
    }

    fn take_grant(&mut self, number: usize) -> Option<usize> {
        let at = self.waiting.iter().position(|waiter| waiter.number == number)?;
        let slot = self.waiting[at].granted?;
        self.waiting.remove(at);
        Some(slot)
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start.max(b.start) < a.end.min(b.end)
}

#[cfg(test)]
mod tests {
    use super::{Hold, RangeLocks};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn sharing_and_owning() {
        let locks = RangeLocks::default();
        let a = locks.try_lock(&(0..10), Hold::Shared).unwrap();
        let b = locks.try_lock(&(5..15), Hold::Shared).unwrap();
        assert!(locks.try_lock(&(14..20), Hold::Owned).is_none());
        let c = locks.try_lock(&(15..20), Hold::Owned).unwrap();
        assert!(locks.try_lock(&(19..21), Hold::Shared).is_none());
        drop((a, b));
        assert!(locks.try_lock(&(0..15), Hold::Owned).is_some());
        drop(c);
        assert!(locks.try_lock(&(0..100), Hold::Owned).is_some());
    }

    #[test]
    fn the_queue_is_kept() {
        let locks = RangeLocks::default();
        let reader = locks.try_lock(&(0..10), Hold::Shared).unwrap();
        let mut owner = pin!(locks.lock(5..20, Hold::Owned));
        assert!(poll(owner.as_mut()).is_pending());
        // A later reader of the same range does not overtake the owner, one of another range does.
        assert!(locks.try_lock(&(15..16), Hold::Shared).is_none());
        assert!(locks.try_lock(&(0..5), Hold::Shared).is_some());
        let mut late = pin!(locks.lock(15..16, Hold::Shared));
        assert!(poll(late.as_mut()).is_pending());
        drop(reader);
        let Poll::Ready(owned) = poll(owner.as_mut()) else { panic!("the owner's turn") };
        assert!(poll(late.as_mut()).is_pending());
        drop(owned);
        assert!(poll(late.as_mut()).is_ready());
    }

    #[test]
    fn a_dropped_waiter_lets_others_on() {
        let locks = RangeLocks::default();
        let reader = locks.try_lock(&(0..10), Hold::Shared).unwrap();
        {
            let mut owner = pin!(locks.lock(0..10, Hold::Owned));
            assert!(poll(owner.as_mut()).is_pending());
            assert!(locks.try_lock(&(0..10), Hold::Shared).is_none());
        }
        assert!(locks.try_lock(&(0..10), Hold::Shared).is_some());
        {
            // Granted, and dropped before it was told.
            let mut owner = pin!(locks.lock(0..10, Hold::Owned));
            assert!(poll(owner.as_mut()).is_pending());
            drop(reader);
        }
        assert!(locks.try_lock(&(0..10), Hold::Owned).is_some());
    }

    #[test]
    fn nothing_overlaps_an_empty_range() {
        let locks = RangeLocks::default();
        let _all = locks.try_lock(&(0..u64::MAX), Hold::Owned).unwrap();
        assert!(locks.try_lock(&(7..7), Hold::Owned).is_some());
    }
}
