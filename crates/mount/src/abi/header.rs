//! What every message begins with.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The node number of a mount's root, whatever number the volume gives that inode.
pub(crate) const ROOT_NODE: u64 = 1;

/// Head of a request. `struct fuse_in_header`, 40 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawInHeader {
    /// Length of the whole request, in bytes.
    pub(crate) len: u32,
    pub(crate) opcode: u32,
    /// Names the request in its answer and in an INTERRUPT; never used twice.
    pub(crate) unique: u64,
    pub(crate) nodeid: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) pid: u32,
    /// Length of the extensions at the end, in units of 8 bytes (7.38; 0 before).
    pub(crate) total_extlen: u16,
    pub(crate) padding: u16,
}
const _: () = assert!(size_of::<RawInHeader>() == 40);
const _: () = assert!(offset_of!(RawInHeader, unique) == 8);
const _: () = assert!(offset_of!(RawInHeader, total_extlen) == 36);

/// Head of an answer. `struct fuse_out_header`, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawOutHeader {
    /// Length of the whole answer, in bytes.
    pub(crate) len: u32,
    /// 0, or an errno negated; an answer with an error has no body.
    pub(crate) error: i32,
    pub(crate) unique: u64,
}
const _: () = assert!(size_of::<RawOutHeader>() == 16);
const _: () = assert!(offset_of!(RawOutHeader, unique) == 8);

/// INTERRUPT: the request that its caller no longer waits for. `struct fuse_interrupt_in`, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawInterruptIn {
    pub(crate) unique: u64,
}
const _: () = assert!(size_of::<RawInterruptIn>() == 8);
