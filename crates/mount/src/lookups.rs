//! How many references the kernel holds to each inode.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Ino;

/// Every entry sent is one reference; FORGET gives them back, many at a time.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    counts: Mutex<HashMap<Ino, u64>>,
}

impl Lookups {
    /// An entry is about to be sent. Before, not after: its FORGET may come before the sender runs again.
    pub(crate) fn give(&self, ino: Ino) {
        let mut counts = self.lock();
        let count = counts.entry(ino).or_insert(0);
        *count = count.saturating_add(1);
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
        }
        gone
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
        lookups.give(a);
        lookups.give(a);
        lookups.give(b);
        assert!(!lookups.forget(a, 1));
        assert!(lookups.forget(b, 1));
        assert!(!lookups.forget(b, 1), "already gone");
        assert!(lookups.forget(a, u64::MAX), "more than there were");
    }
}
