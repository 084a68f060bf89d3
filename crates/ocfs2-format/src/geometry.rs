//! Arithmetic between bytes, blocks, clusters and cluster groups of one volume.

use crate::units::{BlockNum, BlockSize, Blocks, ClusterNum, ClusterSize, Clusters};

/// Bytes of a group descriptor before its bitmap.
pub(crate) const GROUP_HEADER: usize = 0x40;

/// Shape of a volume: the sizes everything else is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of a block.
    pub block_size: BlockSize,
    /// Size of a cluster; at least one block.
    pub cluster_size: ClusterSize,
    /// Clusters of the volume (`i_clusters` of the superblock). The device may be larger.
    pub clusters: Clusters,
}

impl Geometry {
    /// Base-2 logarithm of the blocks in a cluster, 0 to 11.
    #[must_use]
    pub fn cluster_block_bits(self) -> u32 {
        self.cluster_size.bits().saturating_sub(self.block_size.bits())
    }

    /// Blocks in a cluster, 1 to 2048.
    #[must_use]
    pub fn blocks_per_cluster(self) -> u32 {
        1_u32.wrapping_shl(self.cluster_block_bits())
    }

    /// Blocks of the volume.
    #[must_use]
    pub fn blocks(self) -> Blocks {
        Blocks(self.clusters_to_blocks(u64::from(self.clusters.0)))
    }

    /// Bytes of the volume.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.clusters.0).wrapping_shl(self.cluster_size.bits())
    }

    /// Whether a block lies inside the volume.
    #[must_use]
    pub fn contains(self, block: BlockNum) -> bool {
        block.0 < self.blocks().0
    }

    /// Whether `count` blocks from `block` on lie inside the volume.
    #[must_use]
    pub fn contains_run(self, block: BlockNum, count: u64) -> bool {
        block.0.checked_add(count).is_some_and(|end| end <= self.blocks().0)
    }

    /// Byte offset of a block; `None` when it does not fit 64 bits.
    #[must_use]
    pub fn byte_offset(self, block: BlockNum) -> Option<u64> {
        block.0.checked_mul(self.block_size.bytes())
    }

    /// `clusters` in blocks, for counts up to 2^32 (saturating above 2^53).
    #[must_use]
    pub fn clusters_to_blocks(self, clusters: u64) -> u64 {
        clusters.saturating_mul(u64::from(self.blocks_per_cluster()))
    }

    /// First block of a cluster.
    #[must_use]
    pub fn cluster_start(self, cluster: ClusterNum) -> BlockNum {
        BlockNum(self.clusters_to_blocks(u64::from(cluster.0)))
    }

    /// Cluster that holds a block; `None` when the block is beyond 2^32 clusters.
    #[must_use]
    pub fn cluster_of(self, block: BlockNum) -> Option<ClusterNum> {
        u32::try_from(block.0.wrapping_shr(self.cluster_block_bits())).ok().map(ClusterNum)
    }

    /// Whether a block is the first of its cluster.
    #[must_use]
    pub fn is_cluster_aligned(self, block: BlockNum) -> bool {
        block.0.trailing_zeros() >= self.cluster_block_bits()
    }

    /// Clusters needed for `bytes` bytes, rounded up.
    #[must_use]
    pub fn clusters_for(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster_size.bytes())
    }

    /// Largest file size: 2^32 - 1 clusters.
    #[must_use]
    pub fn max_file_size(self) -> u64 {
        u64::from(u32::MAX).wrapping_shl(self.cluster_size.bits())
    }

    /// Clusters that one full cluster group stands for: 8 times the bytes of its bitmap.
    #[must_use]
    pub fn clusters_per_group(self) -> u32 {
        u32::try_from(self.block_size.room(GROUP_HEADER, 1).saturating_mul(8)).unwrap_or(u32::MAX)
    }

    /// Number of cluster groups.
    #[must_use]
    pub fn cluster_groups(self) -> u32 {
        self.clusters.0.div_ceil(self.clusters_per_group().max(1))
    }

    /// Bits that cluster group `group` has; the last one may be short. `None` past the last.
    #[must_use]
    pub fn cluster_group_bits(self, group: u32) -> Option<u32> {
        let per_group = self.clusters_per_group();
        let start = group.checked_mul(per_group)?;
        let left = self.clusters.0.checked_sub(start).filter(|&left| left > 0)?;
        Some(left.min(per_group))
    }

    /// Block of the descriptor of cluster group `group`, given `s_first_cluster_group`.
    ///
    /// Group 0's descriptor follows the superblock; every other one is the
    /// first block of the group's first cluster.
    #[must_use]
    pub fn cluster_group_block(self, group: u32, first: BlockNum) -> BlockNum {
        if group == 0 {
            return first;
        }
        let cluster = u64::from(group).saturating_mul(u64::from(self.clusters_per_group()));
        BlockNum(self.clusters_to_blocks(cluster))
    }

    /// The first block of the first cluster past the superblock, where group 0's descriptor lies.
    #[must_use]
    pub fn first_cluster_group(self) -> BlockNum {
        let head = self.block_size.bytes().saturating_mul(3);
        BlockNum(self.clusters_to_blocks(self.clusters_for(head)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(block_bits: u32, cluster_bits: u32, clusters: u32) -> Geometry {
        Geometry {
            block_size: BlockSize::from_bits(block_bits).unwrap(),
            cluster_size: ClusterSize::from_bits(cluster_bits).unwrap(),
            clusters: Clusters(clusters),
        }
    }

    #[test]
    fn first_group_lies_where_mkfs_puts_it() {
        assert_eq!(geometry(12, 12, 9999).first_cluster_group(), BlockNum(3));
        assert_eq!(geometry(9, 12, 9999).first_cluster_group(), BlockNum(8));
        assert_eq!(geometry(12, 20, 9999).first_cluster_group(), BlockNum(256));
    }

    #[test]
    fn groups_cover_the_volume_once() {
        for bits in 9..=12 {
            for clusters in [1, 100, 3584, 7680, 32256, 32257, 100_000] {
                let g = geometry(bits, 12, clusters);
                let sum: u32 = (0..g.cluster_groups()).map(|i| g.cluster_group_bits(i).unwrap()).sum();
                assert_eq!(sum, clusters);
                assert_eq!(g.cluster_group_bits(g.cluster_groups()), None);
            }
        }
        assert_eq!(
            [9, 10, 11, 12].map(|b| geometry(b, 12, 1).clusters_per_group()),
            [3584, 7680, 15872, 32256]
        );
        assert_eq!(geometry(10, 12, 99999).cluster_group_block(2, BlockNum(4)), BlockNum(2 * 7680 * 4));
    }

    #[test]
    fn the_largest_volume_does_not_overflow() {
        let g = geometry(9, 20, u32::MAX);
        assert_eq!(g.bytes(), u64::from(u32::MAX) << 20);
        assert_eq!(g.blocks().get(), u64::from(u32::MAX) << 11);
        assert!(!g.contains_run(BlockNum(u64::MAX), 2));
        assert_eq!(g.cluster_of(BlockNum(u64::MAX)), None);
    }
}
