//! Replay: finds the last good copy of every block that the log holds.
//!
//! The kernel makes three passes (find the end, collect revokes, write). One pass does the same when it keeps what
//! an unfinished transaction names apart until its commit block is seen: a later copy of a block replaces an
//! earlier one, and a revoke counts for all copies up to its own transaction, so only the last copy has to be asked.
//!
//! A log ends where the next transaction's number is not found. That is how every log ends, and how a damaged one
//! looks too: what follows the damage is not replayed, by the kernel neither.

use std::collections::BTreeMap;

use crate::block::{BlockType, Sequence, log_block};
use crate::descriptor::{TagFlags, Tags};
use crate::error::JournalError;
use crate::revoke::Revokes;
use crate::superblock::JournalSuperblock;

/// Most copies and revokes that are kept: a log of 16 GiB with blocks of 4096.
const LIMIT: usize = 1 << 22;

/// Where the last copy of a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCopy {
    /// Log block: block of the journal file.
    pub log_block: u32,
    /// Whether the copy must be given its first word back: [`unescape`](crate::unescape).
    pub escaped: bool,
    /// Transaction that wrote it.
    pub sequence: Sequence,
}

/// What a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Block of the volume to its last copy in the log.
    pub copies: BTreeMap<u64, LogCopy>,
    /// Complete transactions found.
    pub transactions: u32,
    /// Copies not replayed because they were revoked.
    pub revoked: u32,
    /// `s_sequence` to write, with `s_start` 0, once all copies are home.
    pub next_sequence: Sequence,
}

/// Walks a log. Feed it the blocks it wants until it wants none, then [`Self::finish`].
#[derive(Clone, Debug)]
pub struct Replay {
    superblock: JournalSuperblock,
    volume_blocks: u64,
    /// Next log block to read; `None` at the end.
    wanted: Option<u32>,
    sequence: Sequence,
    /// Log blocks walked over so far: never more than there are.
    walked: u32,
    /// Of the transaction whose commit block has not been seen.
    pending: Vec<(u64, LogCopy)>,
    pending_revokes: Vec<u64>,
    pending_error: Option<JournalError>,
    copies: BTreeMap<u64, LogCopy>,
    revokes: BTreeMap<u64, Sequence>,
    transactions: u32,
}

impl Replay {
    /// Begins at the start of the log; an empty log wants no blocks. Copies of blocks from `volume_blocks` on are errors.
    ///
    /// # Errors
    /// [`JournalError::Unsupported`] or [`JournalError::Start`].
    pub fn new(superblock: &JournalSuperblock, volume_blocks: u64) -> Result<Self, JournalError> {
        superblock.check_replayable()?;
        let (first, maxlen) = (superblock.first, superblock.maxlen);
        if let Some(found) = superblock.start.filter(|start| !(first..maxlen).contains(start)) {
            return Err(JournalError::Start { found, first, maxlen });
        }
        Ok(Self {
            superblock: *superblock,
            volume_blocks,
            wanted: superblock.start,
            sequence: superblock.sequence,
            walked: 0,
            pending: Vec::new(),
            pending_revokes: Vec::new(),
            pending_error: None,
            copies: BTreeMap::new(),
            revokes: BTreeMap::new(),
            transactions: 0,
        })
    }

    /// The log block (block of the journal file) to [`Self::feed`] next; `None` when the end is known.
    #[must_use]
    pub fn wanted(&self) -> Option<u32> {
        self.wanted
    }

    /// Takes the log block wanted.
    ///
    /// # Errors
    /// [`JournalError`] when a complete transaction cannot be replayed. The walk has then ended, and nothing of the log may be used.
    pub fn feed(&mut self, data: &[u8]) -> Result<(), JournalError> {
        let Some(log_block) = self.wanted else { return Err(JournalError::NotWanted) };
        let want = usize::try_from(self.superblock.block_size).unwrap_or(usize::MAX);
        if data.len() != want {
            return Err(JournalError::BlockLength { log_block, len: data.len(), want });
        }
        let result = self.step(log_block, data);
        if result.is_err() {
            self.wanted = None;
        }
        result
    }

