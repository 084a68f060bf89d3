//! Attributes of an inode and of the volume.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct fuse_attr`, 88 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawAttr {
    /// What stat(2) shows as st_ino; not the node number.
    pub(crate) ino: u64,
    pub(crate) size: u64,
    /// In units of 512 bytes.
    pub(crate) blocks: u64,
    /// Seconds since 1970; the kernel reads it as signed.
    pub(crate) atime: u64,
    pub(crate) mtime: u64,
    pub(crate) ctime: u64,
    pub(crate) atimensec: u32,
    pub(crate) mtimensec: u32,
    pub(crate) ctimensec: u32,
    /// Type and permissions, as st_mode.
    pub(crate) mode: u32,
    pub(crate) nlink: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Device number in the kernel's 12 + 20 bit form.
    pub(crate) rdev: u32,
    pub(crate) blksize: u32,
    pub(crate) flags: u32,
}
const _: () = assert!(size_of::<RawAttr>() == 88);
const _: () = assert!(offset_of!(RawAttr, mode) == 60);

/// Answer to GETATTR. `struct fuse_attr_out`, 104 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawAttrOut {
    pub(crate) attr_valid: u64,
    pub(crate) attr_valid_nsec: u32,
    pub(crate) dummy: u32,
    pub(crate) attr: RawAttr,
}
const _: () = assert!(size_of::<RawAttrOut>() == 104);

/// Answer to LOOKUP, and first half of a READDIRPLUS entry. `struct fuse_entry_out`, 128 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawEntryOut {
    /// 0: there is no such name, and the kernel may remember that for `entry_valid`.
    pub(crate) nodeid: u64,
    pub(crate) generation: u64,
    pub(crate) entry_valid: u64,
    pub(crate) attr_valid: u64,
    pub(crate) entry_valid_nsec: u32,
    pub(crate) attr_valid_nsec: u32,
    pub(crate) attr: RawAttr,
}
const _: () = assert!(size_of::<RawEntryOut>() == 128);
const _: () = assert!(offset_of!(RawEntryOut, attr) == 40);

/// Answer to STATFS. `struct fuse_kstatfs`, 80 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawStatfsOut {
    pub(crate) blocks: u64,
    pub(crate) bfree: u64,
    pub(crate) bavail: u64,
    pub(crate) files: u64,
    pub(crate) ffree: u64,
    pub(crate) bsize: u32,
    pub(crate) namelen: u32,
    pub(crate) frsize: u32,
    pub(crate) padding: u32,
    pub(crate) spare: [u32; 6],
}
const _: () = assert!(size_of::<RawStatfsOut>() == 80);
