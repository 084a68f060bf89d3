//! Quota files: the global tree of limits and usage, and each slot's local changes.

mod global;
mod local;

pub use global::{
    QuotaEntry, QuotaInfo, QuotaLeaf, RawQuotaEntry, RawQuotaInfo, RawQuotaLeafHeader, qtree_depth,
    qtree_index, qtree_refs, qtree_share, qtree_slot,
};
pub use local::{
    LocalQuotaEntry, LocalQuotaInfo, QuotaChunk, QuotaPlace, RawLocalQuotaEntry, RawLocalQuotaInfo,
};

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Check, Corrupt, Structure};
use crate::raw::{Input, layout};
use crate::volume::Volume;

/// Bytes at the end of every block of a quota file that are kept for the check.
const RESERVED: usize = 8;

/// Whose usage a quota file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKind {
    /// Users.
    User,
    /// Groups.
    Group,
}

/// Head of a quota file as it lies on disk (`struct ocfs2_disk_dqheader`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawQuotaHeader {
    /// `dqh_magic`.
    pub magic: U32,
    /// `dqh_version`: 0.
    pub version: U32,
}
layout!(RawQuotaHeader, 8, {});

impl RawQuotaHeader {
    fn check(&self, input: &Input<'_, '_>, expected: u32) -> Result<(), Corrupt> {
        let (structure, found) = (Structure::QuotaHeader, self.magic.get());
        input.ensure(found == expected, Check::Magic { structure, found, expected })?;
        let found = self.version.get();
        input.ensure(found == 0, Check::Version { structure, found, expected: 0 })
    }
}

/// Bytes of a block that a quota file uses.
fn usable(volume: &Volume) -> usize {
    volume.block_len().saturating_sub(RESERVED)
}

#[cfg(test)]
mod tests;
