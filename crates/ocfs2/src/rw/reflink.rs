//! Clones of files: they share clusters until one of them is written to.
//!
//! As the kernel's `OCFS2_IOC_REFLINK`: the clone is made in the slot's orphan directory, filled there in many small
//! changes, and gets its name at last, in one. A crash before that leaves an inode without a name, which is deleted as
//! others are.

mod fill;
#[cfg(test)]
mod tests;

use ocfs2_format::{BlockNum, DinodeFlags, FileType, Incompat, Timestamp};
use zerocopy::little_endian::{U16, U32};

use super::Writable;
use super::acl::Inherited;
use super::change::Change;
use super::names::{expect_may_add, names_of, touch_dir};
use super::new_inode::{Birth, NewInode, NewKind};
use super::orphans::{bury, exhume};
use super::setattr::{APPEND, IMMUTABLE};
use crate::alloc::Pool;
use crate::dir::check_name;
use crate::lock::{Level, Rank};
use crate::{Error, Inode};
use fill::Cloning;

/// A clone in the orphan directory.
#[derive(Clone, Debug)]
struct Unnamed {
    ino: BlockNum,
    /// What the directory leaves to it, where it is not to be as its original in that.
    inherited: Option<Inherited>,
}

impl Writable {
    /// Makes a clone of the regular file `ino` with the name `name` in the directory `dir`: with its contents,
    /// attributes and flags.
    ///
    /// With `preserve` it has its original's owner, permissions, ACLs and mtime, too; `new` does not matter then.
    /// Without, owner and ACLs are those of a new file in `dir`, and its permissions the original's: those of them that
    /// are in `new.perm`, less what a default ACL or the umask takes. Who may do that is the caller's to judge.
    ///
    /// # Errors
    /// [`Error::NotCloneable`]; [`Error::NoFeature`] on a volume without `refcount`; [`Error::Flagged`] where the
    /// original must not be changed or only grow; [`Error::TooManyClones`]; and as [`Self::create`].
    pub async fn reflink(
        &self,
        ino: BlockNum,
        dir: BlockNum,
        name: &[u8],
        preserve: bool,
        new: &NewInode,
    ) -> Result<Inode, Error> {
        self.judged(self.try_reflink(ino, dir, name, preserve, new).await)
    }

    async fn try_reflink(
        &self,
        ino: BlockNum,
        dir: BlockNum,
        name: &[u8],
        preserve: bool,
        new: &NewInode,
    ) -> Result<Inode, Error> {
        check_name(name)?;
        if !self.volume().meta().volume().has(Incompat::REFCOUNT_TREE) {
            return Err(Error::NoFeature { feature: "refcount" });
        }
        let clone = self.make_clone(ino, dir, name, preserve, new).await?;
        let now = self.clock().now();
        let done = async {
            let mut op = self.operation();
            let original = op.lock_file(ino, Level::Exclusive, Level::Exclusive).await?;
            expect_cloneable(&original)?;
            op.lock_inode(Rank::Child, clone.ino, Level::Exclusive).await?;
            let cloning = Cloning { from: ino, to: clone.ino, preserve, now };
            op.fill_clone(cloning, clone.inherited.as_ref()).await?;
            drop(op);
            self.name_clone(clone.ino, dir, name, now).await
        };
        let done = done.await;
        if done.is_err() {
            self.buried(clone.ino).await;
        }
        self.release(clone.ino).await;
        done
    }

