//! A regular file or a block device as a disk.

mod disk;
mod open;
mod ring;
mod sys;
mod workers;

use std::path::Path;
use std::sync::Arc;

use crate::ext::as_u64;
use crate::job::Job;
use crate::{BlockDevice, BlockError, Bufs, Completion, Durability, Geometry, IoFuture, total_len};

use disk::{Disk, Kind};
use ring::Ring;
use workers::Workers;

/// How to open a [`FileDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Refuse every write. Default: false.
    pub read_only: bool,
    /// Fail with [`BlockError::Busy`] where somebody else has it: `O_EXCL` for a block device (mounted, or held by
    /// device mapper, or opened like this), an flock(2) on a regular file (shared for a read-only open). Default:
    /// false.
    pub exclusive: bool,
    /// Whether to go past the page cache. Default: [`Direct::Auto`].
    pub direct: Direct,
    /// The grain of direct I/O in bytes, a power of two from 512, instead of what the system says. For tests, and for a
    /// filesystem that says it wrongly. Default: none.
    pub direct_grain: Option<u32>,
    /// Who makes the system calls. Default: [`Backend::Auto`].
    pub backend: Backend,
}

/// Whether a [`FileDevice`] goes past the page cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direct {
    /// A block device always, for other hosts may write to it. A file that is opened for writing, where its
    /// filesystem takes direct I/O in 512-byte sectors; else all of its I/O is buffered, for a direct write in a
    /// larger grain would rewrite the sectors around it, and to mix the two would let one undo the other. A file
    /// opened for reading is buffered: this host's page cache knows all of its writers.
    #[default]
    Auto,
    /// Never. For files only; on a block device this reads what this host cached, whatever others wrote since.
    Never,
    /// Always, or the open fails. A write smaller than what the filesystem takes is then
    /// [`BlockError::WouldReadModifyWrite`].
    Always,
}

/// Who makes the system calls of a [`FileDevice`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// [`Inline`](Self::Inline) for a file in memory (tmpfs, ramfs), else [`IoUring`](Self::IoUring) where the
    /// kernel lets this process use it, else [`Threads`](Self::Threads).
    #[default]
    Auto,
    /// io_uring, driven by one thread for each device. The open fails where the kernel refuses it.
    IoUring,
    /// A bounded pool of threads that make blocking calls.
    Threads,
    /// The caller's own thread, which waits. Every future is ready when it is returned. For a thread that does
    /// nothing else, such as a heartbeat's.
    Inline,
}

/// A regular file or a block device.
///
/// A regular file has 512-byte blocks; what is left at its end beyond a whole block is not part of the device. It
/// is never made longer or shorter.
#[derive(Debug)]
pub struct FileDevice {
    disk: Arc<Disk>,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Inline,
    Threads(Arc<Workers>),
    /// What a ring has no operation for goes to the threads.
    Ring(Ring, Arc<Workers>),
}

/// Threads of the portable engine, for each device: enough to keep an SSD busy.
const THREADS: usize = 16;

impl FileDevice {
    /// Opens what lies at `path`. This makes a few system calls, and waits for them.
    ///
    /// # Errors
    /// [`BlockError::Open`], [`BlockError::NotADisk`], [`BlockError::Busy`].
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, BlockError> {
        let disk = Arc::new(open::open_disk(path.as_ref(), &options)?);
        if matches!((options.backend, disk.kind), (Backend::Inline, _) | (Backend::Auto, Kind::MemoryFile)) {
            return Ok(Self { disk, engine: Engine::Inline });
        }
        // Starts no thread before there is work for one.
        let workers = Arc::new(Workers::new(Arc::clone(&disk), THREADS));
        if options.backend == Backend::Threads {
            return Ok(Self { disk, engine: Engine::Threads(workers) });
        }
        let engine = match Ring::start(Arc::clone(&disk), Arc::clone(&workers)) {
            Ok(ring) => Engine::Ring(ring, workers),
            Err(_) if options.backend == Backend::Auto => Engine::Threads(workers),
            Err(source) => return Err(BlockError::Open { device: disk.name.clone(), source }),
        };
        Ok(Self { disk, engine })
    }

    /// Makes a new sparse file of `size` zero bytes, a multiple of 512, and opens it.
    ///
    /// # Errors
    /// [`BlockError::Misaligned`] for the size; [`BlockError::Open`], also where the file exists: it is left alone.
    pub fn create(path: impl AsRef<Path>, size: u64, options: OpenOptions) -> Result<Self, BlockError> {
        open::create_file(path.as_ref(), size)?;
        Self::open(path, options)
    }

