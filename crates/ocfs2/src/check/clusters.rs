//! The cluster bitmap against what is in use.

use futures_util::StreamExt;
use ocfs2_format::{Bitmap, BlockKind, BlockNum, Compat};

use super::Code;
use super::bits::Bits;
use super::chains::Allocators;
use super::ctx::Ctx;
use super::finding::{Finding, Findings};
use super::groups::Kind;
use super::part::{Claim, Shared};

/// Group descriptors that are read at once.
const READS: usize = 16;

/// Clusters in use.
#[derive(Debug)]
pub(super) struct ClusterMap {
    used: Bits,
    /// Claimed twice.
    twice: Bits,
}

impl ClusterMap {
    pub(super) fn new(ctx: &Ctx) -> Self {
        let clusters = u64::from(ctx.geometry().clusters.get());
        Self { used: Bits::new(clusters), twice: Bits::new(clusters) }
    }

    /// Takes clusters for one owner.
    pub(super) fn claim(&mut self, start: u32, count: u32) {
        let twice = &mut self.twice;
        self.used.set_run(start.into(), count.into(), |start, count| twice.set_run(start, count, |_, _| {}));
    }

    /// Whether any cluster has two owners.
    pub(super) fn has_twice(&self) -> bool {
        !self.twice.is_empty()
    }

    /// The clusters of a run that have two owners, as runs.
    fn twice_in(&self, start: u32, count: u32) -> Vec<(u64, u64)> {
        let end = u64::from(start) + u64::from(count);
        runs(u64::from(start)..end, |bit| self.twice.get(bit))
    }
}

/// Runs of numbers for which `is` holds.
fn runs(range: std::ops::Range<u64>, is: impl Fn(u64) -> bool) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for bit in range.filter(|bit| is(*bit)) {
        match found.last_mut() {
            Some((start, count)) if *start + *count == bit => *count += 1,
            _ => found.push((bit, 1)),
        }
    }
    found
}

/// Takes what is in use on every volume: the head, group descriptors, backups of the superblock, groups of blocks.
pub(super) fn fixed(ctx: &Ctx, allocators: &Allocators, map: &mut ClusterMap) {
    let geometry = ctx.geometry();
    let first = ctx.volume.superblock().first_cluster_group;
    let cluster = |block: BlockNum| geometry.cluster_of(block).map_or(u32::MAX, |cluster| cluster.0);
    map.claim(0, cluster(first).saturating_add(1));
    for group in 1..geometry.cluster_groups() {
        map.claim(cluster(geometry.cluster_group_block(group, first)), 1);
    }
    if ctx.format().features.compat.contains(Compat::BACKUP_SB) {
        for block in ctx.volume.superblock().backups() {
            map.claim(cluster(block), 1);
        }
    }
    let per = geometry.blocks_per_cluster();
    for kind in [Kind::Inodes, Kind::Extents] {
        for piece in allocators.groups_of(kind).flat_map(|group| &group.pieces) {
            map.claim(cluster(BlockNum(piece.block)), piece.bits.div_ceil(per));
        }
    }
}

/// Names an owner of clusters that have another.
pub(super) fn owner(out: &mut Findings, map: &ClusterMap, claim: &Claim) {
    for (start, count) in map.twice_in(claim.start, claim.count) {
        let (code, what) = match claim.system {
            true => (Code::DupClustersSysfileClone, "system inode"),
            false => (Code::DupClustersClone, "inode"),
        };
        let message = format!(
            "{what} {}: {count} clusters from cluster {start} on belong to something else too",
            claim.ino
        );
        out.push(Finding::new(code, message).inode(claim.ino).values("cluster", start, 0));
    }
}

/// Names the refcount trees of clusters that have an owner outside of them.
pub(super) fn sharers(out: &mut Findings, map: &ClusterMap, shared: &[Shared]) {
    for extent in shared {
        for (start, count) in map.twice_in(extent.start, extent.count) {
            let message = format!(
                "refcount tree {}: {count} clusters from cluster {start} on belong to something outside of it too",
                extent.root
            );
            let finding = Finding::new(Code::DupClustersClone, message).block(extent.root);
            out.push(finding.values("cluster", start, 0));
        }
    }
}

/// Compares every cluster group with the map. Returns the clusters in use.
pub(super) async fn compare(ctx: &Ctx, out: &mut Findings, allocators: &Allocators, map: &ClusterMap) -> u64 {
    let Some(bitmap) = allocators.list.iter().find(|allocator| allocator.kind == Kind::Clusters) else {
        return 0;
    };
    let geometry = ctx.geometry();
    let first = ctx.volume.superblock().first_cluster_group;
    let mut reads = futures_util::stream::iter(0..geometry.cluster_groups())
        .map(|group| async move {
            let block = geometry.cluster_group_block(group, first).0;
            // What is wrong with the descriptor was told in pass 0. One that no chain holds says nothing.
            let linked = allocators.group_at(block).is_some_and(|group| group.pieces.is_empty());
            let bytes = match linked {
                true => {
                    ctx.read(&mut Findings::default(), bitmap.ino, block, BlockKind::GroupDescriptor).await
                }
                false => None,
            };
            (group, block, bytes)
        })
        .buffered(READS);
    let mut used = 0;
    while let Some((group, block, bytes)) = reads.next().await {
        let bits = geometry.cluster_group_bits(group).unwrap_or(0);
        let start = u64::from(group) * u64::from(geometry.clusters_per_group());
        let bytes = bytes.as_deref().and_then(|bytes| bytes.get(0x40..)).unwrap_or_default();
        used += group_bits(out, map, (block, bitmap.ino), (start, bits), bytes);
    }
    used
}

/// Compares one group: 64 bits at a time, bit by bit where they differ. Returns the clusters in use.
fn group_bits(
    out: &mut Findings,
    map: &ClusterMap,
    (block, ino): (u64, u64),
    (start, bits): (u64, u32),
    bytes: &[u8],
) -> u64 {
    let bitmap = Bitmap::new(bytes, bits);
    let differs = |bit: u64| map.used.get(start + bit) != bitmap.get(u32::try_from(bit).unwrap_or(u32::MAX));
    let mut used = 0;
    let mut found: Vec<(u64, u64, bool)> = Vec::new();
    for at in (0..u64::from(bits)).step_by(64) {
        let end = u64::from(bits).min(at + 64);
        // Groups begin at multiples of 64 clusters.
        let ours = map.used.word((start + at) / 64);
        used += u64::from(ours.count_ones());
        let from = usize::try_from(at / 8).unwrap_or(usize::MAX);
        let word: Option<[u8; 8]> = bytes.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
        if end - at == 64 && word.map(u64::from_le_bytes) == Some(ours) {
            continue;
        }
        for bit in (at..end).filter(|bit| differs(*bit)) {
            let in_use = map.used.get(start + bit);
            match found.last_mut() {
                Some((first, count, same)) if *first + *count == bit && *same == in_use => *count += 1,
                _ => found.push((bit, 1, in_use)),
            }
        }
    }
    for (bit, count, in_use) in found {
        let first = start + bit;
        let last = first + count - 1;
        let clusters =
            if count == 1 { format!("cluster {first}") } else { format!("clusters {first} to {last}") };
        let what = if in_use { "in use, but not marked" } else { "marked, but not in use" };
        let message = format!("{clusters}: {what} in the cluster bitmap (group at block {block}, bit {bit})");
        let finding = Finding::new(Code::ClusterAllocBit, message).block(block).inode(ino);
        out.push(finding.values("bitmap", u64::from(!in_use), u64::from(in_use)));
    }
    used
}
