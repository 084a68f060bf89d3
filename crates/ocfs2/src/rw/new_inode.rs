//! New inodes: what is written into one that is made.
//!
//! Fields: `__ocfs2_mknod_locked` and `ocfs2_symlink` of `fs/ocfs2/namei.c`. A new inode takes none of its directory's
//! flags, as there.

use ocfs2_format::{
    BlockKind, BlockNum, Extent, ExtentFlags, ExtentList, FileType, RawDinode, RawExtentList, RawExtentRec,
    Timestamp,
};
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::acl::Inherited;
use super::change::Change;
use super::names::names_of;
use crate::alloc::{NewBlock, Pool};
use crate::txn::Blocks;
use crate::{Error, Inode};

const SET_GID: u16 = 0o2000;
/// Longest target of a symlink (`PATH_MAX` less its NUL).
const MAX_TARGET: usize = 4095;
/// One more than the greatest major and minor number of a device.
const MAJORS: u32 = 1 << 12;
const MINORS: u32 = 1 << 20;

/// Whose a new inode is, and who may do what with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewInode {
    /// Permission, set-id and sticky bits. A symlink has always `0o777`.
    pub perm: u16,
    /// Owner.
    pub uid: u32,
    /// Group; in a directory with the set-group-id bit it is the directory's instead.
    pub gid: u32,
    /// What is taken from the permissions where the directory has no default ACL, which would say it instead. `None`
    /// where that is done already.
    pub umask: Option<u16>,
}

/// What a new inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewKind<'a> {
    /// An empty file.
    File,
    /// An empty directory.
    Dir,
    /// A symlink to a target of 1 to 4095 bytes without a NUL.
    Symlink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device: major number below 4096, minor below 2^20.
    CharDevice(u32, u32),
    /// A block device: the same.
    BlockDevice(u32, u32),
}

impl NewKind<'_> {
    /// The type.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        match self {
            Self::File => FileType::Regular,
            Self::Dir => FileType::Directory,
            Self::Symlink(_) => FileType::Symlink,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
            Self::CharDevice(..) => FileType::CharDevice,
            Self::BlockDevice(..) => FileType::BlockDevice,
        }
    }

    /// Fails for what no inode can hold.
    pub(super) fn check(&self) -> Result<(), Error> {
        match *self {
            Self::Symlink(b"") => Err(Error::NotFound),
            Self::Symlink(target) if target.len() > MAX_TARGET => {
                Err(Error::TargetTooLong { len: target.len() })
            }
            Self::Symlink(target) if target.contains(&0) => Err(Error::BadName),
            Self::CharDevice(major, minor) | Self::BlockDevice(major, minor)
                if major >= MAJORS || minor >= MINORS =>
            {
                Err(Error::DeviceNumber { major, minor })
            }
            _ => Ok(()),
        }
    }

    /// `i_rdev` (`new_encode_dev` of the kernel).
    fn rdev(&self) -> u32 {
        match *self {
            Self::CharDevice(major, minor) | Self::BlockDevice(major, minor) => {
                minor & 0xff | major << 8 | (minor & !0xff) << 12
            }
            _ => 0,
        }
    }
}

/// An inode that is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth<'a> {
    pub(super) new: NewInode,
    pub(super) kind: NewKind<'a>,
    pub(super) generation: u32,
    pub(super) now: Timestamp,
}

