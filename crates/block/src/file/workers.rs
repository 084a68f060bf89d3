//! The portable engine: a bounded pool of threads that make blocking calls.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::Op;
use crate::job::Job;

use super::disk::Disk;

/// Threads that run the requests of one device. They start when there is work and end with the pool.
#[derive(Debug)]
pub(super) struct Workers {
    shared: Arc<Shared>,
    most: usize,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<Disk>,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that wait for work.
    idle: usize,
    /// Threads that are inside a system call, or on their way.
    busy: usize,
    stop: bool,
}

impl Workers {
    /// A pool of at most `most` threads. None is started yet.
    pub(super) fn new(disk: Arc<Disk>, most: usize) -> Self {
        let shared = Shared { disk, state: Mutex::default(), work: Condvar::new() };
        Self { shared: Arc::new(shared), most: most.max(1) }
    }

    /// Hands over a request. Requests wait in line where all threads are busy.
    pub(super) fn submit(&self, job: Job) {
        let mut state = self.shared.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() || state.threads.len() >= self.most {
            drop(state);
            self.shared.work.notify_one();
            return;
        }
        match spawn(&self.shared) {
            Ok(thread) => {
                state.threads.push(thread);
            }
            // The threads that are there do the work, later.
            Err(_) if !state.threads.is_empty() => {}
            Err(e) => {
                let job = state.jobs.pop_back();
                drop(state);
                if let Some(job) = job {
                    job.fail(self.shared.disk.io(Op::Open, 0, 0, e)).tell();
                }
            }
        }
    }
}

impl Drop for Workers {
    /// Lets queued requests finish. Waits for the threads only where none of them is in a system call: a dead disk
    /// must not hang who closes it.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stop = true;
        let waits = state.busy == 0 && state.jobs.is_empty();
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.shared.work.notify_all();
        let me = std::thread::current().id();
        for thread in threads {
            // An answer told by a worker may drop the last handle of the device right there.
            if waits && thread.thread().id() != me {
                // A worker that panicked has broken its promise, which says so to whoever waits for it.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder leaves the queue half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.busy += 1;
                drop(state);
                let done = self.disk.run(job);
                state = self.lock();
                state.busy -= 1;
                drop(state);
                done.tell();
                state = self.lock();
            } else if state.stop {
                return;
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "driver: blocking system calls need threads of their own")]
fn spawn(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("block-io".into()).stack_size(512 << 10).spawn(move || shared.run())
}
