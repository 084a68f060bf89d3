//! Clusters for data: kept for a file before it is written, and claimed when it has been.

use ocfs2_format::{BlockNum, Extent, ExtentFlags, Geometry};

use super::map::Segment;
use crate::Error;
use crate::alloc::{ClusterRun, Growth, Reserved};
use crate::extents::Extents;
use crate::inode::Inode;
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::txn::Blocks;

/// Bytes that are left free behind a file that grows, at the most.
const AHEAD: u64 = 8 << 20;

/// Clusters that a file is about to have.
#[derive(Debug)]
pub(super) struct Taken {
    extent: Extent,
    /// Keeps them for this file until they are claimed.
    reserved: Reserved,
}

impl Taken {
    /// Claims them, and puts them into the tree of inode `ino`.
    pub(super) async fn claim(&self, change: &mut Change<'_>, ino: BlockNum) -> Result<(), Error> {
        let (blocks, alloc) = change.blocks_and_space();
        alloc.claim_reserved(blocks, &self.reserved).await?;
        Extents::of_inode(alloc, ino).insert(blocks, self.extent).await
    }
}

impl Operation<'_> {
    /// Keeps clusters of the window for the start of `hole`, which is cut to what was found; `None` when the window has
    /// none, and cannot be moved now.
    pub(super) async fn take_clusters(
        &mut self,
        inode: &Inode,
        hole: &mut Segment,
    ) -> Result<Option<Taken>, Error> {
        let geometry = *self.fs().volume().geometry();
        // What grows is likely to grow on, the more so the longer it is.
        let grows = hole.start > 0 && hole.start >= geometry.clusters_for(inode.size());
        let more = if grows { hole.start.min(AHEAD >> geometry.cluster_size.bits()) } else { 0 };
        let more = u32::try_from(more).unwrap_or(0);
        let growth = Growth { ino: inode.ino(), cpos: hole.start, want: most_of(hole), more };
        loop {
            let mut change = self.begin().await?;
            let (blocks, alloc) = change.blocks_and_space();
            let kept = alloc.reserve_moving(blocks, growth).await;
            let Some(kept) = change.end(kept).await? else { continue };
            self.let_allocators_go();
            let Some(reserved) = kept else { return Ok(None) };
            let extent = extent_of(hole, reserved.run(), geometry, ExtentFlags::empty());
            hole.end = extent.end();
            hole.block = extent.block;
            return Ok(Some(Taken { extent, reserved }));
        }
    }
}

/// Claims up to as many clusters as the hole has, and puts them, as `flags` say, into the tree of inode `ino` at its
/// start. Gives them.
pub(super) async fn claim_into(
    change: &mut Change<'_>,
    ino: BlockNum,
    hole: Segment,
    flags: ExtentFlags,
) -> Result<Segment, Error> {
    let want = most_of(&hole);
    let (blocks, alloc) = change.blocks_and_space();
    let run = match alloc.claim_clusters(blocks, want, 1).await {
        // A window that somebody keeps clusters of may still have some.
        Err(Error::NoSpace { .. }) if want > 1 => alloc.claim_clusters(blocks, 1, 1).await?,
        run => run?,
    };
    let extent = extent_of(&hole, run, blocks.volume().geometry, flags);
    Extents::of_inode(alloc, ino).insert(blocks, extent).await?;
    Ok(Segment { end: extent.end(), block: extent.block, ..hole })
}

/// Clusters of a hole that one extent can fill.
fn most_of(hole: &Segment) -> u32 {
    u32::try_from(hole.end - hole.start).unwrap_or(u32::MAX).min(u32::from(u16::MAX))
}

/// `run`, which is no longer than the hole, at its start.
fn extent_of(hole: &Segment, run: ClusterRun, geometry: Geometry, flags: ExtentFlags) -> Extent {
    Extent {
        // A hole within a file's range: both fit.
        cpos: u32::try_from(hole.start).unwrap_or(u32::MAX),
        clusters: u16::try_from(run.clusters).unwrap_or(u16::MAX),
        flags,
        block: geometry.cluster_start(run.start),
    }
}
