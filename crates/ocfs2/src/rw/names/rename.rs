//! Moving names.

use ocfs2_format::{BlockNum, FileType, Timestamp};

use super::remove::{expect_removable, lose_name};
use super::{
    expect_may_add, expect_may_remove, expect_movable, expect_there, names_of, one_more_link, touch_dir,
};
use crate::dir::check_name;
use crate::lock::{Level, LockName, Rank};
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::rw::setattr::touch;
use crate::txn::Blocks;
use crate::{Error, Writable};

/// How a name is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenameFlags {
    /// Fail where the new name is taken (`RENAME_NOREPLACE`).
    pub no_replace: bool,
}

/// A name, and the one that it becomes.
#[derive(Clone, Copy, Debug)]
struct Move<'a> {
    from_dir: BlockNum,
    from: &'a [u8],
    to_dir: BlockNum,
    to: &'a [u8],
}

/// What a move is about, once its directories are locked.
#[derive(Clone, Copy, Debug)]
struct Moved {
    ino: BlockNum,
    /// What has the new name now, and loses it.
    target: Option<BlockNum>,
    now: Timestamp,
}

impl Writable {
    /// Moves the name `from` in the directory `from_dir` to `to` in `to_dir`. What had the new name loses it in the same
    /// step, if it is of the same sort: a directory, which must be empty, or anything else. Where both names are of one
    /// inode nothing happens.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadName`], [`Error::NameTooLong`], [`Error::NotDir`], [`Error::NotFile`] for a file
    /// over a directory, [`Error::NotEmpty`], [`Error::IntoItself`], [`Error::Exists`] as `flags` want it,
    /// [`Error::TooManyLinks`], [`Error::Flagged`], [`Error::NoSpace`], [`Error::Stale`]; and what every change can fail
    /// with.
    pub async fn rename(
        &self,
        from_dir: BlockNum,
        from: &[u8],
        to_dir: BlockNum,
        to: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Error> {
        let this = Move { from_dir, from, to_dir, to };
        let lost = self.judged(self.move_name(this, flags).await)?;
        if let Some(lost) = lost {
            self.buried(lost).await;
        }
        Ok(())
    }

    /// Gives the inode that has lost its last name by it.
    async fn move_name(&self, this: Move<'_>, flags: RenameFlags) -> Result<Option<BlockNum>, Error> {
        check_name(this.from)?;
        check_name(this.to)?;
        if this.from_dir == this.to_dir {
            let mut op = self.operation();
            op.lock_inode(Rank::Parent, this.from_dir, Level::Exclusive).await?;
            return op.move_under_locks(this, flags, &[], &[]).await;
        }
        // Two locks of directories are taken against the order of the tree only here: one of us at a time. What other
        // nodes do is theirs to keep in order, as the kernels among themselves.
        let _turn = self.renames().lock().await;
        let moves_dir = self.leads_to_dir(this.from_dir, this.from).await?;
        let mut op = self.operation();
        if moves_dir {
            // No directory changes its place meanwhile, on any node.
            op.lock(Rank::Rename, LockName::rename(), Level::Exclusive).await?;
        }
        let above_from = self.above(this.from_dir).await?;
        let above_to = self.above(this.to_dir).await?;
        for dir in in_order((this.from_dir, &above_from), (this.to_dir, &above_to)) {
            op.lock_inode(Rank::Parent, dir, Level::Exclusive).await?;
        }
        op.move_under_locks(this, flags, &above_from, &above_to).await
    }

    /// Whether `name` in `dir` is a directory's.
    async fn leads_to_dir(&self, dir: BlockNum, name: &[u8]) -> Result<bool, Error> {
        let mut op = self.operation();
        op.lock_inode(Rank::Parent, dir, Level::Shared).await?;
        let inode = self.volume().inode(dir).await?;
        let entry = self.volume().lookup(&inode, name).await?.ok_or(Error::NotFound)?;
        Ok(entry.kind == Some(FileType::Directory))
    }

    /// The directories above `dir`, the next first.
    async fn above(&self, mut dir: BlockNum) -> Result<Vec<BlockNum>, Error> {
        let mut all = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while dir != self.volume().root() {
            let mut op = self.operation();
            op.lock_inode(Rank::Parent, dir, Level::Shared).await?;
            let inode = self.volume().inode(dir).await?;
            let up = self.volume().lookup(&inode, b"..").await?;
            let up = up.ok_or(Error::Hole { ino: dir, what: "the directory's `..`", cpos: 0 })?;
            if !seen.insert(up.ino) {
                return Err(Error::DirLoop { ino: up.ino });
            }
            all.push(up.ino);
            dir = up.ino;
        }
        Ok(all)
    }
}

/// The order in which two directories are locked: the one above the other first, else by their numbers.
fn in_order(a: (BlockNum, &[BlockNum]), b: (BlockNum, &[BlockNum])) -> [BlockNum; 2] {
    let a_first = if b.1.contains(&a.0) { true } else { !a.1.contains(&b.0) && a.0 < b.0 };
    if a_first { [a.0, b.0] } else { [b.0, a.0] }
}

impl Operation<'_> {
    /// Moves the name; both directories are locked, and what lies above them is known where they are two.
    async fn move_under_locks(
        &mut self,
        this: Move<'_>,
        flags: RenameFlags,
        above_from: &[BlockNum],
        above_to: &[BlockNum],
    ) -> Result<Option<BlockNum>, Error> {
        let (fs, volume) = (self.fs(), self.fs().volume());
        let from_dir = volume.inode(this.from_dir).await?;
        let to_dir = volume.inode(this.to_dir).await?;
        expect_there(&to_dir)?;
        let entry = volume.lookup(&from_dir, this.from).await?.ok_or(Error::NotFound)?;
        let target = volume.lookup(&to_dir, this.to).await?.map(|target| target.ino);
        if flags.no_replace && target.is_some() {
            return Err(Error::Exists);
        }
        if entry.ino == this.to_dir || above_to.contains(&entry.ino) {
            return Err(Error::IntoItself { ino: entry.ino });
        }
        // Its lock would come before that of the directory, which is held.
        if let Some(ino) = target.filter(|ino| *ino == this.from_dir || above_from.contains(ino)) {
            return Err(Error::NotEmpty { ino });
        }
        if target == Some(entry.ino) {
            return Ok(None);
        }
        let mut children: Vec<BlockNum> = [entry.ino].into_iter().chain(target).collect();
        children.sort_unstable();
        for ino in children {
            self.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        }
        let inode = volume.inode(entry.ino).await?;
        if inode.is_dir() && this.from_dir != this.to_dir && !self.holds(LockName::rename()) {
            // It has become one since it was looked at.
            return Err(Error::NotFound);
        }
        self.lock(Rank::Dentry, LockName::dentry(this.from_dir, entry.ino), Level::Exclusive).await?;
        let mut lost = None;
        if let Some(ino) = target {
            self.lock(Rank::Dentry, LockName::dentry(this.to_dir, ino), Level::Exclusive).await?;
            let target = volume.inode(ino).await?;
            if target.is_dir() || target.dinode().links <= 1 {
                self.lock_inode(Rank::OrphanDir, fs.orphan_dir(fs.slot())?, Level::Exclusive).await?;
                lost = Some(ino);
            }
        }
        let moved = Moved { ino: entry.ino, target, now: fs.clock().now() };
        loop {
            let mut change = self.begin().await?;
            let done = steps(&mut change, &this, &moved).await;
            if change.end(done).await?.is_some() {
                return Ok(lost);
            }
        }
    }
}

