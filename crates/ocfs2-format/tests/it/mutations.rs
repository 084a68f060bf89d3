//! Blocks of the fixtures with bytes changed: never a panic, and with checksums never a wrong byte believed.

use std::collections::BTreeMap;

use ocfs2_format::fuzz_bodies::{KINDS, as_kind, by_signature, free_bytes};
use ocfs2_format::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

use crate::volume_file::VolumeFile;

/// A few blocks of each kind from each volume.
fn corpus(name: &str, each: usize) -> (VolumeFile, Vec<(BlockNum, BlockKind, Vec<u8>)>) {
    let file = VolumeFile::open(name);
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    for (block, kind, data) in file.signed_blocks() {
        if by_signature(&file.volume, block, &data).is_ok() {
            kinds.entry(kind).or_default().push((block, kind, data));
        }
    }
    let mut picked = Vec::new();
    for blocks in kinds.into_values() {
        let step = blocks.len().div_ceil(each).max(1);
        picked.extend(blocks.into_iter().step_by(step));
    }
    (file, picked)
}

/// A runner whose choices are the same in every run.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
}

#[test]
fn any_changed_bytes_are_survived() {
    for name in ["a", "b", "c", "g", "dirty-ecc"] {
        let (file, blocks) = corpus(name, 12);
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
        let strategy = (any::<prop::sample::Index>(), changes);
        let result = runner(3000).run(&strategy, |(pick, changes)| {
            let (block, _, data) = pick.get(&blocks);
            let mut data = data.clone();
            for (at, byte) in changes {
                // Half of all changes go to the head, where the fields are.
                let index = at.index(data.len() * 2);
                let len = data.len();
                data[if index < len { index } else { index % 0x100 }] = byte;
            }
            for kind in KINDS {
                as_kind(kind, &file.volume, *block, &data).ok();
            }
            Ok(())
        });
        result.unwrap();
    }
}

#[test]
fn every_single_byte_of_the_head_of_a_block_may_be_anything() {
    let (file, blocks) = corpus("a", 1);
    for (block, kind, data) in blocks {
        for at in 0..0x120 {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut data = data.clone();
                data[at] = byte;
                as_kind(kind, &file.volume, block, &data).ok();
            }
        }
    }
}

#[test]
fn a_flipped_bit_on_a_volume_with_checksums_is_repaired() {
    let (file, blocks) = corpus("b", 20);
    let strategy = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let result = runner(1000).run(&strategy, |(pick, bit)| {
        let (block, kind, good) = pick.get(&blocks);
        let mut data = good.clone();
        let bit = bit.index(data.len() * 8);
        data[bit / 8] ^= 1 << (bit % 8);
        let verdict = kind.verify(&file.volume, *block, &mut data);
        let check = kind.check_offset(data.len());
        if (check..check + 4).contains(&(bit / 8)) {
            prop_assert!(verdict.is_err());
        } else if (check + 4..check + 8).contains(&(bit / 8)) {
            prop_assert_eq!(verdict, Ok(false));
        } else {
            prop_assert_eq!(verdict, Ok(true));
            prop_assert_eq!(&data, good);
        }
        Ok(())
    });
    result.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(fixtures::cases(500)) })]

    #[test]
    fn free_bytes_are_survived(head in any::<[u8; 4]>(), fill in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        free_bytes(&[&head[..], &bytes].concat());
        let mut long = [&head[..], &vec![fill; 4096]].concat();
        long[4..4 + bytes.len()].copy_from_slice(&bytes);
        free_bytes(&long);
        for signature in [b"INODE01\0", b"EXBLK01\0", b"GROUP01\0", b"DXDIR01\0", b"XATTR01\0", b"REFCNT1\0", b"DXLEAF1\0"] {
            long[4..12].copy_from_slice(signature);
            free_bytes(&long);
        }
    }
}
