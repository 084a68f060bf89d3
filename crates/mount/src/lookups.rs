//! How many references the kernel holds to each inode.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Ino;

/// A table of so many is not made smaller.
const SMALL: usize = 4096;

/// Every entry sent is one reference; FORGET gives them back, many at a time.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    counts: Mutex<HashMap<Ino, u64>>,
}

impl Lookups {
    /// An entry is about to be sent. Before, not after: its FORGET may come before the sender runs again. Returns
    /// whether it is the first.
    pub(crate) fn give(&self, ino: Ino) -> bool {
        let mut counts = self.lock();
        let count = counts.entry(ino).or_insert(0);
        *count = count.saturating_add(1);
        *count == 1
    }

    /// The kernel is gone, and with it all its references: the inodes that it had any to.
    #[allow(clippy::disallowed_methods, reason = "sorted before anybody sees it")]
    pub(crate) fn drain(&self) -> Vec<Ino> {
        let mut all: Vec<Ino> = std::mem::take(&mut *self.lock()).drain().map(|(ino, _)| ino).collect();
        all.sort_unstable();
        all
    }

    /// The kernel drops `by` references. Returns whether none is left.
    ///
    /// More than it holds is a kernel's mistake and drops them all.
    pub(crate) fn forget(&self, ino: Ino, by: u64) -> bool {
        let mut counts = self.lock();
        let Some(count) = counts.get_mut(&ino) else { return false };
        if by > *count {
            tracing::warn!(ino = ino.0, count, by, "the kernel forgets more references than it has");
        }
        *count = count.saturating_sub(by);
        let gone = *count == 0;
        if gone {
            counts.remove(&ino);
            // A walk over millions of files leaves no table of millions behind.
            if counts.len() < counts.capacity() / 8 && counts.capacity() > SMALL {
                let room = counts.len() * 2;
                counts.shrink_to(room);
            }
        }
        gone
    }

    /// Inodes with references.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ino, u64>> {
        // Nothing under this lock can panic half way.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reference_is_told() {
        let lookups = Lookups::default();
        let (a, b) = (Ino(10), Ino(11));
        assert!(lookups.give(a));
        assert!(!lookups.give(a));
        lookups.give(b);
        assert!(!lookups.forget(a, 1));
        assert!(lookups.forget(b, 1));
        assert!(!lookups.forget(b, 1), "already gone");
        assert!(lookups.forget(a, u64::MAX), "more than there were");
    }

    #[test]
    fn at_the_end_all_that_is_left_is_told() {
        let lookups = Lookups::default();
        for ino in [12, 10, 11, 10] {
            lookups.give(Ino(ino));
        }
        assert!(lookups.forget(Ino(11), 1));
        assert_eq!(lookups.drain(), [Ino(10), Ino(12)]);
        assert_eq!(lookups.len(), 0);
    }

    #[test]
    fn the_table_shrinks_with_its_references() {
        let lookups = Lookups::default();
        (0..100_000).for_each(|ino| assert!(lookups.give(Ino(ino))));
        (0..100_000).for_each(|ino| assert!(lookups.forget(Ino(ino), 1)));
        assert_eq!(lookups.len(), 0);
        assert!(lookups.lock().capacity() <= 2 * SMALL);
    }
}
