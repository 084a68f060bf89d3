//! The writing engine of one open journal.
//!
//! An operation reserves room for the blocks it may change ([`Journal::reserve`]), and later publishes their new images
//! all at once ([`Journal::publish`]): they join the running transaction. Nothing is ever undone: an operation that
//! fails gives its reservation back and has changed nothing.
//!
//! A transaction is committed when somebody asks ([`Journal::commit`]), when it is old enough ([`Journal::tick`]), or
//! when the log needs it; while it is on its way to the log the next one takes in what is published. Committed images
//! are written home (a *checkpoint*) when half of the log is used, or when the caller asks for it; then the log's
//! tail moves past them.
//!
//! What may be relied on, at any crash:
//! - a transaction is in the log whole or not at all, and never without those before it;
//! - a block's home holds committed images only;
//! - the tail moves past a transaction only when all it holds is at home on stable storage.
//!
//! The engine does no I/O. Call it, then drain [`Journal::poll_output`]; answer each [`Output::Write`] and
//! [`Output::Flush`] with [`Journal::done`], in any order. Between two flushes no order is assumed.

mod abort;
mod checkpoint;
mod commit;
mod output;
mod running;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use zerocopy::IntoBytes;

use crate::block::Sequence;
use crate::error::JournalError;
use crate::superblock::{CompatFeatures, IncompatFeatures, JournalSuperblock, RawJournalSuperblock};

pub use abort::AbortCause;
pub use output::{IoId, Output, Place};
pub use running::{Refused, Reservation};

use checkpoint::Checkpoint;
use commit::Committing;
use output::Request;
use running::Running;

/// New images of blocks of the volume, each one block long.
pub type Images = Vec<(u64, Arc<[u8]>)>;

/// A transaction since the journal was opened: 1, 2, 3 … Not the number it has in the log, which wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub u64);

impl Tid {
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How a journal is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// Age at which a transaction is committed by itself. The kernel's default is 5 s.
    pub commit_interval: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { commit_interval: Duration::from_secs(5) }
    }
}

/// A transaction whose commit block is on stable storage, and which the tail has not passed.
#[derive(Debug)]
struct Committed {
    tid: Tid,
    /// Its first log block.
    start: u32,
    /// Blocks of the log that it takes.
    len: u32,
    images: BTreeMap<u64, Arc<[u8]>>,
}

/// One open journal, writing: reserve, publish, commit; the engine says what to write and flush, and in which order.
///
/// It does no I/O and knows no clock. Call it, then drain [`Self::poll_output`]; answer each [`Output::Write`] and
/// [`Output::Flush`] with [`Self::done`], in any order. Between two flushes no order is assumed. After a crash a
/// transaction is in the log whole or not at all, and never without those before it; a block's home holds committed
/// images only; the tail moves past a transaction only when all it holds is at home on stable storage.
#[derive(Debug)]
pub struct Journal {
    superblock: JournalSuperblock,
    /// The whole first block (two of 512 bytes), of which the superblock is the beginning.
    head_block: Vec<u8>,
    options: JournalOptions,
    /// Number in the log of transaction 0.
    base: Sequence,
    /// Where the next transaction goes.
    head: u32,
    /// Blocks of the log that are free. One is never used, so that a full log does not look like an empty one.
    free: u32,
    /// Whether the superblock on disk, or on its way there, says that the log is empty.
    empty_on_disk: bool,
    /// A write of the superblock is on its way; two must not be.
    superblock_busy: bool,
    running: Running,
    committing: Option<Committing>,
    committed: VecDeque<Committed>,
    checkpoint: Option<Checkpoint>,
    /// Newest transaction that is on stable storage.
    durable: Tid,
    /// Newest transaction that is wanted there.
    commit_to: Tid,
    /// Newest transaction that the tail has passed.
    passed: Tid,
    /// Newest transaction that it is wanted to pass.
    pass_to: Tid,
    /// Somebody was refused, and not told since that there is room.
    refused: bool,
    /// The log was too full for somebody, and its tail has not moved since.
    starved: bool,
    now: Duration,
    wall: Duration,
    next_id: u64,
    in_flight: BTreeMap<IoId, Request>,
    out: VecDeque<Output>,
    /// Highest block of the volume that may be published.
    highest: u64,
    aborted: Option<AbortCause>,
    /// The journal has been aborted, and its superblock does not say so yet.
    obituary: bool,
}

