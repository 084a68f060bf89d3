//! Changing extent trees: files, xattr values, and the three indexes, each by the root that holds it.
//!
//! All of it changes blocks of a [`Handle`], as [`alloc`](crate::alloc) does, and by the same rules: after
//! [`Error::NoSpace`] the handle is as it was, after any other error it must be dropped. Extent blocks are claimed in
//! the own slot's allocator; those that a removal leaves empty are handed back, for
//! [`Allocators::free_block`] in the same handle, whose lock the caller holds.
//!
//! A step changes one leaf and what leads to it, so the blocks that it needs of the journal are bounded by the depth:
//! [`Extents::credits`]. Longer ranges are many steps, and where the operation allows it, many transactions.

mod edit;
mod path;
mod pieces;
#[cfg(test)]
mod tests;

use ocfs2_format::{BlockNum, Extent, ExtentFlags, ExtentRoot, Suballoc};

use crate::Error;
use crate::alloc::Allocators;
use crate::txn::{Blocks, Handle};
use path::Path;
use pieces::Joins;

/// One extent tree, to be changed.
#[derive(Clone, Copy, Debug)]
pub struct Extents<'a> {
    alloc: &'a Allocators,
    owner: BlockNum,
    block: BlockNum,
    root: ExtentRoot,
}

/// What a removal took out of a tree.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// What was removed, in descending order: nothing refers to these clusters any more.
    pub extents: Vec<Extent>,
    /// Extent blocks that are no longer part of the tree.
    pub blocks: Vec<(BlockNum, Suballoc)>,
    /// Whether there is nothing left in the range.
    pub done: bool,
}

impl<'a> Extents<'a> {
    /// The tree whose root is `root` in `block`, which belongs to inode `owner`.
    #[must_use]
    pub fn new(alloc: &'a Allocators, owner: BlockNum, block: BlockNum, root: ExtentRoot) -> Self {
        Self { alloc, owner, block, root }
    }

    /// The tree of the data of inode `ino`.
    #[must_use]
    pub fn of_inode(alloc: &'a Allocators, ino: BlockNum) -> Self {
        Self::new(alloc, ino, ino, ExtentRoot::Dinode)
    }

    /// The most blocks that one step changes, without those of the allocator: at every level a node, its new
    /// neighbour, and the edge of the subtree beside it; and the root once more, for its growth.
    #[must_use]
    pub fn credits() -> usize {
        3 * usize::from(ocfs2_format::MAX_TREE_DEPTH) + 2
    }

    /// Adds `extent`, whose place must be free. It is joined with its neighbours in the same leaf where they go on
    /// both in the file and on the volume and have the same flags.
    ///
    /// # Errors
    /// [`Error::ExtentOverlap`] when the place is not free; [`Error::NoSpace`] for want of a block; others as reading
    /// does.
    pub async fn insert(&self, handle: &mut Handle<'_>, extent: Extent) -> Result<(), Error> {
        let saved = handle.save();
        let done = self.try_insert(handle, extent).await;
        if let Err(Error::NoSpace { .. }) = done {
            handle.restore(saved);
        }
        done
    }

    async fn try_insert(&self, handle: &mut Handle<'_>, extent: Extent) -> Result<(), Error> {
        let joins = Joins::of(handle.volume(), self.root.tree());
        let mut path = Path::load(self, handle, extent.cpos).await?;
        let end = joins.end(&extent);
        if end > path.leaf.high {
            // The next leaf may begin later than what leads to it says.
            self.tighten(handle, path.leaf.high).await?;
            path = Path::load(self, handle, extent.cpos).await?;
        }
        let at = path.leaf.extents.partition_point(|other| other.cpos < extent.cpos);
        let before = at.checked_sub(1).and_then(|at| path.leaf.extents.get(at));
        let clear = before.is_none_or(|before| joins.end(before) <= u64::from(extent.cpos))
            && path.leaf.extents.get(at).is_none_or(|after| end <= u64::from(after.cpos))
            && end <= path.leaf.high
            && extent.clusters > 0;
        if !clear {
            let (cpos, clusters) = (extent.cpos, u32::from(extent.clusters));
            return Err(Error::ExtentOverlap { owner: self.owner, cpos, clusters });
        }
        let mut extents = path.leaf.extents.clone();
        extents.insert(at, extent);
        joins.join(&mut extents, at..at + 1);
        self.count(handle, i64::from(extent.clusters)).await?;
        self.replace(handle, path, extents).await
    }

