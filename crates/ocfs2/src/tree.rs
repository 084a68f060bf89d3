//! Extent trees: from a place in a file to a place on the volume.

use std::sync::Arc;

use ocfs2_format::{BlockKind, BlockNum, Child, Extent, ExtentBlock, ExtentList, Tree};

use crate::Error;
use crate::txn::Blocks;

/// Siblings of a leaf that are read along with it when a tree is walked in order.
const AHEAD: usize = 16;
/// First position past every tree.
const END: u64 = 1 << 32;

/// The root of an extent tree, copied out of the structure that holds it.
#[derive(Clone, Debug)]
pub(crate) struct ExtentTree {
    owner: BlockNum,
    tree: Tree,
    depth: u16,
    root: Root,
}

#[derive(Clone, Debug)]
enum Root {
    /// Shared with every reader: most trees are no more than this.
    Extents(Arc<[Extent]>),
    Children(Vec<Child>),
}

/// The extents of one leaf.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaf {
    /// In ascending order.
    pub(crate) extents: Arc<[Extent]>,
    /// First position that belongs to the next leaf; 2^32 in the last.
    pub(crate) high: u64,
}

impl Leaf {
    fn empty(high: u64) -> Self {
        Self { extents: Arc::default(), high }
    }

    /// The extent that begins at or before `cpos`, the last such one.
    pub(crate) fn at_or_before(&self, cpos: u32) -> Option<Extent> {
        let after = self.extents.partition_point(|extent| extent.cpos <= cpos);
        self.extents.get(after.checked_sub(1)?).copied()
    }

    /// Where the first extent past `cpos` begins, or the next leaf.
    pub(crate) fn after(&self, cpos: u32) -> u64 {
        let after = self.extents.partition_point(|extent| extent.cpos <= cpos);
        self.extents.get(after).map_or(self.high, |extent| u64::from(extent.cpos))
    }
}

impl ExtentTree {
    /// Levels of extent blocks below the root.
    pub(crate) fn depth(&self) -> u16 {
        self.depth
    }

    /// Takes the tree whose root list is `list`, owned by inode `owner`.
    pub(crate) fn new(owner: BlockNum, tree: Tree, list: &ExtentList<'_>) -> Self {
        let root = match list.depth() {
            0 => Root::Extents(list.extents().collect()),
            _ => Root::Children(list.children().collect()),
        };
        Self { owner, tree, depth: list.depth(), root }
    }

    /// The leaf whose range holds `cpos`. With `ahead`, its next siblings are read along with it.
    ///
    /// Every level down must have the depth of its parent less one, so a walk ends after five blocks at most,
    /// whatever they say.
    pub(crate) async fn leaf(&self, meta: &impl Blocks, cpos: u32, ahead: bool) -> Result<Leaf, Error> {
        let children = match &self.root {
            Root::Extents(extents) => return Ok(Leaf { extents: Arc::clone(extents), high: END }),
            Root::Children(children) => children,
        };
        let Some((mut child, mut range)) = pick(children.iter().copied(), cpos, (0, END)) else {
            return Ok(Leaf::empty(END));
        };
        if ahead && self.depth == 1 {
            self.read_ahead(meta, children, cpos).await;
        }
        for depth in (0..self.depth).rev() {
            let block = meta.get(self.owner, child.block, BlockKind::ExtentBlock).await?;
            let parsed =
                ExtentBlock::parse(meta.volume(), child.block, block.bytes(), self.tree, Some(depth))?;
            if depth == 0 {
                return self.leaf_of(child.block, &parsed.list, range);
            }
            match pick(parsed.list.children(), cpos, range) {
                Some((next, narrower)) => (child, range) = (next, narrower),
                None => return Ok(Leaf::empty(range.1)),
            }
            if ahead && depth == 1 {
                let siblings: Vec<Child> = parsed.list.children().collect();
                self.read_ahead(meta, &siblings, cpos).await;
            }
        }
        Ok(Leaf::empty(range.1))
    }

    /// Takes the extents of a leaf, after checking that they are in the range that the records above gave it.
    fn leaf_of(
        &self,
        block: BlockNum,
        list: &ExtentList<'_>,
        (low, high): (u64, u64),
    ) -> Result<Leaf, Error> {
        let extents: Arc<[Extent]> = list.extents().collect();
        for extent in extents.iter() {
            // In the index trees a position is a hash, and an extent's length says nothing of the next one's.
            let end = match self.tree {
                Tree::XattrIndex | Tree::DirIndex => u64::from(extent.cpos) + 1,
                _ => extent.end(),
            };
            if u64::from(extent.cpos) < low || end > high {
                let (cpos, clusters) = (extent.cpos, u32::from(extent.clusters));
                return Err(Error::TreeRange { block, cpos, clusters, low, high });
            }
        }
        Ok(Leaf { extents, high })
    }

    /// Reads the leaves from that of `cpos` on.
    async fn read_ahead(&self, meta: &impl Blocks, siblings: &[Child], cpos: u32) {
        let before = siblings.partition_point(|child| child.cpos <= cpos);
        let wanted = siblings.iter().skip(before.saturating_sub(1)).take(AHEAD);
        let wanted = wanted.map(|child| (self.owner, child.block)).collect();
        meta.prefetch(wanted, BlockKind::ExtentBlock).await;
    }

    /// The extents from the one that holds `cpos`, or the first after it, on.
    pub(crate) fn cursor(&self, cpos: u32) -> Cursor<'_> {
        Cursor { tree: self, leaf: Leaf::default(), index: 0, next: u64::from(cpos) }
    }
}

/// Chooses the child whose subtree holds `cpos`, the last that begins at or before it, else the first; gives it with
/// the part of `range` that it covers.
fn pick(children: impl Iterator<Item = Child>, cpos: u32, range: (u64, u64)) -> Option<(Child, (u64, u64))> {
    let mut found: Option<(Child, (u64, u64))> = None;
    for child in children {
        match &mut found {
            Some((_, (_, high))) if child.cpos > cpos => {
                *high = u64::from(child.cpos).min(*high);
                break;
            }
            // What lies before the first record's start belongs to it too.
            None => found = Some((child, range)),
            Some(_) => found = Some((child, (u64::from(child.cpos).max(range.0), range.1))),
        }
    }
    found
}

/// Goes through a tree's extents in order, one leaf in memory.
#[derive(Debug)]
pub(crate) struct Cursor<'t> {
    tree: &'t ExtentTree,
    leaf: Leaf,
    index: usize,
    next: u64,
}

impl Cursor<'_> {
    /// The next extent; `None` after the last.
    pub(crate) async fn next(&mut self, meta: &impl Blocks) -> Result<Option<Extent>, Error> {
        loop {
            if let Some(extent) = self.leaf.extents.get(self.index) {
                self.index += 1;
                return Ok(Some(*extent));
            }
            let Ok(cpos) = u32::try_from(self.next) else { return Ok(None) };
            let first = self.leaf.high == 0;
            self.leaf = self.tree.leaf(meta, cpos, !first).await?;
            self.index = self.leaf.extents.partition_point(|extent| extent.end() <= self.next);
            // The range of the next leaf begins past this one's, so the loop ends at 2^32.
            self.next = self.leaf.high.max(self.next + 1);
        }
    }
}
