//! What was changed and is not at home on the device yet: laid over every read.
//!
//! A block is changed in memory first, then written to the journal, and only later to its own place. Until that last
//! write is on stable storage the newest image is here, and every read of the device is patched with it.
//!
//! Reads travel while blocks change. Each read has a [`Ticket`], taken before it asks the device, and an image stays
//! here as long as a read is on its way that asked before the image was at home: so who patches after the device has
//! answered never misses one, and what lies in the cache is never older than what was published.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocfs2_format::BlockNum;

/// The images that are not home, and the reads on their way. Shared by the disk and its readers.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts publications, returns home and invalidations; a ticket and an image with the same number: the image
    /// came first.
    epoch: u64,
    images: BTreeMap<u64, Image>,
    /// Inodes of which everything cached was dropped, and when.
    forgotten: BTreeMap<BlockNum, u64>,
    /// Epoch to the reads on their way that began in it.
    reads: BTreeMap<u64, u32>,
    /// Images at home, by when they came there: they only wait for older reads to end.
    leaving: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct Image {
    bytes: Arc<[u8]>,
    epoch: u64,
    /// When it came home.
    home: Option<u64>,
}

/// Held by a read from before it asks the device until what it brought is used or cached.
#[derive(Debug)]
pub(crate) struct Ticket {
    pending: Arc<Pending>,
    epoch: u64,
}

impl Pending {
    /// Begins a read.
    pub(crate) fn read(self: &Arc<Self>) -> Ticket {
        let mut state = self.state();
        let epoch = state.epoch;
        *state.reads.entry(epoch).or_insert(0) += 1;
        Ticket { pending: Arc::clone(self), epoch }
    }

    /// Lays new images over the device, each in place of an older one.
    pub(crate) fn publish(&self, images: impl IntoIterator<Item = (u64, Arc<[u8]>)>) {
        let mut state = self.state();
        state.epoch += 1;
        let epoch = state.epoch;
        state
            .images
            .extend(images.into_iter().map(|(block, bytes)| (block, Image { bytes, epoch, home: None })));
    }

    /// The image `bytes` of `block` is at home: the device shows it. It goes, unless a newer one has taken its place.
    pub(crate) fn home(&self, block: u64, bytes: &Arc<[u8]>) {
        let mut state = self.state();
        state.epoch += 1;
        let epoch = state.epoch;
        if let Some(image) = state.images.get_mut(&block)
            && Arc::ptr_eq(&image.bytes, bytes)
        {
            image.home = Some(epoch);
            state.leaving.insert((epoch, block));
            state.sweep();
        }
    }

    /// What is read of inode `owner` from now on is news; what is on its way is not to be kept.
    pub(crate) fn forget(&self, owner: BlockNum) {
        let mut state = self.state();
        state.epoch += 1;
        let epoch = state.epoch;
        state.forgotten.insert(owner, epoch);
        state.sweep();
    }

    /// The images of the blocks in `blocks`, in ascending order.
    pub(crate) fn in_range(&self, blocks: Range<u64>) -> Vec<(u64, Arc<[u8]>)> {
        let state = self.state();
        if state.images.is_empty() || blocks.is_empty() {
            return Vec::new();
        }
        state.images.range(blocks).map(|(block, image)| (*block, Arc::clone(&image.bytes))).collect()
    }

    /// Images that are not home.
    pub(crate) fn len(&self) -> usize {
        self.state().images.values().filter(|image| image.home.is_none()).count()
    }

    /// A panic elsewhere leaves the maps whole: every change here ends before anything can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Whether `count` blocks from `block` on, of inode `owner`, are still what the read found: then they may be cached.
    pub(crate) fn is_fresh(&self, owner: BlockNum, block: BlockNum, count: u64) -> bool {
        let state = self.pending.state();
        let blocks = block.0..block.0.saturating_add(count);
        let newer = state.images.range(blocks).any(|(_, image)| image.epoch > self.epoch);
        !newer && state.forgotten.get(&owner).is_none_or(|epoch| *epoch <= self.epoch)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.pending.state();
        if let Some(count) = state.reads.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                state.reads.remove(&self.epoch);
                state.sweep();
            }
        }
    }
}

