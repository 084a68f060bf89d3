//! Metadata blocks that were read and checked, the most recently used ones, bounded in bytes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use ocfs2_format::BlockNum;

use crate::meta_block::{Kind, MetaBlock};

/// What one cached block costs beside its bytes: the entry, its place in the maps, the allocator's share.
const ENTRY_COST: usize = 160;

/// The cache. Shared by all readers; no lock is held across I/O.
#[derive(Debug)]
pub(crate) struct Cache {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug)]
struct State {
    blocks: LruCache<BlockNum, Entry>,
    /// (owner, block), so that all of an inode's blocks are found when its cluster lock goes.
    owners: BTreeSet<(BlockNum, BlockNum)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    owner: BlockNum,
    block: Arc<MetaBlock>,
}

impl Cache {
    /// A cache that keeps at most `limit` bytes. Blocks in use live on beyond it until their users drop them.
    pub(crate) fn new(limit: usize) -> Self {
        let state = State { blocks: LruCache::unbounded(), owners: BTreeSet::new(), bytes: 0 };
        Self { state: Mutex::new(state), limit }
    }

    /// The checked block `blkno`, if it is here and of that kind.
    pub(crate) fn get(&self, blkno: BlockNum, kind: Kind) -> Option<Arc<MetaBlock>> {
        let mut state = self.state();
        let entry = state.blocks.get(&blkno)?;
        (entry.block.kind() == kind).then(|| Arc::clone(&entry.block))
    }

    /// Whether the checked block `blkno` is here and of that kind; does not count as a use.
    pub(crate) fn has(&self, blkno: BlockNum, kind: Kind) -> bool {
        self.state().blocks.peek(&blkno).is_some_and(|entry| entry.block.kind() == kind)
    }

    /// Keeps `block`, which belongs to inode `owner`, and drops the longest unused ones beyond the limit.
    pub(crate) fn insert(&self, owner: BlockNum, block: Arc<MetaBlock>) {
        self.insert_if(owner, block, || true);
    }

    /// The same if `fresh` says so, asked while nobody else can insert.
    pub(crate) fn insert_if(&self, owner: BlockNum, block: Arc<MetaBlock>, fresh: impl FnOnce() -> bool) {
        let mut state = self.state();
        if !fresh() {
            return;
        }
        let blkno = block.blkno();
        state.remove(blkno);
        state.bytes += cost(&block);
        state.owners.insert((owner, blkno));
        state.blocks.put(blkno, Entry { owner, block });
        while state.bytes > self.limit
            && let Some((oldest, _)) = state.blocks.peek_lru()
        {
            let oldest = *oldest;
            state.remove(oldest);
        }
    }

    /// Drops every block of inode `owner`: another node may change them from now on.
    pub(crate) fn forget(&self, owner: BlockNum) {
        let mut state = self.state();
        let blocks: Vec<BlockNum> = state
            .owners
            .range((owner, BlockNum(0))..=(owner, BlockNum(u64::MAX)))
            .map(|(_, block)| *block)
            .collect();
        for block in blocks {
            state.remove(block);
        }
    }

    /// Bytes kept now.
    pub(crate) fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// A panic elsewhere leaves the maps whole: every change here ends before anything can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, blkno: BlockNum) {
        if let Some(entry) = self.blocks.pop(&blkno) {
            self.bytes = self.bytes.saturating_sub(cost(&entry.block));
            self.owners.remove(&(entry.owner, blkno));
        }
    }
}

fn cost(block: &MetaBlock) -> usize {
    block.bytes().len() + ENTRY_COST
}

#[cfg(test)]
mod tests {
    use ocfs2_format::BlockKind;

    use super::*;
    use crate::meta_block::Bytes;

    const DINODE: Kind = Kind::Checked(BlockKind::Dinode);

    fn block(blkno: u64) -> Arc<MetaBlock> {
        Arc::new(MetaBlock::new(BlockNum(blkno), DINODE, Bytes::Own(vec![0; 4096].into())))
    }

    #[test]
    fn it_keeps_what_was_used_last_and_never_more_than_its_limit() {
        let cache = Cache::new(4 * (4096 + ENTRY_COST));
        for n in 0..4 {
            cache.insert(BlockNum(1), block(n));
        }
        assert!(cache.get(BlockNum(0), DINODE).is_some());
        cache.insert(BlockNum(1), block(4));
        assert!(cache.get(BlockNum(0), DINODE).is_some(), "used a moment ago");
        assert!(cache.get(BlockNum(1), DINODE).is_none(), "unused the longest");
        assert_eq!(cache.bytes(), 4 * (4096 + ENTRY_COST));
    }

    #[test]
    fn a_block_checked_as_one_kind_is_not_given_out_as_another() {
        let cache = Cache::new(1 << 20);
        cache.insert(BlockNum(1), block(7));
        assert!(cache.get(BlockNum(7), BlockKind::ExtentBlock.into()).is_none());
    }

    #[test]
    fn forgetting_an_inode_drops_its_blocks_and_no_others() {
        let cache = Cache::new(1 << 20);
        cache.insert(BlockNum(1), block(10));
        cache.insert(BlockNum(1), block(11));
        cache.insert(BlockNum(2), block(12));
        cache.forget(BlockNum(1));
        assert!(cache.get(BlockNum(10), DINODE).is_none() && cache.get(BlockNum(11), DINODE).is_none());
        assert!(cache.get(BlockNum(12), DINODE).is_some());
        assert_eq!(cache.bytes(), 4096 + ENTRY_COST);
    }
}
