//! The end of a journal whose device failed.

use std::fmt;

use super::output::{Purpose, Request};
use super::{Journal, Output, Place};
use crate::superblock::RawJournalSuperblock;

/// `s_errno` of a journal that was aborted: -EIO, as the kernel notes it.
const EIO: u32 = 0_u32.wrapping_sub(5);

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbortCause {
    /// A write, which began here.
    Write(Place),
    /// A flush.
    Flush,
}

impl fmt::Display for AbortCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(Place::Log(block)) => {
                write!(f, "the journal could not be written at its block {block}")
            }
            Self::Write(Place::Home(block)) => write!(f, "metadata could not be written at block {block}"),
            Self::Flush => write!(f, "the device could not be flushed"),
        }
    }
}

impl Journal {
    /// Whether the journal has given up after an error.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.aborted.is_some()
    }

    /// What made the journal give up; `None` while it has not.
    #[must_use]
    pub fn aborted(&self) -> Option<AbortCause> {
        self.aborted
    }

    /// Gives up, because a flush of the device that was not the journal's own has failed: what was written before may be
    /// gone, whatever a later flush says.
    pub fn flush_failed(&mut self) {
        self.abort(Request { purpose: Purpose::CopiesFlush, place: None });
    }

    /// Gives up: `failed` could not be done. Requests that nobody has taken yet are taken back; what was told stays told.
    pub(super) fn abort(&mut self, failed: Request) {
        if self.is_aborted() {
            return;
        }
        self.aborted = Some(failed.place.map_or(AbortCause::Flush, AbortCause::Write));
        self.obituary = true;
        for output in std::mem::take(&mut self.out) {
            match output {
                Output::Write { id, .. } | Output::Flush { id } => {
                    let taken_back = self.in_flight.remove(&id);
                    self.superblock_busy &= !taken_back.is_some_and(Request::is_superblock);
                }
                told => self.out.push_back(told),
            }
        }
        self.out.push_back(Output::Aborted);
    }

    /// Notes in the superblock that the journal was aborted, once no other write of it is on its way.
    ///
    /// The log's start in it is the one that was to be written last. Whether that write was done or not, the log is
    /// whole from there: what a tail passes is at home by then, and where an empty log is to begin nothing is
    /// committed yet. If it fails too, nothing is lost: the journal's inode says that it must be replayed.
    pub(super) fn write_obituary(&mut self) {
        if !self.obituary || self.superblock_busy {
            return;
        }
        self.obituary = false;
        if let Ok((raw, _)) =
            <RawJournalSuperblock as zerocopy::FromBytes>::mut_from_prefix(&mut self.head_block)
        {
            raw.errno.set(EIO);
        }
        let blocks = self.head_blocks();
        self.write(Purpose::Obituary, Place::Log(0), blocks, true);
    }
}
