//! The power fails while names, data and attributes are changed: afterwards the volume is clean, names and attributes are
//! as they were at one moment, which is none before the last that was promised to last, and files hold what was promised
//! and nothing that is another's.

use std::sync::Arc;

use block::{BlockDevice, Crash, MemoryDevice, RecordingDevice};
use fixtures::Random;
use ocfs2::{SetAttr, Writable};

use crate::history::History;
use crate::model::{Model, Workload};
use crate::orphans::orphans;
use crate::support::{assert_sound, block_on, fresh, written};

/// Operations.
const STEPS: usize = 120;
/// Images that are looked at for each moment.
const CHOICES: usize = 4;
/// Of so many moments between flushes one is looked at.
const SAMPLE: usize = 12;
/// Of so many images one is checked from end to end.
const CHECK_EVERY: usize = 40;
/// How far files grow when they are looked at.
const GROWN: usize = 9000;

/// What is behind the end of a file is nothing: it may have been cut off a moment before.
async fn assert_zero_behind_ends(what: &str, fs: &Writable, found: &Model) {
    for (ino, node) in found.nodes.iter().filter(|(_, node)| node.is_file() && !node.is_flagged()) {
        let size = node.data.len() as u64;
        let set = SetAttr { size: Some(size + GROWN as u64), ..SetAttr::default() };
        fs.setattr(*ino, &set).await.expect("a device that does not fail");
        let behind = fs.read(*ino, size, u64::MAX).await.expect("a device that does not fail").to_vec();
        assert_eq!(behind.len(), GROWN);
        let foreign = behind.iter().position(|byte| *byte != 0);
        assert!(foreign.is_none(), "{what}: inode {ino} of {size} bytes, {foreign:?} behind its end");
    }
}

fn check(what: &str, history: &History, crash: &Crash<'_>, image: MemoryDevice) -> Arc<MemoryDevice> {
    let what = format!("{what}: cut after event {}", crash.event());
    let device = Arc::new(image);
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let opened = block_on(written(shared, async |fs| {
        fs.scan_after_opening().await;
        assert!(orphans(fs.volume()).await.is_empty(), "{what}");
        let found = Model::of(fs.volume()).await;
        assert_zero_behind_ends(&what, fs, &found).await;
        found
    }));
    let (found, closed) = opened.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    closed.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    history.explain(crash.event(), &found).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    device
}

/// A workload on names alone, or on files of at most so many bytes as well.
fn cut_everywhere(sizes: (u64, u64), features: &str, seed: u64, most: Option<usize>) {
    let what = format!("{sizes:?} {features}");
    let base = fresh(64, sizes, 1, features);
    let device = Arc::new(RecordingDevice::new(base.snapshot()));
    let shared = Arc::clone(&device);
    let events = || shared.log().events().len();
    let mut random = Random::new(seed);
    let (history, closed) = block_on(written(Arc::clone(&device) as Arc<dyn BlockDevice>, async |fs| {
        let mut load = Workload::new(fs, seed, 24).await;
        load.most = most;
        let mut history = History::default();
        history.note(&load.model, 0);
        for _ in 0..STEPS {
            let begun = events();
            let (op, done) = load.step(fs).await;
            history.note(&load.model, begun);
            if let Some(ino) = op.promises().filter(|_| done) {
                history.promise(Some(ino), events());
            }
            if random.below(12) == 0 {
                fs.sync().await.expect("a device that does not fail");
                history.promise(None, events());
            }
        }
        load.release_all(fs).await;
        history
    }))
    .expect("a sound volume");
    closed.expect("a device that does not fail");
    let log = device.log();
    let mut images = 0;
    for crash in log.crashes(&base) {
        // Every moment at which all is sure, which is after each flush, and a sample of the others.
        if crash.unsure().next().is_some() && random.below(SAMPLE) != 0 {
            continue;
        }
        for choice in crash.choices(seed, CHOICES) {
            let ours = check(&what, &history, &crash, crash.image(&choice));
            images += 1;
            if images % CHECK_EVERY == 0 {
                assert_sound(&format!("{what}: cut after event {}", crash.event()), &ours);
            }
        }
    }
    assert!(images > 40, "{what}: only {images} images");
}

#[test]
fn names_in_blocks_of_512_bytes() {
    cut_everywhere((512, 4096), "", 11, None);
}

#[test]
fn names_in_blocks_of_1024_bytes() {
    cut_everywhere((1024, 4096), "noindexed-dirs", 13, None);
}

#[test]
fn blocks_of_512_bytes() {
    cut_everywhere((512, 4096), "", 21, Some(60_000));
}

#[test]
fn blocks_of_4096_bytes_with_checksums() {
    cut_everywhere((4096, 4096), "metaecc,noinline-data", 22, Some(60_000));
}

#[test]
fn blocks_of_1024_bytes_with_quotas() {
    cut_everywhere((1024, 4096), "usrquota,grpquota", 23, Some(20_000));
}

#[test]
fn large_clusters() {
    cut_everywhere((4096, 65_536), "metaecc", 24, Some(200_000));
}
