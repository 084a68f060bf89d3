//! The kernel's FUSE protocol as it lies in memory: every structure once, sizes asserted.
//!
//! All integers are in the host's byte order: the kernel on the other side of `/dev/fuse` is this one. Source:
//! `include/uapi/linux/fuse.h`, protocol 7.31 to 7.38; later minors only add fields behind these.

mod attr;
mod change;
mod dir;
mod header;
mod init;
mod io;
mod ioctl;
mod notify;
mod opcode;
mod xattr;

pub(crate) use attr::{RawAttr, RawAttrOut, RawEntryOut, RawStatfsOut};
pub(crate) use change::{
    RawCopyFileRangeIn, RawCreateIn, RawFallocateIn, RawFsyncIn, RawLinkIn, RawMkDirIn, RawMkNodIn,
    RawRename2In, RawRenameIn, RawSetAttrIn, RawWriteOut, SetAttrFields,
};
pub(crate) use dir::{DIR_ALIGN, RawDirent, RawForgetBatchIn, RawForgetIn, RawForgetOne};
pub(crate) use header::{ROOT_NODE, RawInHeader, RawInterruptIn, RawOutHeader};
pub(crate) use init::{InitFlags, MAJOR, MIN_MINOR, MINOR, RawInitIn, RawInitInMore, RawInitOut};
pub(crate) use io::{
    OpenFlags, RawLseekIn, RawLseekOut, RawOpenIn, RawOpenOut, RawReadIn, RawReleaseIn, RawWriteIn,
    WriteFlags,
};
pub(crate) use ioctl::{RawFsXattr, RawIoctlIn, RawIoctlOut};
pub(crate) use notify::{NOTIFY_INVAL_ENTRY, NOTIFY_INVAL_INODE, RawNotifyInvalEntry, RawNotifyInvalInode};
pub(crate) use opcode::Opcode;
pub(crate) use xattr::{ACL_KILL_SET_GID, RawGetXattrIn, RawGetXattrOut, RawSetXattrIn, RawSetXattrInMore};

/// The smallest buffer the kernel lets a daemon read requests into, in bytes.
pub(crate) const MIN_READ_BUFFER: usize = 8192;
