//! A block of every kind that an OCFS2 volume holds.
//!
//! Input: four bytes by which the body chooses geometry, kind and features, then the block.

use std::collections::BTreeMap;

use ocfs2_format::BlockKind;
use ocfs2_format::fuzz_bodies::{KINDS, free_bytes};

/// Volumes with blocks of 512 and 4096 bytes; every kind of block, checksummed ones too.
const VOLUMES: [(&str, usize, u8); 5] =
    [("c", 512, 0), ("a", 4096, 3), ("b", 4096, 3), ("dirty-ecc", 4096, 3), ("g", 4096, 3)];

/// Blocks of each kind taken from a volume.
const EACH: usize = 6;

/// How much of a volume is searched, in bytes.
const SEARCHED: usize = 64 << 20;

pub(crate) fn run(bytes: &[u8]) {
    free_bytes(bytes);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (volume, block_size, shape) in VOLUMES {
        let image = std::fs::read(fixtures::image(volume)).expect("a fixture");
        let mut blocks = BTreeMap::<usize, Vec<&[u8]>>::new();
        for block in image[..image.len().min(SEARCHED)].chunks_exact(block_size) {
            let Some(kind) = BlockKind::of(block) else { continue };
            let kind = KINDS.iter().position(|known| *known == kind).expect("every kind is known");
            blocks.entry(kind).or_default().push(block);
        }
        for (kind, blocks) in blocks {
            let step = blocks.len().div_ceil(EACH);
            for block in blocks.into_iter().step_by(step) {
                let kind = u8::try_from(kind).expect("few kinds");
                seeds.push([&[shape, 0xff, kind, 1], block].concat());
            }
        }
    }
    // Buckets and quota blocks have no signature: any block will do.
    for kind in [BlockKind::XattrBucket, BlockKind::Quota] {
        let kind = KINDS.iter().position(|known| *known == kind).expect("every kind is known");
        let mut block = vec![0; 4100];
        block[..4].copy_from_slice(&[3, 0xff, u8::try_from(kind).expect("few kinds"), 1]);
        seeds.push(block);
    }
    seeds
}
