//! What is left behind by a node that is no more, or by this one's last life: brought home and given back.

use ocfs2_format::JournalState;

use super::operation::Operation;
use super::{Writable, slots};
use crate::lock::{Level, Locks};
use crate::{Error, JournalError, OpenError, SystemFile, Volume};

/// A slot whose journal has been brought home, and whose lock is held: the rest of its recovery is to follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dead {
    slot: u16,
    state: JournalState,
    /// Blocks brought home; `None` where the journal was clean.
    pub(super) replayed: Option<usize>,
}

impl Dead {
    /// The slot.
    pub(super) fn slot(&self) -> u16 {
        self.slot
    }
}

/// Brings home the journals of all slots but `own` whose nodes are dead: those that are in use, and whose lock can be
/// had. `volume` must have been read after the superblock lock was taken; what it has cached is of no use afterwards.
pub(super) async fn replay_dead(
    volume: &Volume,
    locks: &mut Locks<'_>,
    own: u16,
) -> Result<Vec<Dead>, OpenError> {
    let mut dead = Vec::new();
    for slot in slots::others_in_use(volume, own) {
        let number = slot.number;
        let lock = slots::journal_lock(volume, number)?;
        let Some(state) = slot.journal else { continue };
        if locks.attempt(lock, Level::Exclusive).await?.is_none() {
            continue; // alive
        }
        let replayed = match state.dirty {
            true => Some(replay(volume, number).await?),
            false => None,
        };
        dead.push(Dead { slot: number, state, replayed });
    }
    Ok(dead)
}

/// Brings home the journal of `slot`. The journal stays marked dirty, with nothing in it.
pub(super) async fn replay(volume: &Volume, slot: u16) -> Result<usize, OpenError> {
    let inode = volume.system_inode(SystemFile::Journal(slot)).await?;
    let blocks = volume.replay_home(&inode).await.map_err(journal_of(slot))?;
    tracing::warn!(slot, blocks, "replayed a journal that was left dirty");
    Ok(blocks)
}

/// An error about the journal of `slot`.
pub(super) fn journal_of(slot: u16) -> impl Fn(JournalError) -> OpenError {
    move |source| OpenError::Journal { slot, source }
}

impl Writable {
    /// Gives back what the slots of the `dead` held on to, and then says that they are clean and free.
    ///
    /// A slot's journal stays marked dirty until all that was given back is at home. So when this is cut short, the
    /// next who opens the volume does it again: the log is empty then, and what has been given back is given back.
    /// (The kernel clears window and log first and gives back later: what it has not got to is lost until fsck.)
    pub(super) async fn finish_recovery(&self, op: &mut Operation<'_>, dead: &[Dead]) -> Result<(), Error> {
        if dead.is_empty() {
            return Ok(());
        }
        for Dead { slot, .. } in dead {
            op.empty_window(*slot).await?;
            op.empty_truncate_log(*slot).await?;
            op.recover_quotas(*slot).await?;
        }
        self.journal().flush_all().await?;
        for Dead { slot, state, replayed } in dead {
            if replayed.is_some() {
                let ino = self.system_ino(SystemFile::Journal(*slot))?;
                self.volume().write_journal_state(ino, after_replay(*state, false)).await?;
            }
            self.volume().write_slot(*slot, None).await?;
        }
        Ok(())
    }
}

/// The state of a journal after its replay: others see by the generation that it has been done.
pub(super) fn after_replay(state: JournalState, dirty: bool) -> JournalState {
    JournalState { dirty, recovery_generation: state.recovery_generation.wrapping_add(1) }
}
