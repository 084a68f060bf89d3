//! Requests that fail while names, data and attributes are changed: one, or all from one on, at every place of a workload in turn.
//!
//! Nothing panics. Who called is told. After a write or flush that failed nothing is changed any more, and the next who
//! opens the volume finds a state that was there once, not older than the last that was promised to last.

use std::io::ErrorKind;
use std::sync::Arc;

use block::{BlockDevice, Buf, FailingDevice, Fault, MemoryDevice, Rule};
use fixtures::Random;
use ocfs2::lock::LocalLocks;
use ocfs2::{BlockNum, Error, NewInode, NewKind, Writable, WriteHow, WriteOptions};

use crate::history::History;
use crate::model::{Given, Model, Op, Workload};
use crate::orphans::orphans;
use crate::support::{TestClock, assert_sound, block_on, fresh, written};

/// How often the volume is opened, worked on, and closed.
const ROUNDS: usize = 3;
/// Operations in each of them.
const STEPS: usize = 30;
/// Of so many volumes one is checked from end to end.
const CHECK_EVERY: u64 = 12;
/// What an operation may fail with once a request has failed: `EIO`, `EROFS`.
const FAILURES: [i32; 2] = [5, 30];

/// What the journal writes.
const METADATA: [&str; 2] = ["the journal", "metadata"];

/// A workload, and what came of it.
struct Story {
    load: Workload,
    random: Random,
    history: History,
    /// What failed, as it was told.
    told: Vec<String>,
    /// Whether nothing could be changed any more, before it was closed.
    read_only: bool,
    /// Whether opening or closing failed.
    ended_early: bool,
    /// Whether data, a value or a target could not be written. Nothing refers to its place before it is, or nobody relies
    /// on what it holds: it fails, and no more.
    lost_data: bool,
}

impl Story {
    fn new(start: &Model, seed: u64) -> Self {
        let mut load = Workload::of(start.clone(), seed, 16);
        load.most = Some(30_000);
        let mut history = History::default();
        history.note(start, 0);
        Self {
            load,
            random: Random::new(seed ^ 0xfa11),
            history,
            told: Vec::new(),
            read_only: false,
            ended_early: false,
            lost_data: false,
        }
    }

    fn note_state(&mut self) {
        self.history.note(&self.load.model, 0);
    }

    fn tell(&mut self, what: &str, error: &Error) {
        assert!(FAILURES.contains(&error.errno()), "{what}: {error}");
        self.lost_data |= matches!(error, Error::Write { what, .. } if !METADATA.contains(what));
        self.told.push(format!("{what}: {error}"));
    }

    /// Opens the volume, works on it, and closes it; whether it was closed well.
    async fn round(&mut self, device: Arc<dyn BlockDevice>) -> bool {
        let options = WriteOptions { cache_bytes: 64 << 10, ..WriteOptions::default() };
        let clock = Arc::new(TestClock::default());
        let fs = match Writable::open(device, options, Arc::new(LocalLocks::default()), clock).await {
            Ok(fs) => fs,
            Err(error) => {
                self.told.push(format!("opening: {error}"));
                return false;
            }
        };
        let work = async {
            for step in 0..STEPS {
                self.step(&fs).await;
                if step % 7 == 6 {
                    match fs.sync().await {
                        Ok(()) => self.history.promise(None, 0),
                        Err(error) => self.tell("sync", &error),
                    }
                }
            }
            self.load.release_all(&fs).await;
            self.read_only |= fs.read_only().is_some();
            match fs.close().await {
                Ok(()) => {
                    self.history.promise(None, 0);
                    true
                }
                Err(error) => {
                    self.told.push(format!("closing: {error}"));
                    false
                }
            }
        };
        futures_util::future::join(fs.drive(), work).await.1
    }

    async fn step(&mut self, fs: &Writable) {
        let op = self.load.next_op();
        let retain = self.random.below(4) == 0;
        match op.attempt(fs, retain).await {
            Err(error) if FAILURES.contains(&error.errno()) => {
                self.tell(&format!("{:.100}", format!("{op:?}")), &error);
                if let Some(ino) = op.changes_contents() {
                    self.half_done(fs, ino, &op).await;
                }
            }
            Err(error) => self.load.model.judge(&op, Err(error.errno())),
            Ok(given) => {
                self.load.model.judge(&op, Ok(()));
                self.load.take(&op, &given, retain);
                self.note_state();
                if let Some(ino) = op.promises() {
                    self.history.promise(Some(ino), 0);
                }
            }
        }
        if self.random.below(8) == 0
            && let Some(ino) = self.load.retained.keys().next_back().copied()
        {
            self.load.release(fs, ino).await;
        }
    }

    /// `op` has failed, and may have changed some of the file's contents: all that can be known is what it holds now.
    async fn half_done(&mut self, fs: &Writable, ino: BlockNum, op: &Op) {
        if self.load.model.expect(op).is_err() {
            return;
        }
        let before = self.load.model.clone();
        self.load.model.apply(op, &Given::default());
        self.note_state();
        let found = async { Ok::<_, Error>((fs.stat(ino).await?, fs.read(ino, 0, u64::MAX).await?)) };
        match found.await {
            Ok((inode, data)) => {
                let after = std::mem::replace(&mut self.load.model, before);
                self.load.model.settle(&after, &inode, data.to_vec());
            }
            Err(error) => {
                self.load.model = before;
                self.tell("looking at what failed", &error);
            }
        }
        self.note_state();
    }
}

