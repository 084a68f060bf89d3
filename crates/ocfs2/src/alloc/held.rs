//! Clusters that were freed, and may not be used before their transaction is home.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::ClusterRun;

/// The held clusters, by place and by transaction. No cluster is in it twice: it would have had to be claimed between.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_start: BTreeMap<u32, u32>,
    by_tid: VecDeque<(u64, ClusterRun)>,
}

impl Held {
    /// Holds `runs`, freed in transaction `tid`, which is none older than those before.
    pub(super) fn hold(&mut self, runs: &[ClusterRun], tid: u64) {
        for run in runs {
            self.by_start.insert(run.start.0, run.clusters);
            self.by_tid.push_back((tid, *run));
        }
    }

    /// Lets go what was freed in transactions up to `tid`.
    pub(super) fn release(&mut self, tid: u64) {
        while let Some((_, run)) = self.by_tid.pop_front_if(|(freed, _)| *freed <= tid) {
            self.by_start.remove(&run.start.0);
        }
    }

    /// How many there are.
    pub(super) fn clusters(&self) -> u64 {
        self.by_start.values().copied().map(u64::from).sum()
    }

    /// Calls `each` with the runs that begin before the end of `clusters` and end after its start, ascending.
    pub(super) fn in_range(&self, clusters: &Range<u32>) -> impl Iterator<Item = Range<u32>> + '_ {
        let start = clusters.start;
        let before = self.by_start.range(..start).next_back();
        let rest = self.by_start.range(start..clusters.end.max(start));
        let run = |(start, len): (&u32, &u32)| *start..start.saturating_add(*len);
        before.into_iter().chain(rest).map(run).filter(move |held| held.end > start)
    }
}

/// What is left of `from` without `taken`, which is in ascending order.
pub(super) fn without(
    from: Range<u32>,
    taken: impl IntoIterator<Item = Range<u32>>,
) -> impl Iterator<Item = Range<u32>> {
    let end = from.end;
    let mut at = from.start;
    let mut taken = taken.into_iter().chain(std::iter::once(end..end));
    std::iter::from_fn(move || {
        for gap in taken.by_ref() {
            let free = at..gap.start.min(end);
            at = at.max(gap.end);
            if free.start < free.end {
                return Some(free);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use ocfs2_format::ClusterNum;

    use super::*;

    #[test]
    fn freed_clusters_are_held_until_their_transaction_is_home() {
        let mut held = Held::default();
        let run = |start, clusters| ClusterRun { start: ClusterNum(start), clusters };
        held.hold(&[run(10, 5), run(20, 1)], 3);
        held.hold(&[run(30, 10)], 4);
        let free = |held: &Held, range: Range<u32>| -> Vec<_> {
            without(range.clone(), held.in_range(&range).collect::<Vec<_>>()).collect()
        };
        assert_eq!(free(&held, 12..35), [15..20, 21..30]);
        assert_eq!(free(&held, 30..40), [] as [Range<u32>; 0]);
        held.release(3);
        assert_eq!(free(&held, 12..45), [12..30, 40..45]);
        assert_eq!(held.clusters(), 10);
        held.release(9);
        assert_eq!(free(&held, 0..45), vec![Range { start: 0, end: 45 }]);
    }
}
