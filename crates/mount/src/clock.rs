//! The machine's clock, for a volume that is mounted for writing.

use std::time::{Duration, Instant};

use block::IoFuture;
use ocfs2::{Clock, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The time of day as the kernel has it, and tokio's timers.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

#[allow(clippy::disallowed_methods, reason = "driver: this is where the time comes from")]
impl SystemClock {
    /// The clock; its [`Clock::monotonic`] begins now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

#[allow(clippy::disallowed_methods, reason = "driver: this is where the time comes from")]
impl Clock for SystemClock {
    /// In ticks of some milliseconds, as the kernel stamps files: what is written twice within one is stamped once.
    fn now(&self) -> Timestamp {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        Timestamp { seconds: now.tv_sec, nanos: u32::try_from(now.tv_nsec).unwrap_or(0) }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) -> IoFuture<'_, ()> {
        IoFuture::boxed(tokio::time::sleep(time))
    }
}
