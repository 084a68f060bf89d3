//! Quotas: what users and groups use is counted with every change, and kept within their limits.
//!
//! Limits and usage of all ids lie in a global file. A node that counts for an id enters itself there, once, under the
//! file's locks, and from then on notes what it changes in its slot's local file, in the same transaction as the change
//! itself: [`charge`]. Now and then the local changes are [brought](sync) into the global file; that is when
//! the node learns what others use. So limits are kept by each node as of its last look, as in the kernel's cluster.
//!
//! What counts: one inode each, and the clusters of contents and of a directory's index; not those of attributes. The
//! volume's own files and its root are exempt.
//!
//! A local file is not clean while its slot is in use: whoever recovers the slot brings its changes into the global
//! file.

mod charge;
mod file;
mod global;
mod hand_over;
mod hold;
mod limits;
mod local;
mod recover;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ocfs2_format::RoCompat;
use ocfs2_format::quota::{QuotaEntry, QuotaKind};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use file::QuotaFile;
use global::GlobalFile;
pub use limits::{QuotaGraces, QuotaLimits, QuotaStatus};
use local::LocalFile;

use crate::{Error, SystemFile, Volume};

/// `user` or `group`.
pub(crate) fn kind_name(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::User => "user",
        QuotaKind::Group => "group",
    }
}

/// What of quotas is kept in memory.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// Users and groups, as far as the volume counts them.
    kinds: Vec<Quota>,
}

/// Users, or groups.
#[derive(Debug)]
struct Quota {
    kind: QuotaKind,
    global: GlobalFile,
    local: LocalFile,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether changes may be counted: after opening, before closing.
    on: bool,
    /// The ids that this node counts for.
    known: BTreeMap<u32, Known>,
    graces: QuotaGraces,
    /// Milliseconds between syncs.
    sync_ms: u32,
    /// Syncs so far.
    round: u64,
}

/// An id that this node counts for.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Its entry in the local file.
    number: u32,
    /// Its entry in the global file, as it was when it was last looked at; the ends of its graces are newer.
    global: QuotaEntry,
    /// The sync before which it was last charged.
    used: u64,
}

/// What a change does to the state in memory, once it is published.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// The id is counted for.
    Held { kind: QuotaKind, id: u32, number: u32, global: QuotaEntry },
    /// Its usage was changed, and its graces end so.
    Charged { kind: QuotaKind, id: u32, grace_ends: (u64, u64) },
    /// Its changes are in the global file, which now says this.
    Synced { kind: QuotaKind, global: QuotaEntry },
    /// It is no longer counted for.
    Released { kind: QuotaKind, id: u32 },
    /// The information of the global file was read or changed.
    Info { kind: QuotaKind, graces: QuotaGraces, sync_ms: u32 },
    /// Counting begins.
    On { kind: QuotaKind },
    /// Counting ends.
    Off { kind: QuotaKind },
}

impl Quotas {
    /// Those of `volume`, for the node in `slot`.
    pub(super) fn new(volume: &Volume, slot: u16) -> Result<Self, Error> {
        let features = volume.superblock().features.ro_compat;
        let kinds = [(QuotaKind::User, RoCompat::USRQUOTA), (QuotaKind::Group, RoCompat::GRPQUOTA)];
        let counted = kinds.into_iter().filter(|(_, feature)| features.contains(*feature));
        let quota = |(kind, _)| {
            let file = match kind {
                QuotaKind::User => SystemFile::UserQuota,
                QuotaKind::Group => SystemFile::GroupQuota,
            };
            let ino = volume.system_file(file).ok_or(Error::NoSystemFile { file })?;
            let global = GlobalFile { file: QuotaFile { ino }, kind };
            Ok(Quota { kind, global, local: local_file(volume, kind, slot)?, state: Mutex::default() })
        };
        Ok(Self { kinds: counted.map(quota).collect::<Result<_, Error>>()? })
    }

    fn of(&self, kind: QuotaKind) -> Result<&Quota, Error> {
        self.kinds.iter().find(|quota| quota.kind == kind).ok_or(Error::NoQuota { kind })
    }

    /// Applies what a change that is published has done.
    pub(super) fn apply(&self, effects: &[Effect]) {
        for effect in effects {
            let kind = effect.kind();
            if let Ok(quota) = self.of(kind) {
                quota.state().apply(*effect);
            }
        }
    }
}

impl Effect {
    fn kind(&self) -> QuotaKind {
        match *self {
            Self::Held { kind, .. }
            | Self::Charged { kind, .. }
            | Self::Synced { kind, .. }
            | Self::Released { kind, .. }
            | Self::Info { kind, .. }
            | Self::On { kind }
            | Self::Off { kind } => kind,
        }
    }
}

impl State {
    fn apply(&mut self, effect: Effect) {
        let round = self.round;
        match effect {
            Effect::Held { id, number, global, .. } => {
                self.known.insert(id, Known { number, global, used: round });
            }
            Effect::Charged { id, grace_ends, .. } => {
                if let Some(known) = self.known.get_mut(&id) {
                    known.used = round;
                    known.global.grace_ends = grace_ends;
                }
            }
            Effect::Synced { global, .. } => {
                if let Some(known) = self.known.get_mut(&global.id) {
                    known.global = global;
                }
            }
            Effect::Released { id, .. } => {
                self.known.remove(&id);
            }
            Effect::Info { graces, sync_ms, .. } => (self.graces, self.sync_ms) = (graces, sync_ms),
            Effect::On { .. } => self.on = true,
            Effect::Off { .. } => self.on = false,
        }
    }
}

impl Quota {
    /// What is known of `id`.
    fn known(&self, id: u32) -> Option<Known> {
        self.state().known.get(&id).copied()
    }

    /// No holder leaves the state half changed: every change ends before anything can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The local file of `slot`.
fn local_file(volume: &Volume, kind: QuotaKind, slot: u16) -> Result<LocalFile, Error> {
    let file = match kind {
        QuotaKind::User => SystemFile::LocalUserQuota(slot),
        QuotaKind::Group => SystemFile::LocalGroupQuota(slot),
    };
    let ino = volume.system_file(file).ok_or(Error::NoSystemFile { file })?;
    Ok(LocalFile { file: QuotaFile { ino }, kind })
}

/// Changes the raw structure at byte `offset` of a block, which parsing has shown to have it.
fn raw<T>(bytes: &mut [u8], offset: usize, change: impl FnOnce(&mut T))
where
    T: FromBytes + Immutable + IntoBytes + KnownLayout + Unaligned,
{
    let tail = bytes.get_mut(offset..).and_then(|tail| T::mut_from_prefix(tail).ok());
    let (raw, _) = tail.expect("a whole block, and a place in it that the format gave");
    change(raw);
}
