//! A filesystem as a FUSE mount, over a transport of our own.
//!
//! ```text
//! kernel ── /dev/fuse ── channel ── request ── calls ── Filesystem
//!                           └────── reply ──────┘
//! ```
//!
//! - [`Filesystem`]: what is asked of a filesystem; nothing in it knows FUSE. [`VolumeFs`] is an OCFS2 volume that is
//!   only read, [`RwFs`] one that is changed.
//! - [`Mount`]: the mount point, by mount(2) as root and through fusermount3 as a user.
//! - [`Session`]: reader threads that poll each call once and give those that wait to tokio. INTERRUPT is honoured:
//!   a process that waits on a hung SAN dies by Ctrl-C and by SIGKILL.
//!
//! [`Filesystem`] has a method for every request; those that change something answer `EROFS` unless it says otherwise.

#![deny(unsafe_op_in_unsafe_fn)]

mod abi;
mod aftermath;
mod calls;
mod changes;
mod channel;
mod clock;
pub mod coherence;
mod convert;
mod data;
mod error;
mod fs;
mod fusermount;
#[doc(hidden)]
pub mod fuzz_bodies;
mod inflight;
mod ioctl;
mod listing;
mod lookups;
mod mount;
mod mountinfo;
mod negotiate;
mod neighbours;
mod notify;
mod options;
mod receive;
mod reply;
mod request;
mod rwfs;
mod session;
#[cfg(test)]
mod tests;
mod types;
mod volume;

pub use changes::{
    AttrChange, Caller, CopyRange, Creation, FallocateHow, NewFile, NewTime, RenameHow, WriteHow, XattrHow,
};
pub use clock::SystemClock;
pub use data::Data;
pub use error::{MountError, SessionError};
pub use fs::Filesystem;
pub use listing::{DirEntry, Listing};
pub use mount::{Atime, Mount, MountSpec};
pub use mountinfo::{Mounted, mounted_at};
pub use neighbours::{BEAT_SECS, BeatError, BeatWatch, LOOKS, Neighbours};
pub use notify::Notifier;
pub use options::{MountOptions, OptionError, Writing};
pub use rustix::io::Errno;
pub use rwfs::{RwFs, RwOptions};
pub use session::{Changes, Config, Session, SessionEnd};
pub use types::{Attr, Attributes, Entry, FileFlags, FileKind, Ino, Lookup, Opened, Seek, Time, VolumeStat};
pub use volume::VolumeFs;
