//! Telling the kernel that what it has cached is old.

use std::sync::Arc;

use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::Ino;
use crate::abi::{NOTIFY_INVAL_ENTRY, NOTIFY_INVAL_INODE, RawNotifyInvalEntry, RawNotifyInvalInode};
use crate::channel::Channel;
use crate::reply::node_of;

/// Tells the kernel what to forget. Cloning is cheap.
///
/// Each method blocks its thread, maybe for long: [`Self::forget_pages`] waits for pages that a READ in flight keeps
/// locked, [`Self::forget_name`] for the parent's lock, which a CREATE in flight holds. So they are for threads that
/// no request depends on.
#[derive(Clone, Debug)]
pub struct Notifier {
    channel: Arc<Channel>,
    root: Ino,
}

impl Notifier {
    pub(crate) fn new(channel: Arc<Channel>, root: Ino) -> Self {
        Self { channel, root }
    }

    /// The attributes of `ino`, and where it is a directory its cached listing, are old.
    ///
    /// # Errors
    /// What the device says. That the kernel does not know the inode is none.
    pub fn forget_attributes(&self, ino: Ino) -> Result<(), Errno> {
        self.inval_inode(ino, -1, 0)
    }

    /// The attributes of `ino` and all its pages are old. Dirty ones are written first: the WRITEs come to the
    /// filesystem before this returns.
    ///
    /// # Errors
    /// As [`Self::forget_attributes`]. Whether every page went is not said.
    pub fn forget_pages(&self, ino: Ino) -> Result<(), Errno> {
        self.inval_inode(ino, 0, 0)
    }

    /// What the kernel has of `name` in `dir`, be it that there is none, is old.
    ///
    /// # Errors
    /// As [`Self::forget_attributes`].
    pub fn forget_name(&self, dir: Ino, name: &[u8]) -> Result<(), Errno> {
        let Ok(namelen) = u32::try_from(name.len()) else { return Err(Errno::NAMETOOLONG) };
        let head = RawNotifyInvalEntry { parent: node_of(dir, self.root), namelen, flags: 0 };
        told(self.channel.notify(NOTIFY_INVAL_ENTRY, &[head.as_bytes(), name, &[0]]))
    }

    fn inval_inode(&self, ino: Ino, off: i64, len: i64) -> Result<(), Errno> {
        let body = RawNotifyInvalInode { nodeid: node_of(ino, self.root), off, len };
        told(self.channel.notify(NOTIFY_INVAL_INODE, &[body.as_bytes()]))
    }
}

/// What the kernel does not know it has not cached.
fn told(outcome: Result<(), Errno>) -> Result<(), Errno> {
    match outcome {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NOTEMPTY) => Ok(()),
        other => other,
    }
}
