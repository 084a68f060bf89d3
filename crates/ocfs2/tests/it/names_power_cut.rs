//! The power fails while names are changed: afterwards there are all of them as they were at one moment, which is none
//! before the last that was promised to last.

use std::sync::Arc;

use block::{BlockDevice, Crash, MemoryDevice, RecordingDevice};
use fixtures::Random;

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

/// What was done.
struct Story {
    /// The names after each operation, and the count of events when the next one was begun.
    states: Vec<(Model, usize)>,
    /// How many of the operations were promised to last, and the count of events then.
    promises: Vec<(usize, usize)>,
}

impl Story {
    /// How many operations must be there at least, and may be there at most, when the power fails after `event`.
    fn bounds(&self, event: usize) -> (usize, usize) {
        let promised = self.promises.iter().filter(|(_, at)| *at <= event).map(|(count, _)| *count).max();
        // What was begun before the cut may be there.
        let begun = self.states.iter().filter(|(_, at)| *at <= event).count();
        (promised.unwrap_or(0), begun.min(self.states.len() - 1))
    }
}

fn check(what: &str, story: &Story, crash: &Crash<'_>, image: MemoryDevice) -> Arc<MemoryDevice> {
    let event = crash.event();
    let device = Arc::new(image);
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let opened = block_on(written(shared, async |fs| {
        fs.scan_after_opening().await;
        assert!(orphans(fs.volume()).await.is_empty(), "{what}: cut after event {event}");
        Model::of(fs.volume()).await
    }));
    let (found, closed) = opened.unwrap_or_else(|error| panic!("{what}: cut after event {event}: {error:?}"));
    closed.unwrap_or_else(|error| panic!("{what}: cut after event {event}: {error:?}"));
    let (least, most) = story.bounds(event);
    let whole = story.states[least..=most].iter().any(|(model, _)| *model == found);
    assert!(whole, "{what}: cut after event {event}: none of the states {least} to {most} is found");
    device
}

fn cut_everywhere(sizes: (u64, u64), features: &str, seed: u64) {
    let what = format!("{sizes:?} {features}");
    let base = fresh(64, sizes, 1, features);
    let device = Arc::new(RecordingDevice::new(base.snapshot()));
    let shared = Arc::clone(&device);
    let events = || shared.log().events().len();
    let mut random = Random::new(seed);
    let (story, closed) = block_on(written(Arc::clone(&device) as Arc<dyn BlockDevice>, async |fs| {
        let mut load = Workload::new(fs, seed, 24).await;
        let mut story = Story { states: Vec::new(), promises: Vec::new() };
        for _ in 0..STEPS {
            story.states.push((load.model.named(), events()));
            load.step(fs).await;
            if random.below(8) == 0 {
                fs.sync().await.expect("a device that does not fail");
                story.promises.push((story.states.len(), events()));
            }
        }
        story.states.push((load.model.named(), events()));
        load.release_all(fs).await;
        story
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
            let ours = check(&what, &story, &crash, crash.image(&choice));
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
    cut_everywhere((512, 4096), "", 11);
}

#[test]
fn blocks_of_4096_bytes_with_checksums() {
    cut_everywhere((4096, 4096), "metaecc,noinline-data", 12);
}

#[test]
fn blocks_of_1024_bytes() {
    cut_everywhere((1024, 4096), "noindexed-dirs", 13);
}
