//! What the other structures must know of the volume to be checked.

use crate::features::{Features, Incompat};
use crate::geometry::Geometry;

/// The context in which blocks are checked, taken from a checked superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Sizes.
    pub geometry: Geometry,
    /// `i_fs_generation` of the superblock, repeated in every metadata block.
    pub fs_generation: u32,
    /// Feature words.
    pub features: Features,
    /// `s_max_slots`, 1 to 255.
    pub max_slots: u16,
    /// Seed of the directory hash: `s_dx_seed` and, as fourth word, `s_uuid_hash`.
    pub dx_seed: [u32; 4],
    /// Seed of the xattr name hash.
    pub uuid_hash: u32,
}

impl Volume {
    /// Whether all these incompatible features are on.
    #[must_use]
    pub fn has(&self, features: Incompat) -> bool {
        self.features.incompat.contains(features)
    }

    /// Block size as the length of a buffer.
    #[must_use]
    pub fn block_len(&self) -> usize {
        self.geometry.block_size.len()
    }
}
