use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use jbd2::{JournalSuperblock, unescape};
use ocfs2_format::{BlockKind, BlockNum};

use crate::volume::VolumeFile;

/// Name of the volume and the slot whose log is dirty.
const DIRTY: [(&str, u16); 5] =
    [("dirty", 0), ("dirty-slot1", 1), ("dirty-ecc", 1), ("dirty-orphan", 0), ("dirty-orphan-slot1", 1)];

/// What `debugfs.ocfs2 -R "logdump -T"` shows: for each volume block the log block of its last copy, and the number
/// of complete transactions from `superblock.sequence` on.
///
/// `tests/data/NAME.log.txt` keeps of that text a line for each descriptor (`D block sequence`), tag (`T block flags`)
/// and commit (`C block sequence`), in the order of log blocks: a log that went round begins in the middle.
fn logdump(name: &str, superblock: &JournalSuperblock) -> (BTreeMap<u64, u32>, u32) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.log.txt"));
    let text = fs::read_to_string(path).expect("kept in the repository");
    let mut copies = BTreeMap::<u32, Vec<(u64, u32)>>::new();
    let mut committed = BTreeSet::new();
    let (mut sequence, mut next) = (0, 0);
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let number = words[1].parse().expect("a number");
        match words[0] {
            "D" => {
                sequence = words[2].parse().expect("a number");
                next = superblock.next_block(number);
            }
            "T" => {
                copies.entry(sequence).or_default().push((u64::from(number), next));
                next = superblock.next_block(next);
            }
            "C" => committed.extend(words[2].parse::<u32>()),
            other => panic!("{other}"),
        }
    }
    let (mut last, mut transactions) = (BTreeMap::new(), 0);
    for sequence in superblock.sequence.0.. {
        if !committed.contains(&sequence) {
            break;
        }
        last.extend(copies.remove(&sequence).expect("a committed transaction has tags"));
        transactions += 1;
    }
    (last, transactions)
}

#[test]
fn the_right_logs_are_dirty() {
    for (name, dirty) in DIRTY {
        let file = VolumeFile::open(name);
        for slot in 0..file.volume.max_slots {
            assert_eq!(file.journal(slot).dirty, slot == dirty, "{name}: slot {slot}");
        }
    }
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        let file = VolumeFile::open(name);
        (0..file.volume.max_slots).for_each(|slot| assert!(!file.journal(slot).dirty, "{name}: slot {slot}"));
    }
}

#[test]
fn a_clean_log_is_empty() {
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        let superblock = VolumeFile::open(name).journal(0).superblock();
        assert_eq!(superblock.start, None, "{name}");
        assert_eq!(superblock.first, if superblock.block_size == 512 { 2 } else { 1 }, "{name}");
    }
}

#[test]
fn copies_are_those_that_debugfs_shows() {
    for (name, slot) in DIRTY {
        let file = VolumeFile::open(name);
        let journal = file.journal(slot);
        let superblock = journal.superblock();
        let recovered = journal.replay();
        let (want, commits) = logdump(name, &superblock);
        let found: BTreeMap<_, _> =
            recovered.copies.iter().map(|(&block, copy)| (block, copy.log_block)).collect();
        println!("{name}: {} transactions, {} blocks", recovered.transactions, found.len());
        assert_eq!(recovered.transactions, commits, "{name}");
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn copies_are_whole_blocks_with_good_checksums() {
    for (name, slot) in DIRTY {
        let file = VolumeFile::open(name);
        let journal = file.journal(slot);
        let recovered = journal.replay();
        assert!(!recovered.copies.is_empty(), "{name}");
        let mut signed = 0;
        for (&block, copy) in &recovered.copies {
            let mut data = journal.read(copy.log_block);
            if copy.escaped {
                unescape(&mut data);
            }
            // Directory blocks, buckets and new leaves too carry their home's number; plain data has no signature.
            let Some(kind) = BlockKind::of(&data) else { continue };
            let block = BlockNum(block);
            assert_eq!(kind.verify(&file.volume, block, &mut data), Ok(false), "{name}: block {block}");
            ocfs2_format::fuzz_bodies::by_signature(&file.volume, block, &data)
                .unwrap_or_else(|corrupt| panic!("{name}: {corrupt}"));
            signed += 1;
        }
        println!("{name}: {signed} of {} copies have a signature", recovered.copies.len());
        assert!(signed >= 3, "{name}");
    }
}
