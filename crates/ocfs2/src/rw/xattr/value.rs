//! Values in clusters of their own.

use ocfs2_format::xattr::RawXattrValueRoot;
use ocfs2_format::{BlockKind, BlockNum, Extent, ExtentFlags, ExtentRoot, RawExtentList, RawExtentRec};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use crate::Error;
use crate::alloc::Pool;
use crate::extents::Extents;
use crate::rw::change::Change;
use crate::rw::refcount::{self, RefcountTree};
use crate::tree::ExtentTree;
use crate::txn::Blocks;

/// Extents that are taken off a value at once.
const AT_ONCE: usize = 64;

/// A value whose clusters no root refers to yet.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// In order of the value.
    extents: Vec<Extent>,
}

/// Writes `value` to clusters that the change claims. Where the change is dropped, they are free as before.
pub(super) async fn write(change: &mut Change<'_>, value: &[u8]) -> Result<Written, Error> {
    let geometry = change.blocks().volume().geometry;
    let mut left = u32::try_from(geometry.clusters_for(value.len() as u64)).unwrap_or(u32::MAX);
    let mut written = Written::default();
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
        written.push(run.clusters, at, ExtentFlags::empty());
        rest = later;
    }
    Ok(written)
}

/// Shares the clusters of the value whose root lies at byte `offset` of `block` of inode `ino`, which counts them in
/// `tree`: they are counted for one more root.
pub(super) async fn share(
    change: &mut Change<'_>,
    ino: BlockNum,
    (block, within, offset): (BlockNum, BlockKind, u16),
    list: &ExtentTree,
    tree: RefcountTree,
) -> Result<Written, Error> {
    let mut written = Written::default();
    let mut cursor = list.cursor(0);
    while let Some(extent) = cursor.next(change.blocks()).await? {
        let (blocks, alloc) = change.blocks_and_space();
        let own = !extent.flags.contains(ExtentFlags::REFCOUNTED);
        if own {
            let root = Extents::new(alloc, ino, block, ExtentRoot::XattrValue { within, offset });
            let range = (u64::from(extent.cpos), extent.end());
            root.set_flags(blocks, range, ExtentFlags::REFCOUNTED, ExtentFlags::empty()).await?;
        }
        let run = refcount::clusters_of(change, &extent);
        tree.increase(change, run, if own { 2 } else { 1 }).await?;
        written.push(run.clusters, extent.block, extent.flags | ExtentFlags::REFCOUNTED);
    }
    Ok(written)
}

impl Written {
    fn push(&mut self, clusters: u32, block: BlockNum, flags: ExtentFlags) {
        let cpos = self.extents.last().map_or(0, |last| u32::try_from(last.end()).unwrap_or(u32::MAX));
        // A value has at most 64 KiB: 16 clusters.
        let clusters = u16::try_from(clusters).unwrap_or(u16::MAX);
        self.extents.push(Extent { cpos, clusters, flags, block });
    }

    /// The root to be stored beside the name, with the first extent in it.
    pub(super) fn root(&self) -> Vec<u8> {
        let first = self.extents.first();
        let root = RawXattrValueRoot {
            clusters: U32::new(first.map_or(0, |extent| u32::from(extent.clusters))),
            list: RawExtentList {
                count: U16::new(1),
                next_free_rec: U16::new(u16::from(first.is_some())),
                ..RawExtentList::default()
            },
            record: first.map(RawExtentRec::from_extent).unwrap_or_default(),
            ..RawXattrValueRoot::default()
        };
        root.as_bytes().to_vec()
    }

    /// Whether the root alone does not hold all of it.
    pub(super) fn has_more(&self) -> bool {
        self.extents.len() > 1
    }

    /// Adds the other extents to the root, which lies at byte `offset` of `block` by now.
    pub(super) async fn add_rest(
        &self,
        change: &mut Change<'_>,
        ino: BlockNum,
        (block, within, offset): (BlockNum, BlockKind, u16),
    ) -> Result<(), Error> {
        let (blocks, alloc) = change.blocks_and_space();
        let tree = Extents::new(alloc, ino, block, ExtentRoot::XattrValue { within, offset });
        for extent in self.extents.iter().skip(1) {
            tree.insert(blocks, *extent).await?;
        }
        Ok(())
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