/// The workload on a copy of `base`, on a device that fails by `rule`.
fn play(
    base: &MemoryDevice,
    start: &Model,
    seed: u64,
    rule: Option<Rule>,
) -> (Story, Arc<FailingDevice<MemoryDevice>>) {
    let device = Arc::new(FailingDevice::new(base.snapshot()));
    if let Some(rule) = rule {
        device.add(rule);
    }
    let mut story = Story::new(start, seed);
    block_on(async {
        for _ in 0..ROUNDS {
            story.ended_early = !story.round(Arc::clone(&device) as Arc<dyn BlockDevice>).await;
            if story.ended_early {
                break;
            }
        }
    });
    (story, device)
}

/// Opens what is left, on a device that works again.
fn recover(what: &str, story: &Story, left: MemoryDevice, thorough: bool) {
    let device = Arc::new(left);
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let opened = block_on(written(shared, async |fs| {
        fs.scan_after_opening().await;
        assert!(orphans(fs.volume()).await.is_empty(), "{what}");
        assert!(fs.read_only().is_none(), "{what}");
        Model::of(fs.volume()).await
    }));
    let (found, closed) = opened.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    closed.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let known = story.history.explain(0, &found);
    known.unwrap_or_else(|wrong| panic!("{what}: {wrong}; told: {:#?}", story.told));
    if thorough {
        assert_sound(what, &device);
    }
}

/// How the `n`th request fails: by itself or with all that follow, with nothing done, half done, or done and not answered.
fn faults(n: u64) -> [(Fault, u64); 2] {
    let once = [Fault::Error(ErrorKind::Other), Fault::Torn(512), Fault::LostAnswer, Fault::Unreachable];
    let for_good = [Fault::Error(ErrorKind::Other), Fault::Unreachable];
    let pick = |faults: &[Fault]| faults[usize::try_from(n).expect("a few thousand") % faults.len()];
    [(pick(&once), 1), (pick(&for_good), u64::MAX)]
}

/// Lets requests of workloads fail: `usual` of them, from all over one, or each of one after another with more samples.
fn fail_everywhere(sizes: (u64, u64), features: &str, usual: u32) {
    let base = fresh(64, sizes, 1, features);
    let start = block_on(written(Arc::new(base.snapshot()), async |fs| Model::of(fs.volume()).await));
    let start = start.expect("a sound volume").0;
    let (mut left, mut seed) = (u64::from(fixtures::cases(usual)), 0x10e);
    while left > 0 {
        let (story, device) = play(&base, &start, seed, None);
        assert!(story.told.is_empty() && story.history.open() == 0, "{:#?}", story.told);
        recover("nothing failed", &story, device.inner().snapshot(), true);
        let count = device.seen();
        let step = count.div_ceil(left);
        for n in (0..count).step_by(usize::try_from(step).expect("a few hundred")) {
            let what = format!("{sizes:?} {features}, {seed}: {n} of {count}");
            fail_at(&what, (&base, &start, seed), n, left % CHECK_EVERY == 0);
            left -= 1;
        }
        seed += 1;
    }
}

/// Lets request `n` fail, alone and with all that follow.
fn fail_at(what: &str, (base, start, seed): (&MemoryDevice, &Model, u64), n: u64, thorough: bool) {
    for (fault, times) in faults(n) {
        let (story, device) = play(base, start, seed, Some(Rule::new(fault).after(n).times(times)));
        let failed = device.first_picked().expect("the same requests as without faults");
        let what = format!("{what}: {fault:?}, {times} times: {failed:?}");
        // A read may have been for something that is tried again, or not needed.
        if failed.op != block::Op::Read {
            assert!(!story.told.is_empty(), "{what}: nobody was told");
            assert!(story.read_only || story.ended_early || story.lost_data, "{what}: {:#?}", story.told);
        }
        recover(&what, &story, device.inner().snapshot(), thorough);
    }
}

/// A flush that failed was told to who had asked for it, and to nobody else: the next `fsync`, and the closing, succeeded,
/// though a disk may forget what it could not flush, and the journal was marked clean over it.
#[test]
fn what_a_failed_flush_lost_is_not_promised_by_the_next() {
    for whose in [true, false] {
        let device = Arc::new(FailingDevice::new(fresh(64, (4096, 4096), 1, "noinline-data")));
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let ((), closed) = block_on(written(shared, async |fs| {
            let new = NewInode { perm: 0o644, ..NewInode::default() };
            let ino = fs.create(fs.volume().root(), b"file", &new, NewKind::File).await.unwrap().ino();
            let write = async || {
                let data = Buf::copy_of(&[b'x'; 8192]).into_bufs();
                fs.write(ino, 0, data, WriteHow::default()).await.unwrap();
            };
            write().await;
            fs.fsync(ino).await.unwrap();
            device.add(Rule::new(Fault::Error(ErrorKind::Other)).on(block::Op::Flush).times(1));
            write().await;
            let sync = async |whose| if whose { fs.fsync(ino).await } else { fs.sync().await };
            assert!(sync(whose).await.is_err());
            assert!(fs.read_only().is_some());
            assert!(sync(whose).await.is_err() && sync(!whose).await.is_err());
            let error = fs.unlink(fs.volume().root(), b"file").await.unwrap_err();
            assert_eq!(error.errno(), 30, "{error}");
        }))
        .unwrap();
        assert!(closed.is_err());
        let device = Arc::new(device.inner().snapshot());
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let (_, closed) = block_on(written(shared, async |fs| fs.read_only().is_none())).unwrap();
        closed.unwrap();
        assert_sound("opened again", &device);
    }
}

#[test]
fn blocks_of_512_bytes() {
    fail_everywhere((512, 4096), "", 60);
}

#[test]
fn blocks_of_4096_bytes_with_checksums() {
    fail_everywhere((4096, 4096), "metaecc,noinline-data", 60);
}

#[test]
fn blocks_of_1024_bytes_with_quotas() {
    fail_everywhere((1024, 4096), "usrquota,grpquota,noindexed-dirs", 60);
}
