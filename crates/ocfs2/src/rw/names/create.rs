//! Making files, directories, symlinks and the rest.

use ocfs2_format::{BlockNum, FileType};

use super::{expect_may_add, names_of, one_more_link, touch_dir};
use crate::alloc::Pool;
use crate::dir::check_name;
use crate::lock::{Level, Rank};
use crate::rw::change::Change;
use crate::rw::new_inode::{Birth, NewInode, NewKind};
use crate::txn::Blocks;
use crate::{Error, Inode, Writable};

impl Writable {
    /// Makes an inode with the name `name` in the directory `dir`. It gets what the directory leaves to it: its group
    /// where the directory's set-group-id bit is set, and ACLs.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::BadName`], [`Error::NameTooLong`], [`Error::TargetTooLong`],
    /// [`Error::DeviceNumber`], [`Error::NotDir`], [`Error::NotFound`] in a directory that has been removed,
    /// [`Error::TooManyLinks`], [`Error::Flagged`], [`Error::NoSpace`], [`Error::Quota`], [`Error::Stale`]; and what
    /// every change can fail with.
    pub async fn create(
        &self,
        dir: BlockNum,
        name: &[u8],
        new: &NewInode,
        kind: NewKind<'_>,
    ) -> Result<Inode, Error> {
        self.judged(self.make(dir, name, new, kind, false).await)
    }

    /// The same, and [retains](Self::retain) the inode, in one step: it is not deleted in between.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_retained(
        &self,
        dir: BlockNum,
        name: &[u8],
        new: &NewInode,
        kind: NewKind<'_>,
    ) -> Result<Inode, Error> {
        self.judged(self.make(dir, name, new, kind, true).await)
    }

    async fn make(
        &self,
        dir: BlockNum,
        name: &[u8],
        new: &NewInode,
        kind: NewKind<'_>,
        retain: bool,
    ) -> Result<Inode, Error> {
        check_name(name)?;
        kind.check()?;
        let mut op = self.operation();
        op.lock_inode(Rank::Parent, dir, Level::Exclusive).await?;
        op.will_use(Pool::Inode(self.slot()))?;
        let birth = Birth { new: *new, kind, generation: self.next_generation(), now: self.clock().now() };
        let inode = loop {
            let mut change = op.begin().await?;
            let done = steps(&mut change, dir, name, &birth).await;
            if let Some(inode) = change.end(done).await? {
                break inode;
            }
        };
        op.lock_new_inode(inode.ino()).await?;
        if retain {
            self.retain_locked(inode.ino()).await?;
        }
        Ok(inode)
    }
}

async fn steps(
    change: &mut Change<'_>,
    dir: BlockNum,
    name: &[u8],
    birth: &Birth<'_>,
) -> Result<Inode, Error> {
    let parent = change.inode(dir).await?;
    expect_may_add(&parent)?;
    // Before space is asked for: what is there already is no matter of space.
    if names_of(change, dir).find(name).await?.is_some() {
        return Err(Error::Exists);
    }
    let kind = birth.kind.file_type();
    let links = match kind {
        FileType::Directory => Some(one_more_link(change.blocks().volume(), &parent)?),
        _ => None,
    };
    let ino = birth.make(change, &parent).await?;
    names_of(change, dir).insert(name, ino, kind).await?;
    let raw = change.dinode(dir).await?;
    touch_dir(raw, birth.now);
    if let Some(links) = links {
        raw.set_links(links);
    }
    change.inode(ino).await
}
