//! Commit: copies, flush, commit block.

use std::collections::BTreeMap;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::output::Purpose;
use super::running::Running;
use super::{Committed, Journal, Output, Place, Tid};
use crate::block::RawCommit;
use crate::descriptor::{encode_descriptor, escape};

/// Longest single write, in blocks: long ones are cut so that the parts travel side by side.
pub(super) const MAX_RUN: usize = 256;

/// The transaction on its way to the log.
#[derive(Debug)]
pub(super) struct Committing {
    pub(super) tid: Tid,
    /// Its first log block.
    pub(super) start: u32,
    len: u32,
    /// Where the commit block goes.
    commit_block: u32,
    /// Writes of copies that are not answered.
    left: usize,
    images: BTreeMap<u64, Arc<[u8]>>,
}

impl Journal {
    /// Closes the running transaction and begins to write it, if it is wanted and nothing stands in the way.
    pub(super) fn start_commit(&mut self) {
        if !self.may_close() || self.running.open > 0 {
            return;
        }
        let next = Running::new(self.running.tid.next());
        let Running { tid, images, .. } = std::mem::replace(&mut self.running, next);
        let start = self.head;
        let mut left = 0_usize;
        if self.empty_on_disk {
            let blocks = self.superblock_with(tid, Some(start));
            self.write(Purpose::Start, Place::Log(0), blocks, false);
            left = left.saturating_add(1);
        }
        for (at, blocks) in self.lay_out(tid, &images) {
            self.write(Purpose::Copies, Place::Log(at), blocks, false);
            left = left.saturating_add(1);
        }
        let len = self.space_for(u32::try_from(images.len()).unwrap_or(u32::MAX));
        self.free = self.free.saturating_sub(len);
        let commit_block = self.take_block();
        self.committing = Some(Committing { tid, start, len, commit_block, left, images });
        self.tell_space();
    }

    /// Whether the running transaction is to be closed as soon as its reservations have come back. Until then it takes
    /// in nobody new, else it would never end.
    pub(super) fn may_close(&self) -> bool {
        let wanted = self.commit_to >= self.running.tid && !self.running.images.is_empty();
        // An empty log needs its start named first, and two writes of the superblock have no order.
        wanted && self.committing.is_none() && !(self.empty_on_disk && self.superblock_busy)
    }

    /// Descriptors and copies of a transaction, as runs of neighbours in the log.
    fn lay_out(&mut self, tid: Tid, images: &BTreeMap<u64, Arc<[u8]>>) -> Vec<(u32, Vec<Arc<[u8]>>)> {
        let sequence = self.sequence(tid);
        let images: Vec<(u64, &Arc<[u8]>)> = images.iter().map(|(block, image)| (*block, image)).collect();
        let mut runs: Vec<(u32, Vec<Arc<[u8]>>)> = Vec::new();
        let mut place = |journal: &mut Self, bytes: Arc<[u8]>| {
            let at = journal.take_block();
            match runs.last_mut() {
                // What went around the ring begins at its first block, which follows nothing.
                Some((_, run)) if run.len() < MAX_RUN && at != journal.superblock.first => run.push(bytes),
                _ => runs.push((at, vec![bytes])),
            }
        };
        for group in images.chunks(self.tags()) {
            let copies: Vec<(u64, bool, Arc<[u8]>)> =
                group.iter().map(|(block, image)| copy(*block, image)).collect();
            let tags: Vec<(u64, bool)> =
                copies.iter().map(|(block, escaped, _)| (*block, *escaped)).collect();
            let mut descriptor = vec![0; self.block_len()];
            let (format, uuid) = (self.superblock.tag_format(), self.superblock.uuid);
            let encoded = encode_descriptor(format, sequence, uuid, &tags, &mut descriptor);
            debug_assert!(encoded.is_some(), "blocks were checked when they were published");
            place(self, descriptor.into());
            for (_, _, bytes) in copies {
                place(self, bytes);
            }
        }
        runs
    }

    /// Takes the next block of the log.
    fn take_block(&mut self) -> u32 {
        let at = self.head;
        self.head = self.superblock.next_block(at);
        at
    }

    pub(super) fn copies_done(&mut self) {
        let Some(committing) = &mut self.committing else { return };
        committing.left = committing.left.saturating_sub(1);
        if committing.left == 0 {
            self.flush(Purpose::CopiesFlush);
        }
    }

    /// All copies are on stable storage, and so is all data that was written before the commit began.
    pub(super) fn write_commit_block(&mut self) {
        let Some(Committing { tid, commit_block, .. }) = self.committing else { return };
        let commit = RawCommit::new(self.sequence(tid), self.wall.as_secs(), self.wall.subsec_nanos());
        let mut block = vec![0; self.block_len()];
        let written = commit.write_to_prefix(&mut block);
        debug_assert!(written.is_ok(), "the smallest block has 512 bytes");
        self.write(Purpose::CommitBlock, Place::Log(commit_block), vec![block.into()], true);
    }

    pub(super) fn committed(&mut self) {
        let Some(Committing { tid, start, len, images, .. }) = self.committing.take() else { return };
        self.committed.push_back(Committed { tid, start, len, images });
        self.durable = tid;
        self.out.push_back(Output::Committed(tid));
    }
}

/// A copy for the log: what begins like a log block is escaped.
fn copy(block: u64, image: &Arc<[u8]>) -> (u64, bool, Arc<[u8]>) {
    if !image.starts_with(&crate::MAGIC.to_be_bytes()) {
        return (block, false, Arc::clone(image));
    }
    let mut bytes = image.to_vec();
    let escaped = escape(&mut bytes);
    (block, escaped, bytes.into())
}
