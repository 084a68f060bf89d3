//! The load itself: as many lanes as the depth, each with one request in flight.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use block::{BlockDevice, BlockError, Buf, Bufs, Durability};
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::Pattern;

/// What to load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) pattern: Pattern,
    /// Bytes in a request.
    pub(super) len: usize,
    /// Places of `len` bytes, from the start of the volume.
    pub(super) slots: u64,
    /// Lanes.
    pub(super) depth: u32,
    pub(super) runtime: Duration,
    pub(super) seed: u64,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Load {
    /// Requests that completed well.
    pub(super) ios: u64,
    /// Time from the first request to the last answer.
    pub(super) elapsed: Duration,
    /// Processor time of this process in that time, user and system.
    pub(super) cpu: Duration,
    /// Nanoseconds a request took.
    pub(super) latency: Histogram<u64>,
    /// The error that ended the run.
    pub(super) error: Option<BlockError>,
    /// The user ended the run.
    pub(super) interrupted: bool,
}

/// The longest latency that is told apart: longer ones count as this. One minute, in nanoseconds.
const LATENCY_MAX: u64 = 60_000_000_000;

/// How long lanes may take to end after the user's signal; a dead target must not hold the numbers back.
const GRACE: Duration = Duration::from_secs(2);

/// What the lanes share. One thread runs them all, so the lock is never waited for.
struct Shared {
    stop: AtomicBool,
    cursor: AtomicU64,
    tally: Mutex<Tally>,
}

struct Tally {
    ios: u64,
    latency: Histogram<u64>,
    last: Instant,
    error: Option<BlockError>,
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the load until its time is over, an error comes, or `interrupt` ends.
#[allow(clippy::disallowed_methods, reason = "driver: this measures real time")]
pub(super) async fn run(
    device: Arc<dyn BlockDevice>,
    plan: Plan,
    interrupt: impl Future<Output = ()>,
) -> Load {
    let start = Instant::now();
    let cpu_start = cpu_time();
    let latency = Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("constant bounds are valid");
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        cursor: AtomicU64::new(0),
        tally: Mutex::new(Tally { ios: 0, latency, last: start, error: None }),
    });
    let mut lanes = JoinSet::new();
    for number in 0..plan.depth {
        lanes.spawn(lane(device.clone(), plan, shared.clone(), start, number));
    }
    let interrupted = wait(&mut lanes, &shared, interrupt).await;
    let cpu = cpu_time().saturating_sub(cpu_start);
    let mut tally = shared.tally();
    Load {
        ios: tally.ios,
        elapsed: tally.last.duration_since(start),
        cpu,
        latency: tally.latency.clone(),
        error: tally.error.take(),
        interrupted,
    }
}

/// Waits for the lanes; whether the user ended the run.
#[allow(clippy::disallowed_methods, reason = "driver: the grace is real time")]
async fn wait(lanes: &mut JoinSet<()>, shared: &Shared, interrupt: impl Future<Output = ()>) -> bool {
    let all = async { while lanes.join_next().await.is_some() {} };
    tokio::pin!(all);
    tokio::select! {
        biased;
        () = &mut all => return false,
        () = interrupt => shared.stop.store(true, Ordering::Relaxed),
    }
    // Lanes that do not end are aborted when the set is dropped.
    let _ = tokio::time::timeout(GRACE, all).await;
    true
}

#[allow(clippy::disallowed_methods, reason = "driver: this measures real time")]
async fn lane(device: Arc<dyn BlockDevice>, plan: Plan, shared: Arc<Shared>, start: Instant, number: u32) {
    let mut random = SmallRng::seed_from_u64(plan.seed.wrapping_add(u64::from(number) << 32));
    let mut data = data(plan, &mut random);
    let deadline = start + plan.runtime;
    let mut begun = start;
    while begun < deadline && !shared.stop.load(Ordering::Relaxed) {
        let slot = if plan.pattern.random() {
            random.random_range(0..plan.slots)
        } else {
            shared.cursor.fetch_add(1, Ordering::Relaxed) % plan.slots
        };
        let offset = slot * plan.len as u64;
        let result = if plan.pattern.writes() {
            let (back, result) = device.write(offset, data, Durability::Cached).await;
            data = back;
            result
        } else {
            // A new buffer for each: its memory is what another lane gave back last, as any reader's would be.
            device.read(offset, Buf::for_read(plan.len).into_bufs()).await.1
        };
        let ended = Instant::now();
        let mut tally = shared.tally();
        tally.last = ended;
        if let Err(error) = result {
            shared.stop.store(true, Ordering::Relaxed);
            tally.error.get_or_insert(error);
            return;
        }
        tally.ios += 1;
        let nanos = u64::try_from((ended - begun).as_nanos()).unwrap_or(LATENCY_MAX);
        tally.latency.saturating_record(nanos);
        drop(tally);
        begun = ended;
    }
}

/// What a lane writes: bytes that no device can compress. Nothing where it reads.
fn data(plan: Plan, random: &mut SmallRng) -> Bufs {
    if !plan.pattern.writes() {
        return Bufs::new();
    }
    let mut buf = Buf::zeroed(plan.len);
    random.fill_bytes(&mut buf);
    buf.into_bufs()
}

/// Processor time of this process so far, user and system.
#[allow(clippy::disallowed_methods, reason = "driver: this measures processor time")]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::MemoryDevice;

    fn plan(pattern: Pattern) -> Plan {
        Plan { pattern, len: 4096, slots: 16, depth: 4, runtime: Duration::from_millis(100), seed: 7 }
    }

    #[tokio::test]
    async fn reads_and_writes_are_counted() {
        for pattern in [Pattern::Read, Pattern::Write, Pattern::Randread, Pattern::Randwrite] {
            let device: Arc<dyn BlockDevice> = Arc::new(MemoryDevice::new(128 << 10));
            let load = run(device, plan(pattern), std::future::pending()).await;
            assert!(load.error.is_none(), "{load:?}");
            assert!(load.ios > 0 && load.latency.len() == load.ios, "{load:?}");
            assert!(!load.interrupted && load.elapsed >= Duration::from_millis(100), "{load:?}");
        }
    }

    #[tokio::test]
    async fn an_error_ends_the_run_with_the_numbers_so_far() {
        let device = MemoryDevice::new(32 << 10);
        let load = run(Arc::new(device), plan(Pattern::Read), std::future::pending()).await;
        assert!(matches!(load.error, Some(BlockError::OutOfRange { .. })), "{load:?}");
        assert_eq!(load.ios, 8);
    }
}
