//! Extended attributes.

use std::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// GETXATTR (the name follows) and LISTXATTR. `struct fuse_getxattr_in`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawGetXattrIn {
    /// Room for the answer in bytes; 0 asks for the length it would have.
    pub(crate) size: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawGetXattrIn>() == 8);

/// The length of a value or list. `struct fuse_getxattr_out`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawGetXattrOut {
    pub(crate) size: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawGetXattrOut>() == 8);

/// `FUSE_SETXATTR_ACL_KILL_SGID`: the ACL's setter may not keep the set-gid bit.
pub(crate) const ACL_KILL_SET_GID: u32 = 1 << 0;

/// Head of SETXATTR; the name and then the value follow. `struct fuse_setxattr_in` as far as all kernels have it, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawSetXattrIn {
    /// Length of the value in bytes.
    pub(crate) size: u32,
    /// `XATTR_CREATE`, `XATTR_REPLACE`.
    pub(crate) flags: u32,
}
const _: () = assert!(size_of::<RawSetXattrIn>() == 8);

/// The rest of that head, where `FUSE_SETXATTR_EXT` was agreed on: 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawSetXattrInMore {
    /// [`ACL_KILL_SET_GID`].
    pub(crate) setxattr_flags: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawSetXattrInMore>() == 8);