    /// Whether it goes past the page cache.
    pub fn is_direct(&self) -> bool {
        self.disk.grain > 1
    }

    /// The backend that was chosen: never [`Backend::Auto`].
    pub fn backend(&self) -> Backend {
        match self.engine {
            Engine::Inline => Backend::Inline,
            Engine::Threads(_) => Backend::Threads,
            Engine::Ring(..) => Backend::IoUring,
        }
    }
}

impl BlockDevice for FileDevice {
    fn geometry(&self) -> Geometry {
        self.disk.geometry
    }

    fn name(&self) -> &str {
        &self.disk.name
    }

    fn read(&self, offset: u64, mut bufs: Bufs) -> IoFuture<'_, Completion> {
        if let Err(e) = self.disk.geometry.check_bufs(&self.disk.name, offset, &bufs) {
            return IoFuture::ready((bufs, Err(e)));
        }
        if let Engine::Inline = self.engine {
            let result = self.disk.read(offset, &mut bufs);
            return IoFuture::ready((bufs, result));
        }
        if total_len(&bufs) == 0 || !self.is_direct() && self.disk.read_cached(offset, &mut bufs) {
            return IoFuture::ready((bufs, Ok(())));
        }
        let (promise, future) = IoFuture::promised();
        self.submit(Job::Read { offset, bufs, promise });
        future
    }

    fn write(&self, offset: u64, bufs: Bufs, durability: Durability) -> IoFuture<'_, Completion> {
        let disk = &self.disk;
        let check = disk
            .geometry
            .check_write(&disk.name, offset, &bufs)
            .and_then(|()| disk.check_grain(offset, as_u64(total_len(&bufs))));
        if let Err(e) = check {
            return IoFuture::ready((bufs, Err(e)));
        }
        if let Engine::Inline = self.engine {
            let result = disk.write(offset, &bufs, durability);
            return IoFuture::ready((bufs, result));
        }
        if total_len(&bufs) == 0 {
            return IoFuture::ready((bufs, Ok(())));
        }
        let (promise, future) = IoFuture::promised();
        self.submit(Job::Write { offset, bufs, durability, promise });
        future
    }

    fn flush(&self) -> IoFuture<'_, Result<(), BlockError>> {
        if let Engine::Inline = self.engine {
            return IoFuture::ready(self.disk.flush());
        }
        let (promise, future) = IoFuture::promised();
        self.submit(Job::Flush { promise });
        future
    }

    fn discard(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        let disk = &self.disk;
        match disk.geometry.check_change(&disk.name, offset, len) {
            Err(e) => return IoFuture::ready(Err(e)),
            Ok(()) if len == 0 => return IoFuture::ready(Ok(())),
            Ok(()) => {}
        }
        if let Engine::Inline = self.engine {
            return IoFuture::ready(disk.discard(offset, len));
        }
        let (promise, future) = IoFuture::promised();
        self.submit(Job::Discard { offset, len, promise });
        future
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        let disk = &self.disk;
        let check =
            disk.geometry.check_change(&disk.name, offset, len).and_then(|()| disk.check_grain(offset, len));
        match check {
            Err(e) => return IoFuture::ready(Err(e)),
            Ok(()) if len == 0 => return IoFuture::ready(Ok(())),
            Ok(()) => {}
        }
        if let Engine::Inline = self.engine {
            return IoFuture::ready(disk.write_zeroes(offset, len));
        }
        let (promise, future) = IoFuture::promised();
        self.submit(Job::WriteZeroes { offset, len, promise });
        future
    }
}

impl FileDevice {
    fn submit(&self, job: Job) {
        match &self.engine {
            // Callers answer for themselves where there is no thread to wait on.
            Engine::Inline => self.disk.run(job).tell(),
            Engine::Threads(workers) => workers.submit(job),
            Engine::Ring(ring, workers) => match &job {
                Job::Read { offset, bufs, .. } | Job::Write { offset, bufs, .. }
                    if self.disk.fits(*offset, bufs) =>
                {
                    ring.submit(job);
                }
                Job::Flush { .. } => ring.submit(job),
                _ => workers.submit(job),
            },
        }
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            exclusive: false,
            direct: Direct::Auto,
            direct_grain: None,
            backend: Backend::Auto,
        }
    }
}

impl OpenOptions {
    /// To read only; otherwise the defaults.
    pub fn read_only() -> Self {
        Self { read_only: true, ..Self::default() }
    }
}
