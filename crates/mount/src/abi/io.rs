//! Open files: OPEN, READ, WRITE, LSEEK, RELEASE.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags::bitflags! {
    /// `FOPEN_*`: how the kernel treats an open file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct OpenFlags: u32 {
        /// The page cache is not used.
        const DIRECT_IO = 1 << 0;
        /// Pages cached by an earlier open stay.
        const KEEP_CACHE = 1 << 1;
        /// The listing of the directory may be cached.
        const CACHE_DIR = 1 << 3;
        /// Direct writes that do not extend the file may run side by side.
        const PARALLEL_DIRECT_WRITES = 1 << 6;
    }
}

/// OPEN and OPENDIR. `struct fuse_open_in`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawOpenIn {
    /// As open(2)'s.
    pub(crate) flags: u32,
    /// Bit 0: set-id bits go with what O_TRUNC takes.
    pub(crate) open_flags: u32,
}
const _: () = assert!(size_of::<RawOpenIn>() == 8);

/// Answer to OPEN and OPENDIR. `struct fuse_open_out`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawOpenOut {
    pub(crate) fh: u64,
    pub(crate) open_flags: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawOpenOut>() == 16);

/// RELEASE and RELEASEDIR. `struct fuse_release_in`, 24 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawReleaseIn {
    pub(crate) fh: u64,
    pub(crate) flags: u32,
    pub(crate) release_flags: u32,
    pub(crate) lock_owner: u64,
}
const _: () = assert!(size_of::<RawReleaseIn>() == 24);

/// READ, READDIR and READDIRPLUS. `struct fuse_read_in`, 40 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawReadIn {
    pub(crate) fh: u64,
    pub(crate) offset: u64,
    pub(crate) size: u32,
    pub(crate) read_flags: u32,
    pub(crate) lock_owner: u64,
    pub(crate) flags: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawReadIn>() == 40);
const _: () = assert!(offset_of!(RawReadIn, size) == 16);

bitflags::bitflags! {
    /// `FUSE_WRITE_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct WriteFlags: u32 {
        /// Written back from the page cache: nobody's write(2), and its handle may be anybody's.
        const CACHE = 1 << 0;
        /// The set-id bits go: the writer may not keep them.
        const KILL_SET_ID = 1 << 2;
        const _ = !0;
    }
}

/// Head of WRITE; the data follows. `struct fuse_write_in`, 40 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawWriteIn {
    pub(crate) fh: u64,
    pub(crate) offset: u64,
    pub(crate) size: u32,
    pub(crate) write_flags: u32,
    pub(crate) lock_owner: u64,
    pub(crate) flags: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawWriteIn>() == 40);

/// LSEEK with SEEK_DATA or SEEK_HOLE. `struct fuse_lseek_in`, 24 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawLseekIn {
    pub(crate) fh: u64,
    pub(crate) offset: u64,
    pub(crate) whence: u32,
    pub(crate) padding: u32,
}
const _: () = assert!(size_of::<RawLseekIn>() == 24);

/// Answer to LSEEK. `struct fuse_lseek_out`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawLseekOut {
    pub(crate) offset: u64,
}
const _: () = assert!(size_of::<RawLseekOut>() == 8);
