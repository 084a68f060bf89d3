//! What `stat(2)` says of an inode.

use ocfs2_format::{BlockNum, FileType, Timestamp};

/// The attributes of an inode, as `stat(2)` on a kernel mount gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The inode's number: the block that holds it.
    pub ino: BlockNum,
    /// What it is.
    pub kind: FileType,
    /// Permission, set-id and sticky bits: `0o7777` at most.
    pub perm: u16,
    /// Count of names; for a directory 2 and one for each directory in it.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes. A directory's is that of its entries' area, a symlink's the length of its target.
    pub size: u64,
    /// Allocated space in units of 512 bytes. Contents kept in the inode count as the sectors they would fill.
    pub blocks: u64,
    /// Preferred size of I/O in bytes: the volume's cluster.
    pub blksize: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the contents.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// A device's numbers, major and minor; 0, 0 for the rest.
    pub rdev: (u32, u32),
    /// Tells two inodes that used the same number one after the other apart.
    pub generation: u32,
    /// The flags of `lsattr` (`FS_IOC_GETFLAGS`), those that users may see.
    pub flags: u32,
}

impl Attr {
    /// Type and permissions in one, as `st_mode` has them.
    #[must_use]
    pub fn mode(&self) -> u32 {
        u32::from(self.kind.mode_bits() | self.perm)
    }
}

/// The word that manifests, messages and `--json` use: `file dir symlink fifo socket char block`.
#[must_use]
pub fn type_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Regular => "file",
        FileType::Directory => "dir",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharDevice => "char",
        FileType::BlockDevice => "block",
    }
}
