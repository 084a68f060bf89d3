//! The free list of an indexed directory: its blocks with holes, linked through their trailers.
//!
//! A trailer's `db_free_rec_len` must never be more than the block's largest hole: the kernel trusts it. It is 0 in
//! the blocks that are not in the list.

use ocfs2_format::{BlockKind, BlockNum, DxRoot};
use zerocopy::little_endian::{U16, U64};

use super::edit::Spot;
use super::names::Names;
use super::space::Space;
use crate::Error;
use crate::inode::Inode;
use crate::txn::Blocks;

/// A block of the free list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) block: BlockNum,
    /// The one that names it as its next; `None` for the first.
    pub(super) before: Option<BlockNum>,
}

impl<S: Space> Names<'_, '_, S> {
    /// The first block of the list that has a hole of `need` bytes.
    ///
    /// What a trailer says is only where to look: libocfs2 is known to leave more than there is.
    pub(super) async fn first_listed(
        &self,
        dir: &Inode,
        root: BlockNum,
        need: usize,
    ) -> Result<Option<Listed>, Error> {
        let volume = self.handle.volume();
        let mut left = dir.size().div_ceil(volume.geometry.block_size.bytes());
        let block = self.handle.get(self.dir, root, BlockKind::DxRoot).await?;
        let mut next = DxRoot::parse(volume, root, block.bytes(), Some(self.dir))?.free;
        let mut before = None;
        while let Some(block) = next {
            left = left.checked_sub(1).ok_or(Error::DirIndex {
                ino: self.dir,
                what: "the list of blocks with holes is longer than the directory",
            })?;
            let trailer = self.trailer(block).await?;
            if usize::from(trailer.free_rec_len) >= need && self.reader(dir).has_room(block, need).await? {
                return Ok(Some(Listed { block, before }));
            }
            (before, next) = (Some(block), trailer.free_next);
        }
        Ok(None)
    }

    /// Brings the list up to date after an entry was put into `spot`, whose predecessor in the list is `before`.
    pub(super) async fn list_less(
        &mut self,
        root: BlockNum,
        spot: &Spot,
        before: Option<BlockNum>,
    ) -> Result<(), Error> {
        let hole = self.area_mut(spot).await?.largest_hole()?;
        let trailer = self.trailer_mut(spot.block).await?;
        trailer.free_rec_len = length(hole);
        if hole > 0 {
            return Ok(());
        }
        let next = std::mem::take(&mut trailer.free_next);
        match before {
            Some(before) => self.trailer_mut(before).await?.free_next = next,
            None => self.root_mut(root).await?.free_blk = next,
        }
        Ok(())
    }

    /// Brings the list up to date after an entry was taken out of `spot`: a block that was full comes to its head.
    pub(super) async fn list_again(&mut self, root: BlockNum, spot: &Spot) -> Result<(), Error> {
        let hole = self.area_mut(spot).await?.largest_hole()?;
        let listed = self.trailer(spot.block).await?.free_rec_len != 0;
        if !listed {
            self.list_first(root, spot.block).await?;
        }
        self.trailer_mut(spot.block).await?.free_rec_len = length(hole);
        Ok(())
    }

    /// Puts `block` at the head of the list.
    pub(super) async fn list_first(&mut self, root: BlockNum, block: BlockNum) -> Result<(), Error> {
        let head = &mut self.root_mut(root).await?.free_blk;
        let next = std::mem::replace(head, U64::new(block.0));
        self.trailer_mut(block).await?.free_next = next;
        Ok(())
    }
}

/// A length within a block, which is 4096 bytes at most.
pub(super) fn length(len: usize) -> U16 {
    U16::new(u16::try_from(len).unwrap_or(u16::MAX))
}