impl State {
    /// Lets go what came home or was forgotten before every read that is still on its way.
    fn sweep(&mut self) {
        let oldest = self.reads.first_key_value().map_or(u64::MAX, |(epoch, _)| *epoch);
        while let Some((epoch, block)) = self.leaving.first().copied().filter(|(epoch, _)| *epoch <= oldest) {
            self.leaving.pop_first();
            // A newer image of the block may have come meanwhile.
            if self.images.get(&block).is_some_and(|image| image.home == Some(epoch)) {
                self.images.remove(&block);
            }
        }
        if !self.forgotten.is_empty() {
            self.forgotten.retain(|_, epoch| *epoch > oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INODE: BlockNum = BlockNum(3);

    fn image(byte: u8) -> Arc<[u8]> {
        [byte; 4].as_slice().into()
    }

    fn found(pending: &Pending, block: u64) -> Option<u8> {
        pending.in_range(block..block + 1).first().map(|(_, bytes)| bytes[0])
    }

    #[test]
    fn an_image_goes_when_it_is_home_and_not_when_a_newer_one_is_there() {
        let (pending, old, new) = (Arc::new(Pending::default()), image(1), image(2));
        pending.publish([(7, Arc::clone(&old))]);
        pending.publish([(7, Arc::clone(&new))]);
        pending.home(7, &old);
        assert_eq!(found(&pending, 7), Some(2));
        pending.home(7, &new);
        assert_eq!((found(&pending, 7), pending.len()), (None, 0));
    }

    /// A read asks the device, the block is changed, written home and dropped here; then the device's old answer
    /// arrives. Without tickets it would be shown, and cached for ever.
    #[test]
    fn an_image_stays_while_a_read_is_on_its_way_that_began_before_it_came() {
        let (pending, new) = (Arc::new(Pending::default()), image(2));
        let early = pending.read();
        pending.publish([(7, Arc::clone(&new))]);
        let late = pending.read();
        pending.home(7, &new);
        assert_eq!(found(&pending, 7), Some(2));
        assert!(!early.is_fresh(INODE, BlockNum(7), 1) && !early.is_fresh(INODE, BlockNum(6), 2));
        assert!(early.is_fresh(INODE, BlockNum(8), 1) && late.is_fresh(INODE, BlockNum(7), 1));
        drop((early, late));
        assert_eq!(found(&pending, 7), None);
    }

    /// A read asks the device after a block was published, and the device looks before the image is at home there. The
    /// image was dropped when it came home, as no read was older than itself: the device's old answer was then shown.
    #[test]
    fn an_image_stays_while_a_read_is_on_its_way_that_began_before_it_was_home() {
        let (pending, new) = (Arc::new(Pending::default()), image(2));
        pending.publish([(7, Arc::clone(&new))]);
        let read = pending.read();
        pending.home(7, &new);
        assert_eq!(found(&pending, 7), Some(2), "what the read brings is patched with it");
        assert!(read.is_fresh(INODE, BlockNum(7), 1));
        drop(read);
        assert_eq!(found(&pending, 7), None);
        drop(pending.read());
        assert!(pending.state().leaving.is_empty() && pending.state().images.is_empty());
    }

    #[test]
    fn what_was_on_its_way_when_its_inode_was_forgotten_is_not_kept() {
        let pending = Arc::new(Pending::default());
        let early = pending.read();
        pending.forget(INODE);
        let late = pending.read();
        assert!(!early.is_fresh(INODE, BlockNum(7), 1) && early.is_fresh(BlockNum(4), BlockNum(7), 1));
        assert!(late.is_fresh(INODE, BlockNum(7), 1));
        drop((early, late));
        assert!(pending.state().forgotten.is_empty() && pending.state().reads.is_empty());
    }
}
