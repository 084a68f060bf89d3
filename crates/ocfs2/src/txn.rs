//! Changing metadata: all of an operation, or nothing of it.

mod handle;

use std::future::Future;
use std::sync::Arc;

use ocfs2_format::BlockNum;

pub(crate) use handle::{Handle, Sealed};

use crate::Error;
use crate::meta::Meta;
use crate::meta_block::{Kind, MetaBlock};

/// Where metadata is read from: the volume, or the volume as an operation is about to leave it.
pub(crate) trait Blocks: Sync {
    /// What the format's checks must know of the volume.
    fn volume(&self) -> &ocfs2_format::Volume;

    /// The block `blkno` of inode `owner`, verified as `kind`.
    fn get(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: impl Into<Kind> + Send,
    ) -> impl Future<Output = Result<Arc<MetaBlock>, Error>> + Send;
}

impl Blocks for Meta {
    fn volume(&self) -> &ocfs2_format::Volume {
        self.volume()
    }

    async fn get(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: impl Into<Kind> + Send,
    ) -> Result<Arc<MetaBlock>, Error> {
        self.get(owner, blkno, kind).await
    }
}
