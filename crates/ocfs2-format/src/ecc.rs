//! Block check: CRC-32 and a Hamming code over a metadata block (feature `metaecc`).
//!
//! Both are computed with the eight bytes of the check itself taken as zero.
//! The CRC decides whether a block is good; the Hamming code can then find one
//! flipped bit, and the CRC decides again whether the repair is right.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::raw::layout;

/// A block check as it lies on disk (`struct ocfs2_block_check`, 8 bytes).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawBlockCheck {
    /// `bc_crc32e`: CRC-32 seeded with ones, not inverted at the end.
    pub crc32e: U32,
    /// `bc_ecc`: Hamming parity.
    pub ecc: U16,
    /// Reserved.
    pub reserved: U16,
}
layout!(RawBlockCheck, 8, { ecc: 4 });

/// What [`verify`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The checksum fits.
    Good,
    /// One bit was wrong and has been set right in memory.
    Repaired {
        /// Byte of the flipped bit within the block.
        byte: usize,
    },
    /// The checksum does not fit and the code cannot repair it. The block is left as it was.
    Bad {
        /// Checksum in the block.
        stored: u32,
        /// Checksum of the block's bytes.
        computed: u32,
    },
}

/// Computes the check of `data`, whose check field lies at byte `offset`.
///
/// `data` is a whole block (or the 4096 bytes of an xattr bucket). `None` when
/// the field does not lie inside it at a multiple of 8.
#[must_use]
pub fn compute(data: &[u8], offset: usize) -> Option<RawBlockCheck> {
    let crc = crc(data, offset)?;
    Some(RawBlockCheck { crc32e: U32::new(crc), ecc: U16::new(hamming(data, offset)), reserved: U16::ZERO })
}

/// Computes the check of `data` and stores it at byte `offset`.
///
/// Returns false, with nothing changed, where [`compute`] gives `None`.
#[must_use]
pub fn seal(data: &mut [u8], offset: usize) -> bool {
    let Some(check) = compute(data, offset) else { return false };
    data.get_mut(offset..).is_some_and(|tail| check.write_to_prefix(tail).is_ok())
}

/// Verifies the check at byte `offset` of `data`, and repairs one flipped bit.
#[must_use]
pub fn verify(data: &mut [u8], offset: usize) -> Verdict {
    let stored = data.get(offset..).and_then(|tail| RawBlockCheck::read_from_prefix(tail).ok());
    let (Some((stored, _)), Some(computed)) = (stored, crc(data, offset)) else {
        return Verdict::Bad { stored: 0, computed: 0 };
    };
    let bad = Verdict::Bad { stored: stored.crc32e.get(), computed };
    if stored.crc32e.get() == computed {
        return Verdict::Good;
    }
    let syndrome = hamming(data, offset) ^ stored.ecc.get();
    let Some(bit) = data_bit(syndrome) else { return bad };
    let byte = bit / 8;
    let in_check = (offset..offset.saturating_add(size_of::<RawBlockCheck>())).contains(&byte);
    if in_check || !flip(data, bit) {
        return bad;
    }
    if crc(data, offset) == Some(stored.crc32e.get()) {
        return Verdict::Repaired { byte };
    }
    flip(data, bit);
    bad
}

/// Flips one bit; false when it is past the end.
fn flip(data: &mut [u8], bit: usize) -> bool {
    let mask = 1_u8.rotate_left(u32::try_from(bit % 8).unwrap_or(0));
    match data.get_mut(bit / 8) {
        Some(byte) => {
            *byte ^= mask;
            true
        }
        None => false,
    }
}

/// The CRC with the check field taken as zero: seed all ones, no inversion at the end.
fn crc(data: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(size_of::<RawBlockCheck>())?;
    if !offset.is_multiple_of(8) {
        return None;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(data.get(..offset)?);
    hasher.update(&[0; size_of::<RawBlockCheck>()]);
    hasher.update(data.get(end..)?);
    Some(!hasher.finalize())
}

/// The data bit whose code position is `syndrome`; `None` for parity positions and 0.
fn data_bit(syndrome: u16) -> Option<usize> {
    if syndrome == 0 || syndrome.is_power_of_two() {
        return None;
    }
    // Below position p lie the parity positions 1, 2, 4 … up to ilog2(p), and position 0 is not used.
    let skipped = syndrome.ilog2().saturating_add(2);
    usize::from(syndrome).checked_sub(usize::try_from(skipped).ok()?)
}

/// Hamming parity of `data` with the eight bytes at `hole` taken as zero.
///
/// The code gives data bit i the position of the (i+1)-th positive integer that
/// is not a power of two; the parity is the XOR of the positions of all bits
/// that are 1. Between two powers of two, position minus i is constant, so 64
/// bits are moved to their positions by one shift and summed up together.
fn hamming(data: &[u8], hole: usize) -> u16 {
    let mut words = data.chunks_exact(8).enumerate().map(|(index, chunk)| {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8]));
        if index == hole / 8 { 0 } else { word }
    });
    // Positions 0 to 63 hold six parity positions (and the unused 0): data bits 0 to 56.
    let mut previous = words.next().unwrap_or(0);
    let mut column = first_positions(previous); // bit b: parity of all positions p with p % 64 == b
    let mut row = 0_u64; // XOR of p / 64 over all set positions
    let mut index = 0_u64;
    for word in words.chain([0]) {
        index = index.wrapping_add(1);
        // All 64 positions from 64 * index on lie between 2^k and 2^(k+1).
        let shift = index.ilog2().wrapping_add(8); // k + 2 positions without data: 0, 1, 2, 4 … 2^k
        let mut here = word.wrapping_shl(shift) | previous.wrapping_shr(64_u32.wrapping_sub(shift));
        if index.is_power_of_two() {
            here &= !1; // position 2^k itself is parity
        }
        column ^= here;
        if here.count_ones() % 2 == 1 {
            row ^= index;
        }
        previous = word;
    }
    let low = LOW_BITS.iter().enumerate().fold(0_u64, |low, (bit, mask)| {
        let parity = u64::from((column & mask).count_ones() % 2);
        low | parity.wrapping_shl(u32::try_from(bit).unwrap_or(0))
    });
    u16::try_from((row.wrapping_shl(6) | low) & 0xffff).unwrap_or(0)
}

/// Positions below 64 of the first data bits, as a mask.
fn first_positions(word: u64) -> u64 {
    let (mut bits, mut mask) = (word, 0);
    for position in 0..64_u32 {
        if position != 0 && !position.is_power_of_two() {
            mask |= (bits & 1).wrapping_shl(position);
            bits = bits.wrapping_shr(1);
        }
    }
    mask
}

/// Mask m has the positions whose bit m is set.
const LOW_BITS: [u64; 6] = [
    0xaaaa_aaaa_aaaa_aaaa,
    0xcccc_cccc_cccc_cccc,
    0xf0f0_f0f0_f0f0_f0f0,
    0xff00_ff00_ff00_ff00,
    0xffff_0000_ffff_0000,
    0xffff_ffff_0000_0000,
];

#[cfg(test)]
mod tests;
