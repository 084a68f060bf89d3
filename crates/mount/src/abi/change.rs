//! What the requests that change a volume carry.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags::bitflags! {
    /// `FATTR_*`: which fields of a SETATTR count.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct SetAttrFields: u32 {
        const MODE = 1 << 0;
        const UID = 1 << 1;
        const GID = 1 << 2;
        const SIZE = 1 << 3;
        const ATIME = 1 << 4;
        const MTIME = 1 << 5;
        const HANDLE = 1 << 6;
        const ATIME_NOW = 1 << 7;
        const MTIME_NOW = 1 << 8;
        const CTIME = 1 << 10;
        /// The set-id bits go: the caller, who truncates, may not keep them.
        const KILL_SET_ID = 1 << 11;
        const _ = !0;
    }
}

/// SETATTR. `struct fuse_setattr_in`, 88 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawSetAttrIn {
    /// [`SetAttrFields`].
    pub(crate) valid: u32,
    pub(crate) padding: u32,
    pub(crate) fh: u64,
    pub(crate) size: u64,
    pub(crate) lock_owner: u64,
    pub(crate) atime: u64,
    pub(crate) mtime: u64,
    pub(crate) ctime: u64,
    pub(crate) atimensec: u32,
    pub(crate) mtimensec: u32,
    pub(crate) ctimensec: u32,
    pub(crate) mode: u32,
    pub(crate) unused4: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) unused5: u32,
}
const _: () = assert!(size_of::<RawSetAttrIn>() == 88);
const _: () = assert!(offset_of!(RawSetAttrIn, mode) == 68);

/// Head of MKNOD; the name follows. `struct fuse_mknod_in`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawMkNodIn {
    /// Type and permissions, as st_mode.
    pub(crate) mode: u32,
    /// Device number in the kernel's 12 + 20 bit form.
    pub(crate) rdev: u32,
    pub(crate) umask: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawMkNodIn>() == 16);

/// Head of MKDIR; the name follows. `struct fuse_mkdir_in`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawMkDirIn {
    pub(crate) mode: u32,
    pub(crate) umask: u32,
}
const _: () = assert!(size_of::<RawMkDirIn>() == 8);

/// Head of CREATE; the name follows. `struct fuse_create_in`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawCreateIn {
    /// As open(2)'s.
    pub(crate) flags: u32,
    pub(crate) mode: u32,
    pub(crate) umask: u32,
    pub(crate) open_flags: u32,
}
const _: () = assert!(size_of::<RawCreateIn>() == 16);

/// Head of RENAME; the two names follow. `struct fuse_rename_in`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawRenameIn {
    pub(crate) newdir: u64,
}
const _: () = assert!(size_of::<RawRenameIn>() == 8);

/// Head of RENAME2; the two names follow. `struct fuse_rename2_in`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawRename2In {
    pub(crate) newdir: u64,
    /// `RENAME_*` of renameat2(2).
    pub(crate) flags: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawRename2In>() == 16);

/// Head of LINK, which is about the directory; the name follows. `struct fuse_link_in`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawLinkIn {
    pub(crate) oldnodeid: u64,
}
const _: () = assert!(size_of::<RawLinkIn>() == 8);

/// FSYNC and FSYNCDIR. `struct fuse_fsync_in`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawFsyncIn {
    pub(crate) fh: u64,
    /// Bit 0: the data alone, as fdatasync(2).
    pub(crate) fsync_flags: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawFsyncIn>() == 16);

/// FALLOCATE. `struct fuse_fallocate_in`, 32 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawFallocateIn {
    pub(crate) fh: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// `FALLOC_FL_*` of fallocate(2).
    pub(crate) mode: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawFallocateIn>() == 32);

/// COPY_FILE_RANGE. `struct fuse_copy_file_range_in`, 56 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawCopyFileRangeIn {
    pub(crate) fh_in: u64,
    pub(crate) off_in: u64,
    pub(crate) nodeid_out: u64,
    pub(crate) fh_out: u64,
    pub(crate) off_out: u64,
    pub(crate) len: u64,
    pub(crate) flags: u64,
}
const _: () = assert!(size_of::<RawCopyFileRangeIn>() == 56);

/// Answer to WRITE and COPY_FILE_RANGE. `struct fuse_write_out`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawWriteOut {
    /// Bytes that were taken.
    pub(crate) size: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawWriteOut>() == 8);
