//! Looking for inodes without a name that nobody has any more.
//!
//! After opening, in the directories of this slot and of those that nobody uses; from then on now and then in all of
//! them, each time by one node of the cluster, as they agree on with a count in a lock's value block.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ocfs2_format::{BlockNum, DinodeFlags};
use tokio::sync::OnceCell;
use zerocopy::little_endian::{U16, U32};

use super::Writable;
use super::names::names_of;
use super::recover::Dead;
use crate::lock::{Level, LockName, Rank, RawScanLvb};
use crate::{Error, Volume};

/// How often all directories are scanned (`ORPHAN_SCAN_SCHEDULE_TIMEOUT`).
const SCAN_EVERY: Duration = Duration::from_secs(300);
/// What the names begin with of inodes that were being appended to, past their size.
const APPENDING: &[u8] = b"dio-";

/// What is known of scans.
#[derive(Debug)]
pub(super) struct Scans {
    /// The slots to be scanned after opening.
    first: Vec<u16>,
    first_done: OnceCell<()>,
    /// Scans of the whole cluster that this node knows of.
    count: AtomicU32,
}

impl Scans {
    /// None yet. The first one is of slot `own`, and of those that have nobody, or had the `dead`.
    pub(super) fn new(volume: &Volume, own: u16, dead: &[Dead]) -> Self {
        let is_ours = |number| number == own || dead.iter().any(|dead| dead.slot() == number);
        let slots = volume.slots().iter().filter(|slot| slot.node.is_none() || is_ours(slot.number));
        let first = slots.map(|slot| slot.number).collect();
        Self { first, first_done: OnceCell::new(), count: AtomicU32::new(0) }
    }
}

/// What an orphan directory holds.
#[derive(Debug, Default)]
struct Orphans {
    /// Inodes that have lost their last name.
    nameless: Vec<BlockNum>,
    /// Inodes that were being appended to.
    appended: Vec<BlockNum>,
}

impl Writable {
    /// Deletes what a crash has left in the orphan directories of this slot, and of those that nobody uses. [`drive`]
    /// begins with it, and closing waits for it; to be called where it must be done by now. It is done once. What fails
    /// is left for later.
    ///
    /// [`drive`]: Self::drive
    pub async fn scan_after_opening(&self) {
        let scans = self.scans();
        let scan = async {
            for slot in &scans.first {
                self.scan_slot(*slot, true).await;
            }
        };
        scans.first_done.get_or_init(|| scan).await;
    }

    /// Scans now and then.
    pub(super) async fn tend_orphans(&self) {
        self.scan_after_opening().await;
        while self.read_only().is_none() {
            self.clock().sleep(SCAN_EVERY).await;
            match self.judged(self.is_my_scan().await) {
                Ok(true) => {
                    for slot in 0..self.volume().superblock().max_slots {
                        self.scan_slot(slot, false).await;
                    }
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the orphan directories could not be scanned"),
            }
        }
    }

    /// Whether it is this node's turn to scan: no other node has since the last time.
    async fn is_my_scan(&self) -> Result<bool, Error> {
        let mut op = self.operation();
        let held = op.lock(Rank::Scan, LockName::orphan_scan(), Level::Exclusive).await?;
        held.refreshed();
        let known = self.scans().count.load(Ordering::Relaxed);
        let found = held.lvb().and_then(|lvb| RawScanLvb::unpack(&lvb));
        let (mine, count) = turn(known, found);
        held.set_lvb(&RawScanLvb::pack(count));
        self.scans().count.store(count, Ordering::Relaxed);
        Ok(mine)
    }

    /// Deletes what can be deleted of the orphan directory of `slot`. What fails is left for the next time.
    async fn scan_slot(&self, slot: u16, recovers: bool) {
        let orphans = match self.judged(self.orphans(slot).await) {
            Ok(orphans) => orphans,
            Err(error) => {
                tracing::warn!(slot, %error, "an orphan directory could not be read");
                return;
            }
        };
        for ino in orphans.nameless {
            if self.read_only().is_some() {
                return;
            }
            self.try_delete(ino).await;
        }
        for ino in orphans.appended.into_iter().filter(|_| recovers) {
            if let Err(error) = self.judged(self.cut_appended(ino, slot).await) {
                tracing::warn!(ino = ino.0, %error, "what was appended in vain could not be given up");
            }
        }
    }

    /// What the orphan directory of `slot` holds.
    async fn orphans(&self, slot: u16) -> Result<Orphans, Error> {
        let dir = self.orphan_dir(slot)?;
        let mut op = self.operation();
        op.lock_inode(Rank::OrphanDir, dir, Level::Shared).await?;
        let inode = self.volume().inode(dir).await?;
        let mut orphans = Orphans::default();
        let mut position = Some(0);
        while let Some(at) = position {
            let page = self.volume().readdir(&inode, at).await?;
            if let Some(damage) = page.damage.into_iter().next() {
                return Err(damage.into());
            }
            for entry in page.entries.into_iter().filter(|entry| !entry.is_dot()) {
                match entry.name.starts_with(APPENDING) {
                    true => orphans.appended.push(entry.ino),
                    false => orphans.nameless.push(entry.ino),
                }
            }
            position = page.next;
        }
        Ok(orphans)
    }

    /// Takes from a file what was allocated past its end for a write that was cut short, and its entry out of the orphan
    /// directory of `slot`. What lies past the end in the last cluster may be anything, as always.
    async fn cut_appended(&self, ino: BlockNum, slot: u16) -> Result<(), Error> {
        let generation = self.stat(ino).await?.attr().generation;
        let mut op = self.operation();
        op.lock(Rank::Rw, LockName::rw(ino, generation), Level::Exclusive).await?;
        op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        let inode = self.volume().inode(ino).await?;
        if inode.dinode().dio_orphaned_slot != Some(slot) {
            return Ok(());
        }
        let dir = self.orphan_dir(slot)?;
        op.lock_inode(Rank::OrphanDir, dir, Level::Exclusive).await?;
        let used = self.volume().geometry().clusters_for(inode.size());
        op.drop_extents(ino, (used, 1 << 32)).await?;
        let name = [APPENDING, &super::orphans::orphan_name(ino)].concat();
        loop {
            let mut change = op.begin().await?;
            let steps = async {
                names_of(&mut change, dir).remove(&name).await?;
                let raw = change.dinode(ino).await?;
                raw.flags = U32::new(raw.flags.get() & !DinodeFlags::DIO_ORPHANED.bits());
                raw.dio_orphaned_slot = U16::ZERO;
                Ok(())
            };
            let done = steps.await;
            if change.end(done).await?.is_some() {
                break;
            }
        }
        drop(op);
        // It may have lost its last name meanwhile.
        self.delete(ino).await
    }
}

/// Whether it is the turn of a node that knows of `known` scans where the value block says that there were `found`, if it
/// says anything; and how many there are then.
fn turn(known: u32, found: Option<u32>) -> (bool, u32) {
    match found {
        Some(found) if found != known => (false, found),
        _ => (true, known.wrapping_add(1)),
    }
}
