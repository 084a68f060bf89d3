//! The cluster locks of one operation, taken in the one order that all nodes keep.

use super::{Guard, Held, How, Level, LockError, LockKind, LockName, LockService};

/// The place of a lock in the order, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// The superblock lock.
    Superblock,
    /// The inode of a journal: held as long as its slot.
    Journal,
    /// Renames of directories across directories.
    Rename,
    /// The scan of orphan directories, `FITRIM`: held around many operations.
    Scan,
    /// Deletion against look-ups by inode number.
    NfsSync,
    /// Readers and writers of a file.
    Rw,
    /// A directory whose entries change. Of two, the ancestor first, else the one with the lower number.
    Parent,
    /// The inode that an operation is about.
    Child,
    /// Being open: only tried for, under the inode's own lock.
    Open,
    /// The names of an inode.
    Dentry,
    /// An orphan directory.
    OrphanDir,
    /// A refcount tree.
    Refcount,
    /// A global quota file.
    QuotaFile,
    /// The information in it.
    QuotaInfo,
    /// An allocator of inodes.
    InodeAlloc,
    /// An allocator of metadata blocks.
    ExtentAlloc,
    /// The allocator of clusters.
    GlobalBitmap,
}

impl Rank {
    /// Whether a lock of this rank may follow another one of it, whatever their numbers: the caller knows which of two
    /// directories is above the other, and the names and inodes follow their directories.
    fn is_callers(self) -> bool {
        matches!(self, Self::Parent | Self::Child | Self::Dentry)
    }

    /// The kind of lock that has this rank.
    fn fits(self, kind: LockKind) -> bool {
        match self {
            Self::Superblock => kind == LockKind::Superblock,
            Self::Rename => kind == LockKind::Rename,
            Self::Scan => matches!(kind, LockKind::OrphanScan | LockKind::Trim),
            Self::NfsSync => kind == LockKind::NfsSync,
            Self::Rw => kind == LockKind::Rw,
            Self::Open => kind == LockKind::Open,
            Self::Dentry => kind == LockKind::Dentry,
            Self::Refcount => kind == LockKind::Refcount,
            Self::QuotaInfo => kind == LockKind::QuotaInfo,
            _ => kind == LockKind::Meta,
        }
    }
}

/// The cluster locks that one operation holds. Dropping it unlocks them, the last one first.
///
/// Nodes that take locks in different orders can wait for each other for ever. So the order is a rule, and in builds
/// with debug assertions breaking it is a panic. A lock that is only tried for may come at any time: it waits for
/// nobody.
#[derive(Debug)]
pub struct Locks<'s> {
    service: &'s dyn LockService,
    held: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: LockName,
    level: Level,
    rank: Option<Rank>,
    guard: Guard,
}

impl<'s> Locks<'s> {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(service: &'s dyn LockService) -> Self {
        Self { service, held: Vec::new() }
    }

    /// Takes a lock, waiting for it.
    ///
    /// # Errors
    /// [`LockError::Gone`].
    ///
    /// # Panics
    /// With debug assertions: when `rank` does not come after all that are held, or is no rank of this kind of lock.
    pub async fn take(&mut self, rank: Rank, name: LockName, level: Level) -> Result<&dyn Held, LockError> {
        self.take_how(rank, name, level, How::Wait).await
    }

    /// As [`Self::take`], for the recovery of dead nodes, which it does not wait for.
    ///
    /// # Errors
    /// [`LockError::Gone`].
    pub async fn take_in_recovery(
        &mut self,
        rank: Rank,
        name: LockName,
        level: Level,
    ) -> Result<&dyn Held, LockError> {
        self.take_how(rank, name, level, How::Recovery).await
    }

    async fn take_how(
        &mut self,
        rank: Rank,
        name: LockName,
        level: Level,
        how: How,
    ) -> Result<&dyn Held, LockError> {
        debug_assert!(rank.fits(name.kind()), "lock {name} has no place among the {rank:?} locks");
        if let Some(place) = self.held.iter().position(|entry| entry.name == name) {
            // Two names of one operation may lead to one inode. More than is held cannot be had this late.
            let entry = &self.held[place];
            debug_assert!(entry.level >= level, "lock {name} is held, and not at {level:?}");
            return if entry.level >= level { Ok(&*entry.guard) } else { Err(LockError::Late { name }) };
        }
        self.check_order(rank, name);
        let guard = self.service.lock(name, level, how).await?;
        Ok(self.keep(Entry { name, level, rank: Some(rank), guard }))
    }

