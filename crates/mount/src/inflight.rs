//! Requests that wait, and how they are given up: INTERRUPT and the end of the session.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

/// Interrupts kept for requests that another thread has read and not yet entered here. Most belong to requests that
/// were answered just before; the oldest go.
const EARLY_MAX: usize = 1024;

/// Why a request is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// Its caller was interrupted.
    Interrupted,
    /// The mount is gone.
    Ended,
}

/// All requests that could not be answered at once.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    table: Mutex<Table>,
    /// Length of `Table::early`, readable without the lock.
    early: AtomicUsize,
    idle: Notify,
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Table {
    waiting: BTreeMap<u64, oneshot::Sender<GivenUp>>,
    /// Admitted and not yet finished, interrupted ones too.
    running: usize,
    early: VecDeque<u64>,
    ended: bool,
}

/// A waiting request's place in the table; leaving it is dropping this.
#[derive(Debug)]
pub(crate) struct Ticket {
    hold: Hold,
    unique: u64,
    given_up: oneshot::Receiver<GivenUp>,
}

/// Something that [`InFlight::idle`] waits for.
#[derive(Debug)]
pub(crate) struct Hold {
    inflight: Arc<InFlight>,
}

impl InFlight {
    /// Enters a request that has to wait. Where its INTERRUPT came first, or the session is over, it is given up from
    /// the start.
    pub(crate) fn admit(self: &Arc<Self>, unique: u64) -> Ticket {
        let hold = self.hold();
        let mut table = self.lock();
        let (give_up, given_up) = oneshot::channel();
        let why = match table.ended {
            true => Some(GivenUp::Ended),
            false => self.forget_early(&mut table, unique).then_some(GivenUp::Interrupted),
        };
        match why {
            // Its other end is two lines up.
            Some(why) => drop(give_up.send(why)),
            None => drop(table.waiting.insert(unique, give_up)),
        }
        drop(table);
        Ticket { hold, unique, given_up }
    }

    /// Keeps [`Self::idle`] waiting for something that is no request.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        self.lock().running += 1;
        Hold { inflight: Arc::clone(self) }
    }

    /// Gives a request up. One that is not here yet will be given up when it comes.
    pub(crate) fn interrupt(&self, unique: u64) {
        let mut table = self.lock();
        if let Some(give_up) = table.waiting.remove(&unique) {
            // A request that has just been answered does not listen any more.
            let _ = give_up.send(GivenUp::Interrupted);
            return;
        }
        if table.early.len() == EARLY_MAX {
            table.early.pop_front();
        }
        table.early.push_back(unique);
        self.early.store(table.early.len(), Ordering::Release);
    }

    /// A request was answered without ever waiting: an interrupt that was too late for it can go.
    pub(crate) fn answered(&self, unique: u64) {
        if self.early.load(Ordering::Acquire) > 0 {
            self.forget_early(&mut self.lock(), unique);
        }
    }

    /// Gives everything up and admits nothing more.
    pub(crate) fn end(&self) {
        let mut table = self.lock();
        table.ended = true;
        self.ended.send_replace(true);
        for (_, give_up) in std::mem::take(&mut table.waiting) {
            let _ = give_up.send(GivenUp::Ended);
        }
    }

    /// Returns when the session is over.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as this.
        drop(self.ended.subscribe().wait_for(|ended| *ended).await);
    }

    /// Returns when no request is left.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.lock().running == 0 {
                return;
            }
            notified.await;
        }
    }

    fn forget_early(&self, table: &mut Table, unique: u64) -> bool {
        let Some(at) = table.early.iter().position(|&early| early == unique) else { return false };
        table.early.remove(at);
        self.early.store(table.early.len(), Ordering::Release);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under this lock can panic half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits until the request is given up; never returns while it is not.
    pub(crate) async fn given_up(&mut self) -> GivenUp {
        match (&mut self.given_up).await {
            Ok(why) => why,
            // The table drops a sender only after using it.
            Err(_) => GivenUp::Ended,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.hold.inflight.lock().waiting.remove(&self.unique);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut table = self.inflight.lock();
        table.running -= 1;
        if table.running == 0 {
            self.inflight.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::session::poll_once;

    #[tokio::test]
    async fn an_interrupt_reaches_the_request_it_names() {
        let inflight = Arc::new(InFlight::default());
        let mut one = inflight.admit(2);
        let _two = inflight.admit(4);
        inflight.interrupt(2);
        assert_eq!(one.given_up().await, GivenUp::Interrupted);
    }

    /// What a request that is admitted now is told, if anything.
    fn told(inflight: &Arc<InFlight>, unique: u64) -> Poll<GivenUp> {
        let mut ticket = inflight.admit(unique);
        let told = pin!(ticket.given_up());
        poll_once(told)
    }

    #[test]
    fn an_interrupt_may_come_before_its_request() {
        let inflight = Arc::new(InFlight::default());
        inflight.interrupt(8);
        assert_eq!(told(&inflight, 8), Poll::Ready(GivenUp::Interrupted));
        // It is spent, and another request is not touched.
        assert_eq!(told(&inflight, 8), Poll::Pending);
        inflight.interrupt(10);
        inflight.answered(10);
        assert_eq!(told(&inflight, 10), Poll::Pending);
    }

    #[test]
    fn early_interrupts_are_bounded() {
        let inflight = Arc::new(InFlight::default());
        for unique in 0..10_000 {
            inflight.interrupt(unique);
        }
        assert_eq!(inflight.lock().early.len(), EARLY_MAX);
        assert_eq!(told(&inflight, 9_999), Poll::Ready(GivenUp::Interrupted));
    }

    #[tokio::test]
    async fn the_end_gives_all_up_and_waits_for_them() {
        let inflight = Arc::new(InFlight::default());
        let mut ticket = inflight.admit(2);
        inflight.end();
        assert_eq!(told(&inflight, 4), Poll::Ready(GivenUp::Ended));
        let mut idle = std::pin::pin!(inflight.idle());
        assert_eq!(ticket.given_up().await, GivenUp::Ended);
        assert!(poll_once(idle.as_mut()).is_pending());
        drop(ticket);
        idle.await;
    }
}
