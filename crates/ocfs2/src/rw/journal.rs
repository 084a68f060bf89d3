//! The journal's driver: carries out what the journal engine asks for, and tells those who wait.
//!
//! The engine ([`jbd2::Journal`]) decides what is written when; here is the device that it is written to, with many
//! writes in flight, and the news of what has become of them. [`Journal::drive`] is the only one who does I/O; every
//! other call only hands something to the engine and waits for news.

mod driver;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jbd2::{JournalOptions, Refused};
use ocfs2_format::BlockNum;
use tokio::sync::{Notify, watch};

use super::Clock;
use crate::file_map::FileMap;
use crate::inode::Inode;
use crate::meta::Meta;
use crate::txn::Sealed;
use crate::{Error, JournalError, Volume};

/// A transaction.
pub(crate) use jbd2::Tid;

/// The journal of this node's slot.
#[derive(Debug)]
pub(crate) struct Journal {
    state: Mutex<State>,
    /// What those who wait look at.
    news: watch::Sender<News>,
    /// Wakes the driver: there may be something to do.
    work: Notify,
    volume: Volume,
    map: FileMap,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct State {
    engine: jbd2::Journal,
    /// The last transaction that changed an inode's metadata, for those that are not at home.
    changed: BTreeMap<BlockNum, Tid>,
    /// Why nothing may be changed any more.
    refusal: Option<Arc<Error>>,
}

/// What has become of what was asked for. Grows only.
#[derive(Clone, Debug, Default)]
struct News {
    /// The newest transaction that is on stable storage.
    durable: Tid,
    /// The newest transaction that is at home, and behind the log's tail.
    passed: Tid,
    /// How often room in the log may have become free.
    room: u64,
    aborted: Option<Arc<Error>>,
    ended: bool,
}

/// Room in the log, set aside for one operation. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Reservation<'j> {
    journal: &'j Journal,
    room: Option<jbd2::Reservation>,
}

impl Journal {
    /// Opens the journal `inode`, whose log is empty.
    pub(super) async fn open(
        volume: &Volume,
        inode: &Inode,
        commit_every: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, JournalError> {
        let map = volume.file_map(inode).await?;
        let head = volume.journal_head(&map).await?;
        let block_size = volume.geometry().block_size.bytes();
        let blocks = u32::try_from(inode.size() / block_size).unwrap_or(u32::MAX);
        let options = JournalOptions { commit_interval: commit_every };
        let size = u32::try_from(block_size).unwrap_or(0);
        let mut engine = jbd2::Journal::open(&head, size, blocks, options)?;
        engine.set_volume_blocks(volume.geometry().blocks().0);
        Ok(Self {
            state: Mutex::new(State { engine, changed: BTreeMap::new(), refusal: None }),
            news: watch::Sender::new(News::default()),
            work: Notify::new(),
            volume: volume.clone(),
            map,
            clock,
        })
    }

    /// Sets room for the changes of one operation aside, of at most `credits` blocks. Waits while the log is full.
    pub(super) async fn reserve(&self, credits: u32) -> Result<Reservation<'_>, Error> {
        let mut news = self.news.subscribe();
        loop {
            let seen = news.borrow_and_update().room;
            {
                let mut state = self.state();
                state.allowed()?;
                match state.engine.reserve(credits) {
                    Ok(room) => return Ok(Reservation { journal: self, room: Some(room) }),
                    Err(Refused::Full) => {}
                    Err(refused) => return Err(state.error_of(refused)),
                }
            }
            self.work.notify_one();
            self.hear(&mut news, |news| news.room > seen).await?;
        }
    }

    /// Hands an operation's blocks to the journal, and shows them to every reader, in one step.
    pub(super) fn publish(
        &self,
        mut reservation: Reservation<'_>,
        meta: &Meta,
        sealed: &Sealed,
    ) -> Result<Tid, Error> {
        let images = meta.images(sealed.blocks());
        let mut state = self.state();
        state.allowed()?;
        let room = reservation.room.take().ok_or(Error::Closed)?;
        let (now, wall) = self.time();
        state.engine.tick(now, wall);
        let published = state.engine.publish(room, images.clone());
        let tid = published.map_err(|refused| state.error_of(refused))?;
        meta.publish(sealed.blocks(), images);
        state.changed.extend(sealed.blocks().iter().map(|(owner, _)| (*owner, tid)));
        drop(state);
        self.work.notify_one();
        Ok(tid)
    }

