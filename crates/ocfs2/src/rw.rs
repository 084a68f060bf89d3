//! A volume open for writing.
//!
//! [`Writable::open`] takes a slot, recovers what was left behind, and starts the slot's journal; the program runs
//! [`Writable::drive`] beside everything else until [`Writable::close`] ends it. An operation takes its cluster locks,
//! begins a [`Change`](change::Change), edits blocks, and publishes them; `fsync` waits for the commit.

mod acl;
mod atime;
mod change;
mod clock;
mod close;
mod data;
mod delete;
mod direct;
mod flags;
mod gate;
mod give_back;
mod hand_over;
mod journal;
mod look;
mod names;
mod new_inode;
mod open;
mod opens;
mod operation;
mod orphans;
mod quota;
mod recover;
mod refcount;
mod reflink;
mod replay;
mod scan;
mod setattr;
mod slots;
mod tend;
mod trim;
mod xattr;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ocfs2_format::BlockNum;
use tokio::sync;

pub use clock::Clock;
pub use data::{FallocateMode, WriteHow, Written};
pub use gate::NotWritable;
pub use names::RenameFlags;
pub use new_inode::{NewInode, NewKind};
pub use open::WriteOptions;
pub(crate) use quota::kind_name;
pub use quota::{QuotaGraces, QuotaLimits, QuotaStatus};
pub use setattr::{SetAttr, SetTime};
pub use xattr::{SetXattr, XattrHow};

use crate::alloc::Allocators;
use crate::lock::{Guard, LockName, LockService};
use crate::{Error, SystemFile, Volume};
use data::DataState;
use journal::Journal;
use opens::Opens;
use quota::Quotas;
use scan::Scans;

/// An OCFS2 volume open for reading and writing. Cloning is cheap: all clones are the same volume.
///
/// Reading is the [`Volume`]'s, which sees every change at once. All methods may be called from many tasks at once,
/// while [`Self::drive`] runs. Futures of changing operations may be dropped only where nothing has been published;
/// that is: an operation that is dropped has either been done or not, never by half.
#[derive(Clone, Debug)]
pub struct Writable {
    inner: Arc<Inner>,
    /// Whether quotas are counted only, and not kept within their limits.
    ignores_limits: bool,
}

#[derive(Debug)]
struct Inner {
    volume: Volume,
    service: Arc<dyn LockService>,
    clock: Arc<dyn Clock>,
    journal: Journal,
    alloc: Allocators,
    data: DataState,
    quotas: Quotas,
    /// Whose turn it is to change metadata. Fair: the one who waits longest is next.
    turn: sync::Mutex<()>,
    slot: u16,
    /// Inodes that somebody has.
    opens: Opens,
    scans: Scans,
    /// Whose turn it is to move a name from one directory to another.
    renames: sync::Mutex<()>,
    /// `i_generation` of the next new inode.
    generation: AtomicU32,
    /// The lock of the slot's journal: being alive. Gone after closing.
    alive: Mutex<Option<Guard>>,
}

impl Writable {
    /// The volume, to be read.
    #[must_use]
    pub fn volume(&self) -> &Volume {
        &self.inner.volume
    }

    /// The same volume for a caller whom no quota binds: the superuser (`CAP_SYS_RESOURCE`). What it makes owners use
    /// is counted.
    #[must_use]
    pub fn ignoring_quota_limits(&self) -> Self {
        Self { ignores_limits: true, ..self.clone() }
    }

    /// The slot that this node has.
    #[must_use]
    pub fn slot(&self) -> u16 {
        self.inner.slot
    }

    /// Writes what has to be written, when it has to, and gives up locks that other nodes want: to be run beside everything else, once. Ends after
    /// [`Self::close`], when all that was begun is done.
    pub async fn drive(&self) {
        // On the heap: it is large, and every future around it would hold it twice.
        let beside = Box::pin(futures_util::future::join(self.tend(), self.hand_over()));
        self.inner.journal.drive(async { _ = beside.await }).await;
    }

    /// Why nothing can be changed any more, if that is so.
    #[must_use]
    pub fn read_only(&self) -> Option<Arc<Error>> {
        self.inner.journal.refusal()
    }

    /// The name of the lock of inode `ino`. The volume's own files, and its root, have its generation in it.
    pub(crate) fn meta_lock(&self, ino: BlockNum) -> LockName {
        let superblock = self.volume().superblock();
        let system =
            ino == superblock.root || ino == superblock.system_dir || self.volume().is_system_file(ino);
        LockName::meta(ino, if system { superblock.fs_generation } else { 0 })
    }

    /// Passes the result of an operation on. When it proves the volume's metadata bad, nothing is changed any more.
    pub(crate) fn judged<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        // Somebody has the number of an inode that has been deleted: that is no damage.
        if let Err(error @ Error::Corrupt(corrupt)) = &result
            && error.is_stale()
            && !self.volume().is_system_file(corrupt.block)
        {
            return Err(Error::Stale { ino: corrupt.block });
        }
        if let Err(error @ (Error::Corrupt(_) | Error::TreeRange { .. } | Error::TwoUses { .. })) = &result {
            self.journal().refuse(error.clone());
        }
        result
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// Where clusters and blocks of metadata come from.
    pub(crate) fn alloc(&self) -> &Allocators {
        &self.inner.alloc
    }

    fn quotas(&self) -> &Quotas {
        &self.inner.quotas
    }

    fn ignores_limits(&self) -> bool {
        self.ignores_limits
    }

    /// The inode of the system file `file`.
    pub(crate) fn system_ino(&self, file: SystemFile) -> Result<BlockNum, Error> {
        self.volume().system_file(file).ok_or(Error::NoSystemFile { file })
    }

    /// The clock that it goes by.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    fn service(&self) -> &dyn LockService {
        &*self.inner.service
    }

    /// Inodes that somebody has.
    fn opens(&self) -> &Opens {
        &self.inner.opens
    }

    fn scans(&self) -> &Scans {
        &self.inner.scans
    }

    /// An `i_generation` that no inode had since the volume was opened.
    fn next_generation(&self) -> u32 {
        self.inner.generation.fetch_add(1, Ordering::Relaxed)
    }

    fn renames(&self) -> &sync::Mutex<()> {
        &self.inner.renames
    }

    fn turn(&self) -> &sync::Mutex<()> {
        &self.inner.turn
    }

    /// Lets go of the slot.
    fn let_go(&self) -> Option<Guard> {
        self.inner.alive.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
