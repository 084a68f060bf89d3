//! The fast engine: io_uring, driven by one thread for each device.
//!
//! Callers put requests into an inbox; the thread moves all that have gathered there into the ring with one system
//! call, which also waits for completions. A caller rings the bell (an eventfd that the ring itself reads) only
//! where nobody has since the thread last looked. One thread submits and completes because the kernel finishes a
//! request in the context of the thread that submitted it: were that the caller, each completion would break into
//! two threads instead of one.
//!
//! Requests and their buffers live in a slot of the thread from submission to completion, whatever happens to the
//! future that waits for them.

use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::Waker;
use std::thread::JoinHandle;

use io_uring::{IoUring, Probe, opcode, squeue, types};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, ReadWriteFlags};

use crate::job::{Done, Job};
use crate::{Buf, Bufs, Durability, total_len};

use super::disk::{Disk, IOV_MAX, rest_of};
use super::workers::Workers;

/// The ring of one device.
#[derive(Debug)]
pub(super) struct Ring {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<Disk>,
    /// For what the ring has no operation for, or gave back.
    workers: Arc<Workers>,
    bell: OwnedFd,
    inbox: Mutex<Inbox>,
    /// Requests taken and not answered.
    open: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inbox {
    jobs: Vec<Job>,
    /// Somebody has rung since the thread last looked.
    rung: bool,
    stop: bool,
    /// The ring has failed; everything goes to the workers.
    broken: bool,
}

/// Requests in the kernel at once; more wait in line. One more entry is the bell's, so the queue is never full.
const SLOTS: usize = 255;
const ENTRIES: u32 = 256;
/// What marks the bell's completion.
const BELL: u64 = u64::MAX;
/// The most one entry transfers.
const ENTRY_MAX: usize = if cfg!(test) { 64 << 10 } else { 1 << 30 };

impl Ring {
    /// Sets up a ring and starts its thread.
    ///
    /// # Errors
    /// Where the kernel has no io_uring, lacks an operation, or refuses it to this process.
    pub(super) fn start(disk: Arc<Disk>, workers: Arc<Workers>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            disk,
            workers,
            bell: eventfd(0, EventfdFlags::CLOEXEC)?,
            inbox: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let (tell, hear) = mpsc::sync_channel(1);
        let thread = spawn(Arc::clone(&shared), tell)?;
        match hear.recv() {
            Ok(Ok(())) => Ok(Self { shared, thread: Some(thread) }),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(io::Error::other("the ring's thread ended before it began")),
        }
    }

