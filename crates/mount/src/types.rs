//! What a [`Filesystem`](crate::Filesystem) says about its files.

use std::time::Duration;

/// An inode's number as the volume has it; stat(2) shows it as `st_ino`.
///
/// FUSE wants the root to be 1: the transport maps exactly that one, both ways. No other inode may be number 1, and
/// none number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

/// What kind of file an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Not known without reading the inode (directory entries only).
    Unknown,
}

impl FileKind {
    /// The kind in a mode's file type bits (`S_IFMT`).
    pub fn of_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::Regular,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o020_000 => Self::CharDevice,
            0o060_000 => Self::BlockDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => Self::Unknown,
        }
    }

    /// The number readdir(3) shows as `d_type`.
    pub(crate) fn dirent_type(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
        }
    }
}

/// A moment: seconds since 1970 (before it: negative), and nanoseconds (0 to 999,999,999) after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds.
    pub secs: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// What stat(2) shows of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The inode's number.
    pub ino: Ino,
    /// File type and permissions, as `st_mode`.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor number of a device; (0, 0) for everything else.
    pub rdev: (u32, u32),
    /// Length in bytes.
    pub size: u64,
    /// Space it holds, in units of 512 bytes.
    pub blocks: u64,
    /// Preferred size of I/O in bytes.
    pub block_size: u32,
    /// Last read.
    pub atime: Time,
    /// Last change of the contents.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
}

/// What stat(2) shows of an inode, and how long the kernel may take it as true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The attributes.
    pub attr: Attr,
    /// For how long.
    pub ttl: Duration,
}

/// An inode found under a name, and how long the kernel may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The inode.
    pub attr: Attr,
    /// Which life of the inode number this is: a reused number with another generation is another file.
    pub generation: u64,
    /// How long `attr` may be taken as true.
    pub attr_ttl: Duration,
    /// How long the name may be taken to lead here.
    pub entry_ttl: Duration,
}

/// The answer to a look-up that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The name is there.
    Found(Entry),
    /// There is no such name, and the kernel may remember that for so long.
    Missing(Duration),
}

/// How the kernel treats a file or directory it has opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The filesystem's own number for the open file; given back with each request on it.
    pub handle: u64,
    /// Pages (of a directory: the listing) cached by an earlier open are still good.
    pub keep_cache: bool,
    /// Reads and writes of a file go past the page cache.
    pub direct_io: bool,
    /// Of those, writes that do not extend the file may run side by side.
    pub parallel_writes: bool,
}

/// What statfs(2) shows of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeStat {
    /// Unit of the three block counts, in bytes.
    pub block_size: u32,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks that a user without privileges can have.
    pub available: u64,
    /// All inodes.
    pub files: u64,
    /// Free inodes.
    pub free_files: u64,
    /// Longest name, in bytes.
    pub name_max: u32,
}

/// What lseek(2) looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// `SEEK_DATA`: the first byte at or after the offset that is not in a hole.
    Data,
    /// `SEEK_HOLE`: the first byte at or after the offset that is in one; the end of the file counts.
    Hole,
}

bitflags::bitflags! {
    /// File flags as `lsattr` shows them: `FS_*_FL` of linux/fs.h.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct FileFlags: u32 {
        /// `S`: written synchronously.
        const SYNC = 0x8;
        /// `i`: not to be changed.
        const IMMUTABLE = 0x10;
        /// `a`: only to be appended to.
        const APPEND = 0x20;
        /// `d`: left out by dump(8).
        const NODUMP = 0x40;
        /// `A`: reading leaves the atime alone.
        const NOATIME = 0x80;
        /// `P`: the project is inherited.
        const PROJECT_INHERIT = 0x2000_0000;
        // The volume's own flags pass through as they are.
        const _ = !0;
    }
}
