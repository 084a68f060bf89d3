//! Where a directory's clusters and blocks come from.

use std::future::Future;

use ocfs2_format::{BlockNum, Extent, Suballoc, Tree};

use crate::Error;
use crate::txn::Handle;

/// Claims space as part of an operation.
pub trait Space: Sync {
    /// Claims one cluster: its first block.
    fn claim_cluster(&self, handle: &mut Handle<'_>) -> impl Future<Output = Result<BlockNum, Error>> + Send;

    /// Claims one block of metadata.
    fn claim_block(
        &self,
        handle: &mut Handle<'_>,
    ) -> impl Future<Output = Result<(BlockNum, Suballoc), Error>> + Send;

    /// Adds `extent` to the tree whose root is in block `root`.
    fn insert_extent(
        &self,
        handle: &mut Handle<'_>,
        owner: BlockNum,
        root: (BlockNum, Tree),
        extent: Extent,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}
