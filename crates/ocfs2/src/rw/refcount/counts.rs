//! What becomes of the records of one refcount block. No blocks, no I/O.

use ocfs2_format::{ClusterNum, RefcountRec};

use crate::alloc::ClusterRun;

/// The records after a change, and the clusters that are counted no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Adjusted {
    pub(super) records: Vec<RefcountRec>,
    pub(super) gone: Vec<ClusterRun>,
}

/// Adds `step` to the count of each of the clusters `start` to `end`; where there is no record the count is 0. `None`
/// when one would fall below 0 or grow too large.
pub(super) fn adjust(records: &[RefcountRec], (start, end): (u32, u32), step: i32) -> Option<Adjusted> {
    let mut out = Adjusted { records: Vec::with_capacity(records.len() + 2), gone: Vec::new() };
    let mut at = start;
    let changed = |count: u32| count.checked_add_signed(step);
    for record in records {
        let (from, to) = (record.start.0, record.start.0.checked_add(record.clusters)?);
        if to <= start || from >= end {
            if from >= end && at < end {
                out.push(at, end, changed(0)?);
                at = end;
            }
            out.keep(from, to, record.count);
            continue;
        }
        if at < from {
            out.push(at, from, changed(0)?);
        }
        out.keep(from, from.max(start), record.count);
        out.push(from.max(start), to.min(end), changed(record.count)?);
        out.keep(to.min(end), to, record.count);
        at = to.min(end);
    }
    if at < end {
        out.push(at, end, changed(0)?);
    }
    Some(out)
}

impl Adjusted {
    /// Adds clusters with their new count.
    fn push(&mut self, start: u32, end: u32, count: u32) {
        if count > 0 {
            return self.keep(start, end, count);
        }
        if start < end {
            match self.gone.last_mut() {
                Some(last) if last.range().end == start => last.clusters += end - start,
                _ => self.gone.push(ClusterRun { start: ClusterNum(start), clusters: end - start }),
            }
        }
    }

    /// Adds clusters, to the last record where they go on.
    fn keep(&mut self, start: u32, end: u32, count: u32) {
        if start >= end {
            return;
        }
        match self.records.last_mut() {
            Some(last) if last.start.0 + last.clusters == start && last.count == count => {
                last.clusters += end - start;
            }
            _ => {
                let record = RefcountRec { start: ClusterNum(start), clusters: end - start, count };
                self.records.push(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn counts(records: &[RefcountRec]) -> BTreeMap<u32, u32> {
        let each = |record: &RefcountRec| {
            let (start, count) = (record.start.0, record.count);
            (start..start + record.clusters).map(move |cluster| (cluster, count))
        };
        records.iter().flat_map(each).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(fixtures::cases(256)))]

        #[test]
        fn counts_are_those_of_a_map(
            steps in prop::collection::vec((0_u32..60, 1_u32..20, prop::bool::ANY), 1..30)
        ) {
            let (mut records, mut model) = (Vec::new(), BTreeMap::<u32, u32>::new());
            for (start, len, up) in steps {
                let range = start..start + len;
                let step = if up { 1 } else { -1 };
                let adjusted = adjust(&records, (range.start, range.end), step);
                if !up && range.clone().any(|cluster| !model.contains_key(&cluster)) {
                    prop_assert_eq!(adjusted, None);
                    continue;
                }
                let adjusted = adjusted.unwrap();
                let mut gone = Vec::new();
                for cluster in range {
                    let count = model.get(&cluster).copied().unwrap_or(0).checked_add_signed(step).unwrap();
                    model.insert(cluster, count);
                    if count == 0 {
                        model.remove(&cluster);
                        gone.push(cluster);
                    }
                }
                let told: Vec<u32> = adjusted.gone.iter().flat_map(|run| run.range()).collect();
                prop_assert_eq!(told, gone);
                records = adjusted.records;
                prop_assert_eq!(counts(&records), model.clone());
                let apart = |pair: &[RefcountRec]| {
                    let end = pair[0].start.0 + pair[0].clusters;
                    end < pair[1].start.0 || end == pair[1].start.0 && pair[0].count != pair[1].count
                };
                prop_assert!(records.windows(2).all(apart), "joined where they go on: {records:?}");
            }
        }
    }
}