impl Journal {
    /// Opens a journal whose log is empty: `first_block` are its first bytes, one block or 1024 bytes if that is more,
    /// and `available` the blocks of its file. Nothing is written until the first commit.
    ///
    /// A log that names a start must be walked to its end first, of a clean journal too ([`Replay`](crate::Replay)):
    /// what lies in it must not follow on the transactions to come. Then `first_block` is what [`Self::emptied`] made,
    /// and on stable storage.
    ///
    /// Features stay as found; but for those of asynchronous commits, which a mount without that option clears. An
    /// error that was noted there (`s_errno`) is cleared too: who wants to tell of it reads it before.
    ///
    /// # Errors
    /// As [`JournalSuperblock::parse`]; [`JournalError::NotEmpty`]; [`JournalError::Unsupported`] for features that
    /// are not written here.
    pub fn open(
        first_block: &[u8],
        block_size: u32,
        available: u32,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        let mut superblock = JournalSuperblock::parse(first_block, block_size, available)?;
        if let Some(start) = superblock.start {
            return Err(JournalError::NotEmpty { start });
        }
        superblock.compat.remove(CompatFeatures::CHECKSUM);
        superblock.incompat.remove(IncompatFeatures::ASYNC_COMMIT);
        superblock.check_replayable()?;
        let highest = if superblock.tag_format().wide { u64::MAX } else { u64::from(u32::MAX) };
        let head_block = head_block(&superblock, first_block)?;
        let sequence = superblock.sequence;
        let free = superblock.log_len().saturating_sub(1);
        Ok(Self {
            head: superblock.first,
            // Transaction 1 has the number that the superblock expects.
            base: Sequence(sequence.0.wrapping_sub(1)),
            free,
            superblock,
            head_block,
            options,
            empty_on_disk: true,
            superblock_busy: false,
            running: Running::new(Tid(1)),
            committing: None,
            committed: VecDeque::new(),
            checkpoint: None,
            durable: Tid(0),
            commit_to: Tid(0),
            passed: Tid(0),
            pass_to: Tid(0),
            refused: false,
            starved: false,
            now: Duration::ZERO,
            wall: Duration::ZERO,
            next_id: 0,
            in_flight: BTreeMap::new(),
            out: VecDeque::new(),
            highest,
            aborted: None,
            obituary: false,
        })
    }

    /// The first block as it is to be written when all that a log held is at home: the log is empty, and the next
    /// transaction will be `next_sequence`.
    ///
    /// # Errors
    /// [`JournalError::Short`].
    pub fn emptied(first_block: &[u8], next_sequence: Sequence) -> Result<Vec<u8>, JournalError> {
        let mut bytes = first_block.to_vec();
        let len = bytes.len();
        let (raw, _) = zerocopy::FromBytes::mut_from_prefix(&mut bytes)
            .map_err(|_| JournalError::Short { len, want: JournalSuperblock::LEN })?;
        JournalSuperblock::set_start(raw, next_sequence, None);
        Ok(bytes)
    }

    /// Says how many blocks the volume has: images of others are refused from now on. A log that names one could not be
    /// replayed.
    pub fn set_volume_blocks(&mut self, blocks: u64) {
        self.highest = self.highest.min(blocks.saturating_sub(1));
    }

