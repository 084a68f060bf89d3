//! The power fails while files are written: what was promised is there, of what was not each byte is one that was
//! written there, and nothing of what other files held.

use std::sync::Arc;

use block::{BlockDevice, Crash, MemoryDevice, RecordingDevice};
use fixtures::Random;
use futures_util::future::join;

use super::late::Late;
use super::{Load, assert_sound, files_of, worked};
use crate::support::{block_on, fresh};

/// Operations.
const STEPS: usize = 110;
/// Images that are looked at for each moment.
const CHOICES: usize = 4;
/// Of so many moments between flushes one is looked at.
const SAMPLE: usize = 8;
/// Of so many images one is checked from end to end.
const CHECK_EVERY: usize = 30;

fn check(what: &str, load: &Load, crash: &Crash<'_>, image: MemoryDevice) -> Arc<MemoryDevice> {
    let device = Arc::new(image);
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let (found, closed) = block_on(worked(shared, async |fs| {
        fs.scan_after_opening().await;
        files_of(fs, load.names().iter()).await.expect("files that can be read")
    }));
    let event = crash.event();
    closed.unwrap_or_else(|error| panic!("{what}: cut after event {event}: {error:?}"));
    if let Some(why) = load.refute(&found, event) {
        panic!("{what}: cut after event {event}: {why}");
    }
    device
}

fn cut_everywhere(sizes: (u64, u64), features: &str, most: usize, seed: u64) {
    let what = format!("{sizes:?} {features}");
    let base = fresh(64, sizes, 1, features);
    let device = Arc::new(RecordingDevice::new(Late::new(base.snapshot())));
    let shared = Arc::clone(&device);
    let events = || shared.log().events().len();
    let mut random = Random::new(seed);
    let (load, closed) = block_on(worked(Arc::clone(&device) as Arc<dyn BlockDevice>, async |fs| {
        let mut load = Load::new(seed, most);
        for _ in 0..STEPS {
            let (begun, before) = (events(), load.states.len() - 1);
            if random.below(4) == 0 {
                // A commit beside it.
                let (done, synced) = join(load.step(fs, begun), fs.sync()).await;
                done.expect("room and a device that does not fail");
                synced.expect("a device that does not fail");
                load.promises.push((before, None, events()));
            } else {
                load.step(fs, begun).await.expect("room and a device that does not fail");
            }
            match random.below(12) {
                0 => {
                    fs.sync().await.expect("a device that does not fail");
                    load.promised(None, events());
                }
                1..4 if load.files().contains_key(&load.last) => {
                    let name = load.last.clone();
                    fs.fsync(load.inos[&name]).await.expect("a device that does not fail");
                    load.promised(Some(name), events());
                }
                _ => {}
            }
        }
        load
    }));
    closed.expect("a device that does not fail");
    let log = device.log();
    let mut images = 0;
    for crash in log.crashes(&base) {
        // Every moment at which all is sure, which is after each flush, and a sample of the others.
        if crash.unsure().next().is_some() && random.below(SAMPLE) != 0 {
            continue;
        }
        for choice in crash.choices(seed, CHOICES) {
            let ours = check(&what, &load, &crash, crash.image(&choice));
            images += 1;
            if images % CHECK_EVERY == 0 {
                assert_sound(&format!("{what}: cut after event {}", crash.event()), &ours);
            }
        }
    }
    assert!(images > 40, "{what}: only {images} images");
}

#[test]
fn blocks_of_512_bytes() {
    cut_everywhere((512, 4096), "", 150_000, 21);
}

#[test]
fn blocks_of_4096_bytes_with_checksums() {
    cut_everywhere((4096, 4096), "metaecc,noinline-data", 150_000, 22);
}

#[test]
fn large_clusters() {
    cut_everywhere((4096, 65_536), "", 300_000, 23);
}

#[test]
fn small_files() {
    cut_everywhere((1024, 4096), "", 3000, 24);
}
