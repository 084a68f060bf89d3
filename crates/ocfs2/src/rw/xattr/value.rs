//! Values in clusters of their own.

use ocfs2_format::xattr::RawXattrValueRoot;
use ocfs2_format::{BlockKind, BlockNum, Extent, ExtentFlags, ExtentRoot, RawExtentList, RawExtentRec};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use crate::Error;
use crate::alloc::{ClusterRun, Pool};
use crate::extents::Extents;
use crate::rw::change::Change;
use crate::rw::refcount;
use crate::txn::Blocks;

/// Extents that are taken off a value at once.
const AT_ONCE: usize = 64;

/// A value that has been written to clusters which nothing refers to yet.
#[derive(Debug)]
pub(super) struct Written {
    /// In order of the value.
    runs: Vec<ClusterRun>,
}

/// Writes `value` to clusters that the change claims. Where the change is dropped, they are free as before.
pub(super) async fn write(change: &mut Change<'_>, value: &[u8]) -> Result<Written, Error> {
    let geometry = change.blocks().volume().geometry;
    let mut left = u32::try_from(geometry.clusters_for(value.len() as u64)).unwrap_or(u32::MAX);
    let mut runs = Vec::new();
    let mut rest = value;
    while left > 0 {
        let (blocks, alloc) = change.blocks_and_space();
        let run = match alloc.claim_clusters(blocks, left, left).await {
            Err(Error::NoSpace { .. }) => alloc.claim_clusters(blocks, left, 1).await?,
            run => run?,
        };
        left -= run.clusters;
        let room = u64::from(run.clusters) << geometry.cluster_size.bits();
        let (now, later) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
        let mut bytes = now.to_vec();
        bytes.resize(now.len().next_multiple_of(geometry.block_size.len()), 0);
        let at = geometry.cluster_start(run.start);
        change.fs().volume().write_block(at, "the value of an xattr", &bytes).await?;
        runs.push(run);
        rest = later;
    }
    Ok(Written { runs })
}

impl Written {
    /// The root to be stored beside the name, with the first run in it.
    pub(super) fn root(&self, volume: &ocfs2_format::Volume) -> Vec<u8> {
        let first = self.runs.first().copied();
        let record = first.map(|run| RawExtentRec::from_extent(&extent(volume, 0, run))).unwrap_or_default();
        let root = RawXattrValueRoot {
            clusters: U32::new(first.map_or(0, |run| run.clusters)),
            list: RawExtentList {
                count: U16::new(1),
                next_free_rec: U16::new(u16::from(first.is_some())),
                ..RawExtentList::default()
            },
            record,
            ..RawXattrValueRoot::default()
        };
        root.as_bytes().to_vec()
    }

    /// Whether the root alone does not hold all of it.
    pub(super) fn has_more(&self) -> bool {
        self.runs.len() > 1
    }

    /// Adds the other runs to the root, which lies at byte `offset` of `block` by now.
    pub(super) async fn add_rest(
        &self,
        change: &mut Change<'_>,
        ino: BlockNum,
        (block, within, offset): (BlockNum, BlockKind, u16),
    ) -> Result<(), Error> {
        let (blocks, alloc) = change.blocks_and_space();
        let tree = Extents::new(alloc, ino, block, ExtentRoot::XattrValue { within, offset });
        let mut cpos = 0;
        for (at, run) in self.runs.iter().enumerate() {
            if at > 0 {
                let extent = extent(blocks.volume(), cpos, *run);
                tree.insert(blocks, extent).await?;
            }
            cpos += run.clusters;
        }
        Ok(())
    }
}

fn extent(volume: &ocfs2_format::Volume, cpos: u32, run: ClusterRun) -> Extent {
    Extent {
        cpos,
        // A value has at most 64 KiB: 128 clusters.
        clusters: u16::try_from(run.clusters).unwrap_or(u16::MAX),
        flags: ExtentFlags::empty(),
        block: volume.geometry.cluster_start(run.start),
    }
}

/// Gives up the clusters of the value whose root lies at byte `offset` of `block`. The entry is the caller's to remove.
pub(super) async fn free(
    change: &mut Change<'_>,
    ino: BlockNum,
    (block, within, offset): (BlockNum, BlockKind, u16),
) -> Result<(), Error> {
    loop {
        let (blocks, alloc) = change.blocks_and_space();
        let tree = Extents::new(alloc, ino, block, ExtentRoot::XattrValue { within, offset });
        let removed = tree.truncate(blocks, 0, AT_ONCE).await?;
        for extent in removed.extents {
            refcount::give_up(change, ino, &extent).await?;
        }
        let (blocks, alloc) = change.blocks_and_space();
        for (block, suballoc) in removed.blocks {
            alloc.free_block(blocks, Pool::Extent(suballoc.slot), block, suballoc).await?;
        }
        if removed.done {
            return Ok(());
        }
    }
}
