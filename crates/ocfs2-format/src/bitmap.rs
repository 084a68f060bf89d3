//! Allocation bitmaps: bit n is bit n % 8 of byte n / 8, counted from the least significant.

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

    /// Length of the longest run of free bits.
    #[must_use]
    pub fn longest_free_run(&self) -> u32 {
        let (mut best, mut run) = (0_u32, 0_u32);
        for bit in 0..self.bits {
            run = if self.get(bit) { 0 } else { run.saturating_add(1) };
            best = best.max(run);
        }
        best
    }
}

impl std::fmt::Debug for Bitmap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitmap({} of {} set)", self.ones(), self.bits)
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
            for &bit in &picks {
                prop_assert_eq!(set_bit(&mut bytes, bit, false), Some(true));
            }
            prop_assert!(bytes.iter().all(|&byte| byte == 0));
            prop_assert_eq!(set_bit(&mut bytes, 304, true), None);
        }
    }
}
