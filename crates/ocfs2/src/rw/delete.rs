//! Deleting an inode that has no name and that nobody has.
//!
//! In many changes, each of which leaves a sound inode in the orphan directory: whoever finds it there next goes on
//! (`ocfs2_delete_inode` of `fs/ocfs2/inode.c`).

use ocfs2_format::{BlockNum, DinodeFlags, DynFeatures};
use zerocopy::little_endian::{U32, U64};

use super::Writable;
use super::names::names_of;
use super::operation::Operation;
use super::orphans::exhume;
use super::refcount::RefcountTree;
use crate::alloc::Pool;
use crate::inode::Body;
use crate::lock::{Level, LockName, Rank};
use crate::{Error, Inode};

/// Extents that are given up in one change: less than the smallest truncate log holds.
const EXTENTS_AT_ONCE: usize = 32;

impl Writable {
    /// Deletes the inode `ino`, if it has no name, and no node has it. Otherwise it is left as it is.
    pub(super) async fn delete(&self, ino: BlockNum) -> Result<(), Error> {
        let mut op = self.operation();
        op.lock(Rank::NfsSync, LockName::nfs_sync(), Level::Shared).await?;
        op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        let inode = match self.volume().inode(ino).await {
            Err(error) if error.is_stale() => return Ok(()),
            inode => inode?,
        };
        let dinode = inode.dinode();
        let Some(slot) = dinode.orphaned_slot.filter(|_| dinode.links == 0) else { return Ok(()) };
        if dinode.flags.contains(DinodeFlags::DIO_ORPHANED) {
            return Ok(());
        }
        // Refused: another node, or another task, has it, and is to do it.
        if !op.try_lock(LockName::open(ino), Level::Exclusive).await? {
            return Ok(());
        }
        op.lock_inode(Rank::OrphanDir, self.orphan_dir(slot)?, Level::Exclusive).await?;
        op.wipe(&inode, slot).await?;
        op.invalidate_lvb(ino);
        self.data().forget(ino);
        drop(op);
        self.volume().forget(ino);
        Ok(())
    }
}

impl Operation<'_> {
    async fn wipe(&mut self, inode: &Inode, slot: u16) -> Result<(), Error> {
        let (ino, dinode) = (inode.ino(), inode.dinode());
        if dinode.clusters > 0 && matches!(inode.body(), Body::Tree(_)) {
            self.empty(ino).await?;
            self.drop_extents(ino, (0, 1 << 32)).await?;
        }
        if dinode.dx_root.is_some() {
            self.free_index(ino).await?;
        }
        if dinode.dyn_features.contains(DynFeatures::HAS_XATTR) {
            self.free_xattrs(ino).await?;
        }
        self.free_inode(inode, slot).await
    }

    /// Says that the inode has no contents any more, whatever clusters it still has.
    async fn empty(&mut self, ino: BlockNum) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let emptied = change.dinode(ino).await.map(|raw| raw.size = U64::ZERO);
            if change.end(emptied).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Gives up the index of a directory.
    async fn free_index(&mut self, dir: BlockNum) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let done = names_of(&mut change, dir).free_index(EXTENTS_AT_ONCE).await;
            if let Some(true) = change.end(done).await? {
                return Ok(());
            }
        }
    }

    /// The last change: neither the orphan directory nor the allocator knows the inode any more.
    async fn free_inode(&mut self, inode: &Inode, slot: u16) -> Result<(), Error> {
        let (ino, suballoc) = (inode.ino(), inode.dinode().suballoc);
        self.will_use(Pool::Inode(suballoc.slot))?;
        let now = self.fs().clock().now();
        loop {
            let mut change = self.begin().await?;
            let steps = async {
                exhume(&mut change, inode, slot, now).await?;
                if inode.dinode().refcount_root.is_some() {
                    RefcountTree::of(&mut change, ino).await?.detach(&mut change, ino).await?;
                }
                let raw = change.dinode(ino).await?;
                raw.dtime = U64::new(now.seconds.cast_unsigned());
                let gone = DinodeFlags::VALID | DinodeFlags::ORPHANED;
                raw.flags = U32::new(raw.flags.get() & !gone.bits());
                let (blocks, alloc) = change.blocks_and_space();
                alloc.free_block(blocks, Pool::Inode(suballoc.slot), ino, suballoc).await
            };
            let done = steps.await;
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }
}
