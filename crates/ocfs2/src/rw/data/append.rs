//! Clusters for data that is about to be written.

use ocfs2_format::{Extent, ExtentFlags, Geometry};

use super::map::Segment;
use crate::Error;
use crate::alloc::{ClusterRun, Reserved};
use crate::rw::operation::Operation;
use crate::txn::Blocks;

/// Clusters that a file is about to have.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) extent: Extent,
    /// Keeps them for this file until they are claimed.
    pub(super) reserved: Option<Reserved>,
}

impl Taken {
    /// `run` at the start of `hole`.
    pub(super) fn of(hole: &Segment, run: ClusterRun, geometry: Geometry) -> Self {
        let extent = Extent {
            // A hole within a file's range: both fit.
            cpos: u32::try_from(hole.start).unwrap_or(u32::MAX),
            clusters: u16::try_from(run.clusters).unwrap_or(u16::MAX),
            flags: ExtentFlags::empty(),
            block: geometry.cluster_start(run.start),
        };
        Self { extent, reserved: None }
    }
}

impl Operation<'_> {
    /// Keeps clusters of the window for the start of `hole`, which is cut to what was found; `None` when the window has
    /// none, and cannot be moved now.
    pub(super) async fn take_clusters(&mut self, hole: &mut Segment) -> Result<Option<Taken>, Error> {
        let want = u32::try_from(hole.end - hole.start).unwrap_or(u32::MAX).min(u32::from(u16::MAX));
        loop {
            let mut change = self.begin().await?;
            let (blocks, alloc) = change.blocks_and_space();
            let kept = alloc.reserve_moving(blocks, want).await;
            let geometry = blocks.volume().geometry;
            let Some(kept) = change.end(kept).await? else { continue };
            self.let_allocators_go();
            return Ok(kept.map(|reserved| {
                let run = reserved.run();
                hole.end = hole.start + u64::from(run.clusters);
                let mut taken = Taken::of(hole, run, geometry);
                hole.block = taken.extent.block;
                taken.reserved = Some(reserved);
                taken
            }));
        }
    }
}
