//! A lock service for several nodes of one process: what a cluster's lock manager does, without a network.
//!
//! A node keeps a lock granted until another one wants it. Then it lets nobody have it who is in the way, waits until
//! those who have it are done, sends its filesystem a demand, and lowers the lock when that is answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use block::IoFuture;
use ocfs2::lock::{Answer, Demand, Guard, Held, How, Level, LockError, LockName, LockService, Lvb};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex as AsyncMutex, Notify};

/// The cluster.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    state: Mutex<State>,
    /// Something has been let go.
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    locks: BTreeMap<LockName, Lock>,
    demands: BTreeMap<u32, UnboundedSender<Demand>>,
    /// Demands that were made.
    made: usize,
}

#[derive(Debug, Default)]
struct Lock {
    nodes: BTreeMap<u32, Here>,
    lvb: Option<Lvb>,
}

/// A lock on one node.
#[derive(Debug, Default)]
struct Here {
    granted: Option<Level>,
    shared: u32,
    exclusive: bool,
    stale: bool,
    /// Another node waits: to what this one is to go down.
    blocked: Option<Option<Level>>,
    /// The filesystem has been told.
    told: bool,
}

impl Here {
    fn has_in_the_way(&self, to: Option<Level>) -> bool {
        self.exclusive || to.is_none() && self.shared > 0
    }

    /// Whether somebody here may have it now.
    fn free_for(&self, level: Level) -> bool {
        let allowed = self.blocked.is_none_or(|to| to >= Some(level));
        allowed && !self.exclusive && (level == Level::Shared || self.shared == 0)
    }
}

/// One node's end of it.
#[derive(Debug)]
pub(crate) struct Node {
    cluster: Arc<Cluster>,
    number: u32,
    demands: AsyncMutex<UnboundedReceiver<Demand>>,
}

impl Cluster {
    /// A node comes in.
    pub(crate) fn join(self: &Arc<Self>, number: u32) -> Arc<Node> {
        let (sender, receiver) = unbounded_channel();
        self.state().demands.insert(number, sender);
        Arc::new(Node { cluster: Arc::clone(self), number, demands: AsyncMutex::new(receiver) })
    }

