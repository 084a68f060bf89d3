//! The cluster bitmap of a volume that is being laid out.
//!
//! A group that nothing was taken from is not kept: of the others, only the runs that are taken.

use std::collections::BTreeMap;

use ocfs2_format::{
    BitmapUsage, BlockNum, Chain, ChainList, ClusterNum, Geometry, GroupDescriptor, GroupKind,
    RawGroupDescriptor, Volume, set_bit,
};
use zerocopy::IntoBytes as _;

use super::error::{Owner, PlanError};

/// Taken clusters in a row: first bit within the group, and how many.
type Run = (u32, u32);

/// Which clusters are taken.
#[derive(Debug)]
pub(super) struct ClusterMap {
    geometry: Geometry,
    /// Taken runs of the groups from which something was taken, in order, none touching the next.
    taken: BTreeMap<u32, Vec<Run>>,
    /// No group before this has a free cluster.
    first_open: u32,
}

/// Clusters in a row: the first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClusterRun {
    pub(super) start: ClusterNum,
    pub(super) len: u32,
}

impl ClusterMap {
    /// Nothing is taken but the head of the volume and the groups' descriptors.
    pub(super) fn new(geometry: Geometry) -> Self {
        Self { geometry, taken: BTreeMap::new(), first_open: 0 }
    }

    /// Clusters up to the descriptor of group 0, itself included.
    fn head(&self) -> u32 {
        let first = self.geometry.first_cluster_group();
        self.geometry.cluster_of(first).map_or(0, |cluster| cluster.0).saturating_add(1)
    }

    fn runs(&self, group: u32) -> Vec<Run> {
        let fresh = || vec![(0, if group == 0 { self.head() } else { 1 })];
        self.taken.get(&group).cloned().unwrap_or_else(fresh)
    }

    /// Takes `count` clusters in a row as the first half of the original does: chain by chain, from the first group
    /// that has so many free.
    pub(super) fn take_chained(&mut self, count: u32, what: Owner) -> Result<ClusterRun, PlanError> {
        let failed = PlanError::NoRoom { clusters: count, what };
        let groups = self.geometry.cluster_groups();
        let chains = self.chain_count();
        let by_chain =
            (0..chains.min(groups)).flat_map(|chain| (chain..groups).step_by(count_of(chains).max(1)));
        for group in by_chain {
            if self.free(group) >= count {
                let (start, _) = self.gaps(group).find(|&(_, len)| len >= count).ok_or(failed)?;
                return Ok(self.mark(group, start, count));
            }
        }
        Err(failed)
    }

    /// Takes up to `want` clusters in a row, and no fewer than `least`, as the original's library does: from the
    /// first group with a run of `least`, the first run of `want`, else the longest.
    pub(super) fn take(&mut self, least: u32, want: u32, what: Owner) -> Result<ClusterRun, PlanError> {
        let volume = self.geometry.clusters.0;
        if want >= volume {
            return Err(PlanError::LargerThanVolume { clusters: want, volume, what });
        }
        for group in self.first_open..self.geometry.cluster_groups() {
            if self.free(group) == 0 && group == self.first_open {
                self.first_open += 1;
            }
            if let Some((start, len)) = self.best_gap(group, least, want) {
                return Ok(self.mark(group, start, len));
            }
        }
        Err(PlanError::NoRoom { clusters: least, what })
    }

    fn best_gap(&self, group: u32, least: u32, want: u32) -> Option<Run> {
        let mut best = (0, 0);
        for (start, len) in self.gaps(group) {
            if len >= want {
                return Some((start, want));
            }
            if len > best.1 {
                best = (start, len);
            }
        }
        (best.1 >= least.max(1)).then_some(best)
    }

    /// Takes the cluster that holds `block`; fails when it is taken.
    pub(super) fn take_at(&mut self, block: BlockNum, what: Owner) -> Result<(), PlanError> {
        let failed = PlanError::NoRoom { clusters: 1, what };
        let cluster = self.geometry.cluster_of(block).ok_or(failed)?.0;
        let group = cluster / self.geometry.clusters_per_group();
        let bit = cluster % self.geometry.clusters_per_group();
        if !self.gaps(group).any(|(start, len)| (start..start + len).contains(&bit)) {
            return Err(failed);
        }
        self.mark(group, bit, 1);
        Ok(())
    }

