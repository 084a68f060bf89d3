//! Names for tests: of all lengths, of all bytes, and many with one hash.

use std::collections::BTreeSet;

use fixtures::Random;

/// `count` names of 1 to 255 bytes, none twice; with `hash`, as many more that all have one hash.
pub(super) fn names(seed: u64, count: usize, same_hash: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
    while names.len() < count {
        // Half of them short, as names are.
        let longest = if random.below(2) == 0 { 12 } else { 255 };
        let len = 1 + random.below(longest);
        let ascii = random.below(3) > 0;
        let mut byte = || loop {
            let byte = if ascii { 0x20 + random.byte() % 0x5f } else { random.byte() };
            if !matches!(byte, 0 | b'/') {
                break byte;
            }
        };
        let name: Vec<u8> = (0..len).map(|_| byte()).collect();
        if !matches!(name.as_slice(), b"." | b"..") {
            names.insert(name);
        }
    }
    let mut all: Vec<_> = names.into_iter().collect();
    all.extend((0..same_hash).map(one_hash));
    all
}

/// Names that all have the same hash, whatever its seed.
///
/// TEA has equivalent keys: with the top bits of its first two words turned over it does the same, and of its last two.
/// The words are the name's own bytes, sixteen at a time.
pub(super) fn one_hash(n: usize) -> Vec<u8> {
    let mut name = vec![b'a'; 16 * 6];
    for (bit, pair) in (0..12).map(|bit| (bit, bit * 8)) {
        if n >> bit & 1 == 1 {
            name[pair] ^= 0x80;
            name[pair + 4] ^= 0x80;
        }
    }
    name
}

#[test]
fn names_of_one_hash_are_that_for_every_seed() {
    use ocfs2_format::{CharSign, DxHash};
    for seed in [[0; 4], [1, 2, 3, 4], [u32::MAX; 4]] {
        for sign in CharSign::BOTH {
            let hash = |n| DxHash::of(&one_hash(n), seed, sign);
            assert!((1..4096).all(|n| hash(n) == hash(0)), "{seed:?} {sign:?}");
        }
    }
    assert_eq!((0..4096).map(one_hash).collect::<BTreeSet<_>>().len(), 4096);
}