    /// A node is gone, in peace or not: its locks are free.
    pub(crate) fn leave(&self, number: u32) {
        let mut state = self.state();
        state.demands.remove(&number);
        for lock in state.locks.values_mut() {
            if lock.nodes.remove(&number).is_some_and(|here| here.granted == Some(Level::Exclusive)) {
                lock.lvb = None;
            }
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// How many demands the nodes were sent.
    pub(crate) fn demands(&self) -> usize {
        self.state().made
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Tells the nodes that are in the way, where nobody there has the lock any more.
    fn tell(self: &Arc<Self>, state: &mut State, name: LockName) {
        let State { locks, demands, made } = state;
        let Some(lock) = locks.get_mut(&name) else { return };
        for (number, here) in &mut lock.nodes {
            let (Some(to), Some(from)) = (here.blocked, here.granted) else { continue };
            if here.told || here.has_in_the_way(to) {
                continue;
            }
            here.told = true;
            *made += 1;
            let answer = Told { cluster: Arc::clone(self), name, number: *number, to, done: false };
            let demand = Demand::new(name, from, to, Box::new(answer));
            demands.get(number).expect("a node of the cluster").send(demand).expect("it listens");
        }
    }

    /// Takes the lock if it can be had now; else the others are told.
    fn attempt(self: &Arc<Self>, name: LockName, level: Level, number: u32, how: How) -> bool {
        let mut state = self.state();
        let lock = state.locks.entry(name).or_default();
        let here = lock.nodes.entry(number).or_default();
        if !here.free_for(level) {
            return false;
        }
        if here.granted < Some(level) {
            let others = lock.nodes.iter_mut().filter(|(other, _)| **other != number);
            let bar = |theirs: &Here| level == Level::Exclusive || theirs.granted == Some(Level::Exclusive);
            let mut barred = false;
            for (_, theirs) in others.filter(|(_, theirs)| theirs.granted.is_some() && bar(theirs)) {
                barred = true;
                if how != How::Try {
                    let to = (level == Level::Shared).then_some(Level::Shared);
                    theirs.blocked = Some(theirs.blocked.map_or(to, |before| before.min(to)));
                }
            }
            if barred {
                self.tell(&mut state, name);
                return false;
            }
        }
        let here = lock.nodes.get_mut(&number).expect("made above");
        here.stale |= here.granted.is_none() && name.kind().refreshes();
        here.granted = here.granted.max(Some(level));
        match level {
            Level::Shared => here.shared += 1,
            Level::Exclusive => here.exclusive = true,
        }
        true
    }

    async fn lock(
        self: Arc<Self>,
        name: LockName,
        level: Level,
        number: u32,
        how: How,
    ) -> Result<Guard, LockError> {
        loop {
            let news = self.news.notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            if self.attempt(name, level, number, how) {
                return Ok(Box::new(Granted { cluster: Arc::clone(&self), name, level, number }));
            }
            if how == How::Try {
                return Err(LockError::Busy { name });
            }
            news.await;
        }
    }
}

impl LockService for Node {
    fn lock(&self, name: LockName, level: Level, how: How) -> IoFuture<'_, Result<Guard, LockError>> {
        IoFuture::boxed(Arc::clone(&self.cluster).lock(name, level, self.number, how))
    }

    fn demand(&self) -> IoFuture<'_, Option<Demand>> {
        IoFuture::boxed(async { self.demands.lock().await.recv().await })
    }
}

/// A lock that somebody has.
#[derive(Debug)]
struct Granted {
    cluster: Arc<Cluster>,
    name: LockName,
    level: Level,
    number: u32,
}

impl Granted {
    fn with<T>(&self, look: impl FnOnce(&mut Lock, u32) -> T) -> Option<T> {
        let mut state = self.cluster.state();
        state.locks.get_mut(&self.name).map(|lock| look(lock, self.number))
    }
}

impl Held for Granted {
    fn needs_refresh(&self) -> bool {
        self.with(|lock, number| lock.nodes.get(&number).is_some_and(|here| here.stale)).unwrap_or(false)
    }

    fn refreshed(&self) {
        self.with(|lock, number| lock.nodes.get_mut(&number).map(|here| here.stale = false));
    }

    fn lvb(&self) -> Option<Lvb> {
        self.with(|lock, _| lock.lvb).flatten()
    }

    fn set_lvb(&self, lvb: &Lvb) {
        assert_eq!(self.level, Level::Exclusive);
        self.with(|lock, _| lock.lvb = Some(*lvb));
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let mut state = self.cluster.state();
        // A node that is gone has none any more.
        if let Some(here) = state.locks.get_mut(&self.name).and_then(|lock| lock.nodes.get_mut(&self.number))
        {
            match self.level {
                Level::Shared => here.shared = here.shared.saturating_sub(1),
                Level::Exclusive => here.exclusive = false,
            }
            self.cluster.tell(&mut state, self.name);
        }
        drop(state);
        self.cluster.news.notify_waiters();
    }
}

/// A demand that is under way.
#[derive(Debug)]
struct Told {
    cluster: Arc<Cluster>,
    name: LockName,
    number: u32,
    to: Option<Level>,
    done: bool,
}

impl Answer for Told {
    fn done(mut self: Box<Self>, lvb: Option<Lvb>) {
        self.done = true;
        let mut state = self.cluster.state();
        let lock = state.locks.get_mut(&self.name).expect("it was granted");
        // The node may have left meanwhile.
        if let Some(here) = lock.nodes.get_mut(&self.number) {
            if here.granted == Some(Level::Exclusive) && self.name.kind().has_lvb() {
                lock.lvb = lvb.or(lock.lvb);
            }
            assert!(!here.has_in_the_way(self.to), "{}: somebody got it before the answer", self.name);
            here.granted = self.to;
            here.told = false;
            // Somebody may have come meanwhile who wants more of it to be given up: he asks again.
            here.blocked = None;
        }
        drop(state);
        self.cluster.news.notify_waiters();
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let left = !self.cluster.state().demands.contains_key(&self.number);
        assert!(self.done || left || std::thread::panicking(), "{}: a demand without an answer", self.name);
    }
}
