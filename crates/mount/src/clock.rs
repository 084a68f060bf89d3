//! The machine's clock, for a volume that is mounted for writing.

use std::time::{Duration, Instant, SystemTime};

use block::IoFuture;
use ocfs2::{Clock, Timestamp};

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
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Timestamp { seconds: since.as_secs().cast_signed(), nanos: since.subsec_nanos() },
            // Before 1970 the nanoseconds count forward, too.
            Err(before) => {
                let before = before.duration();
                let whole = before.as_secs().cast_signed();
                match before.subsec_nanos() {
                    0 => Timestamp { seconds: -whole, nanos: 0 },
                    nanos => Timestamp { seconds: -whole - 1, nanos: 1_000_000_000 - nanos },
                }
            }
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) -> IoFuture<'_, ()> {
        IoFuture::boxed(tokio::time::sleep(time))
    }
}