async fn steps(change: &mut Change<'_>, this: &Move<'_>, moved: &Moved) -> Result<(), Error> {
    let from_dir = change.inode(this.from_dir).await?;
    let to_dir = change.inode(this.to_dir).await?;
    let inode = change.inode(moved.ino).await?;
    expect_may_remove(&from_dir)?;
    expect_movable(&inode)?;
    let crosses = this.from_dir != this.to_dir;
    let kind = inode.attr().kind;
    let (mut from_links, mut to_links) = (from_dir.dinode().links, to_dir.dinode().links);
    match moved.target {
        Some(ino) => {
            expect_may_remove(&to_dir)?;
            let target = change.inode(ino).await?;
            expect_movable(&target)?;
            match (inode.is_dir(), target.is_dir()) {
                (true, false) => target.expect_dir()?,
                (false, true) => {
                    return Err(Error::NotFile { ino, kind: target.attr().kind });
                }
                _ => {}
            }
            expect_removable(change, &target).await?;
            names_of(change, this.to_dir).replace(this.to, moved.ino, kind).await?;
            lose_name(change, &target, moved.now).await?;
            to_links = to_links.saturating_sub(u32::from(target.is_dir()));
        }
        None => {
            expect_may_add(&to_dir)?;
            if inode.is_dir() && crosses {
                one_more_link(change.blocks().volume(), &to_dir)?;
            }
            names_of(change, this.to_dir).insert(this.to, moved.ino, kind).await?;
        }
    }
    names_of(change, this.from_dir).remove(this.from).await?;
    if inode.is_dir() && crosses {
        names_of(change, moved.ino).replace(b"..", this.to_dir, FileType::Directory).await?;
        from_links = from_links.saturating_sub(1);
        to_links += 1;
    }
    touch(change.dinode(moved.ino).await?, moved.now);
    if crosses {
        let raw = change.dinode(this.from_dir).await?;
        touch_dir(raw, moved.now);
        raw.set_links(from_links);
    }
    let raw = change.dinode(this.to_dir).await?;
    touch_dir(raw, moved.now);
    raw.set_links(to_links);
    Ok(())
}
