//! A made-up volume for unit tests.

use crate::features::{Compat, Features, Incompat, RoCompat};
use crate::geometry::Geometry;
use crate::units::{BlockSize, ClusterSize, Clusters};
use crate::volume::Volume;

/// 100,000 clusters, all features but local mount.
pub(crate) fn volume(block_bits: u32, cluster_bits: u32) -> Volume {
    Volume {
        geometry: Geometry {
            block_size: BlockSize::from_bits(block_bits).unwrap(),
            cluster_size: ClusterSize::from_bits(cluster_bits).unwrap(),
            clusters: Clusters(100_000),
        },
        fs_generation: 0x1234_5678,
        features: Features {
            compat: Compat::from_bits_retain(3),
            incompat: Incompat::from_bits_retain(0xff50),
            ro_compat: RoCompat::from_bits_retain(7),
        },
        max_slots: 4,
        dx_seed: [0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444],
        uuid_hash: 0x4444_4444,
    }
}

/// A zeroed block with some bytes put in.
pub(crate) fn block_of(len: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; len];
    for (offset, bytes) in parts {
        block[*offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    block
}
