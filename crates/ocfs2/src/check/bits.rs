//! A bit for each cluster of a volume, in memory only where any is set.

/// Words of one chunk: 8 KiB, 65,536 bits.
const WORDS: usize = 1024;
/// Bits of one chunk.
const CHUNK: u64 = WORDS as u64 * 64;

/// A set of numbers below a limit.
#[derive(Debug)]
pub(super) struct Bits {
    chunks: Vec<Option<Box<[u64; WORDS]>>>,
    len: u64,
}

impl Bits {
    /// An empty set of numbers below `len`, at most 2^32.
    pub(super) fn new(len: u64) -> Self {
        // 2^32 clusters are 65,536 chunks.
        let chunks = usize::try_from(len.min(1 << 32).div_ceil(CHUNK)).unwrap_or(0);
        Self { chunks: (0..chunks).map(|_| None).collect(), len: len.min(1 << 32) }
    }

    /// Whether `bit` is in the set.
    pub(super) fn get(&self, bit: u64) -> bool {
        self.word(bit / 64) & (1 << (bit % 64)) != 0
    }

    /// The 64 bits from `64 * index` on.
    pub(super) fn word(&self, index: u64) -> u64 {
        let chunk = usize::try_from(index / WORDS as u64).unwrap_or(usize::MAX);
        let within = usize::try_from(index % WORDS as u64).unwrap_or(0);
        self.chunks.get(chunk).and_then(Option::as_deref).map_or(0, |words| words[within])
    }

    /// Puts a run into the set. Calls `again` for each piece of it that was in it already. What lies past the end is
    /// left out.
    pub(super) fn set_run(&mut self, start: u64, count: u64, mut again: impl FnMut(u64, u64)) {
        let end = start.saturating_add(count).min(self.len);
        let mut bit = start;
        while bit < end {
            let chunk = usize::try_from(bit / CHUNK).unwrap_or(usize::MAX);
            let Some(slot) = self.chunks.get_mut(chunk) else { return };
            let words = slot.get_or_insert_with(|| Box::new([0; WORDS]));
            let within = usize::try_from(bit % CHUNK / 64).unwrap_or(0);
            let first = bit % 64;
            let n = (64 - first).min(end - bit);
            let mask = (u64::MAX >> (64 - n)) << first;
            let mut old = words[within] & mask;
            words[within] |= mask;
            while old != 0 {
                let low = u64::from(old.trailing_zeros());
                let run = u64::from((!(old >> low)).trailing_zeros());
                again(bit - first + low, run);
                old &= if low + run >= 64 { 0 } else { u64::MAX << (low + run) };
            }
            bit += n;
        }
    }

    /// Whether nothing was ever put in.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_set_twice_is_named_once() {
        let mut bits = Bits::new(200_000);
        bits.set_run(60, 70_000, |_, _| panic!("nothing is set yet"));
        assert!(bits.get(60) && bits.get(70_059) && !bits.get(59) && !bits.get(70_060));
        let mut again = Vec::new();
        bits.set_run(0, 65, |start, count| again.push((start, count)));
        assert_eq!(again, [(60, 4), (64, 1)]);
        again.clear();
        bits.set_run(199_999, 10, |start, count| again.push((start, count)));
        assert!(again.is_empty() && bits.get(199_999) && !bits.get(200_000));
    }

    #[test]
    fn the_whole_range_is_cheap_while_empty() {
        let bits = Bits::new(u64::MAX);
        assert!(bits.is_empty() && !bits.get(u64::from(u32::MAX)) && !bits.get(u64::MAX));
    }
}