    fn step(&mut self, at: u32, data: &[u8]) -> Result<(), JournalError> {
        let kind = match log_block(data) {
            Some((kind, sequence)) if sequence == self.sequence => kind,
            _ => return self.end(),
        };
        match kind {
            BlockType::Descriptor => return self.descriptor(at, data),
            BlockType::Revoke => self.revoke(at, data),
            BlockType::Commit => self.commit()?,
            BlockType::Superblock => return self.end(),
        }
        self.advance(at, 1)
    }

    /// The log ends here; what an unfinished transaction left is forgotten.
    fn end(&mut self) -> Result<(), JournalError> {
        self.wanted = None;
        self.pending.clear();
        self.pending_revokes.clear();
        Ok(())
    }

    /// Goes on `count` blocks after `at`.
    ///
    /// A transaction that would reach the start of the log again cannot be whole: its last descriptor was torn by
    /// the crash, or is damaged. The log ends before it.
    fn advance(&mut self, at: u32, count: u32) -> Result<(), JournalError> {
        self.walked = self.walked.saturating_add(count);
        if self.walked >= self.superblock.log_len() {
            return self.end();
        }
        self.wanted = Some(self.position(at, count));
        Ok(())
    }

    /// The log block `count` after `at`, around the ring.
    fn position(&self, at: u32, count: u32) -> u32 {
        let (first, len) = (self.superblock.first, self.superblock.log_len());
        let offset = u64::from(at.saturating_sub(first)).saturating_add(u64::from(count));
        let offset = offset.checked_rem(u64::from(len)).unwrap_or(0);
        first.saturating_add(u32::try_from(offset).unwrap_or(0))
    }

    fn descriptor(&mut self, at: u32, data: &[u8]) -> Result<(), JournalError> {
        let mut count = 1_u32;
        for tag in Tags::new(self.superblock.tag_format(), data) {
            if tag.block >= self.volume_blocks {
                let error =
                    JournalError::TagRange { log_block: at, sequence: self.sequence, block: tag.block };
                self.pending_error.get_or_insert(error);
            }
            let escaped = tag.flags.contains(TagFlags::ESCAPE);
            let copy = LogCopy { log_block: self.position(at, count), escaped, sequence: self.sequence };
            self.pending.push((tag.block, copy));
            count = count.saturating_add(1);
        }
        self.check_limit()?;
        self.advance(at, count)
    }

    fn revoke(&mut self, at: u32, data: &[u8]) {
        match Revokes::new(self.superblock.tag_format(), data) {
            Ok(blocks) => self.pending_revokes.extend(blocks),
            Err(count) => {
                let error = JournalError::RevokeCount { log_block: at, sequence: self.sequence, count };
                self.pending_error.get_or_insert(error);
            }
        }
    }

    /// The transaction is whole: what it holds counts.
    fn commit(&mut self) -> Result<(), JournalError> {
        if let Some(error) = self.pending_error {
            return Err(error);
        }
        self.check_limit()?;
        self.copies.extend(self.pending.drain(..));
        let sequence = self.sequence;
        self.revokes.extend(self.pending_revokes.drain(..).map(|block| (block, sequence)));
        self.sequence = sequence.next();
        self.transactions = self.transactions.saturating_add(1);
        Ok(())
    }

    fn check_limit(&self) -> Result<(), JournalError> {
        let kept = [self.pending.len(), self.pending_revokes.len(), self.copies.len(), self.revokes.len()];
        let kept = kept.into_iter().fold(0, usize::saturating_add);
        if kept > LIMIT { Err(JournalError::TooLarge { limit: LIMIT }) } else { Ok(()) }
    }

    /// What the log says. Only to be asked when [`Self::wanted`] is `None` and no `feed` failed.
    #[must_use]
    pub fn finish(self) -> Recovered {
        let mut copies = self.copies;
        let before = copies.len();
        copies.retain(|block, copy| {
            let revoked = self.revokes.get(block).is_some_and(|revoke| revoke.is_at_or_after(copy.sequence));
            !revoked
        });
        Recovered {
            revoked: u32::try_from(before.saturating_sub(copies.len())).unwrap_or(u32::MAX),
            copies,
            transactions: self.transactions,
            next_sequence: self.sequence.next(),
        }
    }
}

#[cfg(test)]
mod tests;
