//! The names of files: looking them up, making them, taking them away, moving them.
//!
//! Who may do that is the caller's to judge, but for the flags of `lsattr`, which bind everybody. An inode that loses
//! its last name goes to the slot's orphan directory in the same change, and is deleted when nobody
//! [retains](Writable::retain) it any more.

mod create;
mod link;
mod look;
mod remove;
mod rename;

use ocfs2_format::{BlockNum, Incompat, RawDinode, Timestamp};
use zerocopy::little_endian::{U32, U64};

pub use rename::RenameFlags;

use super::change::Change;
use super::operation::Operation;
use super::setattr::{APPEND, IMMUTABLE};
use crate::alloc::Allocators;
use crate::dir::Names;
use crate::lock::{Level, LockName, Rank};
use crate::{Error, Inode};

/// Most names of an inode, or subdirectories of a directory, as the kernel has it without indexed directories.
const MOST_LINKS: u32 = 32_000;
/// The same with them, for all but indexed directories: the kernel counts on, past the 16 bits that it reads back.
const MOST_LINKS_16: u32 = 65_000;
/// The same for an indexed directory (`OCFS2_DX_LINK_MAX`).
const MOST_LINKS_32: u32 = i32::MAX.cast_unsigned();

/// The names of `dir`, to be changed.
pub(super) fn names_of<'x, 'c>(change: &'x mut Change<'c>, dir: BlockNum) -> Names<'x, 'c, Allocators> {
    let (blocks, alloc) = change.blocks_and_space();
    Names::new(blocks, alloc, dir)
}

/// Fails unless names may be added to `dir`: it is a directory that has not been removed, and whose flags allow it.
pub(super) fn expect_may_add(dir: &Inode) -> Result<(), Error> {
    expect_flags(dir, IMMUTABLE)?;
    expect_there(dir)
}

/// The same for taking names away.
fn expect_may_remove(dir: &Inode) -> Result<(), Error> {
    expect_flags(dir, IMMUTABLE | APPEND)?;
    expect_there(dir)
}

/// Fails unless the flags of `inode` allow its names to change.
fn expect_movable(inode: &Inode) -> Result<(), Error> {
    expect_flags(inode, IMMUTABLE | APPEND)
}

fn expect_there(dir: &Inode) -> Result<(), Error> {
    dir.expect_dir()?;
    if dir.dinode().links == 0 { Err(Error::NotFound) } else { Ok(()) }
}

fn expect_flags(inode: &Inode, forbidden: u32) -> Result<(), Error> {
    let flags = inode.dinode().attr;
    if flags & forbidden == 0 { Ok(()) } else { Err(Error::Flagged { ino: inode.ino(), flags }) }
}

/// The link count of `inode` with one more.
pub(super) fn one_more_link(volume: &ocfs2_format::Volume, inode: &Inode) -> Result<u32, Error> {
    let max = match (volume.has(Incompat::INDEXED_DIRS), inode.dinode().dx_root) {
        (false, _) => MOST_LINKS,
        (true, None) => MOST_LINKS_16,
        (true, Some(_)) => MOST_LINKS_32,
    };
    let links = inode.dinode().links;
    if links < max { Ok(links + 1) } else { Err(Error::TooManyLinks { ino: inode.ino(), max }) }
}

/// Says that a directory's names were changed at `now`.
pub(super) fn touch_dir(raw: &mut RawDinode, now: Timestamp) {
    super::setattr::touch(raw, now);
    (raw.mtime, raw.mtime_nsec) = (U64::new(now.seconds.cast_unsigned()), U32::new(now.nanos));
}

impl Operation<'_> {
    /// Locks the inode that `name` leads to in `dir`, whose lock is held, and gives it as it is. Everybody who has the
    /// name in mind is told to forget it.
    async fn lock_named(&mut self, dir: BlockNum, name: &[u8]) -> Result<Inode, Error> {
        let volume = self.fs().volume();
        let parent = volume.inode(dir).await?;
        let entry = volume.lookup(&parent, name).await?.ok_or(Error::NotFound)?;
        self.lock_inode(Rank::Child, entry.ino, Level::Exclusive).await?;
        self.lock(Rank::Dentry, LockName::dentry(dir, entry.ino), Level::Exclusive).await?;
        volume.inode(entry.ino).await
    }
}
