//! The power fails at any moment: after the next opening the volume is clean, holds everything that had been promised
//! to last, and nothing by half.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockDevice, Crash, MemoryDevice, RecordingDevice};
use fixtures::Random;
use ocfs2::{BlockNum, OpenOptions, SetAttr, SetTime, Timestamp, Volume, Writable};

use crate::support::{block_on, fsck_complaints, in_memory, written};

/// Inodes that the workload changes.
const INODES: usize = 12;
/// Changes it makes.
const STEPS: usize = 60;
/// Images that are looked at for each moment.
const CHOICES: usize = 4;
/// Of so many moments between flushes one is looked at.
const SAMPLE: usize = 6;
/// Of so many images one is shown to `fsck.ocfs2`.
const FSCK_EVERY: usize = 90;

/// What was done, in order.
#[derive(Debug, Default)]
struct Story {
    inos: Vec<BlockNum>,
    /// What the inodes were at first: permissions and mtime.
    at_first: BTreeMap<BlockNum, State>,
    /// Each change, with the count of events when it was begun.
    steps: Vec<(usize, BlockNum, State)>,
    /// How many of the changes were promised to last, and the count of events then.
    promises: Vec<(usize, usize)>,
}

type State = (u16, i64);

impl Story {
    /// The inodes after so many changes.
    fn after(&self, count: usize) -> BTreeMap<BlockNum, State> {
        let mut states = self.at_first.clone();
        states.extend(self.steps[..count].iter().map(|(_, ino, state)| (*ino, *state)));
        states
    }

    /// How many changes must be there at least, and may be there at most, when the power fails after `event`.
    fn bounds(&self, event: usize) -> (usize, usize) {
        let promised = self.promises.iter().filter(|(_, at)| *at <= event).map(|(count, _)| *count).max();
        let begun = self.steps.iter().filter(|(at, ..)| *at <= event).count();
        (promised.unwrap_or(0), begun)
    }
}

async fn state_of(volume: &Volume, ino: BlockNum) -> State {
    let attr = *volume.inode(ino).await.expect("an inode that nobody deletes").attr();
    (attr.perm, attr.mtime.seconds)
}

/// The first inodes below the root.
async fn some_inodes(volume: &Volume) -> Vec<BlockNum> {
    let mut inos = vec![volume.root()];
    let mut walk = volume.walk(volume.inode(volume.root()).await.expect("the root"));
    while let Some(entry) = walk.next().await {
        let inode = entry.expect("a sound volume").inode;
        let acl = volume.xattr(&inode, b"system.posix_acl_access").await;
        // Flags forbid changes, and what has an ACL cannot be changed yet.
        if inode.attr().flags & 0x30 == 0 && acl.is_err() && !inos.contains(&inode.ino()) {
            inos.push(inode.ino());
        }
        if inos.len() == INODES {
            break;
        }
    }
    inos
}

async fn workload(fs: &Writable, device: &RecordingDevice<MemoryDevice>, random: &mut Random) -> Story {
    let events = || device.log().events().len();
    let mut story = Story { inos: some_inodes(fs.volume()).await, ..Story::default() };
    for ino in &story.inos {
        story.at_first.insert(*ino, state_of(fs.volume(), *ino).await);
    }
    for _ in 0..STEPS {
        let ino = story.inos[random.below(story.inos.len())];
        let perm = u16::try_from(random.below(0o1000)).expect("nine bits");
        let seconds = i64::try_from(random.below(1 << 40)).expect("forty bits");
        let set = SetAttr {
            perm: Some(perm),
            mtime: Some(SetTime::To(Timestamp { seconds, nanos: 0 })),
            ..SetAttr::default()
        };
        story.steps.push((events(), ino, (perm, seconds)));
        fs.setattr(ino, &set).await.expect("a device that does not fail");
        if random.below(4) == 0 {
            fs.fsync(ino).await.expect("a device that does not fail");
            story.promises.push((story.steps.len(), events()));
        }
    }
    story
}

/// Opens what is left, as the next mount would, and compares.
fn check(name: &str, story: &Story, crash: &Crash<'_>, image: &MemoryDevice) -> Arc<MemoryDevice> {
    let event = crash.event();
    let memory = Arc::new(image.snapshot());
    let device: Arc<dyn BlockDevice> = Arc::clone(&memory) as _;
    let opened = block_on(written(Arc::clone(&device), async |fs| {
        let mut found = BTreeMap::new();
        for ino in story.at_first.keys() {
            found.insert(*ino, state_of(fs.volume(), *ino).await);
        }
        found
    }));
    let (found, closed) = opened.unwrap_or_else(|error| panic!("{name}: cut after event {event}: {error:?}"));
    closed.unwrap_or_else(|error| panic!("{name}: cut after event {event}: {error:?}"));
    let (least, most) = story.bounds(event);
    let whole = (least..=most).any(|count| story.after(count) == found);
    assert!(
        whole,
        "{name}: cut after event {event}: of {least} to {most} changes none of the states is found: {found:?}"
    );
    block_on(async {
        let volume = Volume::open(device, OpenOptions::default()).await.expect("a volume");
        assert!(volume.warnings().is_empty(), "{name}: cut after event {event}: {:?}", volume.warnings());
    });
    memory
}

fn cut_everywhere(name: &str, seed: u64) {
    let base = in_memory(name);
    let device = Arc::new(RecordingDevice::new(base.snapshot()));
    let mut random = Random::new(seed);
    let shared = Arc::clone(&device);
    let (story, closed) = block_on(written(Arc::clone(&device) as Arc<dyn BlockDevice>, async |fs| {
        workload(fs, &shared, &mut random).await
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
            let image = crash.image(&choice);
            let ours = check(name, &story, &crash, &image);
            images += 1;
            if images % FSCK_EVERY == 0 {
                let at = format!("{name}: cut after event {}", crash.event());
                assert_sound(&at, &ours);
            }
        }
    }
    assert!(images > 40, "{name}: only {images} images");
}

fn assert_sound(what: &str, image: &MemoryDevice) {
    if let Some(complaints) = fsck_complaints(image) {
        assert!(complaints.is_empty(), "{what}: {complaints:#?}");
    }
}

#[test]
fn on_a_volume_with_512_byte_blocks() {
    cut_everywhere("c", 1);
}

#[test]
fn on_a_volume_that_a_kernel_left_dirty() {
    cut_everywhere("dirty-orphan", 2);
}

#[test]
fn on_a_volume_with_checksums_and_two_slots() {
    cut_everywhere("dirty-ecc", 3);
}

#[test]
fn on_a_volume_whose_other_slot_is_dirty() {
    cut_everywhere("dirty-orphan-slot1", 4);
}