    /// Makes an empty inode in the orphan directory, and retains it: nobody deletes it before it has its name.
    async fn make_clone(
        &self,
        ino: BlockNum,
        dir: BlockNum,
        name: &[u8],
        preserve: bool,
        new: &NewInode,
    ) -> Result<Unnamed, Error> {
        // Some of them are locked as long as the volume is in use.
        if self.volume().is_system_file(ino) {
            return Err(Error::NotCloneable { ino, kind: FileType::Regular });
        }
        let mut op = self.operation();
        op.lock_inode(Rank::Child, ino, Level::Shared).await?;
        let original = self.volume().inode(ino).await?;
        expect_cloneable(&original)?;
        let attr = *original.attr();
        drop(op);
        let new = match preserve {
            true => NewInode { perm: attr.perm, uid: attr.uid, gid: attr.gid, umask: None },
            false => NewInode { perm: attr.perm & new.perm, ..*new },
        };
        loop {
            let mut op = self.operation();
            op.lock_inode(Rank::Parent, dir, Level::Shared).await?;
            let parent = self.volume().inode(dir).await?;
            expect_may_add(&parent)?;
            if self.volume().lookup(&parent, name).await?.is_some() {
                return Err(Error::Exists);
            }
            op.lock_inode(Rank::OrphanDir, self.orphan_dir(self.slot())?, Level::Exclusive).await?;
            op.will_use(Pool::Inode(self.slot()))?;
            let generation = self.next_generation();
            let birth = Birth { new, kind: NewKind::File, generation, now: self.clock().now() };
            let clone = loop {
                let mut change = op.begin().await?;
                let done = steps(&mut change, &birth, (!preserve).then_some(&parent)).await;
                if let Some(clone) = change.end(done).await? {
                    break clone;
                }
            };
            op.lock_new_inode(clone.ino).await?;
            // Its lock could not be had before, so somebody who looks for orphans may have been quicker.
            match self.volume().inode(clone.ino).await {
                Ok(inode) if inode.attr().generation == generation => {
                    self.retain_locked(clone.ino).await?;
                    return Ok(clone);
                }
                Ok(_) => {}
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves the inode `ino` from the orphan directory to `dir`.
    async fn name_clone(
        &self,
        ino: BlockNum,
        dir: BlockNum,
        name: &[u8],
        now: Timestamp,
    ) -> Result<Inode, Error> {
        let slot = self.slot();
        let mut op = self.operation();
        op.lock_inode(Rank::Parent, dir, Level::Exclusive).await?;
        op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        op.lock_inode(Rank::OrphanDir, self.orphan_dir(slot)?, Level::Exclusive).await?;
        loop {
            let mut change = op.begin().await?;
            let steps = async {
                expect_may_add(&change.inode(dir).await?)?;
                if names_of(&mut change, dir).find(name).await?.is_some() {
                    return Err(Error::Exists);
                }
                let inode = change.inode(ino).await?;
                names_of(&mut change, dir).insert(name, ino, FileType::Regular).await?;
                exhume(&mut change, &inode, slot, now).await?;
                let raw = change.dinode(ino).await?;
                raw.flags = U32::new(raw.flags.get() & !DinodeFlags::ORPHANED.bits());
                raw.orphaned_slot = U16::ZERO;
                raw.set_links(1);
                touch_dir(change.dinode(dir).await?, now);
                change.inode(ino).await
            };
            let done = steps.await;
            if let Some(inode) = change.end(done).await? {
                return Ok(inode);
            }
        }
    }
}

/// Makes an inode without a name, which is to inherit of `dir`.
async fn steps(change: &mut Change<'_>, birth: &Birth<'_>, dir: Option<&Inode>) -> Result<Unnamed, Error> {
    let (ino, inherited) = match dir {
        Some(dir) => {
            let (inherited, gid) = birth.inherits(change, dir).await?;
            (birth.write_dinode(change, inherited.perm, gid).await?, Some(inherited))
        }
        None => (birth.write_dinode(change, birth.new.perm, birth.new.gid).await?, None),
    };
    change.dinode(ino).await?.set_links(0);
    let inode = change.inode(ino).await?;
    bury(change, &inode, birth.now).await?;
    Ok(Unnamed { ino, inherited })
}

/// Fails for what is no regular file, and for one whose flags forbid that it is cloned.
fn expect_cloneable(inode: &Inode) -> Result<(), Error> {
    let (ino, flags) = (inode.ino(), inode.dinode().attr);
    if inode.attr().kind != FileType::Regular {
        return Err(Error::NotCloneable { ino, kind: inode.attr().kind });
    }
    if flags & (IMMUTABLE | APPEND) != 0 {
        return Err(Error::Flagged { ino, flags });
    }
    if inode.dinode().links == 0 {
        return Err(Error::NotFound);
    }
    Ok(())
}
