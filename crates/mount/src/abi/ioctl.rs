//! IOCTL, and what the file flag ioctls carry.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Head of IOCTL; `in_size` bytes of argument follow. `struct fuse_ioctl_in`, 32 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawIoctlIn {
    pub(crate) fh: u64,
    pub(crate) flags: u32,
    pub(crate) cmd: u32,
    pub(crate) arg: u64,
    pub(crate) in_size: u32,
    /// Room for the answer in bytes.
    pub(crate) out_size: u32,
}
const _: () = assert!(size_of::<RawIoctlIn>() == 32);

/// Head of the answer to IOCTL; the data follows. `struct fuse_ioctl_out`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawIoctlOut {
    /// What ioctl(2) returns.
    pub(crate) result: i32,
    pub(crate) flags: u32,
    pub(crate) in_iovs: u32,
    pub(crate) out_iovs: u32,
}
const _: () = assert!(size_of::<RawIoctlOut>() == 16);

/// What FS_IOC_FSGETXATTR fills. `struct fsxattr` of linux/fs.h, 28 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawFsXattr {
    pub(crate) xflags: u32,
    pub(crate) extsize: u32,
    pub(crate) nextents: u32,
    pub(crate) projid: u32,
    pub(crate) cowextsize: u32,
    pub(crate) pad: [u8; 8],
}
const _: () = assert!(size_of::<RawFsXattr>() == 28);
const _: () = assert!(offset_of!(RawFsXattr, projid) == 12);