    fn bits(&self, group: u32) -> u32 {
        self.geometry.cluster_group_bits(group).unwrap_or(0)
    }

    fn free(&self, group: u32) -> u32 {
        let taken = match self.taken.get(&group) {
            Some(runs) => runs.iter().map(|(_, len)| len).sum(),
            None if group == 0 => self.head(),
            None => 1,
        };
        self.bits(group).saturating_sub(taken)
    }

    fn gaps(&self, group: u32) -> impl Iterator<Item = Run> {
        let mut at = 0;
        let end = (self.bits(group), 0);
        self.runs(group).into_iter().chain([end]).filter_map(move |(start, len)| {
            let gap = (at, start.saturating_sub(at));
            at = start.saturating_add(len);
            (gap.1 > 0).then_some(gap)
        })
    }

    fn mark(&mut self, group: u32, start: u32, len: u32) -> ClusterRun {
        let mut runs = self.runs(group);
        let at = runs.partition_point(|&(other, _)| other < start);
        runs.insert(at, (start, len));
        runs.dedup_by(|next, run| {
            let touch = run.0 + run.1 == next.0;
            run.1 += if touch { next.1 } else { 0 };
            touch
        });
        self.taken.insert(group, runs);
        let first = group * self.geometry.clusters_per_group();
        ClusterRun { start: ClusterNum(first + start), len }
    }

    fn chain_count(&self) -> u32 {
        u32::try_from(ChainList::room(self.geometry.block_size)).unwrap_or(1)
    }

    /// The chains of `global_bitmap`: group after group, each to the next chain, round and round.
    pub(super) fn chains(&self) -> Vec<Chain> {
        let groups = self.geometry.cluster_groups();
        let chains = self.chain_count().min(groups);
        let mut list: Vec<_> =
            (0..chains).map(|chain| Chain { free: 0, total: 0, head: self.group_block(chain) }).collect();
        for group in 0..groups {
            let chain = &mut list[count_of(group % chains)];
            chain.free += self.free(group);
            chain.total += self.bits(group);
        }
        list
    }

    /// Counters of `global_bitmap`.
    pub(super) fn usage(&self) -> BitmapUsage {
        let free: u32 = (0..self.geometry.cluster_groups()).map(|group| self.free(group)).sum();
        let total = self.geometry.clusters.0;
        BitmapUsage { used: total - free, total }
    }

    /// Block of the descriptor of `group`.
    pub(super) fn group_block(&self, group: u32) -> BlockNum {
        self.geometry.cluster_group_block(group, self.geometry.first_cluster_group())
    }

    /// The descriptor of `group`, not sealed; `parent` is the inode `global_bitmap`.
    pub(super) fn descriptor(&self, volume: &Volume, group: u32, parent: BlockNum) -> Vec<u8> {
        let chains = self.chain_count();
        let next = group.checked_add(chains).filter(|&next| next < self.geometry.cluster_groups());
        let bits = u16::try_from(self.bits(group)).expect("a group has 32256 clusters at most");
        let mut raw =
            RawGroupDescriptor::new(volume, self.group_block(group), parent, bits, GroupKind::Global);
        raw.chain.set(u16::try_from(group % chains).expect("there are 243 chains at most"));
        raw.free_bits_count.set(u16::try_from(self.free(group)).expect("no more than all its clusters"));
        raw.next_group.set(next.map_or(0, |next| self.group_block(next).0));
        descriptor_block(volume, &raw, &self.runs(group))
    }
}

/// A block with a descriptor and the bits of `runs` set.
pub(super) fn descriptor_block(volume: &Volume, raw: &RawGroupDescriptor, runs: &[Run]) -> Vec<u8> {
    let mut block = vec![0; volume.block_len()];
    let (head, bitmap) = block.split_at_mut(size_of::<RawGroupDescriptor>());
    head.copy_from_slice(raw.as_bytes());
    for bit in runs.iter().flat_map(|&(start, len)| start..start + len) {
        set_bit(bitmap, bit, true);
    }
    debug_assert!(block.starts_with(&GroupDescriptor::SIGNATURE));
    block
}

fn count_of(number: u32) -> usize {
    usize::try_from(number).expect("a usize holds 32 bits here")
}
