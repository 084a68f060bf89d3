//! Giving clusters of one file to another as well.

use ocfs2_format::{BlockNum, Extent, ExtentFlags};

use super::tree::RefcountTree;
use crate::Error;
use crate::alloc::ClusterRun;
use crate::extents::Extents;
use crate::inode::Body;
use crate::rw::change::Change;
use crate::txn::Blocks;

/// Blocks of one change after which it is ended. One more extent is less than as much again, and together that is less
/// than the smallest journal takes.
pub(in crate::rw) const ENOUGH: usize = 32;

/// What is shared with whom. Both inodes are attached to the same tree, and their locks are held.
#[derive(Clone, Copy, Debug)]
pub(in crate::rw) struct Sharing {
    /// Whose clusters they are.
    pub(in crate::rw) from: BlockNum,
    /// Who gets them; it has nothing yet where they come to lie.
    pub(in crate::rw) to: BlockNum,
    /// First cluster of the one, and where it comes to lie in the other.
    pub(in crate::rw) start: u64,
    pub(in crate::rw) target: u64,
    /// First cluster of the one behind what is shared.
    pub(in crate::rw) end: u64,
}

/// Shares what lies in the range, as far as one change should go, from cluster `at` on. Gives the place to go on from,
/// the range's end at the end.
pub(in crate::rw) async fn share(
    change: &mut Change<'_>,
    sharing: &Sharing,
    mut at: u64,
) -> Result<u64, Error> {
    let tree = RefcountTree::of(change, sharing.from).await?;
    while at < sharing.end && change.blocks().credits() < ENOUGH {
        let Some(extent) = next_extent(change, sharing.from, (at, sharing.end)).await? else {
            return Ok(sharing.end);
        };
        let run = clusters_of(change, &extent);
        let run = tree.in_one_leaf(change.blocks(), run).await?;
        let extent = Extent { clusters: u16::try_from(run.clusters).unwrap_or(u16::MAX), ..extent };
        let cpos = u64::from(extent.cpos);
        let (blocks, alloc) = change.blocks_and_space();
        let mut more = 1;
        if !extent.flags.contains(ExtentFlags::REFCOUNTED) {
            let own = Extents::of_inode(alloc, sharing.from);
            let range = (cpos, extent.end());
            own.set_flags(blocks, range, ExtentFlags::REFCOUNTED, ExtentFlags::empty()).await?;
            more = 2;
        }
        let copy = Extent {
            cpos: u32::try_from(cpos - sharing.start + sharing.target).unwrap_or(u32::MAX),
            flags: extent.flags | ExtentFlags::REFCOUNTED,
            ..extent
        };
        Extents::of_inode(alloc, sharing.to).insert(blocks, copy).await?;
        tree.increase(change, run, more).await?;
        at = extent.end();
    }
    Ok(at)
}

/// The first extent of the data of inode `ino` in the clusters `start` to `end`, that part of it which lies in there.
async fn next_extent(
    change: &mut Change<'_>,
    ino: BlockNum,
    (start, end): (u64, u64),
) -> Result<Option<Extent>, Error> {
    let inode = change.inode(ino).await?;
    let Body::Tree(tree) = inode.body() else { return Ok(None) };
    let mut cursor = tree.cursor(u32::try_from(start).unwrap_or(u32::MAX));
    let found = cursor.next(change.blocks()).await?;
    let Some(extent) = found.filter(|extent| u64::from(extent.cpos) < end) else { return Ok(None) };
    let skipped = start.saturating_sub(u64::from(extent.cpos));
    let clusters = extent.end().min(end) - u64::from(extent.cpos) - skipped;
    let blocks = change.blocks().volume().geometry.clusters_to_blocks(skipped);
    Ok(Some(Extent {
        cpos: extent.cpos + u32::try_from(skipped).unwrap_or(0),
        clusters: u16::try_from(clusters).unwrap_or(u16::MAX),
        block: BlockNum(extent.block.0.saturating_add(blocks)),
        flags: extent.flags,
    }))
}

pub(in crate::rw) fn clusters_of(change: &mut Change<'_>, extent: &Extent) -> ClusterRun {
    let start = change.blocks().volume().geometry.cluster_of(extent.block).unwrap_or_default();
    ClusterRun { start, clusters: u32::from(extent.clusters) }
}
