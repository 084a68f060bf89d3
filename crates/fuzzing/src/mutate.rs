//! Random changes of an input, as a fuzzer makes them.

use fixtures::Random;

/// Numbers at which parsers go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX.unsigned_abs(),
    u64::MAX,
];

/// `seed` with one to eight changes: bits, bytes, numbers of any width and order, pieces cut, doubled, or taken from
/// `other`.
#[must_use]
pub fn mutate(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..1 + random.below(8) {
        if out.is_empty() {
            out.push(random.byte());
        }
        // Half of all changes go near the front, where the headers are.
        let reach = if random.below(2) == 0 { out.len().min(64) } else { out.len() };
        let at = random.below(reach);
        match random.below(16) {
            0..=4 => out[at] ^= 1 << random.below(8),
            5..=7 => out[at] = random.byte(),
            8..=11 => number(random, &mut out[at..]),
            12 => out.truncate(at),
            13 => {
                let end = at + random.below(out.len() - at + 1).min(4096);
                out.extend_from_within(at..end);
            }
            14 => drop(out.drain(at..at + random.below(out.len() - at + 1))),
            _ => {
                let from = random.below(other.len() + 1);
                let len = random.below(other.len() - from + 1).min(out.len() - at);
                out[at..at + len].copy_from_slice(&other[from..from + len]);
            }
        }
    }
    out
}

/// Puts an edge, or a neighbour of the number that was there, to the front of `out`.
fn number(random: &mut Random, out: &mut [u8]) {
    let width = [1, 2, 4, 8][random.below(4)].min(out.len());
    let field = &mut out[..width];
    let big = random.below(2) == 0;
    if big {
        field.reverse();
    }
    let mut word = [0; 8];
    word[..width].copy_from_slice(field);
    let value = match random.below(3) {
        0 => u64::from_le_bytes(word).wrapping_add(1),
        1 => u64::from_le_bytes(word).wrapping_sub(1),
        _ => EDGES[random.below(EDGES.len())],
    };
    field.copy_from_slice(&value.to_le_bytes()[..width]);
    if big {
        field.reverse();
    }
}
