//! A quota file as an array of blocks, which only ever grows.

use std::sync::Arc;

use ocfs2_format::{BlockKind, BlockNum, Extent, ExtentFlags};
use zerocopy::little_endian::U64;

use crate::alloc::Allocators;
use crate::extents::Extents;
use crate::inode::Body;
use crate::txn::{Blocks, Handle, MetaBlock};
use crate::{Error, Inode};

/// A quota file, global or local.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotaFile {
    pub(super) ino: BlockNum,
}

impl QuotaFile {
    /// An error about block `block` of the file.
    pub(super) fn wrong<T>(&self, block: impl Into<u64>, what: &'static str) -> Result<T, Error> {
        Err(Error::QuotaFile { ino: self.ino, block: block.into(), what })
    }

    async fn inode(&self, blocks: &impl Blocks) -> Result<Inode, Error> {
        let block = blocks.get(self.ino, self.ino, BlockKind::Dinode).await?;
        Inode::parse(blocks.volume(), block)
    }

    /// Whole blocks that the file's size covers.
    pub(super) async fn len(&self, blocks: &impl Blocks) -> Result<u64, Error> {
        Ok(self.inode(blocks).await?.size() >> blocks.volume().geometry.block_size.bits())
    }

    /// Where block `logical` of the file lies.
    async fn place(&self, blocks: &impl Blocks, logical: u64) -> Result<BlockNum, Error> {
        let inode = self.inode(blocks).await?;
        if logical >= inode.size() >> blocks.volume().geometry.block_size.bits() {
            return self.wrong(logical, "it lies past the end");
        }
        self.place_of(blocks, &inode, logical).await
    }

    /// The same for what the file's clusters hold, whatever its size.
    async fn place_of(&self, blocks: &impl Blocks, inode: &Inode, logical: u64) -> Result<BlockNum, Error> {
        let bits = blocks.volume().geometry.cluster_block_bits();
        let cpos = u32::try_from(logical >> bits).unwrap_or(u32::MAX);
        let hole = Error::Hole { ino: self.ino, what: "the quota file", cpos };
        let Body::Tree(tree) = inode.body() else { return Err(hole) };
        match tree.leaf(blocks, cpos, false).await?.at_or_before(cpos) {
            Some(extent) if u64::from(cpos) < extent.end() => {
                Ok(BlockNum(extent.block.0 + (logical - (u64::from(extent.cpos) << bits))))
            }
            _ => Err(hole),
        }
    }

    /// Reads block `logical`, and says where it lies.
    pub(super) async fn get(
        &self,
        blocks: &impl Blocks,
        logical: u64,
    ) -> Result<(BlockNum, Arc<MetaBlock>), Error> {
        let place = self.place(blocks, logical).await?;
        Ok((place, blocks.get(self.ino, place, BlockKind::Quota).await?))
    }

    /// Block `logical`, to be changed.
    pub(super) async fn edit<'h>(
        &self,
        handle: &'h mut Handle<'_>,
        logical: u64,
    ) -> Result<&'h mut [u8], Error> {
        let place = self.place(handle, logical).await?;
        handle.edit(self.ino, place, BlockKind::Quota).await
    }

    /// Block `logical`, where nothing is yet, zeroed; it is the first that is not in use, and the file grows where it
    /// is not long enough to have it.
    pub(super) async fn add<'h>(
        &self,
        handle: &'h mut Handle<'_>,
        alloc: &Allocators,
        logical: u64,
    ) -> Result<&'h mut [u8], Error> {
        let len = self.len(handle).await?;
        if logical > len {
            return self.wrong(logical, "more blocks are in use than the file has");
        }
        if logical == len {
            self.grow(handle, alloc, len).await?;
        }
        let place = self.place(handle, logical).await?;
        Ok(handle.fresh(self.ino, place, BlockKind::Quota))
    }

    /// Makes the file of `len` blocks one block longer.
    async fn grow(&self, handle: &mut Handle<'_>, alloc: &Allocators, len: u64) -> Result<(), Error> {
        let geometry = handle.volume().geometry;
        let clusters = self.inode(handle).await?.dinode().clusters;
        if len >= u64::from(clusters) << geometry.cluster_block_bits() {
            let run = alloc.claim_clusters(handle, 1, 1).await?;
            let block = geometry.cluster_start(run.start);
            let extent = Extent { cpos: clusters, clusters: 1, flags: ExtentFlags::empty(), block };
            Extents::of_inode(alloc, self.ino).insert(handle, extent).await?;
        }
        let bytes = handle.edit(self.ino, self.ino, BlockKind::Dinode).await?;
        super::raw(bytes, 0, |raw: &mut ocfs2_format::RawDinode| {
            raw.size = U64::new((len + 1) << geometry.block_size.bits());
        });
        Ok(())
    }
}
