//! Inodes without a name that are still there: each slot has a directory of them.

use ocfs2_format::{BlockNum, DinodeFlags, Timestamp};
use zerocopy::little_endian::{U16, U32};

use super::Writable;
use super::change::Change;
use super::names::{names_of, one_more_link, touch_dir};
use crate::txn::Blocks;
use crate::{Error, Inode, SystemFile};

/// What the inode `ino` is called in an orphan directory.
pub(super) fn orphan_name(ino: BlockNum) -> Vec<u8> {
    format!("{:016x}", ino.0).into_bytes()
}

impl Writable {
    /// The orphan directory of `slot`.
    pub(super) fn orphan_dir(&self, slot: u16) -> Result<BlockNum, Error> {
        self.system_ino(SystemFile::OrphanDir(slot))
    }
}

/// Puts `inode`, which loses its last name in this change, into this slot's orphan directory.
pub(super) async fn bury(change: &mut Change<'_>, inode: &Inode, now: Timestamp) -> Result<(), Error> {
    let (ino, kind, slot) = (inode.ino(), inode.attr().kind, change.fs().slot());
    let dir = change.fs().orphan_dir(slot)?;
    let mut names = names_of(change, dir);
    match names.insert(&orphan_name(ino), ino, kind).await {
        // Left behind by who had the number before.
        Err(Error::Exists) => names.replace(&orphan_name(ino), ino, kind).await.map(drop)?,
        done => done?,
    }
    let orphans = change.inode(dir).await?;
    let links = one_more_link(change.blocks().volume(), &orphans);
    let raw = change.dinode(dir).await?;
    touch_dir(raw, now);
    if inode.is_dir() {
        raw.set_links(links?);
    }
    let raw = change.dinode(ino).await?;
    raw.flags = U32::new(raw.flags.get() | DinodeFlags::ORPHANED.bits());
    raw.orphaned_slot = U16::new(slot);
    Ok(())
}

/// Takes `inode` out of the orphan directory of `slot`.
pub(super) async fn exhume(
    change: &mut Change<'_>,
    inode: &Inode,
    slot: u16,
    now: Timestamp,
) -> Result<(), Error> {
    let dir = change.fs().orphan_dir(slot)?;
    names_of(change, dir).remove(&orphan_name(inode.ino())).await?;
    let links = change.inode(dir).await?.dinode().links;
    let raw = change.dinode(dir).await?;
    touch_dir(raw, now);
    if inode.is_dir() {
        raw.set_links(links.saturating_sub(1));
    }
    Ok(())
}
