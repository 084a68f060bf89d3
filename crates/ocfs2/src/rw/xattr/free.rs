//! All attributes of an inode that is being deleted.

use ocfs2_format::{BlockKind, BlockNum, ExtentRoot, XattrBlock};
use zerocopy::little_endian::U64;

use super::area::Pair;
use super::place::{Place, Places};
use super::{buckets, take_out};
use crate::Error;
use crate::alloc::{ClusterRun, Pool};
use crate::extents::Extents;
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::txn::Blocks;

impl Operation<'_> {
    /// Gives up everything that the attributes of inode `ino` hold: values, buckets, block. The area in the dinode goes
    /// with the inode. Many changes, each of which leaves a sound inode. The caller holds the inode's lock, and nobody
    /// else knows of it.
    pub(crate) async fn free_xattrs(&mut self, ino: BlockNum) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let done = free_some(&mut change, ino).await;
            if let Some(true) = change.end(done).await? {
                return Ok(());
            }
        }
    }
}

/// Gives up one value, one extent of buckets, or the block; true when there is nothing left.
async fn free_some(change: &mut Change<'_>, ino: BlockNum) -> Result<bool, Error> {
    let places = Places::of(change.blocks(), ino).await?;
    for place in [places.inline, places.entries].into_iter().flatten() {
        if free_value(change, place).await? {
            return Ok(false);
        }
    }
    let Some(block) = places.block else { return Ok(true) };
    if let Some(tree) = &places.tree {
        let last = tree.leaf(change.blocks(), u32::MAX, false).await?;
        if let Some(extent) = last.at_or_before(u32::MAX) {
            let count = buckets::in_use(change.blocks(), ino, &extent).await?;
            for n in (0..count).rev() {
                let bucket = buckets::nth(change.blocks().volume(), ino, &extent, n);
                if free_value(change, bucket).await? {
                    return Ok(false);
                }
            }
            return free_buckets(change, ino, block, extent.cpos).await.map(|()| false);
        }
    }
    let data = change.blocks().get(ino, block, BlockKind::XattrBlock).await?;
    let suballoc = XattrBlock::parse(change.blocks().volume(), block, data.bytes())?.suballoc;
    drop(data);
    let (blocks, alloc) = change.blocks_and_space();
    alloc.free_block(blocks, Pool::Extent(suballoc.slot), block, suballoc).await?;
    change.dinode(ino).await?.xattr_loc = U64::ZERO;
    Ok(true)
}

/// Gives up one value outside of `place`, with its name; false when there is none.
async fn free_value(change: &mut Change<'_>, place: Place) -> Result<bool, Error> {
    let pairs = place.pairs(change.blocks()).await?;
    let Some(at) = pairs.iter().position(Pair::is_outside) else { return Ok(false) };
    take_out(change, place, pairs, at).await.map(|()| true)
}

/// Gives up the extent of buckets at `hash`, the last one.
async fn free_buckets(
    change: &mut Change<'_>,
    ino: BlockNum,
    block: BlockNum,
    hash: u32,
) -> Result<(), Error> {
    let (blocks, alloc) = change.blocks_and_space();
    let tree = Extents::new(alloc, ino, block, ExtentRoot::XattrBlock);
    let removed = tree.truncate(blocks, hash, 1).await?;
    for extent in removed.extents {
        let start = blocks.volume().geometry.cluster_of(extent.block).unwrap_or_default();
        alloc.log_freed(blocks, ClusterRun { start, clusters: u32::from(extent.clusters) }).await?;
    }
    for (block, suballoc) in removed.blocks {
        alloc.free_block(blocks, Pool::Extent(suballoc.slot), block, suballoc).await?;
    }
    Ok(())
}
