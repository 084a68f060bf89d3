//! Looking for free bits in one group.

use std::ops::Range;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// Bits wanted, side by side.
    pub(super) want: u32,
    /// Fewer than these are of no use.
    pub(super) min: u32,
}

impl Want {
    /// Exactly `count`.
    pub(super) fn exactly(count: u32) -> Self {
        Self { want: count, min: count }
    }

    /// Chooses among `runs` of free bits: the first that is long enough, else the longest, if it is of use.
    pub(super) fn choose(self, runs: impl Iterator<Item = Range<u32>>) -> Option<Range<u32>> {
        let mut best = 0..0;
        for run in runs {
            if run.len() > best.len() {
                best = run;
            }
            if best.end - best.start >= self.want {
                break;
            }
        }
        let end = best.end.min(best.start.saturating_add(self.want));
        (end > best.start && end - best.start >= self.min).then_some(best.start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_that_suffices_is_taken_else_the_longest() {
        let runs = || [3..5, 10..14, 20..30].into_iter();
        assert_eq!(Want { want: 3, min: 1 }.choose(runs()), Some(10..13));
        assert_eq!(Want { want: 50, min: 5 }.choose(runs()), Some(20..30));
        assert_eq!(Want::exactly(11).choose(runs()), None);
        assert_eq!(Want { want: 1, min: 0 }.choose([].into_iter()), None);
    }
}
