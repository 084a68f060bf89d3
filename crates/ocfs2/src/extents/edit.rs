//! Writing a changed leaf back: splits, growth, leaves that go, and what the nodes above say of it.

use ocfs2_format::{
    BlockKind, BlockNum, Child, Extent, ExtentBlock, MAX_TREE_DEPTH, RawExtentBlock, RawExtentRec, Suballoc,
};
use zerocopy::little_endian::{U16, U32, U64};

use super::Extents;
use super::path::{At, Interior, Leaf, Path};
use crate::Error;
use crate::alloc::Pool;
use crate::txn::{Blocks, Handle};

impl Extents<'_> {
    /// Puts `extents` in place of those of the path's leaf, which may take more blocks. Not for none of them below a
    /// root: see [`Self::unlink`].
    pub(super) async fn replace(
        &self,
        handle: &mut Handle<'_>,
        mut path: Path,
        extents: Vec<Extent>,
    ) -> Result<(), Error> {
        let appended = path.is_rightmost() && extents.len() > path.leaf.extents.len() && {
            let kept = path.leaf.extents.len();
            extents.get(..kept) == path.leaf.extents.get(..)
        };
        path.leaf.extents = extents;
        if path.leaf.extents.len() > path.leaf.capacity && path.leaf.at == At::Root {
            self.deepen_leaf(handle, &mut path).await?;
        }
        if path.leaf.extents.len() > path.leaf.capacity {
            return self.split_leaf(handle, path, appended).await;
        }
        self.store_leaf(handle, &path.leaf).await?;
        let first = path.leaf.extents.first().map(|extent| extent.cpos);
        let levels = path.interior.len();
        let moved = first.is_some_and(|first| path.set_low(levels, first));
        self.refit(handle, &mut path).await?;
        match first.and_then(|first| first.checked_sub(1)) {
            Some(before) if moved => self.refit_at(handle, before).await,
            _ => Ok(()),
        }
    }

    /// The leaf that is the root moves into a block of its own.
    async fn deepen_leaf(&self, handle: &mut Handle<'_>, path: &mut Path) -> Result<(), Error> {
        let (at, block) = self.new_node(handle, 0).await?;
        let root = Child { cpos: 0, clusters: 0, block };
        path.interior.push(Interior {
            at: At::Root,
            capacity: path.leaf.capacity,
            children: vec![root],
            index: 0,
        });
        path.leaf.at = at;
        path.leaf.capacity = ExtentBlock::capacity(handle.volume().geometry.block_size);
        self.store_interior(handle, path, 0).await?;
        self.set_last_leaf(handle, Some(block)).await
    }

    /// Cuts an overfull leaf in two: in the middle, or where the tree grows at its end, after what fits.
    async fn split_leaf(&self, handle: &mut Handle<'_>, mut path: Path, appended: bool) -> Result<(), Error> {
        let (at, block) = self.new_node(handle, 0).await?;
        let leaf = &mut path.leaf;
        let cut = if appended { leaf.capacity } else { leaf.extents.len() / 2 };
        let extents = leaf.extents.split_off(cut);
        let right = Leaf { at, extents, next: leaf.next.replace(block), ..leaf.clone() };
        let (left_at, right_at) = (first_of(&leaf.extents), first_of(&right.extents));
        self.store_leaf(handle, &path.leaf).await?;
        self.store_leaf(handle, &right).await?;
        if right.next.is_none() {
            self.set_last_leaf(handle, Some(block)).await?;
        }
        let levels = path.interior.len();
        let moved = path.set_low(levels, left_at);
        self.add_child(handle, path, Child { cpos: right_at, clusters: 0, block }, appended).await?;
        if let Some(before) = left_at.checked_sub(1).filter(|_| moved) {
            self.refit_at(handle, before).await?;
        }
        self.refit_at(handle, left_at).await?;
        self.refit_at(handle, right_at).await
    }

    /// Adds `child` behind the one that the path goes through in the lowest node, and makes room for it there.
    async fn add_child(
        &self,
        handle: &mut Handle<'_>,
        mut path: Path,
        mut child: Child,
        appended: bool,
    ) -> Result<(), Error> {
        let mut level = path.interior.len();
        loop {
            level -= 1;
            let node = &mut path.interior[level];
            // It takes the end of what it was cut from: the tree's end is read off here.
            child.clusters = end_of(node.children.get(node.index)).saturating_sub(child.cpos);
            node.children.insert(node.index + 1, child);
            if node.children.len() > node.capacity && level == 0 {
                self.deepen_root(handle, &mut path).await?;
                level = 1;
            }
            let depth = path.depth_of(level);
            let node = &mut path.interior[level];
            if node.children.len() <= node.capacity {
                break;
            }
            let (at, block) = self.new_node(handle, depth).await?;
            let cut = if appended { node.capacity } else { node.children.len() / 2 };
            let right = node.children.split_off(cut);
            child = Child { cpos: right.first().map_or(0, |first| first.cpos), clusters: 0, block };
            self.store(handle, at, depth, &records(&right, RawExtentRec::from_child), None).await?;
            self.store_interior(handle, &path, level).await?;
        }
        for level in 0..=level {
            self.store_interior(handle, &path, level).await?;
        }
        Ok(())
    }

    /// The root's children move into a block, which becomes its only child.
    async fn deepen_root(&self, handle: &mut Handle<'_>, path: &mut Path) -> Result<(), Error> {
        let depth = path.depth_of(0);
        if depth >= MAX_TREE_DEPTH {
            return Err(Error::TreeTooDeep { owner: self.owner, max: MAX_TREE_DEPTH });
        }
        let (at, block) = self.new_node(handle, depth).await?;
        let root = &mut path.interior[0];
        let capacity = root.capacity;
        root.at = at;
        root.capacity = ExtentBlock::capacity(handle.volume().geometry.block_size);
        let child = Child { cpos: 0, clusters: end_of(root.children.last()), block };
        path.interior.insert(0, Interior { at: At::Root, capacity, children: vec![child], index: 0 });
        Ok(())
    }

    /// Takes the path's leaf, of which nothing is left, out of the tree, and the nodes above that become empty. The
    /// blocks are added to `freed`.
    pub(super) async fn unlink(
        &self,
        handle: &mut Handle<'_>,
        mut path: Path,
        freed: &mut Vec<(BlockNum, Suballoc)>,
    ) -> Result<(), Error> {
        let before = path.leaf.low.checked_sub(1).and_then(|cpos| u32::try_from(cpos).ok());
        let before = before.filter(|_| !path.is_leftmost());
        let mut left = None;
        if let Some(cpos) = before {
            let mut neighbour = Path::load(self, handle, cpos).await?;
            neighbour.leaf.next = path.leaf.next;
            self.store_leaf(handle, &neighbour.leaf).await?;
            left = Some(neighbour.leaf.at.block(self));
        }
        if path.leaf.next.is_none() {
            self.set_last_leaf(handle, left).await?;
        }
        freed.extend(path.leaf.at.freed());
        let mut level = path.interior.len();
        while level > 0 {
            level -= 1;
            let node = &mut path.interior[level];
            node.children.remove(node.index);
            if !node.children.is_empty() || level == 0 {
                break;
            }
            freed.extend(node.at.freed());
        }
        let (node, was_first) = (&path.interior[level], path.interior[level].index == 0);
        let Some(first) = node.children.first().map(|child| child.cpos) else {
            // The root has nothing left: the tree is empty.
            return self.store(handle, At::Root, 0, &[], None).await;
        };
        if was_first {
            path.set_low(level, first);
        }
        for level in 0..=level {
            self.store_interior(handle, &path, level).await?;
        }
        if was_first {
            self.refit_at(handle, first).await?;
        }
        match before {
            Some(cpos) => self.refit_at(handle, cpos).await,
            None => Ok(()),
        }
    }

    /// Says of the leaf that `cpos` belongs to where it really begins.
    pub(super) async fn tighten(&self, handle: &mut Handle<'_>, cpos: u64) -> Result<(), Error> {
        let Ok(cpos) = u32::try_from(cpos) else { return Ok(()) };
        let mut path = Path::load(self, handle, cpos).await?;
        let Some(first) = path.leaf.extents.first().map(|extent| extent.cpos) else { return Ok(()) };
        let levels = path.interior.len();
        if path.set_low(levels, first) {
            self.refit(handle, &mut path).await?;
            self.refit_at(handle, first.saturating_sub(1)).await?;
        }
        Ok(())
    }

    /// [`Self::refit`] of the way to `cpos`.
    async fn refit_at(&self, handle: &mut Handle<'_>, cpos: u32) -> Result<(), Error> {
        let mut path = Path::load(self, handle, cpos).await?;
        self.refit(handle, &mut path).await
    }

    /// Makes the ranges in the nodes of `path` fit: each child's ends where the next begins, a node's first child
    /// begins where the node does, and its last one ends where the node ends; the tree's last where its last extent
    /// does.
    async fn refit(&self, handle: &mut Handle<'_>, path: &mut Path) -> Result<(), Error> {
        let mut low = 0;
        // `None` where the end of the tree is not on this path, and stays as it is.
        let mut high = path.leaf.extents.last().map(Extent::end).filter(|_| path.is_rightmost());
        for level in 0..path.interior.len() {
            let node = &mut path.interior[level];
            let old = node.children.clone();
            let end = node.children.last().map_or(0, |last| u64::from(last.cpos) + u64::from(last.clusters));
            if let Some(first) = node.children.first_mut() {
                first.cpos = low;
            }
            let starts: Vec<u64> = node.children.iter().skip(1).map(|child| u64::from(child.cpos)).collect();
            let ends = starts.into_iter().chain([high.unwrap_or(end)]);
            for (child, end) in node.children.iter_mut().zip(ends) {
                child.clusters = u32::try_from(end.saturating_sub(u64::from(child.cpos))).unwrap_or(u32::MAX);
            }
            low = node.children.get(node.index).map_or(low, |child| child.cpos);
            high = node.children.get(node.index + 1).map(|next| u64::from(next.cpos)).or(high);
            if old != node.children {
                self.store_interior(handle, path, level).await?;
            }
        }
        Ok(())
    }

    /// Claims an extent block and makes it an empty node of this depth.
    async fn new_node(&self, handle: &mut Handle<'_>, depth: u16) -> Result<(At, BlockNum), Error> {
        let new = self.alloc.claim_block(handle, Pool::Extent(self.alloc.slot())).await?;
        let volume = *handle.volume();
        let bytes = handle.fresh(self.owner, new.block, BlockKind::ExtentBlock);
        let (head, _) = RawExtentBlock::mut_from(new.block, bytes)?;
        *head = RawExtentBlock::new(&volume, new.block, new.suballoc);
        head.list.tree_depth = U16::new(depth);
        Ok((At::Block(new.block, new.suballoc), new.block))
    }

    async fn store_leaf(&self, handle: &mut Handle<'_>, leaf: &Leaf) -> Result<(), Error> {
        let list = records(&leaf.extents, RawExtentRec::from_extent);
        self.store(handle, leaf.at, 0, &list, leaf.next).await
    }

    async fn store_interior(&self, handle: &mut Handle<'_>, path: &Path, level: usize) -> Result<(), Error> {
        let node = &path.interior[level];
        let list = records(&node.children, RawExtentRec::from_child);
        self.store(handle, node.at, path.depth_of(level), &list, None).await
    }

    /// Writes the list of a node: its depth, its records, zeroes behind them.
    async fn store(
        &self,
        handle: &mut Handle<'_>,
        at: At,
        depth: u16,
        list: &[RawExtentRec],
        next: Option<BlockNum>,
    ) -> Result<(), Error> {
        let block = at.block(self);
        let fill = |records: &mut [RawExtentRec]| {
            let (used, rest) = records.split_at_mut_checked(list.len())?;
            used.copy_from_slice(list);
            rest.fill(RawExtentRec::default());
            u16::try_from(list.len()).ok().map(U16::new)
        };
        let full = Error::EmptyNode { block };
        match at {
            At::Root => {
                let bytes = handle.edit(self.owner, block, self.root.kind()).await?;
                let root = self.root.mut_from(block, bytes)?;
                root.list.next_free_rec = fill(root.records).ok_or(full)?;
                root.list.tree_depth = U16::new(depth);
            }
            At::Block(..) => {
                let bytes = handle.edit(self.owner, block, BlockKind::ExtentBlock).await?;
                let (head, records) = RawExtentBlock::mut_from(block, bytes)?;
                head.list.next_free_rec = fill(records).ok_or(full)?;
                head.list.tree_depth = U16::new(depth);
                head.next_leaf_blk = U64::new(next.map_or(0, BlockNum::get));
            }
        }
        Ok(())
    }

    async fn set_last_leaf(&self, handle: &mut Handle<'_>, last: Option<BlockNum>) -> Result<(), Error> {
        let bytes = handle.edit(self.owner, self.block, self.root.kind()).await?;
        let root = self.root.mut_from(self.block, bytes)?;
        *root.last_eb_blk = U64::new(last.map_or(0, BlockNum::get));
        Ok(())
    }

    /// Adds `change` to the root's count of clusters.
    pub(super) async fn count(&self, handle: &mut Handle<'_>, change: i64) -> Result<(), Error> {
        let bytes = handle.edit(self.owner, self.block, self.root.kind()).await?;
        let root = self.root.mut_from(self.block, bytes)?;
        let found = root.clusters.get();
        let sum = u32::try_from(i64::from(found) + change);
        let sum = sum.map_err(|_| Error::TreeClusters { owner: self.owner, found, change })?;
        *root.clusters = U32::new(sum);
        Ok(())
    }
}

impl At {
    /// The block, when it is one that can be freed.
    fn freed(self) -> Option<(BlockNum, Suballoc)> {
        match self {
            Self::Root => None,
            Self::Block(block, suballoc) => Some((block, suballoc)),
        }
    }
}

fn records<T>(items: &[T], record: impl Fn(&T) -> RawExtentRec) -> Vec<RawExtentRec> {
    items.iter().map(record).collect()
}

/// Where what lies below a child ends; the last of all ends fits 32 bits but for one position.
fn end_of(child: Option<&Child>) -> u32 {
    child.map_or(0, |child| child.cpos.saturating_add(child.clusters))
}

fn first_of(extents: &[Extent]) -> u32 {
    extents.first().map_or(0, |extent| extent.cpos)
}
