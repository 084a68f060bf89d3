//! What the kernel must look at again when a change was made although its caller had been told that it was not.

use smallvec::SmallVec;

use crate::Ino;
use crate::notify::Notifier;
use crate::reply::ino_of;
use crate::request::{Call, Change, Name};

/// What becomes of a request that nobody waits for any more.
#[derive(Debug)]
pub(crate) enum Nature {
    /// It only looks: it is dropped.
    Looks,
    /// It gives the kernel references: it goes on, for what holds an inode must be given back.
    Refers,
    /// It changes something: it goes on, come what may, and the kernel is told.
    Changes(Aftermath),
}

impl Nature {
    /// That of a call about `ino`.
    pub(crate) fn of(call: &Call, ino: Ino, root: Ino) -> Self {
        match call {
            Call::Lookup { .. } | Call::ReadDir { plus: true, .. } => Self::Refers,
            call => Aftermath::of(call, ino, root).map_or(Self::Looks, Self::Changes),
        }
    }
}

/// The names and inodes of a change.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    names: SmallVec<[(Ino, Name); 2]>,
    inodes: SmallVec<[Ino; 2]>,
}

impl Aftermath {
    /// That of a call about `ino`; `None` for one that changes nothing.
    fn of(call: &Call, ino: Ino, root: Ino) -> Option<Self> {
        let mut after = Self { names: SmallVec::new(), inodes: SmallVec::from_slice(&[ino]) };
        match call {
            Call::Change(change) => after.add(change, ino, root),
            Call::Release { .. } | Call::Sync | Call::Ioctl { .. } => {}
            Call::Open { flags, .. } if flags & rustix::fs::OFlags::TRUNC.bits() != 0 => {}
            _ => return None,
        }
        Some(after)
    }

    fn add(&mut self, change: &Change, ino: Ino, root: Ino) {
        match change {
            Change::Make { name, .. }
            | Change::Create { name, .. }
            | Change::Unlink { name }
            | Change::RmDir { name } => self.names.push((ino, name.clone())),
            Change::Link { node, name } => {
                self.names.push((ino, name.clone()));
                self.inodes.push(ino_of(*node, root));
            }
            Change::Rename { name, to_dir, to, .. } => {
                let to_dir = ino_of(*to_dir, root);
                self.names.push((ino, name.clone()));
                self.names.push((to_dir, to.clone()));
                self.inodes.push(to_dir);
            }
            Change::CopyRange { to, .. } => self.inodes.push(ino_of(*to, root)),
            _ => {}
        }
    }

    /// Tells the kernel. Blocks.
    pub(crate) fn tell(&self, notifier: &Notifier) {
        let names = self.names.iter().map(|(dir, name)| notifier.forget_name(*dir, name));
        let inodes = self.inodes.iter().map(|ino| notifier.forget_pages(*ino));
        for errno in names.chain(inodes).filter_map(Result::err) {
            tracing::debug!(%errno, "the kernel was not told of a change that came late");
        }
    }
}
