//! Journals of a fresh volume: clusters, zeroes, a superblock.

use jbd2::{IncompatFeatures, JournalSuperblock};
use ocfs2_format::{ExtentBlock, ExtentList};
use zerocopy::IntoBytes as _;

use super::build::Builder;
use super::error::{Owner, PlanError};
use super::plan::Step;
use crate::SystemFile;

/// Fewest blocks of a journal, and fewest bytes: the kernel mounts no volume with less.
const MIN_BLOCKS: u64 = 1024;
const MIN_BYTES: u64 = 4 << 20;

/// Lays out every slot's journal.
pub(super) fn format(builder: &mut Builder<'_>) -> Result<(), PlanError> {
    let (volume, bytes) = (builder.volume, builder.shape.journal_bytes);
    let blocks = bytes / volume.geometry.block_size.bytes();
    if (blocks < MIN_BLOCKS || bytes < MIN_BYTES) && builder.shape.slots > 0 {
        return Err(PlanError::JournalTooSmall { blocks });
    }
    let clusters = u32::try_from(bytes >> volume.geometry.cluster_size.bits())
        .map_err(|_| PlanError::JournalTooSmall { blocks })?;
    for slot in 0..builder.shape.slots {
        let file = SystemFile::Journal(slot);
        builder.extend(file, clusters, Owner::Journal(slot))?;
        builder.file(file).size = bytes;
        let extents = builder.extents(file).clone();
        let size = volume.geometry.block_size;
        let max = ExtentList::room_in_dinode(size) * ExtentBlock::capacity(size);
        if extents.list.len() > max {
            return Err(PlanError::JournalPieces { bytes, extents: extents.list.len(), max });
        }
        for extent in &extents.list {
            let blocks = volume.geometry.clusters_to_blocks(u64::from(extent.clusters));
            builder.zero(Step::Journals, extent.block, blocks);
        }
        for (block, data) in extents.leaf_blocks(&volume).collect::<Vec<_>>() {
            builder.put(Step::Journals, block, data, Some(ocfs2_format::BlockKind::ExtentBlock));
        }
        let first = extents.list[0].block;
        builder.put(Step::Journals, first, superblock(builder, blocks), None);
    }
    Ok(())
}

fn superblock(builder: &Builder<'_>, blocks: u64) -> Vec<u8> {
    let size = builder.volume.block_len();
    let features =
        if builder.request.journal_64bit { IncompatFeatures::BIT64 } else { IncompatFeatures::empty() };
    let raw = JournalSuperblock::format(
        u32::try_from(size).expect("a block has 4096 bytes at most"),
        u32::try_from(blocks).unwrap_or(u32::MAX),
        builder.identity.uuid.0,
        features,
    );
    let mut data = raw.as_bytes().to_vec();
    data.resize(size, 0); // of a superblock that is longer than a block, the rest is zeroes
    data
}
