//! All inodes in use, found by their numbers.

use super::part::InodeState;

/// All inodes in use, in ascending order.
#[derive(Debug, Default)]
pub(super) struct Table {
    list: Vec<InodeState>,
}

impl Table {
    /// Sorts them. Each comes from a block of its own, so none is there twice; where groups overlap, the first stays.
    pub(super) fn new(mut list: Vec<InodeState>) -> Self {
        if !list.is_sorted_by_key(|state| state.ino) {
            list.sort_by_key(|state| state.ino);
        }
        list.dedup_by_key(|state| state.ino);
        list.shrink_to_fit();
        Self { list }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, index: u32) -> Option<&InodeState> {
        self.list.get(index as usize)
    }

    /// Index of an inode.
    pub(super) fn find(&self, ino: u64) -> Option<u32> {
        let index = self.list.binary_search_by_key(&ino, |state| state.ino).ok()?;
        u32::try_from(index).ok()
    }

    /// The inodes with their indices.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &InodeState)> {
        (0..).zip(&self.list)
    }
}
