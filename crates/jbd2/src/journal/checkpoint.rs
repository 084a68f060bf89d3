//! Checkpoint: committed images go home, then the tail of the log moves past them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::commit::MAX_RUN;
use super::output::Purpose;
use super::{Journal, Output, Place, Tid};

/// Transactions on their way home.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The newest of them; the oldest is the first that is committed.
    upto: Tid,
    /// Writes that are not answered.
    left: usize,
    /// The newest committed image of each block.
    images: BTreeMap<u64, Arc<[u8]>>,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Writing,
    Flushing,
    /// At home; the superblock is to say so.
    Home,
    Moving {
        empty: bool,
    },
}

impl Journal {
    /// Begins to write home what is committed, if the caller wants it or the log fills up.
    pub(super) fn start_checkpoint(&mut self) {
        let Some(newest) = self.committed.back().map(|committed| committed.tid) else {
            self.make_room();
            return;
        };
        let half = self.superblock.log_len() / 2;
        let wanted = self.pass_to > self.passed || self.starved || self.free < half;
        if self.checkpoint.is_some() || !wanted {
            return;
        }
        let mut images: BTreeMap<u64, Arc<[u8]>> = BTreeMap::new();
        for committed in &self.committed {
            images.extend(committed.images.iter().map(|(block, image)| (*block, Arc::clone(image))));
        }
        let mut left = 0_usize;
        for (block, blocks) in runs(&images) {
            self.write(Purpose::Home, Place::Home(block), blocks, false);
            left = left.saturating_add(1);
        }
        self.checkpoint = Some(Checkpoint { upto: newest, left, images, step: Step::Writing });
    }

    /// Somebody needs room and nothing is committed that could go home: the running transaction has to be.
    fn make_room(&mut self) {
        if self.starved && self.committing.is_none() && self.commit_to < self.newest() {
            self.commit_to = self.newest();
            self.start_commit();
        }
    }

    pub(super) fn home_done(&mut self) {
        let Some(checkpoint) = &mut self.checkpoint else { return };
        checkpoint.left = checkpoint.left.saturating_sub(1);
        if checkpoint.left == 0 {
            checkpoint.step = Step::Flushing;
            self.flush(Purpose::HomeFlush);
        }
    }

    pub(super) fn home_flushed(&mut self) {
        let Some(checkpoint) = &mut self.checkpoint else { return };
        checkpoint.step = Step::Home;
        let images = std::mem::take(&mut checkpoint.images).into_iter().collect();
        self.out.push_back(Output::Home(images));
    }

    /// Lets the superblock say where the log begins now.
    pub(super) fn move_tail(&mut self) {
        let Some(Checkpoint { upto, step: Step::Home, .. }) = self.checkpoint else { return };
        // A commit writes it only into an empty log, and then there is nothing to checkpoint.
        debug_assert!(!self.superblock_busy, "two writes of the superblock at once");
        let left = self.committed.iter().find(|committed| committed.tid > upto);
        let first = left.map(|committed| (committed.tid, committed.start));
        let first = first.or(self.committing.as_ref().map(|committing| (committing.tid, committing.start)));
        let blocks = match first {
            Some((tid, start)) => self.superblock_with(tid, Some(start)),
            None => self.superblock_with(upto.next(), None),
        };
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.step = Step::Moving { empty: first.is_none() };
        }
        self.write(Purpose::Tail, Place::Log(0), blocks, true);
    }

    /// The log no longer needs what was passed.
    pub(super) fn tail_moved(&mut self) {
        let Some(Checkpoint { upto, step: Step::Moving { empty }, .. }) = self.checkpoint.take() else {
            return;
        };
        while let Some(committed) = self.committed.pop_front_if(|committed| committed.tid <= upto) {
            self.free = self.free.saturating_add(committed.len);
        }
        self.passed = upto;
        self.starved = false;
        self.out.push_back(Output::Tail { passed: upto, empty });
        self.tell_space();
    }
}

/// Neighbours together, at most [`MAX_RUN`] in one write.
fn runs(images: &BTreeMap<u64, Arc<[u8]>>) -> Vec<(u64, Vec<Arc<[u8]>>)> {
    let mut runs: Vec<(u64, Vec<Arc<[u8]>>)> = Vec::new();
    let mut next = None;
    for (block, image) in images {
        match runs.last_mut() {
            Some((_, run)) if next == Some(*block) && run.len() < MAX_RUN => run.push(Arc::clone(image)),
            _ => runs.push((*block, vec![Arc::clone(image)])),
        }
        next = block.checked_add(1);
    }
    runs
}
