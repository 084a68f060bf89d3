//! Requests that fail while names and attributes are changed: one, or all from one on, at every place of a workload in turn.
//!
//! Nothing panics. Who called is told. After a write or flush that failed nothing is changed any more, and the next who
//! opens the volume finds a state that was there once, not older than the last that was promised to last.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use block::{BlockDevice, FailingDevice, Fault, MemoryDevice, Rule};
use fixtures::Random;
use ocfs2::lock::LocalLocks;
use ocfs2::{BlockNum, Error, SetXattr, Volume, Writable, WriteOptions};

use crate::model::{Model, Op, Workload};
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

type Attributes = BTreeMap<(BlockNum, Vec<u8>), Vec<u8>>;

/// What the volume holds at one moment.
#[derive(Clone, Debug, PartialEq)]
struct State {
    names: Model,
    attributes: Attributes,
}

impl State {
    async fn of(volume: &Volume) -> Self {
        let names = Model::of(volume).await;
        let mut attributes = Attributes::new();
        for ino in names.nodes.keys() {
            let inode = volume.inode(*ino).await.expect("an inode");
            for xattr in volume.xattrs(&inode).await.expect("attributes") {
                let value = volume.xattr_value(&inode, &xattr).await.expect("a value");
                attributes.insert((*ino, xattr.name().to_vec()), value);
            }
        }
        Self { names, attributes }
    }
}

/// A workload, and what came of it.
struct Story {
    load: Workload,
    random: Random,
    retained: Vec<BlockNum>,
    attributes: Attributes,
    /// The states after each operation, from the last promise on that everything lasts.
    states: Vec<State>,
    /// What failed, as it was told.
    told: Vec<String>,
    /// Whether nothing could be changed any more, before it was closed.
    read_only: bool,
    /// Whether opening or closing failed.
    ended_early: bool,
    /// Whether a value or target could not be written. Nothing refers to its place before it is: it fails, and no more.
    lost_data: bool,
}

impl Story {
    fn new(start: State, seed: u64) -> Self {
        Self {
            load: Workload::of(start.names.clone(), seed, 16),
            random: Random::new(seed ^ 0xfa11),
            retained: Vec::new(),
            attributes: start.attributes.clone(),
            states: vec![start],
            told: Vec::new(),
            read_only: false,
            ended_early: false,
            lost_data: false,
        }
    }

    /// What the volume holds now.
    fn note_state(&mut self) {
        let names = self.load.model.named();
        self.attributes.retain(|(ino, _), _| names.nodes.contains_key(ino));
        self.states.push(State { names, attributes: self.attributes.clone() });
    }

    /// All that has been done lasts.
    fn promised(&mut self) {
        let last = self.states.pop().expect("there is always one");
        self.states = vec![last];
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
                        Ok(()) => self.promised(),
                        Err(error) => self.tell("sync", &error),
                    }
                }
            }
            while let Some(ino) = self.retained.last().copied() {
                self.release(&fs, ino).await;
            }
            self.read_only |= fs.read_only().is_some();
            match fs.close().await {
                Ok(()) => {
                    self.promised();
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
        match self.random.below(8) {
            0..5 => self.change_names(fs).await,
            5..7 => self.change_attribute(fs).await,
            _ => {
                if let Some(ino) = self.retained.last().copied() {
                    self.release(fs, ino).await;
                }
            }
        }
    }

    async fn change_names(&mut self, fs: &Writable) {
        let op = self.load.next_op();
        let retain = self.random.below(4) == 0;
        let expected = self.load.model.expect(&op);
        match op.attempt(fs, retain).await {
            Err(error) if FAILURES.contains(&error.errno()) => {
                self.tell(&format!("{:.100}", format!("{op:?}")), &error)
            }
            Err(error) => assert_eq!(Err(error.errno()), expected, "{op:?}: {error}"),
            Ok(made) => {
                assert_eq!(expected, Ok(()), "{op:?}");
                let lost = self.load.model.apply(&op, made);
                if let (Op::Create { .. }, true, Some(ino)) = (&op, retain, made) {
                    self.retained.push(ino);
                }
                if let Some(ino) = lost.filter(|ino| !self.retained.contains(ino)) {
                    self.load.model.nodes.remove(&ino);
                }
                self.note_state();
            }
        }
    }

    async fn change_attribute(&mut self, fs: &Writable) {
        let inos: Vec<BlockNum> = self.load.model.named().nodes.keys().copied().collect();
        let ino = inos[self.random.below(inos.len())];
        let name = format!("trusted.{}", self.random.below(6)).into_bytes();
        let fill = self.random.byte();
        let value = vec![fill; [3, 60, 300, 5000][self.random.below(4)]];
        let removes = self.random.below(4) == 0;
        let what = format!("{ino}: attribute {}", String::from_utf8_lossy(&name));
        let done = match removes {
            true => fs.remove_xattr(ino, &name).await,
            false => fs.set_xattr(ino, &name, &value, SetXattr::default()).await,
        };
        let there = self.attributes.contains_key(&(ino, name.clone()));
        match done {
            Err(Error::NoAttribute) if removes && !there => {}
            Err(error) => self.tell(&what, &error),
            Ok(_) => {
                assert!(!removes || there, "{what} was not there");
                match removes {
                    true => _ = self.attributes.remove(&(ino, name)),
                    false => _ = self.attributes.insert((ino, name), value),
                }
                self.note_state();
            }
        }
    }

    async fn release(&mut self, fs: &Writable, ino: BlockNum) {
        fs.release(ino).await;
        self.retained.retain(|other| *other != ino);
        if self.load.model.nodes[&ino].links == 0 {
            self.load.model.nodes.remove(&ino);
        }
    }
}

/// The workload on a copy of `base`, on a device that fails by `rule`.
fn play(
    base: &MemoryDevice,
    start: &State,
    seed: u64,
    rule: Option<Rule>,
) -> (Story, Arc<FailingDevice<MemoryDevice>>) {
    let device = Arc::new(FailingDevice::new(base.snapshot()));
    if let Some(rule) = rule {
        device.add(rule);
    }
    let mut story = Story::new(start.clone(), seed);
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
        State::of(fs.volume()).await
    }));
    let (found, closed) = opened.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    closed.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let is_known = story.states.contains(&found);
    assert!(is_known, "{what}: none of the last {} states; told: {:#?}", story.states.len(), story.told);
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
    let start = block_on(written(Arc::new(base.snapshot()), async |fs| State::of(fs.volume()).await));
    let start = start.expect("a sound volume").0;
    let (mut left, mut seed) = (u64::from(fixtures::cases(usual)), 0x10e);
    while left > 0 {
        let (story, device) = play(&base, &start, seed, None);
        assert!(story.told.is_empty() && story.states.len() == 1, "{:#?}", story.told);
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
fn fail_at(what: &str, (base, start, seed): (&MemoryDevice, &State, u64), n: u64, thorough: bool) {
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
