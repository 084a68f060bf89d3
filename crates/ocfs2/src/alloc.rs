//! Claiming and freeing: clusters, and the blocks of metadata.
//!
//! Everything here changes blocks of a [`Handle`] and does no more: the caller has started it,
//! publishes it, and holds the cluster locks of the allocators that are touched. What fails for want of space
//! ([`Error::NoSpace`]) leaves the handle as it was; after any other error the handle must be dropped.
//!
//! Clusters come from this slot's local window, or straight from the cluster bitmap; blocks from the inode or extent
//! allocator of a slot, which grows by groups of clusters. Clusters go back through the truncate log, blocks to where
//! they came from.
//!
//! A cluster that was freed is not claimed again before its transaction, and with it every image of what lay there, is
//! home: until then an older image could still be replayed over the new contents. [`Allocators::published`] and
//! [`Allocators::home`] tell when.

mod ahead;
mod block;
mod chain;
mod cluster;
mod grow;
mod held;
mod search;
#[cfg(test)]
mod tests;
mod truncate_log;
mod window;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocfs2_format::{BlockNum, ClusterNum};

pub use block::{NewBlock, Pool};
pub use truncate_log::LogRecord;
pub(crate) use window::Growth;
pub use window::{Reserved, Window};

use crate::txn::{Handle, Sealed};
use crate::{Error, SystemFile, Volume};
use ahead::Ahead;
use held::Held;

/// Clusters of the volume, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterRun {
    /// The first.
    pub start: ClusterNum,
    /// How many.
    pub clusters: u32,
}

impl ClusterRun {
    /// Their numbers. What is claimed or freed is checked to lie on the volume.
    #[must_use]
    pub fn range(self) -> Range<u32> {
        self.start.0..self.start.0.saturating_add(self.clusters)
    }
}

/// The allocators of a volume as one slot uses them, and what of their use is kept in memory.
#[derive(Debug)]
pub struct Allocators {
    slot: u16,
    max_slots: u16,
    first_group: BlockNum,
    files: BTreeMap<SystemFile, BlockNum>,
    state: Arc<Mutex<State>>,
}

/// What is kept in memory only.
#[derive(Debug, Default)]
struct State {
    /// Clusters freed in transactions that are not home.
    held: Held,
    /// Clusters of the local window that somebody is about to claim.
    reserved: BTreeMap<u32, u32>,
    /// Clusters of the local window that growing files are about to want.
    ahead: Ahead,
    /// Allocator to the group that last gave something.
    last_group: BTreeMap<BlockNum, BlockNum>,
}

impl Allocators {
    /// The allocators of `volume` for the node that holds `slot`.
    #[must_use]
    pub fn new(volume: &Volume, slot: u16) -> Self {
        let max_slots = volume.superblock().max_slots;
        let of_slot = |slot| {
            [SystemFile::InodeAlloc(slot), SystemFile::ExtentAlloc(slot), SystemFile::TruncateLog(slot)]
        };
        let own = [SystemFile::LocalAlloc(slot)];
        let files = ([SystemFile::GlobalBitmap, SystemFile::GlobalInodeAlloc].into_iter())
            .chain(own)
            .chain((0..max_slots).flat_map(of_slot))
            .filter_map(|file| Some((file, volume.system_file(file)?)))
            .collect();
        let first_group = volume.superblock().first_cluster_group;
        Self { slot, max_slots, first_group, files, state: Arc::default() }
    }

    /// The slot.
    #[must_use]
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// `sealed` has been published as part of transaction `tid`: what it freed is held. To be called before another
    /// handle is begun. Later transactions have greater numbers.
    pub fn published(&self, sealed: &Sealed, tid: u64) {
        let mut state = self.state();
        state.held.hold(sealed.freed(), tid);
        state.last_group.extend(sealed.hints());
    }

    /// Every transaction up to `tid` is home and the journal's tail has moved past it: nothing of them is ever replayed.
    pub fn home(&self, tid: u64) {
        self.state().held.release(tid);
    }

    /// Clusters that are free on the volume, but not yet for use.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.state().held.clusters()
    }

    /// The allocator whose inode is `ino`.
    pub(crate) fn allocator(&self, ino: BlockNum) -> Option<SystemFile> {
        self.files.iter().find(|(_, of)| **of == ino).map(|(file, _)| *file)
    }

    /// The group of `allocator` to be asked first. A group that only this handle has is no hint for others.
    fn hint(&self, handle: &Handle<'_>, allocator: BlockNum) -> Option<BlockNum> {
        handle.hint(allocator).or_else(|| self.state().last_group.get(&allocator).copied())
    }

    /// The inode of `file`.
    fn file(&self, file: SystemFile) -> Result<BlockNum, Error> {
        self.files.get(&file).copied().ok_or(Error::NoSystemFile { file })
    }

    /// A panic elsewhere leaves the maps whole: every change here ends before anything can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
