//! Where a directory's clusters and blocks come from, and where they go.

use std::future::Future;

use ocfs2_format::{BlockNum, Extent, ExtentRoot, Suballoc};

use crate::Error;
use crate::alloc::{Allocators, ClusterRun, Pool};
use crate::extents::Extents;
use crate::txn::{Blocks, Handle};

/// Claims and frees space as part of an operation: the volume's [`Allocators`], or in tests what runs out at will.
pub trait Space: Sync {
    /// Claims one cluster: its first block.
    fn claim_cluster(&self, handle: &mut Handle<'_>) -> impl Future<Output = Result<BlockNum, Error>> + Send;

    /// Claims one block for the root of an index.
    fn claim_root(
        &self,
        handle: &mut Handle<'_>,
    ) -> impl Future<Output = Result<(BlockNum, Suballoc), Error>> + Send;

    /// Frees the block of a root.
    fn free_root(
        &self,
        handle: &mut Handle<'_>,
        root: (BlockNum, Suballoc),
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Adds `extent` to the tree whose root is in block `root`.
    fn insert_extent(
        &self,
        handle: &mut Handle<'_>,
        owner: BlockNum,
        root: (BlockNum, ExtentRoot),
        extent: Extent,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes up to `most` extents out of the tree whose root is in block `root`, and frees what they were. Returns
    /// whether none is left.
    fn free_extents(
        &self,
        handle: &mut Handle<'_>,
        owner: BlockNum,
        root: (BlockNum, ExtentRoot),
        most: usize,
    ) -> impl Future<Output = Result<bool, Error>> + Send;
}

impl Space for Allocators {
    async fn claim_cluster(&self, handle: &mut Handle<'_>) -> Result<BlockNum, Error> {
        let run = self.claim_clusters(handle, 1, 1).await?;
        Ok(handle.volume().geometry.cluster_start(run.start))
    }

    async fn claim_root(&self, handle: &mut Handle<'_>) -> Result<(BlockNum, Suballoc), Error> {
        let new = self.claim_block(handle, Pool::Extent(self.slot())).await?;
        Ok((new.block, new.suballoc))
    }

    async fn free_root(
        &self,
        handle: &mut Handle<'_>,
        (root, suballoc): (BlockNum, Suballoc),
    ) -> Result<(), Error> {
        self.free_block(handle, Pool::Extent(suballoc.slot), root, suballoc).await
    }

    async fn insert_extent(
        &self,
        handle: &mut Handle<'_>,
        owner: BlockNum,
        (block, root): (BlockNum, ExtentRoot),
        extent: Extent,
    ) -> Result<(), Error> {
        Extents::new(self, owner, block, root).insert(handle, extent).await
    }

    async fn free_extents(
        &self,
        handle: &mut Handle<'_>,
        owner: BlockNum,
        (block, root): (BlockNum, ExtentRoot),
        most: usize,
    ) -> Result<bool, Error> {
        let removed = Extents::new(self, owner, block, root).truncate(handle, 0, most).await?;
        let geometry = handle.volume().geometry;
        for extent in removed.extents {
            // Checked with its list: it lies on the volume.
            let start = geometry.cluster_of(extent.block).unwrap_or_default();
            self.log_freed(handle, ClusterRun { start, clusters: u32::from(extent.clusters) }).await?;
        }
        for (block, suballoc) in removed.blocks {
            self.free_block(handle, Pool::Extent(suballoc.slot), block, suballoc).await?;
        }
        Ok(removed.done)
    }
}
