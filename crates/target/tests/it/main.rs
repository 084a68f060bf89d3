//! A target on loopback, tried by an initiator of ours, by raw bytes, and by libiscsi's tools.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "tests: they are drivers themselves")]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests: a failure is a panic")]

mod bad_input;
mod client;
mod conformance;
mod disk_faults;
mod greedy;
mod sessions;
mod stalled_disk;

use std::sync::Arc;

use block::{BlockDevice, FailingDevice, MemoryDevice};
use target::{Access, LunSpec, Target, TargetBuilder};

pub(crate) const IQN: &str = "iqn.2026-01.test.oxsan:it";

/// A runtime with the target on it; both end with the test.
pub(crate) struct Bench {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) target: Option<Target>,
    pub(crate) disk: Arc<MemoryDevice>,
}

impl Bench {
    /// A target with one disk of 16 MiB in memory on two loopback portals.
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// The same with a disk that fails by plan in front of the memory.
    pub(crate) fn failing() -> (Self, Arc<FailingDevice<Arc<MemoryDevice>>>) {
        Self::failing_with(|builder| builder)
    }

    pub(crate) fn failing_with(
        change: impl FnOnce(TargetBuilder) -> TargetBuilder,
    ) -> (Self, Arc<FailingDevice<Arc<MemoryDevice>>>) {
        let disk = Arc::new(MemoryDevice::new(16 << 20));
        let failing = Arc::new(FailingDevice::new(Arc::clone(&disk)));
        (Self::on(disk, failing.clone(), change), failing)
    }

    pub(crate) fn guarded(access: Access) -> Self {
        Self::with(|builder| builder.access(access))
    }

    pub(crate) fn with(change: impl FnOnce(TargetBuilder) -> TargetBuilder) -> Self {
        let disk = Arc::new(MemoryDevice::new(16 << 20));
        Self::on(disk.clone(), disk, change)
    }

    fn on(
        disk: Arc<MemoryDevice>,
        device: Arc<dyn BlockDevice>,
        change: impl FnOnce(TargetBuilder) -> TargetBuilder,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let builder = Target::builder(IQN).lun(LunSpec::new(device)).portal(any).portal(any);
        let target = runtime.block_on(change(builder).serve()).unwrap();
        Self { runtime, target: Some(target), disk }
    }

    pub(crate) fn portal(&self) -> std::net::SocketAddr {
        self.target.as_ref().expect("not stopped yet").portals()[0]
    }

    /// Waits until so many sessions are there; they come and go a moment after the initiator's side knows.
    pub(crate) fn wait_for_sessions(&self, count: usize) {
        for _ in 0..500 {
            if self.target.as_ref().is_some_and(|target| target.sessions() == count) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{count} sessions never came to be");
    }
}
