//! Operations, and how they are done on a volume.

use block::Buf;
use ocfs2::{
    BlockNum, Error, FallocateMode, FileType, Inode, NewInode, NewKind, RenameFlags, SetAttr, SetXattr,
    Writable, WriteHow, Written, XattrHow,
};

/// One operation, to be done to the model and to the volume.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create { dir: BlockNum, name: Vec<u8>, kind: FileType, target: Vec<u8>, rdev: (u32, u32) },
    Link { ino: BlockNum, dir: BlockNum, name: Vec<u8> },
    Unlink { dir: BlockNum, name: Vec<u8> },
    Rmdir { dir: BlockNum, name: Vec<u8> },
    Rename { from: (BlockNum, Vec<u8>), to: (BlockNum, Vec<u8>), no_replace: bool },
    Clone { ino: BlockNum, dir: BlockNum, name: Vec<u8>, preserve: bool },
    Write { ino: BlockNum, at: usize, len: usize, tag: u64, how: WriteHow },
    Read { ino: BlockNum, at: usize, len: usize },
    Allocate { ino: BlockNum, at: usize, len: usize, mode: FallocateMode },
    SetAttr { ino: BlockNum, set: SetAttr },
    SetXattr { ino: BlockNum, name: Vec<u8>, value: Vec<u8>, how: XattrHow },
    RemoveXattr { ino: BlockNum, name: Vec<u8> },
    SetFlags { ino: BlockNum, flags: u32 },
    Fsync { ino: BlockNum },
}

/// What an operation gives.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) inode: Option<Inode>,
    pub(crate) written: Option<Written>,
    pub(crate) bytes: Option<Vec<u8>>,
}

impl From<Inode> for Given {
    fn from(inode: Inode) -> Self {
        Self { inode: Some(inode), ..Self::default() }
    }
}

/// What all new inodes are asked to be.
pub(super) const NEW: NewInode = NewInode { perm: 0o666, uid: 1, gid: 2, umask: Some(0o026) };

/// The bytes from `at` on of a file that is written with `tag`: nobody else's, nowhere else.
pub(super) fn bytes_of(tag: u64, at: usize, len: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let mut word = tag ^ (at as u64 / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ word >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (word ^ word >> 29).to_le_bytes()[at % 8]
    };
    (at..at + len).map(byte).collect()
}

impl Op {
    pub(super) fn changes_names(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Link { .. }
                | Self::Unlink { .. }
                | Self::Rmdir { .. }
                | Self::Rename { .. }
                | Self::Clone { .. }
        )
    }

    /// The inode that it is about, where it is about one.
    pub(crate) fn ino(&self) -> Option<BlockNum> {
        match self {
            Self::Create { .. } | Self::Unlink { .. } | Self::Rmdir { .. } | Self::Rename { .. } => None,
            Self::Link { ino, .. }
            | Self::Clone { ino, .. }
            | Self::Write { ino, .. }
            | Self::Read { ino, .. }
            | Self::Allocate { ino, .. }
            | Self::SetAttr { ino, .. }
            | Self::SetXattr { ino, .. }
            | Self::RemoveXattr { ino, .. }
            | Self::SetFlags { ino, .. }
            | Self::Fsync { ino } => Some(*ino),
        }
    }

    /// Whether it changes the contents of a file: when it fails half of it may be done.
    pub(crate) fn changes_contents(&self) -> Option<BlockNum> {
        match self {
            Self::Write { ino, .. } | Self::Allocate { ino, .. } => Some(*ino),
            Self::SetAttr { ino, set } if set.size.is_some() => Some(*ino),
            _ => None,
        }
    }

    /// The file that is on stable storage once it has been done.
    pub(crate) fn promises(&self) -> Option<BlockNum> {
        match self {
            Self::Fsync { ino } | Self::Write { ino, how: WriteHow { sync: true, .. }, .. } => Some(*ino),
            _ => None,
        }
    }

    /// Does it on the volume, whose device does not fail.
    pub(crate) async fn run(&self, fs: &Writable, retain: bool) -> Result<Given, i32> {
        self.attempt(fs, retain).await.map_err(|error| match error.errno() {
            5 => panic!("{self:?}: {error}"),
            number => number,
        })
    }

    /// Does it on the volume; what it makes is retained, if that is wanted.
    pub(crate) async fn attempt(&self, fs: &Writable, retain: bool) -> Result<Given, Error> {
        let nothing = |()| Given::default();
        match self {
            Self::Create { dir, name, kind, target, rdev } => {
                let kind = match kind {
                    FileType::Regular => NewKind::File,
                    FileType::Directory => NewKind::Dir,
                    FileType::Symlink => NewKind::Symlink(target),
                    FileType::Fifo => NewKind::Fifo,
                    FileType::Socket => NewKind::Socket,
                    FileType::CharDevice => NewKind::CharDevice(rdev.0, rdev.1),
                    FileType::BlockDevice => NewKind::BlockDevice(rdev.0, rdev.1),
                };
                let made = match retain {
                    true => fs.create_retained(*dir, name, &NEW, kind).await,
                    false => fs.create(*dir, name, &NEW, kind).await,
                };
                made.map(Given::from)
            }
            Self::Link { ino, dir, name } => fs.link(*ino, *dir, name).await.map(Given::from),
            Self::Unlink { dir, name } => fs.unlink(*dir, name).await.map(nothing),
            Self::Rmdir { dir, name } => fs.rmdir(*dir, name).await.map(nothing),
            Self::Rename { from, to, no_replace } => {
                let flags = RenameFlags { no_replace: *no_replace };
                fs.rename(from.0, &from.1, to.0, &to.1, flags).await.map(nothing)
            }
            Self::Clone { ino, dir, name, preserve } => {
                fs.reflink(*ino, *dir, name, *preserve, &NEW).await.map(Given::from)
            }
            Self::Write { ino, at, len, tag, how } => {
                let data = Buf::copy_of(&bytes_of(*tag, *at, *len)).into_bufs();
                // Where it begins is not for who appends to say.
                let offset = if how.append { 3 } else { *at as u64 };
                let written = fs.write(*ino, offset, data, *how).await?;
                Ok(Given { written: Some(written), ..Given::default() })
            }
            Self::Read { ino, at, len } => {
                let data = fs.read(*ino, *at as u64, *len as u64).await?;
                Ok(Given { bytes: Some(data.to_vec()), ..Given::default() })
            }
            Self::Allocate { ino, at, len, mode } => {
                fs.fallocate(*ino, *at as u64, *len as u64, *mode).await.map(Given::from)
            }
            Self::SetAttr { ino, set } => fs.setattr(*ino, set).await.map(Given::from),
            Self::SetXattr { ino, name, value, how } => {
                let set = SetXattr { how: *how, ..SetXattr::default() };
                fs.set_xattr(*ino, name, value, set).await.map(Given::from)
            }
            Self::RemoveXattr { ino, name } => fs.remove_xattr(*ino, name).await.map(Given::from),
            Self::SetFlags { ino, flags } => fs.set_flags(*ino, *flags).await.map(Given::from),
            Self::Fsync { ino } => fs.fsync(*ino).await.map(nothing),
        }
    }
}
