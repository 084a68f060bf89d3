//! A fixture volume, read block by block.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use ocfs2_format::{BlockKind, BlockNum, BlockSize, ClusterNum, Dinode, GroupDescriptor, Superblock, Volume};

/// An unpacked fixture and its checked superblock.
pub(crate) struct VolumeFile {
    file: File,
    pub(crate) superblock: Superblock,
    pub(crate) volume: Volume,
}

impl VolumeFile {
    pub(crate) fn open(name: &str) -> Self {
        let file = File::open(fixtures::image(name)).expect("a fixture volume is whole");
        let mut head = vec![0; Superblock::PROBE_LEN];
        file.read_exact_at(&mut head, 0).expect("a fixture volume is whole");
        let probed = Superblock::probe(&head, BlockSize::MIN).expect("a fixture volume is whole");
        let volume = probed.superblock.volume();
        Self { file, superblock: probed.superblock, volume }
    }

    pub(crate) fn read(&self, block: BlockNum) -> Vec<u8> {
        self.read_len(block, self.volume.block_len())
    }

    pub(crate) fn read_len(&self, block: BlockNum, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        let offset = self.volume.geometry.byte_offset(block).expect("a fixture volume is whole");
        self.file.read_exact_at(&mut data, offset).expect("a fixture volume is whole");
        data
    }

    /// Blocks that no allocator has given out: free bits of all groups, clusters and metadata blocks alike.
    pub(crate) fn free_blocks(&self) -> BTreeSet<BlockNum> {
        let (volume, geometry) = (&self.volume, self.volume.geometry);
        let mut free = BTreeSet::new();
        for (block, kind, data) in self.signed_blocks() {
            if kind != BlockKind::GroupDescriptor {
                continue;
            }
            let Ok(group) = GroupDescriptor::parse(volume, block, &data, None) else { continue };
            let bits = (0..group.bitmap.len()).filter(|&bit| !group.bitmap.get(bit));
            let allocator = self.read(group.allocator);
            let Ok((dinode, _)) = Dinode::parse(volume, group.allocator, &allocator) else { continue };
            if dinode.clusters != geometry.clusters.get() {
                free.extend(bits.filter_map(|bit| group.block_of_bit(volume, bit)));
                continue;
            }
            // The cluster bitmap: group k begins at cluster k * clusters_per_group.
            let cluster = geometry.cluster_of(block).expect("inside").get();
            let first = cluster / geometry.clusters_per_group() * geometry.clusters_per_group();
            for bit in bits {
                let start = geometry.cluster_start(ClusterNum(first + bit)).get();
                let end = start + u64::from(geometry.blocks_per_cluster());
                free.extend((start..end).map(BlockNum));
            }
        }
        free
    }

    /// Every block with a signature, by one pass over the file.
    pub(crate) fn signed_blocks(&self) -> impl Iterator<Item = (BlockNum, BlockKind, Vec<u8>)> + '_ {
        let per_chunk = (1 << 20) / self.volume.geometry.block_size.bytes();
        let blocks = self.volume.geometry.blocks().get();
        let zeroes = vec![0; 1 << 20];
        (0..blocks.div_ceil(per_chunk)).flat_map(move |chunk| {
            let first = chunk * per_chunk;
            let count = per_chunk.min(blocks - first);
            let bytes = usize::try_from(count).expect("a fixture volume is whole") * self.volume.block_len();
            let mut data = self.read_len(BlockNum(first), bytes);
            if data == zeroes[..bytes] {
                data.clear(); // a hole: most of a large fixture
            }
            let blocks = data.chunks(self.volume.block_len()).enumerate();
            let signed = blocks.filter_map(|(index, block)| {
                let kind = BlockKind::of(block)?;
                Some((BlockNum(first + index as u64), kind, block.to_vec()))
            });
            signed.collect::<Vec<_>>()
        })
    }
}
