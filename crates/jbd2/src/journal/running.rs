//! The running transaction: reservations, and what is published in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Images, Journal, Tid};

/// Room for the blocks that one operation may change. Hand it back: [`Journal::publish`] or [`Journal::release`].
#[derive(Debug)]
#[must_use = "its room is taken until it is given back"]
pub struct Reservation {
    credits: u32,
}

impl Reservation {
    /// Blocks that may be published with it.
    #[must_use]
    pub fn credits(&self) -> u32 {
        self.credits
    }
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No room now: a commit or checkpoint has been started; ask again after [`Output::Space`](super::Output::Space).
    #[error("the journal has no room now")]
    Full,
    /// More than any operation may change at once in a journal of this size.
    #[error("an operation that changes {credits} blocks; this journal takes {max} at once")]
    TooLarge {
        /// Blocks asked for.
        credits: u32,
        /// The most there may be.
        max: u32,
    },
    /// More blocks were published than reserved. Nothing of it was taken.
    #[error("an operation changed {found} blocks and had reserved {credits}")]
    Overrun {
        /// Blocks published.
        found: usize,
        /// Blocks reserved.
        credits: u32,
    },
    /// An image is not one block long. Nothing was taken.
    #[error("block {block}: an image of {len} bytes")]
    Length {
        /// The block.
        block: u64,
        /// Length of its image.
        len: usize,
    },
    /// A block that the volume does not have, or that a journal without the 64bit feature cannot name. Nothing was
    /// taken.
    #[error("block {block} cannot be journaled: the highest is {highest}")]
    BlockRange {
        /// The block.
        block: u64,
        /// The highest that can.
        highest: u64,
    },
    /// The journal has given up after an error.
    #[error("the journal has been aborted after an I/O error")]
    Aborted,
}

/// What the next commit will hold.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) tid: Tid,
    pub(super) images: BTreeMap<u64, Arc<[u8]>>,
    /// Credits of reservations that are out.
    pub(super) reserved: u32,
    /// Reservations that are out.
    pub(super) open: u32,
    /// Time of the first publication.
    pub(super) since: Option<Duration>,
}

impl Running {
    pub(super) fn new(tid: Tid) -> Self {
        Self { tid, images: BTreeMap::new(), reserved: 0, open: 0, since: None }
    }

    /// Blocks in it if all that is reserved is used, and `more` too.
    fn with(&self, more: u32) -> u32 {
        let images = u32::try_from(self.images.len()).unwrap_or(u32::MAX);
        images.saturating_add(self.reserved).saturating_add(more)
    }
}

impl Journal {
    /// Most blocks of one transaction: a quarter of the journal, as in the kernel.
    #[must_use]
    pub fn max_transaction(&self) -> u32 {
        self.superblock.log_len() / 4
    }

    /// Most blocks that one operation may reserve.
    #[must_use]
    pub fn max_credits(&self) -> u32 {
        self.max_transaction() / 2
    }

    /// Reserves room for `credits` blocks in the running transaction, which is not closed before the reservation is
    /// given back: an operation that holds one waits for nobody.
    ///
    /// # Errors
    /// [`Refused::Full`], [`Refused::TooLarge`], [`Refused::Aborted`].
    pub fn reserve(&mut self, credits: u32) -> Result<Reservation, Refused> {
        if self.is_aborted() {
            return Err(Refused::Aborted);
        }
        let max = self.max_credits();
        if credits > max {
            return Err(Refused::TooLarge { credits, max });
        }
        let blocks = self.running.with(credits);
        let fits = self.space_for(blocks) <= self.free;
        if blocks > self.max_transaction() {
            self.commit_to = self.commit_to.max(self.newest());
        } else if fits && !self.may_close() {
            self.running.reserved = self.running.reserved.saturating_add(credits);
            self.running.open = self.running.open.saturating_add(1);
            return Ok(Reservation { credits });
        }
        self.refused = true;
        self.starved |= !fits;
        self.go_on();
        Err(Refused::Full)
    }

    /// Takes in what an operation has changed: one image a block, each with the last word on its block. Gives the
    /// transaction that holds it.
    ///
    /// # Errors
    /// [`Refused`], with nothing taken in and the reservation given back.
    pub fn publish(&mut self, reservation: Reservation, images: Images) -> Result<Tid, Refused> {
        let checked = self.check(&reservation, &images);
        self.give_back(reservation);
        if checked.is_ok() && !images.is_empty() {
            self.running.images.extend(images);
            self.running.since.get_or_insert(self.now);
        }
        let tid = self.newest();
        self.go_on();
        checked.map(|()| tid)
    }

    /// Gives a reservation back unused.
    pub fn release(&mut self, reservation: Reservation) {
        self.give_back(reservation);
        self.go_on();
    }

    fn check(&self, reservation: &Reservation, images: &Images) -> Result<(), Refused> {
        if self.is_aborted() {
            return Err(Refused::Aborted);
        }
        let (found, credits) = (images.len(), reservation.credits);
        if u32::try_from(found).map_or(true, |found| found > credits) {
            return Err(Refused::Overrun { found, credits });
        }
        for (block, image) in images {
            if image.len() != self.block_len() {
                return Err(Refused::Length { block: *block, len: image.len() });
            }
            if *block > self.highest {
                return Err(Refused::BlockRange { block: *block, highest: self.highest });
            }
        }
        Ok(())
    }

    fn give_back(&mut self, Reservation { credits }: Reservation) {
        self.running.reserved = self.running.reserved.saturating_sub(credits);
        self.running.open = self.running.open.saturating_sub(1);
        // What was not used of it may be what somebody waits for.
        self.tell_space();
    }

    /// Tells those who were refused that it has become worth asking again.
    pub(super) fn tell_space(&mut self) {
        if std::mem::take(&mut self.refused) {
            self.out.push_back(super::Output::Space);
        }
    }

    /// Blocks of the log that a transaction of `blocks` takes: copies, descriptors, commit block.
    pub(super) fn space_for(&self, blocks: u32) -> u32 {
        let tags = u32::try_from(self.tags()).unwrap_or(1).max(1);
        blocks.saturating_add(blocks.div_ceil(tags)).saturating_add(1)
    }

    /// Tags that fit a descriptor.
    pub(super) fn tags(&self) -> usize {
        self.superblock.tag_format().capacity(self.block_len()).max(1)
    }
}
