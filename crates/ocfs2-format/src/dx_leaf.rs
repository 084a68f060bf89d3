//! Leaves of a directory's index.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::dx_entry::{DxEntries, RawDxEntry, RawDxEntryList};
use crate::dx_hash::DxHash;
use crate::ecc::RawBlockCheck;
use crate::error::{Corrupt, Structure};
use crate::extent_list::Extent;
use crate::raw::{Input, index16, layout};
use crate::units::BlockNum;
use crate::volume::Volume;

/// Head of a dx leaf as it lies on disk (`struct ocfs2_dx_leaf`); entries follow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawDxLeaf {
    /// `dl_signature`: [`DxLeaf::SIGNATURE`].
    pub signature: [u8; 8],
    /// `dl_check`.
    pub check: RawBlockCheck,
    /// `dl_blkno`.
    pub blkno: U64,
    /// `dl_fs_generation`.
    pub fs_generation: U32,
    /// Reserved.
    pub reserved0: U32,
    /// Reserved.
    pub reserved1: U64,
    /// `dl_list`.
    pub list: RawDxEntryList,
}
layout!(RawDxLeaf, 0x30, { blkno: 0x10, fs_generation: 0x18, list: 0x28 });

impl RawDxLeaf {
    /// The head of a leaf without entries.
    #[must_use]
    pub fn new(volume: &Volume, block: BlockNum) -> Self {
        let room = volume.geometry.block_size.room(size_of::<Self>(), size_of::<RawDxEntry>());
        Self {
            signature: DxLeaf::SIGNATURE,
            blkno: U64::new(block.0),
            fs_generation: U32::new(volume.fs_generation),
            list: RawDxEntryList { count: U16::new(index16(room)), ..RawDxEntryList::default() },
            ..Self::default()
        }
    }
}

/// A checked dx leaf.
#[derive(Clone, Copy, Debug)]
pub struct DxLeaf<'a> {
    /// Its entries.
    pub entries: DxEntries<'a>,
}

impl<'a> DxLeaf<'a> {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"DXLEAF1\0";

    /// Checks the dx leaf in block `block`.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(volume: &Volume, block: BlockNum, data: &'a [u8]) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::DxLeaf, data)?;
        let raw: &RawDxLeaf = input.at(0)?;
        input.signature(raw.signature, Self::SIGNATURE)?;
        input.self_block("dl_blkno", raw.blkno.get())?;
        input.generation("dl_fs_generation", raw.fs_generation.get())?;
        Ok(Self { entries: DxEntries::parse(&input, std::mem::offset_of!(RawDxLeaf, list))? })
    }

    /// The block of the leaf for `hash`, in the extent that the tree gives for its major half
    /// ([`ExtentList::extent_at_or_before`](crate::ExtentList::extent_at_or_before)).
    #[must_use]
    pub fn block_for(volume: &Volume, extent: &Extent, hash: DxHash) -> Option<BlockNum> {
        // Hashes past the extent belong to its last cluster.
        let last = u32::from(extent.clusters).checked_sub(1)?;
        let cluster = hash.major.checked_sub(extent.cpos)?.min(last);
        let within = hash.minor & volume.geometry.blocks_per_cluster().wrapping_sub(1);
        let blocks = volume.geometry.clusters_to_blocks(u64::from(cluster));
        extent.block.checked_add(blocks)?.checked_add(u64::from(within))
    }
}
