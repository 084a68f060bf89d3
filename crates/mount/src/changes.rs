//! What a [`Filesystem`](crate::Filesystem) is told about a change.

use crate::Time;

/// Who asks for a change. Whether they may is not to be judged: the kernel has done that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub uid: u32,
}

impl Caller {
    /// Whether the caller is bound by no quota, as far as can be told: the kernel says who asks, not what they may
    /// (`CAP_SYS_RESOURCE`).
    pub fn is_superuser(self) -> bool {
        self.uid == 0
    }
}

/// Whose a new file is, and what its permissions are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Permission, set-id and sticky bits: twelve of them.
    pub perm: u16,
    /// What the creator's umask takes away, where no default ACL of the directory stands in its place.
    pub umask: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group, unless the directory hands its own down.
    pub gid: u32,
}

/// What is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewFile<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link that leads there: 1 to 4095 bytes without NUL.
    Symlink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device: major and minor number.
    CharDevice((u32, u32)),
    /// A block device: major and minor number.
    BlockDevice((u32, u32)),
}

/// The same, with a target of its own.
#[derive(Debug)]
pub(crate) enum OwnedKind {
    Regular,
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    Socket,
    CharDevice((u32, u32)),
    BlockDevice((u32, u32)),
}

impl OwnedKind {
    pub(crate) fn borrowed(&self) -> NewFile<'_> {
        match self {
            Self::Regular => NewFile::Regular,
            Self::Directory => NewFile::Directory,
            Self::Symlink(target) => NewFile::Symlink(target),
            Self::Fifo => NewFile::Fifo,
            Self::Socket => NewFile::Socket,
            Self::CharDevice(device) => NewFile::CharDevice(*device),
            Self::BlockDevice(device) => NewFile::BlockDevice(*device),
        }
    }
}

/// What is to become of an inode's attributes, all at once; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttrChange {
    /// Permission, set-id and sticky bits: twelve of them.
    pub perm: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes, of a regular file.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<NewTime>,
    /// Last change of the contents.
    pub mtime: Option<NewTime>,
    /// The set-id bits go, as the caller may not keep them on a file that changes.
    pub kill_set_id: bool,
}

/// A time to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTime {
    /// The present one.
    Now,
    /// This one.
    To(Time),
}

/// How a write is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteHow {
    /// The flags of the open file at the time of this write: fcntl(2) can set `O_APPEND` and others at any time.
    pub flags: u32,
    /// Written back from the page cache; the handle may be another's, or 0.
    pub cached: bool,
    /// The set-id bits go, as the writer may not keep them.
    pub kill_set_id: bool,
}

impl WriteHow {
    /// Whether it goes to the end of the file, wherever that is by then.
    pub fn appends(&self) -> bool {
        // What comes out of the page cache has its place already.
        !self.cached && self.flags & rustix::fs::OFlags::APPEND.bits() != 0
    }
}

bitflags::bitflags! {
    /// Flags of renameat2(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RenameHow: u32 {
        /// Fails where the new name is taken.
        const NO_REPLACE = 1 << 0;
        /// The two names change places.
        const EXCHANGE = 1 << 1;
        // Others are refused by who does not know them.
        const _ = !0;
    }
}

/// Whether an extended attribute must be there before it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrHow {
    /// It may or may not.
    Any,
    /// It must not: `EEXIST`.
    CreateOnly,
    /// It must: `ENODATA`.
    ReplaceOnly,
}

bitflags::bitflags! {
    /// Flags of fallocate(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct FallocateHow: u32 {
        /// The file's length stays.
        const KEEP_SIZE = 1 << 0;
        /// The range becomes a hole.
        const PUNCH_HOLE = 1 << 1;
        // Others are refused by who does not know them.
        const _ = !0;
    }
}

/// A range of one file, and where it goes in another; in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRange {
    /// Where it begins in the file that is read.
    pub from: u64,
    /// Where it goes in the file that is written.
    pub to: u64,
    /// Its length.
    pub len: u64,
}
