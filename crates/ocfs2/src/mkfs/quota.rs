//! Quota files of a fresh volume: the root directory is all there is to count.

use ocfs2_format::quota::{
    LocalQuotaInfo, QuotaInfo, QuotaKind, RawLocalQuotaInfo, RawQuotaEntry, RawQuotaHeader, RawQuotaInfo,
    RawQuotaLeafHeader, qtree_depth,
};
use ocfs2_format::{BlockKind, BlockNum, RoCompat, Volume};

use super::build::Builder;
use super::error::{Owner, PlanError};
use super::files::{Extents, put};
use super::plan::Step;
use crate::SystemFile;

/// Blocks that a quota file begins with.
const FIRST_BLOCKS: u32 = 2;
/// `dqi_bgrace` and `dqi_igrace`: a week, in seconds.
const GRACE: u32 = 604_800;
/// `dqi_syncms`: ten seconds.
const SYNC_MS: u32 = 10_000;
/// `OLQF_CLEAN`: nothing to recover.
const CLEAN: u32 = 1;

/// The kinds that the volume counts, each with its global file and its local ones.
type Kind = (QuotaKind, SystemFile, fn(u16) -> SystemFile);

fn kinds(volume: &Volume) -> Vec<Kind> {
    let kinds: [(RoCompat, Kind); 2] = [
        (RoCompat::USRQUOTA, (QuotaKind::User, SystemFile::UserQuota, SystemFile::LocalUserQuota)),
        (RoCompat::GRPQUOTA, (QuotaKind::Group, SystemFile::GroupQuota, SystemFile::LocalGroupQuota)),
    ];
    let on = kinds.into_iter().filter(|(feature, _)| volume.features.ro_compat.contains(*feature));
    on.map(|(_, kind)| kind).collect()
}

/// Lays out all quota files.
pub(super) fn format(builder: &mut Builder<'_>) -> Result<(), PlanError> {
    let kinds = kinds(&builder.volume);
    for (kind, global, local) in &kinds {
        grow(builder, *global, FIRST_BLOCKS)?;
        for slot in 0..builder.shape.slots {
            grow(builder, local(slot), FIRST_BLOCKS)?;
            write_local(builder, *kind, local(slot));
        }
    }
    for (kind, global, _) in kinds {
        // A branch of the tree down to id 0, then its leaf: block by block.
        let depth = qtree_depth(&builder.volume);
        for blocks in FIRST_BLOCKS + 1..=depth + 2 {
            grow(builder, global, blocks)?;
        }
        write_global(builder, kind, global, depth);
    }
    Ok(())
}

/// Makes a file `blocks` long.
fn grow(builder: &mut Builder<'_>, file: SystemFile, blocks: u32) -> Result<(), PlanError> {
    let geometry = builder.volume.geometry;
    let bytes = u64::from(blocks) * geometry.block_size.bytes();
    let have = builder.extents(file).clusters();
    let want = u32::try_from(geometry.clusters_for(bytes)).expect("some blocks");
    builder.extend(file, want.saturating_sub(have), Owner::Quota)?;
    builder.file(file).size = bytes;
    Ok(())
}

fn write_local(builder: &mut Builder<'_>, kind: QuotaKind, file: SystemFile) {
    let volume = builder.volume;
    let mut head = vec![0; volume.block_len()];
    let header = RawQuotaHeader { magic: LocalQuotaInfo::magic(kind).into(), version: 0.into() };
    let info = RawLocalQuotaInfo { flags: CLEAN.into(), chunks: 1.into(), blocks: FIRST_BLOCKS.into() };
    let at = put(&mut head, 0, &header);
    put(&mut head, at, &info);
    let extents = builder.extents(file).clone();
    let places = [(0, head), (1, vec![0; volume.block_len()])];
    write_blocks(builder, &extents, places);
}

fn write_global(builder: &mut Builder<'_>, kind: QuotaKind, file: SystemFile, depth: u32) {
    let volume = builder.volume;
    let leaf = QuotaInfo::TREE_ROOT + depth;
    let mut head = vec![0; volume.block_len()];
    let header = RawQuotaHeader { magic: QuotaInfo::magic(kind).into(), version: 0.into() };
    let info = RawQuotaInfo {
        bgrace: GRACE.into(),
        igrace: GRACE.into(),
        syncms: SYNC_MS.into(),
        blocks: (leaf + 1).into(),
        free_blk: 0.into(),
        free_entry: leaf.into(),
    };
    let at = put(&mut head, 0, &header);
    put(&mut head, at, &info);
    let mut places = vec![(0, head)];
    for node in QuotaInfo::TREE_ROOT..leaf {
        let mut data = vec![0; volume.block_len()];
        data[..4].copy_from_slice(&(node + 1).to_le_bytes());
        places.push((u64::from(node), data));
    }
    let mut data = vec![0; volume.block_len()];
    let at = put(&mut data, 0, &RawQuotaLeafHeader { entries: 1.into(), ..Default::default() });
    put(&mut data, at, &usage(builder));
    places.push((u64::from(leaf), data));
    let extents = builder.extents(file).clone();
    write_blocks(builder, &extents, places);
}

/// What id 0 uses: the root directory. `lost+found` comes after the counting, in the original too.
fn usage(builder: &mut Builder<'_>) -> RawQuotaEntry {
    let clusters = builder.root.run.map_or(0, |run| u64::from(run.len));
    RawQuotaEntry {
        curinodes: 1.into(),
        curspace: (clusters * builder.volume.geometry.cluster_size.bytes()).into(),
        ..Default::default()
    }
}

fn write_blocks(
    builder: &mut Builder<'_>,
    extents: &Extents,
    blocks: impl IntoIterator<Item = (u64, Vec<u8>)>,
) {
    for (index, data) in blocks {
        let place: Option<BlockNum> = extents.block_at(&builder.volume, index);
        let place = place.expect("the file was made as long as that");
        builder.put(Step::Quota, place, data, Some(BlockKind::Quota));
    }
}
