//! INIT: what the kernel offers and what we take.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The protocol's major version.
pub(crate) const MAJOR: u32 = 7;
/// The minor version whose structures this crate knows.
pub(crate) const MINOR: u32 = 38;
/// The oldest minor version served: Linux 5.4.
pub(crate) const MIN_MINOR: u32 = 31;

bitflags::bitflags! {
    /// `FUSE_*` flags of INIT; the upper half travels in `flags2`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct InitFlags: u64 {
        const ASYNC_READ = 1 << 0;
        const ATOMIC_O_TRUNC = 1 << 3;
        const EXPORT_SUPPORT = 1 << 4;
        const BIG_WRITES = 1 << 5;
        const DONT_MASK = 1 << 6;
        const HAS_IOCTL_DIR = 1 << 11;
        const DO_READDIRPLUS = 1 << 13;
        const READDIRPLUS_AUTO = 1 << 14;
        const NO_OPEN_SUPPORT = 1 << 17;
        const PARALLEL_DIROPS = 1 << 18;
        const POSIX_ACL = 1 << 20;
        const ABORT_ERROR = 1 << 21;
        const MAX_PAGES = 1 << 22;
        const CACHE_SYMLINKS = 1 << 23;
        const NO_OPENDIR_SUPPORT = 1 << 24;
        const EXPLICIT_INVAL_DATA = 1 << 25;
        const HANDLE_KILLPRIV_V2 = 1 << 28;
        const SETXATTR_EXT = 1 << 29;
        const INIT_EXT = 1 << 30;
        const DIRECT_IO_ALLOW_MMAP = 1 << 36;
        // Flags this crate never asks for are still flags the kernel may offer.
        const _ = !0;
    }
}

/// The kernel's offer. `struct fuse_init_in`: 16 bytes, and 64 when it offers [`InitFlags::INIT_EXT`].
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawInitIn {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// The kernel's own read-ahead for the mount, in bytes; the answer can only lower it.
    pub(crate) max_readahead: u32,
    pub(crate) flags: u32,
}
const _: () = assert!(size_of::<RawInitIn>() == 16);

/// What follows with [`InitFlags::INIT_EXT`]: the rest of `struct fuse_init_in`, 48 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawInitInMore {
    /// The upper half of the flags.
    pub(crate) flags2: u32,
    pub(crate) unused: [u32; 11],
}
const _: () = assert!(size_of::<RawInitInMore>() == 48);

/// Our answer. `struct fuse_init_out`, 64 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawInitOut {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) max_readahead: u32,
    pub(crate) flags: u32,
    /// Requests that nobody waits for (read-ahead, asynchronous I/O) the kernel may have open at a time.
    pub(crate) max_background: u16,
    /// From this many of them on the mount counts as congested.
    pub(crate) congestion_threshold: u16,
    /// Most bytes in a WRITE.
    pub(crate) max_write: u32,
    /// Grain of timestamps in nanoseconds.
    pub(crate) time_gran: u32,
    /// Most pages in a READ or WRITE; heeded with [`InitFlags::MAX_PAGES`].
    pub(crate) max_pages: u16,
    pub(crate) map_alignment: u16,
    pub(crate) flags2: u32,
    pub(crate) unused: [u32; 7],
}
const _: () = assert!(size_of::<RawInitOut>() == 64);
const _: () = assert!(offset_of!(RawInitOut, max_write) == 20);
const _: () = assert!(offset_of!(RawInitOut, flags2) == 32);
