//! What the kernel may cache of a mount, and how it is made to forget in time.
//!
//! On a mount that alone changes its volume the kernel sees every change: it may keep everything for long
//! ([`Policy::Alone`]). Where other nodes change it too, what the kernel has of an inode is good for as long as this node
//! holds the inode's cluster lock ([`Policy::Shared`]), and the lock can be lowered only when the kernel has let go:
//! that is what [`Giver`] sees to. It owns no descriptor, thread or lock; it is told what happens and says what to do.

mod giver;
mod ranges;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rustix::fs::OFlags;

pub use giver::{Filling, Giver, Output, Pass, Want};
pub use ranges::ByteRange;

/// How long the kernel may rely on what nobody else changes: a day is as good as for ever.
const LONG: Duration = Duration::from_secs(86_400);

/// What a kernel may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nobody changes the volume but through this kernel.
    Alone,
    /// Others do. `direct_mmap`: files that are opened past the page cache can be mapped shared
    /// (`FUSE_DIRECT_IO_ALLOW_MMAP`, Linux 6.6).
    Shared {
        /// Whether they can.
        direct_mmap: bool,
    },
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHow {
    /// Pages cached by an earlier open are still good.
    pub keep_cache: bool,
    /// Reads and writes go past the page cache.
    pub direct_io: bool,
    /// Writes that do not extend the file may run side by side.
    pub parallel_writes: bool,
    /// Through this file pages may become dirty without anybody being told: while it is open, pages of the inode are to
    /// be held under the exclusive lock only.
    pub maps_shared: bool,
}

impl Policy {
    /// How long attributes may be taken as true.
    ///
    /// On a shared volume: while the inode's lock is held and not wanted; [`Giver::attributes`] says when it is.
    pub fn attr_ttl(self) -> Duration {
        LONG
    }

    /// How long a name may be taken to lead where it did, or nowhere.
    ///
    /// On a shared volume not at all. To take a name back the kernel needs its directory's inode lock, which a local
    /// create holds that waits for the very cluster lock that another node wants from us.
    pub fn entry_ttl(self) -> Duration {
        match self {
            Self::Alone => LONG,
            Self::Shared { .. } => Duration::ZERO,
        }
    }

    /// How a file is opened with the flags of open(2).
    ///
    /// Writers on a shared volume go past the page cache. Else a write to a part of a page that is not cached keeps the
    /// page locked until it is answered: with the shared lock held and the exclusive one wanted, by us and by another
    /// node, nobody could go on.
    pub fn open(self, flags: u32) -> OpenHow {
        let mode = flags & OFlags::ACCMODE.bits();
        let writes = mode != OFlags::RDONLY.bits();
        let direct = flags & OFlags::DIRECT.bits() != 0;
        match self {
            // The kernel serves O_DIRECT on a cached file, too, but one write at a time.
            Self::Alone => {
                OpenHow { keep_cache: true, direct_io: false, parallel_writes: false, maps_shared: false }
            }
            Self::Shared { direct_mmap } => OpenHow {
                keep_cache: true,
                direct_io: writes || direct,
                parallel_writes: direct,
                maps_shared: direct_mmap && mode == OFlags::RDWR.bits(),
            },
        }
    }
}
