//! One operation: its cluster locks, and its tries at a change.
//!
//! What an operation will need of the allocators cannot be known before it has begun: whether the window has room,
//! whether an index has to grow. So it begins with what it knows, and where it comes upon an allocator whose lock it
//! does not hold, or upon a full truncate log, the change is dropped, which costs nothing but time; what was missing
//! is got, in the one order of all nodes; and it begins again.
//!
//! ```ignore
//! let mut op = fs.operation();
//! op.lock_inode(Rank::Parent, dir, Level::Exclusive).await?;
//! loop {
//!     let mut change = op.begin().await?;
//!     let done = steps(&mut change).await;
//!     if let Some(done) = change.end(done).await? {
//!         return Ok(done);
//!     }
//! }
//! ```

use std::collections::BTreeSet;

use ocfs2_format::BlockNum;

use super::Writable;
use super::change::Change;
use super::refcount;
use crate::alloc::Pool;
use crate::lock::{Held, Level, LockError, LockName, Locks, MetaLvb, QuotaKind, Rank};
use crate::txn::Handle;
use crate::{Error, SystemFile};

/// One operation on a volume. Dropping it unlocks what it holds.
#[derive(Debug)]
pub(crate) struct Operation<'f> {
    fs: &'f Writable,
    locks: Locks<'f>,
    wanted: Wanted,
}

/// What the next try needs.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Allocators whose locks the operation must hold.
    allocators: BTreeSet<(Rank, BlockNum)>,
    /// Refcount trees, by their roots, whose locks it must hold.
    trees: BTreeSet<BlockNum>,
    /// Users and groups whose usage this node must count.
    ids: BTreeSet<(QuotaKind, u32)>,
    relief: Relief,
    /// Tries that have failed, one after the other.
    failed: u32,
}

/// Tries after which an operation gives up. Every one gets what the last one lacked, and there is not so much to lack.
const TRIES: u32 = 64;

/// What is to be done before the next try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Relief {
    /// Nothing, so far.
    #[default]
    None,
    /// The truncate log has to be emptied.
    Log,
    /// That, and what was freed has to come home, so that it can be claimed.
    Space,
    /// It was done already: when there is still no room, there is none.
    Spent,
}

impl Writable {
    /// Begins an operation that holds no lock yet.
    pub(crate) fn operation(&self) -> Operation<'_> {
        Operation { fs: self, locks: Locks::new(&*self.inner.service), wanted: Wanted::default() }
    }

    /// The same, with locks that are held already.
    pub(super) fn operation_under<'f>(&'f self, locks: Locks<'f>) -> Operation<'f> {
        Operation { fs: self, locks, wanted: Wanted::default() }
    }
}