    /// Takes a lock if nobody else has it; `None` when another node does.
    ///
    /// # Errors
    /// [`LockError::Gone`].
    pub async fn attempt(&mut self, name: LockName, level: Level) -> Result<Option<&dyn Held>, LockError> {
        match self.service.lock(name, level, How::Try).await {
            Ok(guard) => Ok(Some(self.keep(Entry { name, level, rank: None, guard }))),
            Err(LockError::Busy { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The lock `name`, where it is held at `level` or above.
    #[must_use]
    pub fn get(&self, name: LockName, level: Level) -> Option<&dyn Held> {
        let entry = self.held.iter().find(|entry| entry.name == name && entry.level >= level)?;
        Some(&*entry.guard)
    }

    /// Takes the lock `name` out of the set: the caller goes on holding it.
    pub fn detach(&mut self, name: LockName) -> Option<Guard> {
        let place = self.held.iter().position(|entry| entry.name == name)?;
        Some(self.held.remove(place).guard)
    }

    /// Unlocks what is of `rank` or comes after it.
    pub fn release_from(&mut self, rank: Rank) {
        self.held.retain(|entry| entry.rank.is_none_or(|held| held < rank));
    }

    fn keep(&mut self, entry: Entry) -> &dyn Held {
        let place = self.held.len();
        self.held.push(entry);
        &*self.held[place].guard
    }

    fn check_order(&self, rank: Rank, name: LockName) {
        let ranked = |entry: &Entry| entry.rank.map(|rank| (rank, entry.name));
        let Some((last, before)) = self.held.iter().filter_map(ranked).max() else { return };
        let follows = last < rank || last == rank && (rank.is_callers() || before.block() < name.block());
        debug_assert!(follows, "{rank:?} lock {name} is asked for after {last:?} lock {before}");
    }
}

impl Drop for Locks<'_> {
    fn drop(&mut self) {
        while self.held.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use block::IoFuture;
    use ocfs2_format::BlockNum;

    use super::*;
    use crate::lock::{Demand, LocalLocks, Lvb};

    fn meta(ino: u64) -> LockName {
        LockName::meta(BlockNum(ino), 0)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Takes the locks one after the other.
    fn take(order: &[(Rank, LockName)]) {
        run(async {
            let service = LocalLocks::default();
            let mut locks = Locks::new(&service);
            for (rank, name) in order {
                locks.take(*rank, *name, Level::Exclusive).await.unwrap();
            }
        });
    }

    #[test]
    fn the_order_of_an_unlink_is_allowed() {
        let (parent, child) = (BlockNum(90), BlockNum(20));
        take(&[
            (Rank::Parent, meta(90)),
            (Rank::Child, meta(20)),
            (Rank::Dentry, LockName::dentry(parent, child)),
            (Rank::OrphanDir, LockName::meta(BlockNum(7), 1)),
            (Rank::InodeAlloc, LockName::meta(BlockNum(5), 1)),
            (Rank::GlobalBitmap, LockName::meta(BlockNum(3), 1)),
        ]);
    }

    #[test]
    #[should_panic(expected = "Parent lock M000000000000000000000900000000 is asked for after Child")]
    fn a_directory_after_its_child_is_a_panic() {
        take(&[(Rank::Child, meta(20)), (Rank::Parent, meta(9))]);
    }

    #[test]
    #[should_panic(expected = "Rw lock")]
    fn two_of_one_rank_go_by_their_numbers() {
        take(&[(Rank::Rw, LockName::rw(BlockNum(20), 1)), (Rank::Rw, LockName::rw(BlockNum(9), 1))]);
    }

    #[test]
    #[should_panic(expected = "has no place among the Parent locks")]
    fn a_lock_of_another_kind_has_no_place() {
        take(&[(Rank::Parent, LockName::rw(BlockNum(20), 1))]);
    }

    #[test]
    fn what_is_held_may_be_taken_again_and_is_unlocked_once() {
        let service = Noting::default();
        run(async {
            let mut locks = Locks::new(&service);
            locks.take(Rank::Parent, meta(9), Level::Exclusive).await.unwrap();
            locks.take(Rank::Child, meta(20), Level::Exclusive).await.unwrap();
            locks.take(Rank::Parent, meta(9), Level::Shared).await.unwrap();
            assert!(
                locks.get(meta(9), Level::Exclusive).is_some() && locks.get(meta(8), Level::Shared).is_none()
            );
            // Only tried for: out of order, and that waits for nobody.
            assert!(locks.attempt(LockName::open(BlockNum(20)), Level::Exclusive).await.unwrap().is_none());
        });
        assert_eq!(*service.0.lock().unwrap(), ["+9", "+20", "-20", "-9"]);
    }

    /// A service that writes down what is locked and unlocked, and whose open locks another node holds.
    #[derive(Debug, Default)]
    struct Noting(Arc<Mutex<Vec<String>>>);

    #[derive(Debug)]
    struct Noted(LockName, Arc<Mutex<Vec<String>>>);

    impl LockService for Noting {
        fn lock(&self, name: LockName, _level: Level, how: How) -> IoFuture<'_, Result<Guard, LockError>> {
            if name.kind() == LockKind::Open {
                assert_eq!(how, How::Try);
                return IoFuture::ready(Err(LockError::Busy { name }));
            }
            self.0.lock().unwrap().push(format!("+{}", name.block()));
            IoFuture::ready(Ok(Box::new(Noted(name, Arc::clone(&self.0)))))
        }

        fn demand(&self) -> IoFuture<'_, Option<Demand>> {
            IoFuture::ready(None)
        }
    }

    impl Held for Noted {
        fn needs_refresh(&self) -> bool {
            false
        }

        fn refreshed(&self) {}

        fn lvb(&self) -> Option<Lvb> {
            None
        }

        fn set_lvb(&self, _lvb: &Lvb) {}
    }

    impl Drop for Noted {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(format!("-{}", self.0.block()));
        }
    }
}
