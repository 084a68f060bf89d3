//! The lock service: what the filesystem asks of the cluster, and what the cluster asks of the filesystem.
//!
//! An operation takes its cluster locks through a [`Locks`] set before it starts to change anything, in the order that
//! keeps nodes from waiting for each other in a circle. Behind the trait [`LockService`] stands a cluster's lock
//! manager, or [`LocalLocks`] on a volume that only this host uses. A service keeps a lock granted until another node
//! wants it; then it sends a [`Demand`], and the filesystem does what it owes before it answers.
//!
//! Kinds, names and levels: `fs/ocfs2/dlmglue.c` of the kernel, whose nodes must agree with ours to the byte.

mod local;
mod lvb;
mod name;
mod order;
mod quota_lvb;
mod scan_lvb;

use std::fmt::Debug;

use block::IoFuture;

pub use local::LocalLocks;
pub use lvb::{LVB_LEN, Lvb, MetaLvb, RawMetaLvb};
pub use name::{LockKind, LockName};
pub use ocfs2_format::quota::QuotaKind;
pub use order::{Locks, Rank};
pub use quota_lvb::RawQuotaLvb;
pub use scan_lvb::RawScanLvb;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// PR: read what it protects, beside other readers.
    Shared,
    /// EX: change it, alone.
    Exclusive,
}

/// How a lock is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// Until it is granted. Waits, too, while the locks of a dead node are being recovered.
    Wait,
    /// At once or not at all: [`LockError::Busy`].
    Try,
    /// As `Wait`, but without waiting for the recovery of dead nodes: for that recovery itself.
    Recovery,
}

/// Why a lock was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another node holds it, and the caller did not want to wait.
    #[error("lock {name}: another node holds it")]
    Busy {
        /// The lock.
        name: LockName,
    },
    /// The operation holds it shared and asked for more: it must take it so from the start.
    #[error("lock {name}: it is held shared and cannot be raised within an operation")]
    Late {
        /// The lock.
        name: LockName,
    },
    /// This node is no longer a member of the cluster: nothing may be changed any more.
    #[error("lock {name}: this node has left the cluster: {why}")]
    Gone {
        /// The lock.
        name: LockName,
        /// What happened.
        why: String,
    },
}

impl LockError {
    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Busy { .. } | Self::Late { .. } => None,
            Self::Gone { .. } => Some("unmount the volume; it can be mounted again when the cluster is back"),
        }
    }
}

/// Where the filesystem gets its cluster locks.
pub trait LockService: Debug + Send + Sync {
    /// Takes the lock `name` at `level`. Many may hold a lock at once where the levels allow it; two of one node, too,
    /// keep each other out where one of them is exclusive, and who waits longest is next.
    ///
    /// The future may be dropped: the lock is then not held by the caller.
    fn lock(&self, name: LockName, level: Level, how: How) -> IoFuture<'_, Result<Guard, LockError>>;

    /// The next thing that the cluster wants of the filesystem; `None` when there will never be one again.
    ///
    /// Demands may be answered in any order, and more come while some are unanswered: one flush of the journal can
    /// serve them all. The future may be dropped: the demand then comes to the next one.
    fn demand(&self) -> IoFuture<'_, Option<Demand>>;
}

/// A lock that is held. Dropping it unlocks it; the node keeps the level granted until another one asks.
pub type Guard = Box<dyn Held>;

/// What can be done with a lock that is held.
pub trait Held: Debug + Send + Sync {
    /// What is cached of the thing it protects is of no use: the lock was not held for a while, and nobody has
    /// refreshed since. Only for the kinds that [need it](LockKind::refreshes); never on a local mount.
    fn needs_refresh(&self) -> bool;

    /// Says that the holder has dropped what was cached, and read anew what it wants.
    fn refreshed(&self);

    /// The lock's value block, where the service has a valid one. What is in it must still be judged.
    fn lvb(&self) -> Option<Lvb>;

    /// The value block that other nodes shall find when this node lowers the lock. Only under [`Level::Exclusive`].
    fn set_lvb(&self, lvb: &Lvb);
}

/// Another node wants a lock that this node keeps.
///
/// When it arrives nobody here holds the lock in a way that conflicts, and nobody gets it before the answer. What the
/// filesystem owes before the answer depends on the kind: see [`LockKind`]. Dropping it unanswered means that the
/// duty could not be done: the service must then keep the lock, or leave the cluster, but never lower it.
#[derive(Debug)]
pub struct Demand {
    /// The lock.
    pub name: LockName,
    /// What this node keeps until the answer.
    pub from: Level,
    /// What it may keep after it: shared where the other node wants to read, else nothing.
    pub to: Option<Level>,
    answer: Box<dyn Answer>,
}

impl Demand {
    /// A demand whose answer goes to `answer`.
    #[must_use]
    pub fn new(name: LockName, from: Level, to: Option<Level>, answer: Box<dyn Answer>) -> Self {
        Self { name, from, to, answer }
    }

    /// Lets the lock go down. `lvb` goes with it where the level was exclusive and the kind has one.
    pub fn done(self, lvb: Option<Lvb>) {
        self.answer.done(lvb);
    }
}

/// The service's end of a [`Demand`].
pub trait Answer: Debug + Send + Sync {
    /// The duties are done.
    fn done(self: Box<Self>, lvb: Option<Lvb>);
}
