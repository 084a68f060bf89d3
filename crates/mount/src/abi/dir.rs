//! Directory entries, and FORGET, which undoes what they hand out.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Each entry of a READDIR answer is padded to a multiple of this many bytes.
pub(crate) const DIR_ALIGN: usize = 8;

/// Head of one entry of a READDIR answer; the name follows. `struct fuse_dirent`, 24 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawDirent {
    pub(crate) ino: u64,
    /// Where a later READDIR goes on after this entry.
    pub(crate) off: u64,
    pub(crate) namelen: u32,
    /// `DT_*`: the file type bits of st_mode, shifted down by 12.
    pub(crate) kind: u32,
}
const _: () = assert!(size_of::<RawDirent>() == 24);
const _: () = assert!(offset_of!(RawDirent, namelen) == 16);

/// FORGET. `struct fuse_forget_in`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawForgetIn {
    pub(crate) nlookup: u64,
}
const _: () = assert!(size_of::<RawForgetIn>() == 8);

/// One of many in BATCH_FORGET. `struct fuse_forget_one`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawForgetOne {
    pub(crate) nodeid: u64,
    pub(crate) nlookup: u64,
}
const _: () = assert!(size_of::<RawForgetOne>() == 16);

/// Head of BATCH_FORGET. `struct fuse_batch_forget_in`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawForgetBatchIn {
    pub(crate) count: u32,
    pub(crate) dummy: u32,
}
const _: () = assert!(size_of::<RawForgetBatchIn>() == 8);
