//! Taking names away.

use ocfs2_format::{BlockNum, Timestamp};

use super::{expect_may_remove, expect_movable, names_of, touch_dir};
use crate::dir::check_name;
use crate::lock::{Level, Rank};
use crate::rw::change::Change;
use crate::rw::setattr::touch;
use crate::{Error, Inode, Writable};

/// What a name that is taken away may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Directory,
    AnythingElse,
}

impl Writable {
    /// Takes away the name `name`, of anything but a directory, in the directory `dir`. With its last name the inode
    /// goes, as soon as nobody [retains](Self::retain) it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadName`], [`Error::NameTooLong`], [`Error::NotDir`], [`Error::NotFile`] for a
    /// directory, [`Error::Flagged`], [`Error::NoSpace`] where the orphan directory cannot grow, [`Error::Stale`]; and
    /// what every change can fail with.
    pub async fn unlink(&self, dir: BlockNum, name: &[u8]) -> Result<(), Error> {
        self.judged(self.take_name(dir, name, Victim::AnythingElse).await)
    }

    /// Removes the empty directory `name` in the directory `dir`.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; [`Error::NotDir`] also for what `name` is; and as [`Self::unlink`].
    pub async fn rmdir(&self, dir: BlockNum, name: &[u8]) -> Result<(), Error> {
        self.judged(self.take_name(dir, name, Victim::Directory).await)
    }

    async fn take_name(&self, dir: BlockNum, name: &[u8], victim: Victim) -> Result<(), Error> {
        check_name(name)?;
        let mut op = self.operation();
        op.lock_inode(Rank::Parent, dir, Level::Exclusive).await?;
        let inode = op.lock_named(dir, name).await?;
        match (victim, inode.is_dir()) {
            (Victim::Directory, false) => inode.expect_dir()?,
            (Victim::AnythingElse, true) => inode.expect_file()?,
            _ => {}
        }
        let last = inode.is_dir() || inode.dinode().links <= 1;
        if last {
            op.lock_inode(Rank::OrphanDir, self.orphan_dir(self.slot())?, Level::Exclusive).await?;
        }
        let now = self.clock().now();
        loop {
            let mut change = op.begin().await?;
            let done = steps(&mut change, dir, name, inode.ino(), now).await;
            if change.end(done).await?.is_some() {
                break;
            }
        }
        drop(op);
        if last {
            self.buried(inode.ino()).await;
        }
        Ok(())
    }
}

async fn steps(
    change: &mut Change<'_>,
    dir: BlockNum,
    name: &[u8],
    ino: BlockNum,
    now: Timestamp,
) -> Result<(), Error> {
    let parent = change.inode(dir).await?;
    expect_may_remove(&parent)?;
    let inode = change.inode(ino).await?;
    expect_movable(&inode)?;
    expect_removable(change, &inode).await?;
    let removed = names_of(change, dir).remove(name).await?;
    debug_assert_eq!(removed.ino, ino, "the directory is locked since the name was looked up");
    lose_name(change, &inode, now).await?;
    let raw = change.dinode(dir).await?;
    touch_dir(raw, now);
    if inode.is_dir() {
        raw.set_links(parent.dinode().links.saturating_sub(1));
    }
    Ok(())
}

/// Fails for a directory with anything in it.
pub(super) async fn expect_removable(change: &mut Change<'_>, inode: &Inode) -> Result<(), Error> {
    if !inode.is_dir() {
        return Ok(());
    }
    if inode.dinode().links != 2 {
        return Err(Error::NotEmpty { ino: inode.ino() });
    }
    names_of(change, inode.ino()).expect_empty().await
}

/// Counts one name less of `inode`, whose entry is gone; without any it goes to the orphan directory, whose lock is held
/// then. A directory's only name takes its own `.` along.
pub(super) async fn lose_name(change: &mut Change<'_>, inode: &Inode, now: Timestamp) -> Result<(), Error> {
    let links = if inode.is_dir() { 0 } else { inode.dinode().links.saturating_sub(1) };
    let raw = change.dinode(inode.ino()).await?;
    raw.set_links(links);
    touch(raw, now);
    if links == 0 { crate::rw::orphans::bury(change, inode, now).await } else { Ok(()) }
}
