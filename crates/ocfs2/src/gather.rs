//! Many small pieces of a disk in few reads: what lies close together is read together.

use std::ops::Range;

/// Longest read that gathers several pieces, in bytes: long enough that the number of reads no longer counts, short
/// enough that the bytes are still in a processor's cache when they are used.
const MAX_RUN: u64 = 256 << 10;
/// A gap between two pieces that is cheaper to read than to skip, in bytes.
const MAX_GAP: u64 = 32 << 10;

/// Cuts `pieces`, ranges of bytes in ascending order of their start, into runs that are one read each: ranges of
/// indices, in order, every piece in one of them.
///
/// No more than half of a run is gaps, and only a piece that is longer by itself makes a run of more than 256 KiB.
pub(crate) fn runs(pieces: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut last = Run { span: 0..0, wanted: 0 };
    for (index, piece) in pieces.into_iter().enumerate() {
        match runs.last_mut() {
            Some(run) if last.takes(&piece) => run.end = index + 1,
            _ => {
                runs.push(index..index + 1);
                last = Run { wanted: piece.end.saturating_sub(piece.start), span: piece };
            }
        }
    }
    runs
}

/// A run that may still grow.
struct Run {
    span: Range<u64>,
    /// Bytes of the span that belong to pieces.
    wanted: u64,
}

impl Run {
    /// Adds `piece` if it should be read with the others.
    fn takes(&mut self, piece: &Range<u64>) -> bool {
        let end = piece.end.max(self.span.end);
        let len = end.saturating_sub(self.span.start);
        let wanted = self.wanted.saturating_add(end.saturating_sub(piece.start.max(self.span.end)));
        let near = piece.start <= self.span.end.saturating_add(MAX_GAP);
        let fits = near && len <= MAX_RUN && wanted >= len.div_ceil(2);
        if fits {
            (self.span.end, self.wanted) = (end, wanted);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_lie_close_together_are_one_run() {
        let pieces = [0..4096, 4096..8192, 12_288..16_384, 200_000..204_096];
        assert_eq!(runs(pieces), [0..3, 3..4]);
        assert!(runs([]).is_empty());
        assert_eq!(runs([5..9, 5..9, 6..7, 1 << 20..1 << 21]), [0..3, 3..4], "overlaps are no gap");
    }

    #[test]
    fn at_most_half_of_a_run_is_gaps() {
        assert_eq!(runs([0..4096, 8192..12_288, 16_384..20_480, 40_960..45_056]), [0..3, 3..4]);
        assert_eq!(runs([0..4096, 16_384..20_480]), [0..1, 1..2]);
    }

    #[test]
    fn a_run_is_no_longer_than_its_limit_but_for_one_long_piece() {
        let blocks = (0..1000_u64).map(|n| n * 4096..(n + 1) * 4096);
        let cut = runs(blocks);
        assert!(cut.iter().all(|run| run.len() <= 64), "{cut:?}");
        assert_eq!(cut.iter().map(ExactSizeIterator::len).sum::<usize>(), 1000);
        assert_eq!(runs([0..MAX_RUN * 3, MAX_RUN * 3..MAX_RUN * 3 + 1]), [0..1, 1..2]);
    }
}
