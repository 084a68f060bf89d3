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
