//! A disk that remembers what was done to it, and shows what a power cut could have left.

mod crash;

use std::sync::{Arc, Mutex, PoisonError};

use crate::{BlockDevice, BlockError, Bufs, Completion, Durability, Geometry, IoFuture};

pub use crash::{Crash, Crashes, Kept};

/// A disk that hands every request to another one and keeps a [`Log`] of all that changes it.
///
/// It remembers the contents of every write, so a recorded workload should be a small one.
#[derive(Debug)]
pub struct RecordingDevice<D> {
    inner: D,
    log: Mutex<Log>,
}

/// What was done to a disk, in order.
#[derive(Clone, Debug, Default)]
pub struct Log {
    events: Vec<Event>,
    issued: usize,
}

/// One step in the life of a change.
#[derive(Clone, Debug)]
pub enum Event {
    /// It was asked for. Its number is the count of the `Issued` events before it.
    Issued(Change),
    /// It was answered.
    Answered {
        /// The number of the change.
        change: usize,
        /// Whether the answer was that it is done.
        ok: bool,
    },
}

/// A request that changes a disk or makes a change last. Offsets and lengths are bytes.
#[derive(Clone, Debug)]
pub enum Change {
    /// A write.
    Write {
        /// Where it starts.
        offset: u64,
        /// What was written.
        data: Arc<[u8]>,
        /// What its answer promises.
        durability: Durability,
    },
    /// A flush.
    Flush,
    /// A discard. What it leaves is undefined; a replayed one leaves zeroes.
    Discard {
        /// Where it starts.
        offset: u64,
        /// How long it is.
        len: u64,
    },
    /// A write of zeroes.
    WriteZeroes {
        /// Where it starts.
        offset: u64,
        /// How long it is.
        len: u64,
    },
}

impl<D: BlockDevice> RecordingDevice<D> {
    /// Records what is done to `inner` from now on.
    pub fn new(inner: D) -> Self {
        Self { inner, log: Mutex::default() }
    }

    /// What has been done so far. Contents are shared, not copied.
    pub fn log(&self) -> Log {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The disk behind this one.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// Notes that a change is asked for. Its number.
    fn issued(&self, change: Change) -> usize {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.events.push(Event::Issued(change));
        log.issued += 1;
        log.issued - 1
    }

    fn answered(&self, change: usize, ok: bool) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.events.push(Event::Answered { change, ok });
    }

    fn change<'a>(
        &'a self,
        change: Change,
        going: impl FnOnce() -> IoFuture<'a, Result<(), BlockError>>,
    ) -> IoFuture<'a, Result<(), BlockError>> {
        let change = self.issued(change);
        let going = going();
        IoFuture::boxed(async move {
            let result = going.await;
            self.answered(change, result.is_ok());
            result
        })
    }
}

impl Log {
    /// Every step, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Every change, by number.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.events.iter().filter_map(|event| match event {
            Event::Issued(change) => Some(change),
            Event::Answered { .. } => None,
        })
    }
}

impl<D: BlockDevice> BlockDevice for RecordingDevice<D> {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn read(&self, offset: u64, bufs: Bufs) -> IoFuture<'_, Completion> {
        self.inner.read(offset, bufs)
    }

    fn write(&self, offset: u64, bufs: Bufs, durability: Durability) -> IoFuture<'_, Completion> {
        if let Err(e) = self.geometry().check_write(self.name(), offset, &bufs) {
            return IoFuture::ready((bufs, Err(e)));
        }
        let data = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let change = self.issued(Change::Write { offset, data, durability });
        let going = self.inner.write(offset, bufs, durability);
        IoFuture::boxed(async move {
            let (bufs, result) = going.await;
            self.answered(change, result.is_ok());
            (bufs, result)
        })
    }

    fn flush(&self) -> IoFuture<'_, Result<(), BlockError>> {
        self.change(Change::Flush, || self.inner.flush())
    }

    fn discard(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        if let Err(e) = self.geometry().check_change(self.name(), offset, len) {
            return IoFuture::ready(Err(e));
        }
        self.change(Change::Discard { offset, len }, || self.inner.discard(offset, len))
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        if let Err(e) = self.geometry().check_change(self.name(), offset, len) {
            return IoFuture::ready(Err(e));
        }
        self.change(Change::WriteZeroes { offset, len }, || self.inner.write_zeroes(offset, len))
    }
}
