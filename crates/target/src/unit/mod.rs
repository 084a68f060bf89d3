//! A logical unit: a disk behind the commands of SBC.

mod admit;
mod compare;
mod inquiry;
mod medium;
mod mode;
mod opcodes;
mod reply;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use block::{BlockDevice, Geometry};
use iscsi::Attribute;
use scsi::{AdditionalSense, Lun};

use crate::error::UnitError;
use crate::identity::Identity;
use crate::nexus::Nexus;
use crate::range_lock::{Hold, RangeLocks};
use crate::task_set::{Place, TaskSet};

pub(crate) use admit::invalid_field;
pub(crate) use admit::{Admitted, Expected};
pub(crate) use inquiry::standard;
pub(crate) use medium::Started;
pub(crate) use mode::Mode;
pub(crate) use reply::{DataIn, Reply};

/// Names a session within its target, for as long as the target runs.
pub(crate) type SessionId = u64;

/// Most bytes of one READ or WRITE; told in the Block Limits page.
pub(crate) const MAX_TRANSFER: u32 = 8 << 20;
/// Most blocks of one WRITE SAME: bounds how long a range is owned.
const MAX_WRITE_SAME: u64 = 1 << 15;
/// Most blocks of one UNMAP.
const MAX_UNMAP_BLOCKS: u32 = 1 << 20;
/// Most ranges of one UNMAP.
const MAX_UNMAP_RANGES: u32 = 256;

/// A logical unit.
#[derive(Debug)]
pub(crate) struct Unit {
    lun: Lun,
    device: Arc<dyn BlockDevice>,
    geometry: Geometry,
    /// Bytes of a logical block.
    block: u32,
    /// Logical blocks.
    blocks: u64,
    read_only: bool,
    identity: Identity,
    iqn: String,
    tag: u16,
    mode: Mutex<mode::Mode>,
    locks: RangeLocks,
    tasks: TaskSet,
    nexuses: Mutex<BTreeMap<SessionId, Arc<Nexus>>>,
    /// Counts resets: commands of an earlier count are not answered.
    epoch: AtomicU64,
}

/// How a unit is to be made.
#[derive(Debug)]
pub(crate) struct UnitSpec {
    /// Its number.
    pub(crate) lun: Lun,
    /// What lies behind it.
    pub(crate) device: Arc<dyn BlockDevice>,
    /// Bytes of a logical block: 512 or 4096.
    pub(crate) block: u32,
    /// Whether writes are refused, even where the device would take them.
    pub(crate) read_only: bool,
    /// Its names.
    pub(crate) identity: Identity,
    /// Name of its target.
    pub(crate) iqn: String,
    /// Tag of its target portal group.
    pub(crate) tag: u16,
}

impl Unit {
    /// Makes a unit of a disk.
    ///
    /// # Errors
    /// [`UnitError`] where the disk's blocks are larger than the unit's, or it has not one whole block.
    pub(crate) fn new(spec: UnitSpec) -> Result<Self, UnitError> {
        let geometry = spec.device.geometry();
        let name = || spec.device.name().to_owned();
        if !matches!(spec.block, 512 | 4096) {
            return Err(UnitError::BlockSize { lun: spec.lun, block: spec.block });
        }
        if !spec.block.is_multiple_of(geometry.logical_block) {
            let (device, needs) = (name(), geometry.logical_block);
            return Err(UnitError::DeviceBlock { lun: spec.lun, device, block: spec.block, needs });
        }
        let blocks = geometry.size / u64::from(spec.block);
        if blocks == 0 {
            let (device, size) = (name(), geometry.size);
            return Err(UnitError::TooSmall { lun: spec.lun, device, size, block: spec.block });
        }
        Ok(Self {
            lun: spec.lun,
            read_only: spec.read_only || geometry.read_only,
            device: spec.device,
            geometry,
            block: spec.block,
            blocks,
            identity: spec.identity,
            iqn: spec.iqn,
            tag: spec.tag,
            mode: Mutex::default(),
            locks: RangeLocks::default(),
            tasks: TaskSet::default(),
            nexuses: Mutex::default(),
            epoch: AtomicU64::new(0),
        })
    }

    /// Its number.
    pub(crate) fn lun(&self) -> Lun {
        self.lun
    }

    /// Its names.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Bytes of a logical block.
    pub(crate) fn block_size(&self) -> u32 {
        self.block
    }

    /// Logical blocks.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Whether writes are refused for good.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// What lies behind it.
    pub(crate) fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.device
    }

    /// A session begins to use the unit; it is told first what made it new.
    pub(crate) fn attach(&self, session: SessionId, first: AdditionalSense) -> Arc<Nexus> {
        let nexus = Nexus::new(first);
        self.nexuses().insert(session, Arc::clone(&nexus));
        nexus
    }

    /// A session is over.
    pub(crate) fn detach(&self, session: SessionId) {
        self.nexuses().remove(&session);
    }

    /// Tells all sessions but one that something changed.
    fn raise_to_others(&self, session: Option<SessionId>, news: AdditionalSense) {
        for (id, nexus) in self.nexuses().iter() {
            if Some(*id) != session {
                nexus.raise(news);
            }
        }
    }

    /// Enters a command into the task set, as it arrives; it may run when [`Place::turn`] says so, and has ended when
    /// the place is dropped.
    pub(crate) fn enter(&self, attribute: Attribute) -> Place<'_> {
        self.tasks.enter(attribute)
    }

    /// How many resets there were; a command's answer counts only in its own epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Resets the unit: commands under way are done and not answered, mode parameters are what they were at the
    /// start, and every session is told. Returns when nothing of before can touch the medium any more.
    pub(crate) async fn reset(&self) {
        self.abort_all().await;
        *self.mode() = mode::Mode::default();
        self.raise_to_others(None, AdditionalSense::BUS_DEVICE_RESET);
    }

    /// Aborts the commands of all sessions. Returns when nothing of before can touch the medium any more; the
    /// others than `session` are told.
    pub(crate) async fn clear(&self, session: Option<SessionId>) {
        self.abort_all().await;
        self.raise_to_others(session, AdditionalSense::COMMANDS_CLEARED);
    }

    /// Nothing that came before touches the medium any more when this returns: what holds a range has ended, what
    /// still waits for one, for its turn or for its data finds another epoch.
    async fn abort_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.tasks.abort();
        let _all = self.locks.lock(0..u64::MAX, Hold::Owned).await;
    }

    /// Byte range of a block range that was checked to lie on the unit.
    fn bytes(&self, lba: u64, blocks: u64) -> Range<u64> {
        let block = u64::from(self.block);
        lba * block..(lba + blocks) * block
    }

    fn nexuses(&self) -> MutexGuard<'_, BTreeMap<SessionId, Arc<Nexus>>> {
        // Entries are inserted and removed whole.
        self.nexuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mode(&self) -> MutexGuard<'_, mode::Mode> {
        // A few flags, each of which is set whole.
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
