//! Logs that the engine wrote, replayed by `fsck.ocfs2`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fixtures::Random;
use jbd2::{IncompatFeatures, Journal, JournalOptions, Output, Place, Tid};

use crate::volume::{self, VolumeFile};

const FSCK: &str = "/usr/sbin/fsck.ocfs2";

/// Does what the engine asks for, at once, until the power is cut.
struct Driver<'a> {
    file: &'a VolumeFile,
    log: volume::Journal<'a>,
    engine: Journal,
    committed: Tid,
    passed: Tid,
}

impl Driver<'_> {
    /// Carries out all that is wanted; `homes` only when they are.
    fn run(&mut self, homes: bool) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Write { id, place, blocks, .. } => {
                    if matches!(place, Place::Home(_)) && !homes {
                        continue;
                    }
                    self.write(place, &blocks);
                    self.engine.done(id, true);
                }
                Output::Flush { id } => self.engine.done(id, true),
                Output::Committed(tid) => self.committed = tid,
                Output::Tail { passed, .. } => self.passed = passed,
                Output::Home(_) | Output::Space => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// A whole transaction begins to be written, and the power is cut when its copies are there and its commit block is not.
    fn begin_commit(mut self) {
        self.engine.commit();
        while let Some(output) = self.engine.poll_output() {
            if let Output::Write { place: place @ Place::Log(_), blocks, .. } = output {
                self.write(place, &blocks);
            }
        }
    }

    fn write(&self, place: Place, blocks: &[Arc<[u8]>]) {
        for (n, block) in (0..).zip(blocks) {
            let at = match place {
                Place::Log(first) => self.log.place(first + n),
                Place::Home(first) => first + u64::from(n),
            };
            self.file.write(at, block);
        }
    }
}

/// Changes what is on the volume `name`: one 64-bit journals for all slots if `wide`, and empty logs.
fn prepare(file: &VolumeFile, wide: bool, sequence: u32) {
    for slot in 0..file.volume.max_slots {
        let journal = file.journal(slot);
        let mut head = Journal::emptied(&journal.head(), jbd2::Sequence(sequence)).expect("a superblock");
        if wide {
            head[0x28..0x2c].copy_from_slice(&IncompatFeatures::BIT64.bits().to_be_bytes());
        }
        for (n, block) in (0..).zip(head.chunks(file.volume.block_len())) {
            file.write(journal.place(n), block);
        }
    }
}

/// A block's contents: every third begins as a block of the log does.
fn image(len: usize, serial: u32) -> Arc<[u8]> {
    let mut bytes = vec![u8::try_from(serial % 251).expect("small"); len];
    if serial.is_multiple_of(3) {
        bytes[..4].copy_from_slice(&jbd2::MAGIC.to_be_bytes());
    }
    bytes[8..12].copy_from_slice(&serial.to_be_bytes());
    bytes.into()
}

/// Writes many transactions over the log's end, leaves the last ones in it, and lets `fsck.ocfs2` replay them.
///
/// The blocks that change are those of another slot's clean log, in which nobody looks.
fn fsck_replays(name: &str, wide: bool, sequence: u32) {
    if !Path::new(FSCK).exists() {
        eprintln!("skipped: {FSCK} is not installed");
        return;
    }
    let path = fixtures::scratch_image(name);
    let file = VolumeFile::scratch(&path);
    prepare(&file, wide, sequence);
    let (log, other) = (file.journal(0), file.journal(1));
    let len = file.volume.block_len();
    let size = u32::try_from(len).expect("small");
    let mut engine =
        Journal::open(&log.head(), size, log.blocks(), JournalOptions::default()).expect("an empty log");
    engine.set_volume_blocks(file.volume.geometry.blocks().get());
    engine.tick(Duration::ZERO, Duration::from_secs(1_700_000_000));
    let targets: Vec<u64> = (2..other.blocks() / 3).map(|n| other.place(n)).collect();
    let mut driver = Driver { file: &file, log, engine, committed: Tid(0), passed: Tid(0) };
    let (mut random, mut serial, mut model) = (Random::new(u64::from(sequence)), 0, BTreeMap::new());
    let mut publish = |engine: &mut Journal| {
        let credits = engine.max_credits();
        let reservation = engine.reserve(credits).expect("room");
        let mut images = BTreeMap::new();
        for _ in 0..1 + random.below(usize::try_from(credits).expect("small")) {
            serial += 1;
            images.insert(targets[random.below(targets.len())], image(len, serial));
        }
        engine.publish(reservation, images.clone().into_iter().collect()).expect("as reserved");
        images
    };
    // Several rounds of the ring, then some transactions whose blocks do not get home.
    for n in 0..60 {
        model.extend(publish(&mut driver.engine));
        driver.engine.commit();
        driver.run(true);
        assert_eq!(driver.committed, Tid(n + 1));
    }
    for _ in 0..2 {
        model.extend(publish(&mut driver.engine));
        driver.engine.commit();
        driver.run(false);
    }
    let (committed, passed) = (driver.committed, driver.passed);
    assert!(passed > Tid(40) && committed == Tid(62), "{passed:?}, {committed:?}");
    let _never_committed = publish(&mut driver.engine);
    driver.begin_commit();

    let differ = || model.iter().filter(|(block, image)| file.read(**block)[..] != image[..]).count();
    let missing = differ();
    assert!(missing > 10, "only {missing} blocks are not home: the replay has nothing to do");
    mark_dirty(&file);
    let text = fsck(&path);
    assert!(text.contains("Slot 0's journal replayed successfully."), "{text}");
    assert_eq!(differ(), 0, "{name}: of {missing} blocks, some did not get home:\n{text}");
    let journal = file.journal(0);
    let superblock = journal.superblock();
    // Transaction 1 has the number `sequence`; the one after the last was begun.
    let next = sequence.wrapping_add(u32::try_from(committed.0).expect("small")).wrapping_add(1);
    assert_eq!((superblock.start, superblock.sequence.0), (None, next), "{text}");
}

/// Lets it replay what is dirty, and gives what it said.
///
/// Where no cluster service runs it ends after the replay, before the inode says that the journal is clean.
fn fsck(path: &Path) -> String {
    let output = Command::new(FSCK).arg("-fy").arg(path).output().expect("it runs");
    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
}

fn mark_dirty(file: &VolumeFile) {
    let inode = file.journal(0).inode.get();
    let mut bytes = file.read(inode);
    bytes[0xb8] |= 1; // id1.journal1.ij_flags
    file.write(inode, &bytes);
    assert!(file.journal(0).dirty);
}

#[test]
fn fsck_replays_what_the_engine_wrote_with_blocks_of_4096() {
    fsck_replays("a", false, 2);
}

#[test]
fn fsck_replays_what_the_engine_wrote_with_blocks_of_512() {
    fsck_replays("c", false, 70);
}

#[test]
fn fsck_replays_what_the_engine_wrote_with_wide_tags_over_the_end_of_numbers() {
    fsck_replays("d", true, u32::MAX - 30);
}
