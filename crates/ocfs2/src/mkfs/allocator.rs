//! The allocators of metadata blocks: `global_inode_alloc`, and each slot's `extent_alloc` and `inode_alloc`.

use ocfs2_format::{
    BitmapUsage, BlockNum, Chain, ChainList, GroupKind, RawGroupDescriptor, Suballoc, Volume,
};

use super::clusters::{ClusterMap, descriptor_block};
use super::error::{Owner, PlanError};

/// A group: its blocks are handed out in order, so that the taken ones are the first.
#[derive(Clone, Copy, Debug)]
struct Group {
    block: BlockNum,
    used: u16,
    chain: u16,
    next: u64,
}

/// One allocator.
#[derive(Debug)]
pub(super) struct Allocator {
    /// Its inode.
    pub(super) inode: BlockNum,
    /// The slot that blocks say they came from.
    slot: u16,
    kind: GroupKind,
    /// Clusters of a group.
    pub(super) cpg: u16,
    /// Blocks of a cluster.
    pub(super) bpc: u16,
    room: u16,
    groups: Vec<Group>,
}

impl Allocator {
    /// An allocator of slot `slot` without groups.
    pub(super) fn of_slot(volume: &Volume, inode: BlockNum, slot: u16, cpg: u16) -> Self {
        Self { slot, ..Self::new(volume, inode, GroupKind::Suballocator, cpg) }
    }

    /// The allocator of system inodes, with its one group of `clusters` clusters at `block`.
    pub(super) fn global(volume: &Volume, inode: BlockNum, block: BlockNum, clusters: u16) -> Self {
        let groups = vec![Group { block, used: 1, chain: 0, next: 0 }];
        Self { groups, ..Self::new(volume, inode, GroupKind::Global, clusters) }
    }

    fn new(volume: &Volume, inode: BlockNum, kind: GroupKind, cpg: u16) -> Self {
        let geometry = volume.geometry;
        let bpc = u16::try_from(geometry.blocks_per_cluster()).expect("a cluster has 2048 blocks at most");
        let room = u16::try_from(ChainList::room(geometry.block_size)).expect("243 at most");
        Self { inode, slot: Suballoc::GLOBAL, kind, cpg, bpc, room, groups: Vec::new() }
    }

    /// Blocks of a group.
    fn bits(&self) -> u16 {
        self.cpg * self.bpc
    }

    /// Adds a group.
    pub(super) fn grow(
        &mut self,
        map: &mut ClusterMap,
        volume: &Volume,
        what: Owner,
    ) -> Result<(), PlanError> {
        let cpg = u32::from(self.cpg);
        let run = map.take(cpg, cpg, what)?;
        let block = BlockNum(volume.geometry.clusters_to_blocks(u64::from(run.start.0)));
        let chain = u16::try_from(self.groups.len() % usize::from(self.room)).expect("243 at most");
        let next =
            self.groups.iter().rev().find(|group| group.chain == chain).map_or(0, |group| group.block.0);
        self.groups.push(Group { block, used: 1, chain, next });
        Ok(())
    }

    /// Takes a block, from a new group where there is none.
    pub(super) fn take(
        &mut self,
        map: &mut ClusterMap,
        volume: &Volume,
        what: Owner,
    ) -> Result<(BlockNum, Suballoc), PlanError> {
        let bits = self.bits();
        let open = |groups: &[Group]| {
            let free = groups.iter().enumerate().filter(|(_, group)| group.used < bits);
            free.min_by_key(|(_, group)| group.block).map(|(index, _)| index)
        };
        let index = match open(&self.groups) {
            Some(index) => index,
            None => {
                self.grow(map, volume, what)?;
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[index];
        let bit = group.used;
        group.used += 1;
        let block = BlockNum(group.block.0 + u64::from(bit));
        Ok((block, Suballoc { slot: self.slot, bit, group: Some(group.block) }))
    }

    /// The chains of its inode.
    pub(super) fn chains(&self) -> Vec<Chain> {
        let mut chains: Vec<Chain> = Vec::new();
        for group in &self.groups {
            let (free, total) = (u32::from(self.bits() - group.used), u32::from(self.bits()));
            match chains.get_mut(usize::from(group.chain)) {
                Some(chain) => {
                    chain.free += free;
                    chain.total += total;
                    chain.head = group.block;
                }
                None => chains.push(Chain { free, total, head: group.block }),
            }
        }
        chains
    }

    /// Counters of its inode.
    pub(super) fn usage(&self) -> BitmapUsage {
        let used = self.groups.iter().map(|group| u32::from(group.used)).sum();
        BitmapUsage { used, total: self.group_count() * u32::from(self.bits()) }
    }

    fn group_count(&self) -> u32 {
        u32::try_from(self.groups.len()).expect("fewer than clusters")
    }

    /// Clusters of all its groups.
    pub(super) fn clusters(&self) -> u32 {
        self.group_count() * u32::from(self.cpg)
    }

    /// The descriptors of its groups, not sealed, with their places.
    pub(super) fn descriptors(&self, volume: &Volume) -> impl Iterator<Item = (BlockNum, Vec<u8>)> {
        self.groups.iter().map(move |group| {
            let mut raw = RawGroupDescriptor::new(volume, group.block, self.inode, self.bits(), self.kind);
            raw.free_bits_count.set(self.bits() - group.used);
            raw.chain.set(group.chain);
            raw.next_group.set(group.next);
            (group.block, descriptor_block(volume, &raw, &[(0, u32::from(group.used))]))
        })
    }
}
