//! Sizes and numbers with their units in the type.
//!
//! A block number and a cluster number differ by a factor of up to 2048, so
//! neither is ever a bare integer outside the raw structures.

use std::fmt;

/// Size of a file system block: 512, 1024, 2048 or 4096 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u8);

impl BlockSize {
    /// All block sizes, ascending: the order in which a volume is probed.
    pub const ALL: [Self; 4] = [Self(9), Self(10), Self(11), Self(12)];
    /// 512 bytes.
    pub const MIN: Self = Self(9);
    /// 4096 bytes.
    pub const MAX: Self = Self(12);

    /// From `s_blocksize_bits`, 9 to 12.
    #[must_use]
    pub fn from_bits(bits: u32) -> Option<Self> {
        match u8::try_from(bits) {
            Ok(bits @ 9..=12) => Some(Self(bits)),
            _ => None,
        }
    }

    /// From a size in bytes.
    #[must_use]
    pub fn from_bytes(bytes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.len() == bytes)
    }

    /// Base-2 logarithm of the size in bytes.
    #[must_use]
    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        1_u64.wrapping_shl(self.bits())
    }

    /// Size in bytes, as the length of a buffer.
    #[must_use]
    pub fn len(self) -> usize {
        1_usize.wrapping_shl(self.bits())
    }

    /// Always false; here because [`Self::len`] is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        false
    }

    /// How many `size`-byte items fit between byte `from` and the end of a block.
    #[must_use]
    pub fn room(self, from: usize, size: usize) -> usize {
        self.len().saturating_sub(from).checked_div(size).unwrap_or(0)
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes())
    }
}

/// Size of a cluster, the unit of data allocation: a power of two from 4 KiB to 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterSize(u8);

impl ClusterSize {
    /// From `s_clustersize_bits`, 12 to 20.
    #[must_use]
    pub fn from_bits(bits: u32) -> Option<Self> {
        match u8::try_from(bits) {
            Ok(bits @ 12..=20) => Some(Self(bits)),
            _ => None,
        }
    }

    /// Base-2 logarithm of the size in bytes.
    #[must_use]
    pub fn bits(self) -> u32 {
        u32::from(self.0)
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        1_u64.wrapping_shl(self.bits())
    }
}

impl fmt::Display for ClusterSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            /// The bare number.
            #[must_use]
            pub fn get(self) -> $int {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Number of a block, counted from the start of the volume.
    ///
    /// Also an inode's number: an inode is the block that holds its dinode.
    BlockNum(u64)
);
number!(
    /// A count of blocks.
    Blocks(u64)
);
number!(
    /// Number of a cluster, counted from the start of the volume.
    ClusterNum(u32)
);
number!(
    /// A count of clusters, or an offset within a file in clusters (`cpos`).
    Clusters(u32)
);

impl BlockNum {
    /// `None` for 0, which on disk stands for "no block" in every pointer.
    #[must_use]
    pub fn nonzero(raw: u64) -> Option<Self> {
        (raw != 0).then_some(Self(raw))
    }

    /// The block `blocks` further on.
    #[must_use]
    pub fn checked_add(self, blocks: u64) -> Option<Self> {
        self.0.checked_add(blocks).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_four_block_sizes_exist() {
        assert_eq!(BlockSize::ALL.map(BlockSize::bytes), [512, 1024, 2048, 4096]);
        assert_eq!(BlockSize::from_bits(8), None);
        assert_eq!(BlockSize::from_bits(13), None);
        assert_eq!(BlockSize::from_bits(9 + 256), None);
        assert_eq!(BlockSize::from_bytes(2048), BlockSize::from_bits(11));
        assert_eq!(BlockSize::from_bytes(3000), None);
    }

    #[test]
    fn cluster_sizes_run_from_4k_to_1m() {
        assert_eq!(ClusterSize::from_bits(11), None);
        assert_eq!(ClusterSize::from_bits(12).map(ClusterSize::bytes), Some(4096));
        assert_eq!(ClusterSize::from_bits(20).map(ClusterSize::bytes), Some(1 << 20));
        assert_eq!(ClusterSize::from_bits(21), None);
    }
}
