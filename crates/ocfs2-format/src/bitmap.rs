//! Allocation bitmaps: bit n is bit n % 8 of byte n / 8, counted from the least significant.

use std::ops::Range;

/// A bitmap borrowed from its block.
#[derive(Clone, Copy)]
pub struct Bitmap<'a> {
    bytes: &'a [u8],
    bits: u32,
}

impl<'a> Bitmap<'a> {
    /// The first `bits` bits of `bytes`; bits past its end read as free.
    #[must_use]
    pub fn new(bytes: &'a [u8], bits: u32) -> Self {
        Self { bytes, bits }
    }

    /// Number of bits.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.bits
    }

    /// Whether there are no bits at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Whether bit `bit` is set; false past the end.
    #[must_use]
    pub fn get(&self, bit: u32) -> bool {
        bit < self.bits && self.byte(bit).wrapping_shr(bit % 8) & 1 == 1
    }

    fn byte(&self, bit: u32) -> u8 {
        usize::try_from(bit / 8).ok().and_then(|index| self.bytes.get(index)).copied().unwrap_or(0)
    }

    /// Number of bits set.
    #[must_use]
    pub fn ones(&self) -> u32 {
        let whole = usize::try_from(self.bits / 8).unwrap_or(usize::MAX).min(self.bytes.len());
        let full = self.bytes.get(..whole).unwrap_or_default();
        let ones = full.iter().fold(0_u32, |sum, byte| sum.wrapping_add(byte.count_ones()));
        let tail = (self.bits & !7..self.bits).filter(|&bit| self.get(bit)).count();
        ones.wrapping_add(u32::try_from(tail).unwrap_or(0))
    }

    /// The runs of free bits within `range`, in ascending order, as long as they can be.
    #[must_use]
    pub fn free_runs(&self, range: Range<u32>) -> FreeRuns<'a> {
        FreeRuns { bitmap: *self, at: range.start, end: range.end.min(self.bits) }
    }

    /// The first bit from `from` on, before `end`, that is set or not, as `wanted` says; else `end`.
    fn find(&self, mut from: u32, end: u32, wanted: bool) -> u32 {
        let skip = if wanted { 0 } else { 0xff };
        while from < end {
            if from.is_multiple_of(8) && self.byte(from) == skip {
                from = from.saturating_add(8);
            } else if self.get(from) == wanted {
                return from;
            } else {
                from = from.saturating_add(1);
            }
        }
        end
    }

    /// Length of the longest run of free bits.
    #[must_use]
    pub fn longest_free_run(&self) -> u32 {
        self.free_runs(0..self.bits).map(|run| run.end.saturating_sub(run.start)).max().unwrap_or(0)
    }
}

impl std::fmt::Debug for Bitmap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitmap({} of {} set)", self.ones(), self.bits)
    }
}

/// See [`Bitmap::free_runs`].
#[derive(Clone, Debug)]
pub struct FreeRuns<'a> {
    bitmap: Bitmap<'a>,
    at: u32,
    end: u32,
}

impl Iterator for FreeRuns<'_> {
    type Item = Range<u32>;

    fn next(&mut self) -> Option<Range<u32>> {
        let start = self.bitmap.find(self.at, self.end, false);
        self.at = self.bitmap.find(start, self.end, true);
        (start < self.end).then_some(start..self.at)
    }
}

/// Sets or clears bit `bit` of `bytes`. Returns what it was; `None` past the end.
pub fn set_bit(bytes: &mut [u8], bit: u32, value: bool) -> Option<bool> {
    let byte = usize::try_from(bit / 8).ok().and_then(|index| bytes.get_mut(index))?;
    let mask = 1_u8.wrapping_shl(bit % 8);
    let was = *byte & mask != 0;
    if value {
        *byte |= mask
    } else {
        *byte &= !mask
    }
    Some(was)
}

/// Sets or clears the bits `range` of `bytes`. Returns how many of them changed; `None`, and nothing is done, when
/// they do not all lie within.
pub fn set_bits(bytes: &mut [u8], range: Range<u32>, value: bool) -> Option<u32> {
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX).saturating_mul(8);
    if u64::from(range.end) > len {
        return None;
    }
    let (mut at, mut changed) = (range.start, 0_u32);
    while at < range.end {
        let whole = at.is_multiple_of(8) && range.end.saturating_sub(at) >= 8;
        if whole {
            let byte = bytes.get_mut(usize::try_from(at / 8).ok()?)?;
            let same = if value { byte.count_ones() } else { byte.count_zeros() };
            changed = changed.saturating_add(8_u32.saturating_sub(same));
            *byte = if value { 0xff } else { 0 };
            at = at.saturating_add(8);
        } else {
            changed = changed.saturating_add(u32::from(set_bit(bytes, at, value)? != value));
            at = at.saturating_add(1);
        }
    }
    Some(changed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(fixtures::cases(64)))]

        #[test]
        fn set_get_and_count_agree(bits in 0_u32..300, picks in prop::collection::btree_set(0_u32..300, 0..40)) {
            let mut bytes = vec![0; 38];
            for &bit in &picks {
                prop_assert_eq!(set_bit(&mut bytes, bit, true), Some(false));
                prop_assert_eq!(set_bit(&mut bytes, bit, true), Some(true));
            }
            let bitmap = Bitmap::new(&bytes, bits);
            let within: Vec<_> = picks.iter().copied().filter(|&bit| bit < bits).collect();
            prop_assert_eq!((0..400).filter(|&bit| bitmap.get(bit)).collect::<Vec<_>>(), within.clone());
            prop_assert_eq!(bitmap.ones() as usize, within.len());
            let free: Vec<_> = bitmap.free_runs(0..400).collect();
            prop_assert!(free.iter().all(|run| run.start < run.end));
            prop_assert!(free.windows(2).all(|pair| pair[0].end < pair[1].start));
            let bits_of: Vec<_> = free.iter().cloned().flatten().collect();
            prop_assert_eq!(bits_of, (0..bits).filter(|bit| !picks.contains(bit)).collect::<Vec<_>>());
            for &bit in &picks {
                prop_assert_eq!(set_bit(&mut bytes, bit, false), Some(true));
            }
            prop_assert!(bytes.iter().all(|&byte| byte == 0));
            prop_assert_eq!(set_bit(&mut bytes, 304, true), None);
        }

        #[test]
        fn a_range_is_set_as_its_bits_are(mut bytes in prop::array::uniform8(0_u8..), a in 0_u32..70, b in 0_u32..70, value: bool) {
            let (before, range) = (bytes, a.min(b)..a.max(b));
            let changed = set_bits(&mut bytes, range.clone(), value);
            if range.end > 64 {
                prop_assert_eq!((changed, bytes), (None, before));
            } else {
                let mut one_by_one = before;
                let was = range.filter(|&bit| set_bit(&mut one_by_one, bit, value) == Some(!value)).count();
                prop_assert_eq!((changed.map(|n| n as usize), bytes), (Some(was), one_by_one));
            }
        }
    }
}