    /// Hands over a transfer or a flush.
    pub(super) fn submit(&self, job: Job) {
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        let mut inbox = self.shared.lock();
        if inbox.broken {
            drop(inbox);
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
            return self.shared.workers.submit(job);
        }
        inbox.jobs.push(job);
        let ring = !std::mem::replace(&mut inbox.rung, true);
        drop(inbox);
        if ring {
            self.shared.ring();
        }
    }
}

impl Drop for Ring {
    /// Lets what is in flight finish. Waits for the thread only where nothing is: a dead disk must not hang who
    /// closes it.
    fn drop(&mut self) {
        let waits = self.shared.open.load(Ordering::Relaxed) == 0;
        self.shared.lock().stop = true;
        self.shared.ring();
        if let Some(thread) = self.thread.take().filter(|_| waits) {
            // An answer told by the thread may drop the last handle of the device right there.
            if thread.thread().id() != std::thread::current().id() {
                // It cannot have panicked: that aborts.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // No holder leaves the inbox half changed.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // An eventfd takes eight bytes, always, until its count nears 2^64; only a signal can come between.
        #[allow(clippy::host_endian_bytes, reason = "an eventfd counts in the machine's own byte order")]
        let one = 1_u64.to_ne_bytes();
        while rustix::io::write(&self.bell, &one) == Err(Errno::INTR) {}
    }
}

/// The thread's side.
struct Driver {
    /// The first field, so that it is the first to be dropped.
    _guard: AbortOnPanic,
    ring: IoUring,
    shared: Arc<Shared>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    waiting: VecDeque<Job>,
    /// Swapped with the inbox, so that neither allocates once they have grown.
    taken: Vec<Job>,
    finished: Vec<(u64, i32)>,
    /// Who waits for what has been answered. All are woken together, so that a thread that sleeps until one of them
    /// is woken finds them all.
    wakers: Vec<Waker>,
    /// Where the kernel writes the bell's count.
    bell_count: Box<[u8; 8]>,
    bell_armed: bool,
}

#[derive(Default)]
struct Slot {
    flight: Option<Flight>,
    /// What a vectored entry points to. Kept for its memory.
    iovecs: Vec<Iovec>,
}

struct Flight {
    job: Job,
    done: usize,
}

/// `struct iovec`.
#[repr(C)]
struct Iovec {
    base: *mut u8,
    len: usize,
}

impl Driver {
    fn new(shared: Arc<Shared>) -> io::Result<Self> {
        let ring = set_up()?;
        Ok(Self {
            _guard: AbortOnPanic,
            ring,
            shared,
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            free: (0..SLOTS).rev().collect(),
            waiting: VecDeque::new(),
            taken: Vec::new(),
            finished: Vec::with_capacity(SLOTS + 1),
            wakers: Vec::with_capacity(SLOTS),
            bell_count: Box::new([0; 8]),
            bell_armed: false,
        })
    }

    fn run(mut self) {
        loop {
            let stop = self.take();
            self.launch();
            let flying = self.slots.len() - self.free.len();
            if stop && flying == 0 && !self.bell_armed {
                // Nothing of ours is in the kernel: its memory may go.
                return;
            }
            if !stop && !self.bell_armed {
                self.arm_bell();
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(e) => match Errno::from_io_error(&e) {
                    Some(Errno::INTR | Errno::BUSY) => {}
                    Some(Errno::AGAIN) => std::thread::yield_now(),
                    _ => return self.give_up(&e),
                },
            }
            self.reap();
        }
    }

    /// Takes what has gathered in the inbox. Whether to stop.
    fn take(&mut self) -> bool {
        let mut inbox = self.shared.lock();
        std::mem::swap(&mut inbox.jobs, &mut self.taken);
        inbox.rung = false;
        let stop = inbox.stop;
        drop(inbox);
        self.waiting.extend(self.taken.drain(..));
        stop
    }

    /// Puts waiting requests into the submission queue while there are slots.
    fn launch(&mut self) {
        while !self.waiting.is_empty() {
            let Some(slot) = self.free.pop() else { return };
            let Some(job) = self.waiting.pop_front() else { return };
            self.slots[slot].flight = Some(Flight { job, done: 0 });
            self.push(slot);
        }
    }

    /// Queues the rest of a slot's request.
    #[allow(unsafe_code, reason = "the kernel gets addresses")]
    fn push(&mut self, slot: usize) {
        let fd = types::Fd(self.shared.disk.fd.as_raw_fd());
        let Some(entry) = self.slots[slot].entry(fd) else { return };
        let entry = entry.user_data(crate::ext::as_u64(slot));
        // SAFETY: the entry points into the slot's buffers and its list of iovecs. Both are on the heap, and stay
        // untouched and alive until the slot's completion arrives: only `reap` takes a flight out of its slot, and
        // `give_up` leaks them. A panic of this thread aborts the process before anything is freed.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the queue has an entry for every slot and the bell");
    }

    #[allow(unsafe_code, reason = "the kernel gets addresses")]
    fn arm_bell(&mut self) {
        let fd = types::Fd(self.shared.bell.as_raw_fd());
        let entry = opcode::Read::new(fd, self.bell_count.as_mut_ptr(), 8).build().user_data(BELL);
        // SAFETY: bell_count is on the heap, nothing else uses it, and the driver keeps it until the bell's
        // completion has arrived (`bell_armed`), or leaks it (`give_up`).
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the queue has an entry for every slot and the bell");
        self.bell_armed = true;
    }

    /// Takes the completions that have arrived.
    fn reap(&mut self) {
        self.finished.extend(self.ring.completion().map(|entry| (entry.user_data(), entry.result())));
        for at in 0..self.finished.len() {
            let (user_data, result) = self.finished[at];
            if user_data == BELL {
                self.bell_armed = false;
            } else if let Ok(slot) = usize::try_from(user_data) {
                self.complete(slot, result);
            }
        }
        self.finished.clear();
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn answer(&mut self, done: Done) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        self.wakers.extend(done.tell_quietly());
    }

    fn complete(&mut self, slot: usize, result: i32) {
        let Some(mut flight) = self.slots[slot].flight.take() else { return };
        let moved = match usize::try_from(result) {
            Ok(moved) => flight.advance(&self.shared.disk, moved),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        match moved {
            Ok(false) => {
                self.slots[slot].flight = Some(flight);
                return self.push(slot);
            }
            Ok(true) => self.answer(flight.job.succeed()),
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::AGAIN | Errno::INTR)) => {
                // The kernel could not do it without waiting somewhere: a thread can.
                self.shared.open.fetch_sub(1, Ordering::Relaxed);
                self.shared.workers.submit(flight.job);
            }
            Err(e) => {
                let (op, offset, len) = flight.job.what();
                let error = self.shared.disk.io(op, offset, len, e);
                self.answer(flight.job.fail(error));
            }
        }
        self.free.push(slot);
    }

    /// The kernel no longer takes calls on this ring. Requests in it may or may not be done, and their memory may
    /// still be written: it is leaked, and the callers get an error and other buffers. What was not begun goes to
    /// the workers, and so does everything from now on.
    fn give_up(mut self, error: &io::Error) {
        let mut inbox = self.shared.lock();
        inbox.broken = true;
        self.waiting.extend(inbox.jobs.drain(..));
        drop(inbox);
        for job in self.waiting.drain(..) {
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
            self.shared.workers.submit(job);
        }
        for slot in &mut self.slots {
            let Some(mut flight) = slot.flight.take() else { continue };
            std::mem::forget(std::mem::take(&mut slot.iovecs));
            if let Some(bufs) = flight.job.bufs_mut() {
                let leaked = ManuallyDrop::new(std::mem::take(bufs));
                *bufs = leaked.iter().map(|buf| Buf::for_read(buf.len())).collect();
            }
            let (op, offset, len) = flight.job.what();
            let source = io::Error::new(error.kind(), "the kernel refuses io_uring_enter");
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
            flight.job.fail(self.shared.disk.io(op, offset, len, source)).tell();
        }
        std::mem::forget(self.bell_count);
        std::mem::forget(self.ring);
    }
}

impl Slot {
    /// The entry for what is left of the slot's request. `None` for what a ring never gets.
    fn entry(&mut self, fd: types::Fd) -> Option<squeue::Entry> {
        let Self { flight, iovecs } = self;
        let Flight { job, done } = flight.as_mut()?;
        let at = |offset: u64| offset + crate::ext::as_u64(*done);
        Some(match job {
            Job::Read { offset, bufs, .. } => match point(bufs, *done, iovecs) {
                Memory::One(base, len) => opcode::Read::new(fd, base, len).offset(at(*offset)).build(),
                Memory::Many(list, count) => {
                    opcode::Readv::new(fd, list.cast(), count).offset(at(*offset)).build()
                }
            },
            Job::Write { offset, bufs, durability, .. } => {
                let flags = match durability {
                    Durability::Cached => 0,
                    Durability::Stable => ReadWriteFlags::DSYNC.bits().cast_signed(),
                };
                match point(bufs, *done, iovecs) {
                    Memory::One(base, len) => {
                        opcode::Write::new(fd, base, len).offset(at(*offset)).rw_flags(flags).build()
                    }
                    Memory::Many(list, count) => opcode::Writev::new(fd, list.cast(), count)
                        .offset(at(*offset))
                        .rw_flags(flags)
                        .build(),
                }
            }
            Job::Flush { .. } => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
            Job::Discard { .. } | Job::WriteZeroes { .. } => return None,
        })
    }
}

impl Flight {
    /// Notes that the kernel has moved `step` bytes. Whether the request is done.
    fn advance(&mut self, disk: &Disk, step: usize) -> io::Result<bool> {
        let (reads, total) = match &self.job {
            Job::Read { bufs, .. } => (true, total_len(bufs)),
            Job::Write { bufs, .. } => (false, total_len(bufs)),
            _ => return Ok(true),
        };
        if step == 0 && reads {
            return Err(disk.end_of_file());
        }
        self.done = disk.advance(self.done, step, total)?;
        Ok(self.done == total)
    }
}

enum Memory {
    One(*mut u8, u32),
    Many(*const Iovec, u32),
}

/// What is left of `bufs` after `done` bytes, as the kernel wants it; a list goes into `iovecs`.
fn point(bufs: &mut Bufs, done: usize, iovecs: &mut Vec<Iovec>) -> Memory {
    iovecs.clear();
    let mut skip = done;
    let mut left = ENTRY_MAX;
    for buf in bufs {
        let len = buf.len();
        let Some(from) = rest_of(len, &mut skip) else { continue };
        let len = (len - from).min(left);
        if len == 0 || iovecs.len() == IOV_MAX {
            break;
        }
        left -= len;
        iovecs.push(Iovec { base: buf.as_io_ptr().wrapping_add(from), len });
    }
    match &iovecs[..] {
        [one] => Memory::One(one.base, u32::try_from(one.len).expect("at most ENTRY_MAX")),
        list => Memory::Many(list.as_ptr(), u32::try_from(list.len()).expect("at most IOV_MAX")),
    }
}

/// A ring whose completions run only when its thread asks for them, or a plain one on a kernel before 6.1.
fn set_up() -> io::Result<IoUring> {
    let new = IoUring::builder().dontfork().setup_single_issuer().setup_defer_taskrun().build(ENTRIES);
    let ring = match new {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
            IoUring::builder().dontfork().build(ENTRIES)?
        }
        new => new?,
    };
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [
        opcode::Read::CODE,
        opcode::Readv::CODE,
        opcode::Write::CODE,
        opcode::Writev::CODE,
        opcode::Fsync::CODE,
    ];
    if needed.iter().all(|code| probe.is_supported(*code)) {
        return Ok(ring);
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel's io_uring lacks an operation"))
}

/// Ends the process when it is dropped in a panic: unwinding would free memory that the kernel may still write.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "driver: the ring is driven by a thread of its own")]
fn spawn(shared: Arc<Shared>, tell: mpsc::SyncSender<io::Result<()>>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("block-ring".into()).stack_size(512 << 10).spawn(move || {
        // Made here: the ring takes submissions only from the thread that made it.
        match Driver::new(shared) {
            Err(e) => drop(tell.send(Err(e))),
            Ok(driver) => {
                drop(tell.send(Ok(())));
                driver.run();
            }
        }
    })
}

#[cfg(test)]
mod tests;
