//! The way from a root to one leaf, in memory.

use ocfs2_format::{BlockKind, BlockNum, Child, Extent, ExtentBlock, Suballoc};

use super::Extents;
use super::pieces::Joins;
use crate::Error;
use crate::txn::Blocks;

/// First position past every tree.
const END: u64 = 1 << 32;

/// Where a node lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Root,
    Block(BlockNum, Suballoc),
}

/// A node above the leaves.
#[derive(Clone, Debug)]
pub(super) struct Interior {
    pub(super) at: At,
    pub(super) capacity: usize,
    pub(super) children: Vec<Child>,
    /// Which of them the way goes through.
    pub(super) index: usize,
}

/// A leaf: extent block or root.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) at: At,
    pub(super) capacity: usize,
    pub(super) extents: Vec<Extent>,
    pub(super) next: Option<BlockNum>,
    /// The positions that belong here, by what the nodes above say.
    pub(super) low: u64,
    pub(super) high: u64,
}

/// From the root down.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) interior: Vec<Interior>,
    pub(super) leaf: Leaf,
}

impl Path {
    /// Loads the way to the leaf that `cpos` belongs to. Every node is checked, the leaf against those above it.
    pub(super) async fn load(tree: &Extents<'_>, blocks: &impl Blocks, cpos: u32) -> Result<Self, Error> {
        let volume = blocks.volume();
        let block = blocks.get(tree.owner, tree.block, tree.root.kind()).await?;
        let root = tree.root.parse(volume, tree.block, block.bytes())?.list;
        let capacity = usize::from(root.capacity());
        let mut depth = root.depth();
        if depth == 0 {
            let extents = root.extents().collect();
            let leaf = Leaf { at: At::Root, capacity, extents, next: None, low: 0, high: END };
            return Ok(Self { interior: Vec::new(), leaf });
        }
        let node = |at, capacity, children: Vec<Child>| {
            let index = children.partition_point(|child| child.cpos <= cpos).saturating_sub(1);
            Interior { at, capacity, children, index }
        };
        let mut interior = vec![node(At::Root, capacity, root.children().collect())];
        drop(block);
        let (mut low, mut high) = (0, END);
        loop {
            let last = interior.last().expect("it begins with the root");
            let Some(child) = last.children.get(last.index) else {
                let block = last.at.block(tree);
                return Err(Error::EmptyNode { block });
            };
            if last.index > 0 {
                low = u64::from(child.cpos).max(low);
            }
            if let Some(next) = last.children.get(last.index + 1) {
                high = u64::from(next.cpos).min(high);
            }
            let number = child.block;
            depth -= 1;
            let block = blocks.get(tree.owner, number, BlockKind::ExtentBlock).await?;
            let parsed = ExtentBlock::parse(volume, number, block.bytes(), tree.root.tree(), Some(depth))?;
            let (at, capacity) = (At::Block(number, parsed.suballoc), usize::from(parsed.list.capacity()));
            if depth > 0 {
                interior.push(node(at, capacity, parsed.list.children().collect()));
                continue;
            }
            let extents: Vec<Extent> = parsed.list.extents().collect();
            let joins = Joins::of(volume, tree.root.tree());
            for extent in &extents {
                if u64::from(extent.cpos) < low || joins.end(extent) > high {
                    let (cpos, clusters) = (extent.cpos, u32::from(extent.clusters));
                    return Err(Error::TreeRange { block: number, cpos, clusters, low, high });
                }
            }
            let leaf = Leaf { at, capacity, extents, next: parsed.next_leaf, low, high };
            return Ok(Self { interior, leaf });
        }
    }

    /// Whether no leaf lies before this one.
    pub(super) fn is_leftmost(&self) -> bool {
        self.interior.iter().all(|node| node.index == 0)
    }

    /// Whether no leaf lies after this one.
    pub(super) fn is_rightmost(&self) -> bool {
        self.interior.iter().all(|node| node.index + 1 == node.children.len())
    }

    /// Depth of the list of `interior[level]`.
    pub(super) fn depth_of(&self, level: usize) -> u16 {
        // At most MAX_TREE_DEPTH, and one while it grows.
        u16::try_from(self.interior.len() - level).unwrap_or(u16::MAX)
    }

    /// Says of the leaf, or of the subtree at `interior[upto]`, that it begins at `low`: in the node above, where
    /// something lies before it. False when nothing does, or it was said already.
    pub(super) fn set_low(&mut self, upto: usize, low: u32) -> bool {
        let Some(node) = self.interior.iter_mut().take(upto).rev().find(|node| node.index > 0) else {
            return false;
        };
        let child = &mut node.children[node.index];
        // It ends where it did: the end of a tree that changes elsewhere is not looked at again.
        let end = u64::from(child.cpos) + u64::from(child.clusters);
        child.clusters = u32::try_from(end.saturating_sub(u64::from(low))).unwrap_or(u32::MAX);
        std::mem::replace(&mut child.cpos, low) != low
    }
}

impl At {
    /// The block.
    pub(super) fn block(self, tree: &Extents<'_>) -> BlockNum {
        match self {
            Self::Root => tree.block,
            Self::Block(block, _) => block,
        }
    }
}
