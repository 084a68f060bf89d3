//! Another name for an inode.

use ocfs2_format::{BlockNum, Timestamp};

use super::{expect_may_add, expect_movable, names_of, one_more_link, touch_dir};
use crate::dir::check_name;
use crate::lock::{Level, Rank};
use crate::rw::change::Change;
use crate::rw::setattr::touch;
use crate::txn::Blocks;
use crate::{Error, Inode, Writable};

impl Writable {
    /// Gives the inode `ino`, which is no directory, the name `name` in the directory `dir` as well. Returns it as it is
    /// then.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::BadName`], [`Error::NameTooLong`], [`Error::NotDir`], [`Error::LinkToDir`],
    /// [`Error::NotFound`] where the inode has no name any more, or the directory has been removed;
    /// [`Error::TooManyLinks`], [`Error::Flagged`], [`Error::NoSpace`], [`Error::Stale`]; and what every change can fail
    /// with.
    pub async fn link(&self, ino: BlockNum, dir: BlockNum, name: &[u8]) -> Result<Inode, Error> {
        self.judged(self.add_name(ino, dir, name).await)
    }

    async fn add_name(&self, ino: BlockNum, dir: BlockNum, name: &[u8]) -> Result<Inode, Error> {
        check_name(name)?;
        let mut op = self.operation();
        op.lock_inode(Rank::Parent, dir, Level::Exclusive).await?;
        let parent = self.volume().inode(dir).await?;
        expect_may_add(&parent)?;
        if ino == dir {
            // It is locked already.
            let found = self.volume().lookup(&parent, name).await?;
            return Err(if found.is_some() { Error::Exists } else { Error::LinkToDir { ino } });
        }
        op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        let now = self.clock().now();
        loop {
            let mut change = op.begin().await?;
            let done = steps(&mut change, ino, dir, name, now).await;
            if let Some(inode) = change.end(done).await? {
                return Ok(inode);
            }
        }
    }
}

async fn steps(
    change: &mut Change<'_>,
    ino: BlockNum,
    dir: BlockNum,
    name: &[u8],
    now: Timestamp,
) -> Result<Inode, Error> {
    expect_may_add(&change.inode(dir).await?)?;
    let inode = change.inode(ino).await?;
    if names_of(change, dir).find(name).await?.is_some() {
        return Err(Error::Exists);
    }
    if inode.is_dir() {
        return Err(Error::LinkToDir { ino });
    }
    expect_movable(&inode)?;
    if inode.dinode().links == 0 {
        return Err(Error::NotFound);
    }
    let links = one_more_link(change.blocks().volume(), &inode)?;
    names_of(change, dir).insert(name, ino, inode.attr().kind).await?;
    let raw = change.dinode(ino).await?;
    raw.set_links(links);
    touch(raw, now);
    touch_dir(change.dinode(dir).await?, now);
    change.inode(ino).await
}