impl Birth<'_> {
    /// Makes the inode, with its contents and what it inherits of the directory `dir`. Nothing refers to it yet.
    pub(super) async fn make(&self, change: &mut Change<'_>, dir: &Inode) -> Result<BlockNum, Error> {
        let (inherited, gid) = self.inherits(change, dir).await?;
        let ino = self.write_dinode(change, inherited.perm, gid).await?;
        match self.kind {
            NewKind::Dir => names_of(change, ino).create(dir.ino()).await?,
            NewKind::Symlink(target) => write_target(change, ino, target).await?,
            _ => {}
        }
        inherited.give(change, ino).await?;
        Ok(ino)
    }

    /// What it inherits of the directory `dir`, and its group.
    pub(super) async fn inherits(&self, change: &Change<'_>, dir: &Inode) -> Result<(Inherited, u32), Error> {
        let kind = self.kind.file_type();
        let mut perm = if kind == FileType::Symlink { 0o777 } else { self.new.perm & 0o7777 };
        let mut gid = self.new.gid;
        if dir.attr().perm & SET_GID != 0 {
            gid = dir.attr().gid;
            if kind == FileType::Directory {
                perm |= SET_GID;
            }
        }
        let umask = self.new.umask.unwrap_or(0);
        Ok((Inherited::of(change, dir, kind, perm, umask).await?, gid))
    }

    /// Claims a block for the dinode and fills in all of it but the contents: an empty extent list.
    pub(super) async fn write_dinode(
        &self,
        change: &mut Change<'_>,
        perm: u16,
        gid: u32,
    ) -> Result<BlockNum, Error> {
        let NewBlock { block: ino, suballoc } = claim(change).await?;
        let volume = *change.blocks().volume();
        let kind = self.kind.file_type();
        let mut raw = RawDinode::new(&volume, ino, suballoc);
        raw.generation = U32::new(self.generation);
        raw.uid = U32::new(self.new.uid);
        raw.gid = U32::new(gid);
        raw.mode = U16::new(kind.mode_bits() | perm);
        raw.set_links(if kind == FileType::Directory { 2 } else { 1 });
        raw.set_times(self.now);
        raw.id1 = [U32::new(self.kind.rdev()), U32::ZERO];
        let room = ExtentList::room_in_dinode(volume.geometry.block_size);
        let bytes = change.blocks().fresh(ino, ino, BlockKind::Dinode);
        let (head, body) = RawDinode::mut_from(ino, bytes)?;
        *head = raw;
        if let Ok((list, _)) = RawExtentList::mut_from_prefix(body) {
            *list = RawExtentList::empty(room);
        }
        Ok(ino)
    }
}

/// Claims a block of this slot's inode allocator, or of another's when that is full.
async fn claim(change: &mut Change<'_>) -> Result<NewBlock, Error> {
    let (blocks, alloc) = change.blocks_and_space();
    let mut full = Error::NoSpace { what: "inodes", want: 1 };
    for slot in alloc.slots() {
        match alloc.claim_block(blocks, Pool::Inode(slot)).await {
            Err(error @ Error::NoSpace { .. }) => full = error,
            claimed => return claimed,
        }
    }
    Err(full)
}

/// Gives the new symlink `ino` its target: in the dinode if it fits there with its NUL, else in a cluster. That is
/// written at once, while nothing refers to it; the flush before the commit makes it last.
async fn write_target(change: &mut Change<'_>, ino: BlockNum, target: &[u8]) -> Result<(), Error> {
    let geometry = change.blocks().volume().geometry;
    let bytes = change.blocks().edit(ino, ino, BlockKind::Dinode).await?;
    let (head, body) = RawDinode::mut_from(ino, bytes)?;
    if target.len() < body.len() {
        let (text, rest) = body.split_at_mut(target.len());
        text.copy_from_slice(target);
        rest.fill(0);
        head.size = U64::new(target.len() as u64);
        return Ok(());
    }
    let (blocks, alloc) = change.blocks_and_space();
    let run = alloc.claim_clusters(blocks, 1, 1).await?;
    let block = geometry.cluster_start(run.start);
    let extent = Extent { cpos: 0, clusters: 1, flags: ExtentFlags::empty(), block };
    let mut bytes = target.to_vec();
    bytes.resize((target.len() + 1).next_multiple_of(geometry.block_size.len()), 0);
    change.fs().volume().write_block(block, "the target of a symlink", &bytes).await?;
    // A symlink without clusters has no extent list that could be added to: all of it is said at once.
    let bytes = change.blocks().edit(ino, ino, BlockKind::Dinode).await?;
    let (head, body) = RawDinode::mut_from(ino, bytes)?;
    head.size = U64::new(target.len() as u64);
    head.clusters = U32::new(1);
    let (list, records) = RawExtentList::mut_from(ino, body)?;
    if let Some(first) = records.first_mut() {
        *first = RawExtentRec::from_extent(&extent);
        list.next_free_rec = U16::new(1);
    }
    Ok(())
}
