//! Notifications: what a daemon tells the kernel unasked.

use std::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `FUSE_NOTIFY_INVAL_INODE`: stands in the error field of an answer to request 0.
pub(crate) const NOTIFY_INVAL_INODE: i32 = 2;
/// `FUSE_NOTIFY_INVAL_ENTRY`.
pub(crate) const NOTIFY_INVAL_ENTRY: i32 = 3;

/// Attributes, and pages of a range, are to be read anew. `struct fuse_notify_inval_inode_out`, 24 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawNotifyInvalInode {
    pub(crate) nodeid: u64,
    /// First byte; below 0: no pages, only attributes.
    pub(crate) off: i64,
    /// Length; 0 or below: to the end.
    pub(crate) len: i64,
}
const _: () = assert!(size_of::<RawNotifyInvalInode>() == 24);

/// A name is to be looked up anew; the name and a NUL follow. `struct fuse_notify_inval_entry_out`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawNotifyInvalEntry {
    pub(crate) parent: u64,
    pub(crate) namelen: u32,
    pub(crate) flags: u32,
}
const _: () = assert!(size_of::<RawNotifyInvalEntry>() == 16);
