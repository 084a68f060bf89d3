//! Changing one list of index entries: that of an inline root, or of a leaf.

use ocfs2_format::{DxEntry, RawDxEntry, RawDxEntryList};
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, FromZeros};

/// A list of index entries, checked by the caller, to be changed.
#[derive(Debug)]
pub(super) struct DxList<'a> {
    head: &'a mut RawDxEntryList,
    records: &'a mut [RawDxEntry],
}

impl<'a> DxList<'a> {
    /// The list whose head begins `bytes`; `None` when it does not fit in there.
    pub(super) fn new(bytes: &'a mut [u8]) -> Option<Self> {
        let (head, rest) = RawDxEntryList::mut_from_prefix(bytes).ok()?;
        let count = usize::from(head.count.get());
        let (records, _) = <[RawDxEntry]>::mut_from_prefix_with_elems(rest, count).ok()?;
        Some(Self { head, records })
    }

    /// Entries in use.
    pub(super) fn used(&self) -> usize {
        usize::from(self.head.num_used.get())
    }

    /// Adds an entry behind the others. Returns whether there was room.
    pub(super) fn push(&mut self, entry: &DxEntry) -> bool {
        let used = self.used();
        let Some(place) = self.records.get_mut(used) else { return false };
        *place = entry.into();
        self.set_used(used + 1);
        true
    }

    /// Takes out one such entry; the later ones move up. Returns whether there was one.
    pub(super) fn remove(&mut self, entry: &DxEntry) -> bool {
        let used = self.used();
        let records = self.records.get_mut(..used).unwrap_or_default();
        let wanted = RawDxEntry::from(entry);
        let Some(index) = records.iter().position(|record| *record == wanted) else { return false };
        records.copy_within(index + 1.., index);
        if let Some(last) = records.last_mut() {
            last.zero();
        }
        self.set_used(used - 1);
        true
    }

    /// Replaces all entries. Returns whether there was room.
    pub(super) fn fill(&mut self, entries: &[DxEntry]) -> bool {
        self.records.zero();
        self.set_used(0);
        entries.iter().all(|entry| self.push(entry))
    }

    fn set_used(&mut self, used: usize) {
        // A list has 253 entries at most.
        self.head.num_used = U16::new(u16::try_from(used).unwrap_or(u16::MAX));
    }
}

#[cfg(test)]
mod tests {
    use ocfs2_format::{BlockNum, DxHash};

    use super::*;

    fn entry(major: u32, block: u64) -> DxEntry {
        DxEntry { hash: DxHash { major, minor: 1 }, block: BlockNum(block) }
    }

    #[test]
    fn entries_keep_their_order_and_leave_zeroes_behind() {
        let mut bytes = vec![0; 8 + 3 * 16 + 5];
        bytes[4] = 3;
        let mut list = DxList::new(&mut bytes).unwrap();
        assert!([7, 5, 6].into_iter().all(|major| list.push(&entry(major, 9))));
        assert!(!list.push(&entry(1, 9)), "it is full");
        assert!(!list.remove(&entry(7, 8)), "hash and block must both fit");
        assert!(list.remove(&entry(7, 9)) && !list.remove(&entry(7, 9)));
        let majors: Vec<u32> = list.records.iter().map(|record| record.major_hash.get()).collect();
        assert_eq!((list.used(), majors), (2, vec![5, 6, 0]));
    }

    #[test]
    fn a_list_that_does_not_fit_is_none() {
        let mut bytes = vec![0; 8 + 16];
        bytes[4] = 2;
        assert!(DxList::new(&mut bytes).is_none() && DxList::new(&mut bytes[..7]).is_none());
    }
}