impl<'f> Operation<'f> {
    /// The volume.
    pub(crate) fn fs(&self) -> &'f Writable {
        self.fs
    }

    /// Takes the lock of inode `ino`, and drops what is cached of it where it may be old. An operation that is to take
    /// it has begun no change yet.
    pub(crate) async fn lock_inode(&mut self, rank: Rank, ino: BlockNum, level: Level) -> Result<(), Error> {
        let held = self.locks.take(rank, self.fs.meta_lock(ino), level).await?;
        if held.needs_refresh() {
            self.fs.volume().forget(ino);
            held.refreshed();
        }
        Ok(())
    }

    /// Takes any other lock.
    pub(crate) async fn lock(
        &mut self,
        rank: Rank,
        name: LockName,
        level: Level,
    ) -> Result<&dyn Held, LockError> {
        self.locks.take(rank, name, level).await
    }

    /// Unlocks what is of `rank` or comes after it.
    pub(super) fn release_from(&mut self, rank: Rank) {
        self.locks.release_from(rank);
    }

    /// Takes a lock if nobody has it in a way that conflicts; false when somebody does.
    pub(crate) async fn try_lock(&mut self, name: LockName, level: Level) -> Result<bool, LockError> {
        Ok(self.locks.attempt(name, level).await?.is_some())
    }

    /// Whether it holds the lock `name` alone.
    pub(crate) fn holds(&self, name: LockName) -> bool {
        self.locks.get(name, Level::Exclusive).is_some()
    }

    /// Takes the lock of an inode that a change has just made: whoever has looked at its block before forgets what was
    /// there. Its number was not to be known earlier; nobody finds it while the lock of its directory is held.
    pub(crate) async fn lock_new_inode(&mut self, ino: BlockNum) -> Result<(), Error> {
        self.locks.release_from(Rank::Child);
        self.lock_inode(Rank::Child, ino, Level::Exclusive).await
    }

    /// The inode `ino`, whose lock is held, is no more: the value block of its lock says nothing.
    pub(crate) fn invalidate_lvb(&self, ino: BlockNum) {
        if let Some(held) = self.locks.get(self.fs.meta_lock(ino), Level::Exclusive) {
            held.set_lvb(&MetaLvb::INVALID);
        }
    }

    /// Lets go of the allocators' locks: what was wanted of them is done, and others may wait for them.
    pub(super) fn let_allocators_go(&mut self) {
        self.wanted.allocators.clear();
        self.locks.release_from(Rank::InodeAlloc);
    }

    /// Says that blocks of `pool` will be claimed or freed: what is known beforehand saves a try.
    pub(crate) fn will_use(&mut self, pool: Pool) -> Result<(), Error> {
        self.wanted.add(self.fs, pool.file())
    }

    /// Begins a change: gets what the last try lacked, and waits for its turn. One operation changes at a time, in the
    /// order in which they came.
    pub(crate) async fn begin(&mut self) -> Result<Change<'_>, Error> {
        if !self.wanted.ids.is_empty() {
            self.get_ids().await?;
        }
        if matches!(self.wanted.relief, Relief::Log | Relief::Space) {
            self.relieve().await?;
        }
        self.lock_trees().await?;
        self.lock_allocators().await?;
        let turn = self.fs.turn().lock().await;
        self.fs.alloc().home(self.fs.journal().passed().0);
        let allocators = self.wanted.allocators.iter().map(|(_, ino)| *ino);
        let locked = allocators.chain(self.wanted.trees.iter().copied()).collect();
        let handle = Handle::guarded(self.fs.volume().meta(), locked);
        Ok(Change::new(self.fs, handle, &mut self.wanted, turn))
    }

    /// Locks the allocators that are wanted. They come last in the order, so those of them that are held are let go
    /// and taken again with the others.
    async fn lock_allocators(&mut self) -> Result<(), Error> {
        let held = |ino| self.locks.get(self.fs.meta_lock(ino), Level::Exclusive).is_some();
        if self.wanted.allocators.iter().all(|(_, ino)| held(*ino)) {
            return Ok(());
        }
        self.locks.release_from(Rank::InodeAlloc);
        for (rank, ino) in self.wanted.allocators.clone() {
            self.lock_inode(rank, ino, Level::Exclusive).await?;
        }
        Ok(())
    }

    /// Locks the refcount trees that are wanted. What comes after them in the order is let go.
    async fn lock_trees(&mut self) -> Result<(), Error> {
        let mut names = Vec::new();
        for root in &self.wanted.trees {
            // It never changes while there is the tree, and an inode that is attached to it is locked.
            let generation = refcount::generation(self.fs.volume().meta(), *root).await?;
            names.push(LockName::refcount(*root, generation));
        }
        if names.iter().all(|name| self.locks.get(*name, Level::Exclusive).is_some()) {
            return Ok(());
        }
        self.locks.release_from(Rank::Refcount);
        for name in names {
            self.locks.take(Rank::Refcount, name, Level::Exclusive).await?;
        }
        Ok(())
    }

    /// Begins to count for the ids that the last try charged and that were not counted for.
    async fn get_ids(&mut self) -> Result<(), Error> {
        let ids = std::mem::take(&mut self.wanted.ids);
        let failed = self.wanted.failed;
        // It begins changes itself, none of which charges anybody.
        Box::pin(self.hold_ids(ids)).await?;
        self.wanted.failed = failed;
        Ok(())
    }

    /// Makes room, where the last try had none.
    async fn relieve(&mut self) -> Result<(), Error> {
        let relief = std::mem::take(&mut self.wanted.relief);
        let failed = self.wanted.failed;
        // It begins changes itself, none of which wants relief.
        Box::pin(self.empty_truncate_log(self.fs.slot())).await?;
        self.wanted.failed = failed;
        if relief == Relief::Space {
            self.fs.journal().flush_all().await?;
            self.wanted.relief = Relief::Spent;
        }
        Ok(())
    }
}

impl Wanted {
    /// Notes why a try failed, where another one may do better; else the error is the operation's.
    pub(super) async fn note(&mut self, error: Error, fs: &Writable) -> Result<(), Error> {
        self.failed += 1;
        match error {
            error if self.failed > TRIES => Err(error),
            Error::Unlocked { ino } => self.add_inode(fs, ino),
            Error::NotCounted { kind, id } => {
                self.ids.insert((kind, id));
                Ok(())
            }
            Error::TruncateLogFull { .. } => {
                self.relief = Relief::Log;
                Ok(())
            }
            Error::NoSpace { .. } if self.relief != Relief::Spent && fs.has_freed().await? => {
                self.relief = Relief::Space;
                Ok(())
            }
            error => Err(error),
        }
    }

    /// A try has succeeded: what comes next in the same operation begins anew.
    pub(super) fn succeeded(&mut self) {
        self.failed = 0;
        self.relief = Relief::None;
    }

    fn add_inode(&mut self, fs: &Writable, ino: BlockNum) -> Result<(), Error> {
        match fs.alloc().allocator(ino) {
            Some(file) => self.add(fs, file),
            // What is no allocator is a refcount tree.
            None => {
                self.trees.insert(ino);
                Ok(())
            }
        }
    }

    fn add(&mut self, fs: &Writable, file: SystemFile) -> Result<(), Error> {
        let rank = match file {
            SystemFile::InodeAlloc(_) | SystemFile::GlobalInodeAlloc => Rank::InodeAlloc,
            SystemFile::ExtentAlloc(_) => Rank::ExtentAlloc,
            _ => Rank::GlobalBitmap,
        };
        self.allocators.insert((rank, fs.system_ino(file)?));
        Ok(())
    }
}

impl Writable {
    /// Whether clusters have been freed that cannot be claimed yet.
    async fn has_freed(&self) -> Result<bool, Error> {
        let (logged, _) = self.alloc().log_used(self.volume().meta()).await?;
        Ok(logged > 0 || self.alloc().held() > 0)
    }
}