    /// Waits until what was changed of inode `ino` last is on stable storage; false when it was already.
    pub(super) async fn commit_inode(&self, ino: BlockNum) -> Result<bool, Error> {
        let tid = {
            let state = self.state();
            state.changed.get(&ino).copied().filter(|tid| *tid > state.engine.durable())
        };
        match tid {
            Some(tid) => self.commit(tid).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Waits until everything that has been changed is on stable storage; false when it was already.
    pub(super) async fn commit_all(&self) -> Result<bool, Error> {
        let (tid, durable) = {
            let mut state = self.state();
            (state.engine.commit(), state.engine.durable())
        };
        if tid <= durable {
            return Ok(false);
        }
        self.commit(tid).await.map(|()| true)
    }

    /// Waits until transaction `tid` is on stable storage. Many who wait are served by one commit.
    async fn commit(&self, tid: Tid) -> Result<(), Error> {
        let mut news = self.news.subscribe();
        self.state().engine.commit_to(tid);
        self.work.notify_one();
        self.hear(&mut news, |news| news.durable >= tid).await
    }

    /// Brings home what was changed of inode `ino`, if that is not there yet, and moves the log's tail past it.
    pub(super) async fn settle(&self, ino: BlockNum) -> Result<(), Error> {
        let changed = {
            let state = self.state();
            state.changed.get(&ino).is_some_and(|tid| *tid > state.engine.passed())
        };
        if changed { self.flush_all().await } else { Ok(()) }
    }

    /// Brings everything home that has been published so far, and moves the log's tail past it. One flush serves all
    /// who wait.
    pub(super) async fn flush_all(&self) -> Result<(), Error> {
        let mut news = self.news.subscribe();
        let tid = self.state().engine.checkpoint_all();
        self.work.notify_one();
        self.hear(&mut news, |news| news.passed >= tid).await
    }

    /// The newest transaction that is at home, and behind the log's tail.
    pub(super) fn passed(&self) -> Tid {
        self.state().engine.passed()
    }

    /// Lets nothing be changed any more, because of `error`. What has been published is still committed.
    pub(super) fn refuse(&self, error: Error) {
        let mut state = self.state();
        if state.refusal.is_none() {
            tracing::error!(device = self.volume.device().name(), %error, "the volume is read-only from now on");
            state.refusal = Some(Arc::new(error));
        }
    }

    /// The same because the volume is being closed.
    pub(super) fn refuse_new(&self) {
        self.state().refusal.get_or_insert_with(|| Arc::new(Error::Closed));
    }

    /// Why nothing can be changed any more.
    pub(super) fn refusal(&self) -> Option<Arc<Error>> {
        self.state().refusal.clone()
    }

    /// Fails when nothing may be changed any more.
    pub(super) fn expect_open(&self) -> Result<(), Error> {
        self.state().allowed()
    }

    /// Fails when the journal has been aborted: nothing is known to last since then.
    pub(super) fn expect_whole(&self) -> Result<(), Error> {
        match &self.news.borrow().aborted {
            Some(source) => Err(Error::Aborted { source: Arc::clone(source) }),
            None => Ok(()),
        }
    }

    /// Lets the driver end.
    pub(super) fn end(&self) {
        self.news.send_modify(|news| news.ended = true);
    }

    /// Waits until the news are as `wanted`, or the journal is aborted.
    async fn hear(
        &self,
        news: &mut watch::Receiver<News>,
        wanted: impl Fn(&News) -> bool,
    ) -> Result<(), Error> {
        // The sender lives as long as `self`.
        let heard = news.wait_for(|news| wanted(news) || news.aborted.is_some()).await;
        let heard = heard.map_err(|_| Error::Closed)?;
        match &heard.aborted {
            Some(source) if !wanted(&heard) => Err(Error::Aborted { source: Arc::clone(source) }),
            _ => Ok(()),
        }
    }

    /// The time as the engine wants it: since any moment, and since 1970.
    fn time(&self) -> (Duration, Duration) {
        let wall = self.clock.now();
        let seconds = u64::try_from(wall.seconds).unwrap_or(0);
        (self.clock.monotonic(), Duration::new(seconds, wall.nanos.min(999_999_999)))
    }

    /// No holder leaves the state half changed: every change ends before anything can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Fails when nothing may be changed any more.
    fn allowed(&self) -> Result<(), Error> {
        match &self.refusal {
            None => Ok(()),
            Some(why) if matches!(**why, Error::Closed) => Err(Error::Closed),
            Some(why) => Err(Error::ReadOnly { why: Arc::clone(why) }),
        }
    }

    /// What the engine's refusal means for an operation.
    fn error_of(&self, refused: Refused) -> Error {
        self.allowed().err().unwrap_or(Error::JournalRefused(refused))
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            self.journal.state().engine.release(room);
            self.journal.work.notify_one();
        }
    }
}
