//! What the journals hold, laid over the device: a dirty volume seen as it will be after its recovery.
//!
//! Only the place of each journalled copy is kept in memory; the copy itself is read from the log when it is
//! wanted. The device stays untouched.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::JournalError;

/// Most blocks that the journals of one volume may hold together: 4 GiB of log at 4 KiB blocks, far above what any
/// volume has, and a bound for what a damaged journal can make us keep (about 48 bytes each).
const MAX_BLOCKS: usize = 1 << 20;

/// Where the newest journalled copy of one block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogCopy {
    /// Block of the volume that holds the copy.
    pub(crate) at: u64,
    /// Whether the copy began with the journal's magic number, zeroed in the log.
    pub(crate) escaped: bool,
}

impl LogCopy {
    /// Undoes the escape in the bytes read from the log.
    pub(crate) fn restore(self, bytes: &mut [u8]) {
        if self.escaped {
            jbd2::unescape(bytes);
        }
    }
}

/// Block number to the place of its newest journalled copy.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    copies: BTreeMap<u64, LogCopy>,
}

impl Overlay {
    /// Whether no journal holds anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// Count of blocks that have a copy in a log.
    pub(crate) fn len(&self) -> usize {
        self.copies.len()
    }

    /// Lays the copy of `block` over the device, in place of an older one.
    ///
    /// # Errors
    /// [`JournalError::TooLarge`] when there are more copies than any sound volume's journals hold.
    pub(crate) fn insert(&mut self, block: u64, copy: LogCopy) -> Result<(), JournalError> {
        if self.copies.len() >= MAX_BLOCKS && !self.copies.contains_key(&block) {
            return Err(JournalError::TooLarge { limit: MAX_BLOCKS });
        }
        self.copies.insert(block, copy);
        Ok(())
    }

    /// The copies of the blocks in `blocks`, in ascending order.
    pub(crate) fn in_range(&self, blocks: Range<u64>) -> impl Iterator<Item = (u64, LogCopy)> {
        // BTreeMap::range panics on a range that runs backwards.
        let range = blocks.start..blocks.end.max(blocks.start);
        self.copies.range(range).map(|(block, copy)| (*block, *copy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_copy_of_a_block_wins() {
        let mut overlay = Overlay::default();
        overlay.insert(7, LogCopy { at: 100, escaped: false }).unwrap();
        overlay.insert(7, LogCopy { at: 200, escaped: true }).unwrap();
        overlay.insert(9, LogCopy { at: 300, escaped: false }).unwrap();
        assert_eq!(overlay.len(), 2);
        let seven = overlay.in_range(7..8).next();
        assert_eq!(seven, Some((7, LogCopy { at: 200, escaped: true })));
        assert_eq!(overlay.in_range(8..10).count(), 1);
        let backwards = Range { start: 10, end: 3 };
        assert_eq!(overlay.in_range(backwards).count(), 0);
    }

    #[test]
    fn an_escaped_copy_gets_its_magic_back() {
        let mut bytes = [0, 0, 0, 0, 5];
        LogCopy { at: 1, escaped: true }.restore(&mut bytes);
        assert_eq!(bytes, [0xc0, 0x3b, 0x39, 0x98, 5]);
    }
}
