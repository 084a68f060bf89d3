//! Opening a volume for writing.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use block::BlockDevice;
use tokio::sync;

use super::journal::Journal;
use super::opens::Opens;
use super::quota::Quotas;
use super::recover::{self, Dead};
use super::scan::Scans;
use super::{Clock, Inner, Writable, gate, slots};
use crate::alloc::Allocators;
use crate::lock::{Guard, Level, LockName, LockService, Locks, Rank};
use crate::system::SystemFile;
use crate::{Error, NotWritable, OpenError, OpenOptions, Volume};

/// How a volume is opened for writing.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Most bytes of metadata kept in memory. Default: 32 MiB.
    pub cache_bytes: usize,
    /// This node's number, which stands in the slot map; 0 on a volume for one host. Default: 0.
    pub node: u32,
    /// How long a change may wait in memory before it is committed, if nobody asks earlier. Default: 5 s.
    pub commit_every: Duration,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { cache_bytes: 32 << 20, node: 0, commit_every: Duration::from_secs(5) }
    }
}

impl Writable {
    /// Opens the volume on `device` for reading and writing.
    ///
    /// Takes a slot, replays its journal if it was left dirty, and those of all slots whose nodes are dead: by
    /// `service`, a node is dead when the lock of its journal can be had. [`LocalLocks`](crate::lock::LocalLocks) says
    /// so of all of them: with it the caller answers for it that nobody else has the volume.
    ///
    /// A failure on the way leaves the volume as a crash would: the next opening finds out, and nothing is lost.
    ///
    /// # Errors
    /// [`OpenError`]; with [`OpenError::NotWritable`] nothing has been written, and the volume can be opened read-only.
    pub async fn open(
        device: Arc<dyn BlockDevice>,
        options: WriteOptions,
        service: Arc<dyn LockService>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let holder = Arc::clone(&service);
        let mut locks = Locks::new(&*holder);
        locks.take(Rank::Superblock, LockName::superblock(), Level::Exclusive).await?;
        let slot = take_slot(&device, &options, &mut locks).await?;
        // Journals have been brought home: nothing read before counts.
        let volume = look(&device, &options).await?;
        let inode = volume.system_inode(SystemFile::Journal(slot.number)).await?;
        let journal = Journal::open(&volume, &inode, options.commit_every, Arc::clone(&clock)).await;
        let inner = Inner {
            alloc: Allocators::new(&volume, slot.number),
            quotas: Quotas::new(&volume, slot.number)?,
            data: super::data::DataState::default(),
            journal: journal.map_err(recover::journal_of(slot.number))?,
            turn: sync::Mutex::new(()),
            opens: Opens::default(),
            scans: Scans::new(&volume, slot.number, &slot.dead),
            renames: sync::Mutex::new(()),
            generation: AtomicU32::new(first_generation(&*clock, slot.number)),
            slot: slot.number,
            alive: Mutex::new(slot.alive),
            volume,
            service,
            clock,
        };
        let fs = Self { inner: Arc::new(inner), ignores_limits: false };
        fs.journal().drive_while(fs.second_stage(locks, &slot.dead)).await?;
        Ok(fs)
    }

    /// What of the recovery needs a journal of one's own.
    async fn second_stage(&self, locks: Locks<'_>, dead: &[Dead]) -> Result<(), Error> {
        let mut op = self.operation_under(locks);
        op.empty_window(self.slot()).await?;
        op.empty_truncate_log(self.slot()).await?;
        self.finish_recovery(&mut op, dead).await?;
        op.quotas_on().await
    }
}

/// Where the generations of new inodes begin: anywhere, so that two inodes that have the same number one after the other
/// differ in it, whoever makes them.
fn first_generation(clock: &dyn Clock, slot: u16) -> u32 {
    let now = clock.now();
    let mixed = now.seconds.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ u64::from(now.nanos).wrapping_mul(0xbf58_476d_1ce4_e5b9)
        ^ u64::from(slot) << 48;
    u32::try_from(mixed >> 32).unwrap_or_default()
}

/// The slot that was taken.
struct Taken {
    number: u16,
    /// The lock that says that this node is alive.
    alive: Option<Guard>,
    dead: Vec<Dead>,
}

/// Reads the volume as it lies, without any journal, and judges whether it may be written to.
async fn look(device: &Arc<dyn BlockDevice>, options: &WriteOptions) -> Result<Volume, OpenError> {
    let refused = |why| OpenError::NotWritable { device: device.name().to_owned(), why };
    let reading = OpenOptions { cache_bytes: options.cache_bytes, replay: false };
    let mut volume = Volume::open(Arc::clone(device), reading).await?;
    gate::check(&volume).map_err(refused)?;
    volume.judge_warnings(gate::damage).map_err(refused)?;
    Ok(volume)
}

/// Takes a slot and makes its journal ready, and brings home those of the dead.
async fn take_slot(
    device: &Arc<dyn BlockDevice>,
    options: &WriteOptions,
    locks: &mut Locks<'_>,
) -> Result<Taken, OpenError> {
    let volume = look(device, options).await?;
    let number = slots::choose(&volume, locks, options.node).await?;
    let refused = |why| OpenError::NotWritable { device: device.name().to_owned(), why };
    let inode = volume.system_inode(SystemFile::Journal(number)).await?;
    let state = inode.dinode().journal().ok_or(Error::NotJournal { ino: inode.ino() })?;
    if !state.dirty && volume.unused_window(number).await?.is_some() {
        return Err(refused(NotWritable::LocalAlloc { slot: number }));
    }
    let superblock = volume.journal_superblock(&inode).await.map_err(recover::journal_of(number))?;
    if let Err(jbd2::JournalError::Unsupported { feature }) = superblock.check_replayable() {
        return Err(refused(NotWritable::Journal { slot: number, feature }));
    }
    let lock = slots::journal_lock(&volume, number)?;
    locks.take_in_recovery(Rank::Journal, lock, Level::Exclusive).await?;
    let alive = locks.detach(lock);
    volume.write_slot(number, Some(options.node)).await?;
    let state = if state.dirty {
        recover::replay(&volume, number).await?;
        recover::after_replay(state, true)
    } else {
        volume.wipe_log(&inode).await.map_err(recover::journal_of(number))?;
        ocfs2_format::JournalState { dirty: true, ..state }
    };
    volume.write_journal_state(inode.ino(), state).await?;
    let dead = recover::replay_dead(&volume, locks, number).await?;
    Ok(Taken { number, alive, dead })
}