    /// Sets the flags `set` and clears the flags `clear` of what lies in the clusters `start` to `end`, as far as it
    /// lies in one leaf; extents are cut at both ends and joined with what then goes on. Gives the place to go on
    /// from, `end` at the end. Holes are passed over.
    ///
    /// # Errors
    /// [`Error::NoSpace`] for want of a block; others as reading does.
    pub async fn set_flags(
        &self,
        handle: &mut Handle<'_>,
        (start, end): (u64, u64),
        set: ExtentFlags,
        clear: ExtentFlags,
    ) -> Result<u64, Error> {
        let Some(cpos) = u32::try_from(start).ok().filter(|_| start < end) else { return Ok(end) };
        let joins = Joins::of(handle.volume(), self.root.tree());
        let path = Path::load(self, handle, cpos).await?;
        let next = path.leaf.high.clamp(start + 1, end);
        let Some(extents) = joins.flagged(&path.leaf.extents, (start, end), |flags| (flags | set) - clear)
        else {
            return Ok(next);
        };
        let saved = handle.save();
        match self.replace(handle, path, extents).await {
            Err(error @ Error::NoSpace { .. }) => {
                handle.restore(saved);
                Err(error)
            }
            done => done.map(|()| next),
        }
    }

    /// Makes the clusters `start` to `end` written, leaf by leaf: what was unwritten reads as its clusters now.
    ///
    /// # Errors
    /// As [`Self::set_flags`].
    pub async fn mark_written(
        &self,
        handle: &mut Handle<'_>,
        (mut start, end): (u64, u64),
    ) -> Result<(), Error> {
        let saved = handle.save();
        while start < end {
            let (none, unwritten) = (ExtentFlags::empty(), ExtentFlags::UNWRITTEN);
            start = match self.set_flags(handle, (start, end), none, unwritten).await {
                Err(error @ Error::NoSpace { .. }) => {
                    handle.restore(saved);
                    return Err(error);
                }
                next => next?,
            };
        }
        Ok(())
    }

    /// Removes what lies in the clusters `start` to `end`: from the end, at most `most` extents, of one leaf. Call it
    /// until it is [done](Removed::done). An extent that is cut in the middle may need a block.
    ///
    /// # Errors
    /// [`Error::NoSpace`] for want of a block; others as reading does.
    pub async fn remove(
        &self,
        handle: &mut Handle<'_>,
        (start, end): (u64, u64),
        most: usize,
    ) -> Result<Removed, Error> {
        let joins = Joins::of(handle.volume(), self.root.tree());
        let mut removed = Removed { done: true, ..Removed::default() };
        let mut upto = end;
        let (path, left) = loop {
            let Some(last) = upto.checked_sub(1).filter(|_| start < upto) else { return Ok(removed) };
            let path = Path::load(self, handle, u32::try_from(last).unwrap_or(u32::MAX)).await?;
            let (left, out) = joins.without(&path.leaf.extents, (start, end), most.max(1));
            if !out.is_empty() {
                removed.extents = out;
                break (path, left);
            }
            // Nothing of this leaf lies in the range: the leaf before it may.
            upto = path.leaf.low;
        };
        let lowest = removed.extents.last().map_or(start, |extent| u64::from(extent.cpos));
        removed.done = lowest <= start || !self.any(handle, (start, lowest)).await?;
        let saved = handle.save();
        let clusters: i64 = removed.extents.iter().map(|extent| i64::from(extent.clusters)).sum();
        self.count(handle, -clusters).await?;
        if left.is_empty() && !path.interior.is_empty() {
            self.unlink(handle, path, &mut removed.blocks).await?;
            return Ok(removed);
        }
        match self.replace(handle, path, left).await {
            Err(error @ Error::NoSpace { .. }) => {
                handle.restore(saved);
                Err(error)
            }
            done => done.map(|()| removed),
        }
    }

    /// Removes what lies at cluster `from` or after it, as [`Self::remove`] does.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub async fn truncate(&self, handle: &mut Handle<'_>, from: u32, most: usize) -> Result<Removed, Error> {
        self.remove(handle, (u64::from(from), 1 << 32), most).await
    }

    /// Whether anything lies in the clusters `start` to `end`.
    async fn any(&self, blocks: &impl Blocks, (start, end): (u64, u64)) -> Result<bool, Error> {
        let joins = Joins::of(blocks.volume(), self.root.tree());
        let mut upto = end;
        while let Some(last) = upto.checked_sub(1).filter(|_| start < upto) {
            let path = Path::load(self, blocks, u32::try_from(last).unwrap_or(u32::MAX)).await?;
            let inside = |extent: &Extent| u64::from(extent.cpos) < end && joins.end(extent) > start;
            if path.leaf.extents.iter().any(inside) {
                return Ok(true);
            }
            upto = path.leaf.low;
        }
        Ok(false)
    }
}
