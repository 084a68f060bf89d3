//! What the engine wants done, what it tells, and what comes of the answers.

use std::sync::Arc;

use super::{Images, Journal, Tid};

/// Names one write or flush until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IoId(pub u64);

/// Where blocks are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// From this block of the journal's file on; they never reach past its end.
    Log(u32),
    /// From this block of the volume on.
    Home(u64),
}

/// What the engine wants or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write blocks side by side, each one block long. Answer with [`Journal::done`].
    Write {
        /// To answer with.
        id: IoId,
        /// Where.
        place: Place,
        /// What.
        blocks: Vec<Arc<[u8]>>,
        /// Answer only when they are on stable storage (FUA, or a flush after the write).
        durable: bool,
    },
    /// Bring everything on stable storage that was answered before this came out. Answer with [`Journal::done`].
    Flush {
        /// To answer with.
        id: IoId,
    },
    /// This transaction and all before it are on stable storage.
    Committed(Tid),
    /// These images are at home on stable storage. Where the block has not been published again since, the home
    /// is what it is, and memory copies may go.
    Home(Images),
    /// The tail has moved past this transaction and all before it.
    Tail {
        /// The transaction.
        passed: Tid,
        /// The log is empty, on stable storage too.
        empty: bool,
    },
    /// There is room again: who was refused may ask again.
    Space,
    /// A write or flush failed, and the journal has given up; [`Journal::aborted`] says which. Nothing is told after
    /// this, and nothing written but the note in the superblock that it failed.
    Aborted,
}

/// What a write or flush on its way is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A part of a transaction before its commit block.
    Copies,
    /// The superblock that says where the first transaction of an empty log begins, written with its copies.
    Start,
    CopiesFlush,
    CommitBlock,
    Home,
    HomeFlush,
    Tail,
    /// The superblock that says that the journal was aborted.
    Obituary,
}

/// A write, or flush where it has no place, on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) purpose: Purpose,
    pub(super) place: Option<Place>,
}

impl Request {
    /// Whether the superblock is being written.
    pub(super) fn is_superblock(self) -> bool {
        matches!(self.purpose, Purpose::Start | Purpose::Tail | Purpose::Obituary)
    }
}

impl Journal {
    /// The next thing to do or to know; `None` when there is nothing until the next call. Drain it after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Answers a write or flush: `ok` when it was done. An `id` that is not on its way is ignored.
    ///
    /// After a failure the journal gives up: what was committed stays in the log, nothing else is promised.
    pub fn done(&mut self, id: IoId, ok: bool) {
        let Some(request) = self.in_flight.remove(&id) else { return };
        if request.is_superblock() {
            self.superblock_busy = false;
        }
        if !ok {
            self.abort(request);
        }
        if self.is_aborted() {
            return self.write_obituary();
        }
        match request.purpose {
            Purpose::Copies | Purpose::Start => self.copies_done(),
            Purpose::CopiesFlush => self.write_commit_block(),
            Purpose::CommitBlock => self.committed(),
            Purpose::Home => self.home_done(),
            Purpose::HomeFlush => self.home_flushed(),
            Purpose::Tail => self.tail_moved(),
            Purpose::Obituary => {}
        }
        self.go_on();
    }

    pub(super) fn write(&mut self, purpose: Purpose, place: Place, blocks: Vec<Arc<[u8]>>, durable: bool) {
        let id = self.new_id(Request { purpose, place: Some(place) });
        self.out.push_back(Output::Write { id, place, blocks, durable });
    }

    pub(super) fn flush(&mut self, purpose: Purpose) {
        let id = self.new_id(Request { purpose, place: None });
        self.out.push_back(Output::Flush { id });
    }

    fn new_id(&mut self, request: Request) -> IoId {
        let id = IoId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.in_flight.insert(id, request);
        id
    }
}
