//! Time, which comes from outside.

use std::fmt::Debug;
use std::time::Duration;

use block::IoFuture;
use ocfs2_format::Timestamp;

/// The clock that a volume open for writing goes by: the machine's, or a simulator's.
pub trait Clock: Debug + Send + Sync {
    /// The time of day: what inodes are stamped with. It may move in ticks, as the kernel's does (of some milliseconds):
    /// who writes in place where the inode has this very time need not change it.
    fn now(&self) -> Timestamp;

    /// Time since any fixed moment. Never goes backwards.
    fn monotonic(&self) -> Duration;

    /// Is done after `time`: what the journal waits for between commits.
    fn sleep(&self, time: Duration) -> IoFuture<'_, ()>;
}
