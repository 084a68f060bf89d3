//! How much there is to copy: counted by a walk of its own beside the copy.

use std::cell::Cell;
use std::collections::BTreeSet;

use ocfs2::{Attr, BlockNum, Inode, Volume};

/// What the walk has found so far. The bytes are those that are allocated: holes cost nothing.
#[derive(Debug, Default)]
pub(super) struct Total {
    files: Cell<u64>,
    bytes: Cell<u64>,
    whole: Cell<bool>,
}

impl Total {
    /// Files and bytes, once all is counted.
    pub(super) fn get(&self) -> Option<(u64, u64)> {
        self.whole.get().then(|| (self.files.get(), self.bytes.get()))
    }

    /// Counts all files below `tops`. What cannot be read is left to the copy to tell.
    pub(super) async fn count(&self, volume: &Volume, tops: Vec<Inode>) {
        let mut several_names: BTreeSet<BlockNum> = BTreeSet::new();
        for top in tops {
            let mut walk = volume.walk(top);
            while let Some(item) = walk.next().await {
                if let Ok(entry) = item
                    && !entry.inode.is_dir()
                    && (entry.inode.attr().nlink == 1 || several_names.insert(entry.inode.ino()))
                {
                    self.files.set(self.files.get() + 1);
                    self.bytes.set(self.bytes.get().saturating_add(weight(entry.inode.attr())));
                }
                tokio::task::yield_now().await;
            }
        }
        self.whole.set(true);
    }
}

/// What a file counts in the sum: its size, or what of it is allocated.
pub(super) fn weight(attr: &Attr) -> u64 {
    attr.size.min(attr.blocks.saturating_mul(512))
}