    /// The time: `now` since any moment, never backwards, and `wall` since 1970, which commit blocks tell. Commits
    /// what has become old enough.
    pub fn tick(&mut self, now: Duration, wall: Duration) {
        (self.now, self.wall) = (now.max(self.now), wall);
        if self.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.commit_to = self.running.tid;
        }
        self.go_on();
    }

    /// When [`Self::tick`] is to be called at the latest, in its own time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let wanted = self.commit_to >= self.running.tid || self.is_aborted();
        self.running.since.filter(|_| !wanted).map(|since| since.saturating_add(self.options.commit_interval))
    }

    /// Asks for a commit of everything published so far. Gives the transaction whose [`Output::Committed`] to wait
    /// for; when [`Self::durable`] has reached it already there is nothing to wait for.
    pub fn commit(&mut self) -> Tid {
        let newest = self.newest();
        self.commit_to(newest);
        newest
    }

    /// Asks for a commit of transaction `tid`, as [`Self::publish`] gave it.
    pub fn commit_to(&mut self, tid: Tid) {
        self.commit_to = self.commit_to.max(tid.min(self.newest()));
        self.go_on();
    }

    /// Asks that all published so far comes home, and the tail moves past it. Gives the transaction whose
    /// [`Output::Tail`] to wait for; when [`Self::passed`] has reached it there is nothing to wait for.
    pub fn checkpoint_all(&mut self) -> Tid {
        let newest = self.newest();
        self.pass_to = self.pass_to.max(newest);
        self.commit_to = self.commit_to.max(newest);
        self.go_on();
        newest
    }

    /// Newest transaction that is on stable storage.
    #[must_use]
    pub fn durable(&self) -> Tid {
        self.durable
    }

    /// Newest transaction that the log's tail has passed: it is at home, and no replay will bring it back.
    #[must_use]
    pub fn passed(&self) -> Tid {
        self.passed
    }

    /// Newest transaction in which something was published.
    fn newest(&self) -> Tid {
        if self.running.images.is_empty() {
            Tid(self.running.tid.0.saturating_sub(1))
        } else {
            self.running.tid
        }
    }

    /// The number that a transaction has in the log.
    fn sequence(&self, tid: Tid) -> Sequence {
        let low = u32::try_from(tid.0 & u64::from(u32::MAX)).unwrap_or(0);
        Sequence(self.base.0.wrapping_add(low))
    }

    /// Starts whatever can be started now.
    fn go_on(&mut self) {
        if self.is_aborted() {
            return;
        }
        self.start_commit();
        self.start_checkpoint();
        self.move_tail();
    }

    /// The first block with the log's start at `start`, where transaction `tid` is or will be; or with an empty log.
    fn superblock_with(&mut self, tid: Tid, start: Option<u32>) -> Vec<Arc<[u8]>> {
        let sequence = self.sequence(tid);
        if let Ok((raw, _)) =
            <RawJournalSuperblock as zerocopy::FromBytes>::mut_from_prefix(&mut self.head_block)
        {
            JournalSuperblock::set_start(raw, sequence, start);
            debug_assert_eq!(raw.as_bytes().len(), JournalSuperblock::LEN, "checked when it was opened");
        }
        self.empty_on_disk = start.is_none();
        self.head_blocks()
    }

    /// The superblock's blocks, to be written now.
    fn head_blocks(&mut self) -> Vec<Arc<[u8]>> {
        self.superblock_busy = true;
        self.head_block.chunks(self.block_len()).map(Arc::from).collect()
    }

    /// Bytes of a block.
    fn block_len(&self) -> usize {
        usize::try_from(self.superblock.block_size).unwrap_or(usize::MAX).max(1)
    }
}

/// The blocks of the superblock as they are to be written, in `first_block` up to their end: nothing of the log.
fn head_block(superblock: &JournalSuperblock, first_block: &[u8]) -> Result<Vec<u8>, JournalError> {
    let want = usize::try_from(superblock.block_size).unwrap_or(usize::MAX).max(JournalSuperblock::LEN);
    let short = JournalError::Short { len: first_block.len(), want };
    let mut bytes = first_block.get(..want).ok_or(short)?.to_vec();
    let (raw, _) =
        <RawJournalSuperblock as zerocopy::FromBytes>::mut_from_prefix(&mut bytes).map_err(|_| short)?;
    raw.feature_compat.set(superblock.compat.bits());
    raw.feature_incompat.set(superblock.incompat.bits());
    raw.errno.set(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
