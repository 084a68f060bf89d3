//! Node slots: which one this node takes, and the map that tells the others.

use ocfs2_format::SlotMap;

use crate::lock::{Level, LockName, Locks};
use crate::system::{Slot, SystemFile};
use crate::{Error, OpenError, Volume};

/// Chooses a slot for `node`: the one that it has already, by the map, else the first free one, else one whose node is
/// dead. The caller holds the superblock lock, so nobody else chooses meanwhile.
///
/// Holding the lock of a slot's journal means being alive; so a slot whose journal can be locked is no living node's.
pub(super) async fn choose(volume: &Volume, locks: &mut Locks<'_>, node: u32) -> Result<u16, OpenError> {
    let slots = volume.slots();
    let own = slots.iter().find(|slot| slot.node == Some(node));
    if let Some(slot) = own.or_else(|| slots.iter().find(|slot| slot.node.is_none())) {
        return Ok(slot.number);
    }
    for slot in slots {
        if locks.attempt(journal_lock(volume, slot.number)?, Level::Exclusive).await?.is_some() {
            return Ok(slot.number);
        }
    }
    Err(OpenError::NoSlot { slots: volume.superblock().max_slots })
}

/// The lock that the owner of a slot holds as long as it lives.
pub(super) fn journal_lock(volume: &Volume, slot: u16) -> Result<LockName, Error> {
    let file = SystemFile::Journal(slot);
    let ino = volume.system_file(file).ok_or(Error::NoSystemFile { file })?;
    Ok(LockName::meta(ino, volume.superblock().fs_generation))
}

/// The slots that need recovery although they are not `own`: somebody's by the map, or with a dirty journal.
pub(super) fn others_in_use(volume: &Volume, own: u16) -> impl Iterator<Item = &Slot> {
    let in_use = |slot: &&Slot| slot.node.is_some() || slot.journal.is_some_and(|journal| journal.dirty);
    volume.slots().iter().filter(move |slot| slot.number != own).filter(in_use)
}

impl Volume {
    /// Writes who has `slot` into the slot map, and waits until it is on stable storage. Nobody else may write the map
    /// meanwhile: the caller holds the superblock lock.
    pub(super) async fn write_slot(&self, slot: u16, node: Option<u32>) -> Result<(), Error> {
        let inode = self.system_inode(SystemFile::SlotMap).await?;
        let map = self.file_map(&inode).await?;
        let volume = self.meta().volume();
        let block_len = self.geometry().block_size.bytes();
        let count = (SlotMap::bytes(volume) as u64).div_ceil(block_len);
        let mut places = Vec::new();
        let mut bytes = Vec::new();
        for n in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            let place = map.place(n)?;
            bytes.extend_from_slice(&self.meta().disk().read_blocks(place.0, 1).await?);
            places.push(place);
        }
        let before = bytes.clone();
        SlotMap::write_slot(volume, &mut bytes, slot, node).ok_or(Error::NodeNumber { node })?;
        let len = volume.block_len();
        for (place, (old, new)) in places.iter().zip(before.chunks(len).zip(bytes.chunks(len))) {
            if old != new {
                self.write_block(*place, "the slot map", new).await?;
            }
        }
        self.flush_device().await
    }
}
