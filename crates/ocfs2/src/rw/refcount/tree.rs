//! A refcount tree on the volume: records in the root, or in leaves below it.

use ocfs2_format::{
    BlockKind, BlockNum, DynFeatures, Extent, ExtentFlags, ExtentRoot, RawExtentList, RawRefcountBlock,
    RawRefcountList, RawRefcountRec, RefcountBlock, RefcountBody, RefcountRec, Suballoc, Tree,
};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::counts::adjust;
use crate::Error;
use crate::alloc::{ClusterRun, NewBlock, Pool};
use crate::extents::Extents;
use crate::rw::change::Change;
use crate::tree::ExtentTree;
use crate::txn::Blocks;

/// Byte of a refcount block where its list lies.
const LIST: usize = size_of::<RawRefcountBlock>();
/// First position past every leaf's.
const END: u64 = 1 << 32;

/// A refcount tree whose lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefcountTree {
    pub(super) root: BlockNum,
}

/// A block with records, and the clusters that it is for.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    block: BlockNum,
    cpos: u32,
    end: u64,
}

/// The generation of the tree with the root `root`.
pub(in crate::rw) async fn generation(blocks: &impl Blocks, root: BlockNum) -> Result<u32, Error> {
    let data = blocks.get(root, root, BlockKind::RefcountBlock).await?;
    Ok(RefcountBlock::parse(blocks.volume(), root, data.bytes())?.generation)
}

impl RefcountTree {
    /// The tree that inode `ino` is attached to.
    ///
    /// # Errors
    /// [`Error::Unlocked`] when its lock is not held yet.
    pub(crate) async fn of(change: &mut Change<'_>, ino: BlockNum) -> Result<Self, Error> {
        let root = change.inode(ino).await?.dinode().refcount_root;
        let none = Error::RefcountTree {
            root: ino,
            what: "an inode has shared extents, and no tree that counts them",
        };
        let root = root.ok_or(none)?;
        change.blocks().expect_locked(root)?;
        Ok(Self { root })
    }

    /// Makes a tree without records and attaches inode `ino` to it. `generation` is one that no tree in this place had.
    pub(crate) async fn create(
        change: &mut Change<'_>,
        ino: BlockNum,
        generation: u32,
    ) -> Result<Self, Error> {
        let (blocks, alloc) = change.blocks_and_space();
        let new = alloc.claim_block(blocks, Pool::Extent(alloc.slot())).await?;
        let tree = Self { root: new.block };
        tree.write_block(change, new, 0, generation, None)?;
        tree.attach(change, ino).await?;
        Ok(tree)
    }

    /// Attaches inode `ino`, which is attached to none.
    pub(crate) async fn attach(self, change: &mut Change<'_>, ino: BlockNum) -> Result<(), Error> {
        let raw = self.head(change).await?;
        let count = raw.count.get().checked_add(1).ok_or(Error::TooManyClones { root: self.root })?;
        raw.count = U32::new(count);
        let raw = change.dinode(ino).await?;
        raw.refcount_loc = U64::new(self.root.0);
        raw.dyn_features = U16::new(raw.dyn_features.get() | DynFeatures::HAS_REFCOUNT.bits());
        Ok(())
    }

    /// Detaches inode `ino`, none of whose extents is counted any more. The last one takes the tree along.
    pub(crate) async fn detach(self, change: &mut Change<'_>, ino: BlockNum) -> Result<(), Error> {
        let raw = change.dinode(ino).await?;
        raw.refcount_loc = U64::ZERO;
        raw.dyn_features = U16::new(raw.dyn_features.get() & !DynFeatures::HAS_REFCOUNT.bits());
        let raw = self.head(change).await?;
        let left = raw.count.get().saturating_sub(1);
        raw.count = U32::new(left);
        if left > 0 {
            return Ok(());
        }
        let data = change.blocks().get(self.root, self.root, BlockKind::RefcountBlock).await?;
        let parsed = RefcountBlock::parse(change.blocks().volume(), self.root, data.bytes())?;
        let empty = matches!(parsed.body, RefcountBody::Records { records: [], .. });
        let suballoc = parsed.suballoc;
        if !empty {
            return Err(Error::RefcountTree {
                root: self.root,
                what: "no inode is attached, but it has records",
            });
        }
        drop(data);
        let (blocks, alloc) = change.blocks_and_space();
        alloc.free_block(blocks, Pool::Extent(suballoc.slot), self.root, suballoc).await
    }

    /// Counts `more` extents more for the clusters `run`.
    pub(crate) async fn increase(
        self,
        change: &mut Change<'_>,
        run: ClusterRun,
        more: i32,
    ) -> Result<(), Error> {
        self.adjust(change, run, more).await.map(drop)
    }

    /// The first clusters of `run`: those that one leaf counts, so that a change of their counts is no large one.
    pub(crate) async fn in_one_leaf(
        self,
        blocks: &impl Blocks,
        run: ClusterRun,
    ) -> Result<ClusterRun, Error> {
        let end = self.leaf(blocks, run.start.0).await?.map_or(END, |leaf| leaf.end);
        let room = end.saturating_sub(u64::from(run.start.0));
        Ok(ClusterRun { clusters: u32::try_from(room).unwrap_or(u32::MAX).min(run.clusters), ..run })
    }

    /// Counts one extent less. What no extent refers to any more goes into the truncate log.
    pub(crate) async fn release(self, change: &mut Change<'_>, run: ClusterRun) -> Result<(), Error> {
        for gone in self.adjust(change, run, -1).await? {
            let (blocks, alloc) = change.blocks_and_space();
            alloc.log_freed(blocks, gone).await?;
        }
        Ok(())
    }

    /// Takes the clusters `run` out of the tree, each of which one extent refers to, and goes on doing so.
    pub(super) async fn forget(self, change: &mut Change<'_>, run: ClusterRun) -> Result<(), Error> {
        let gone = self.adjust(change, run, -1).await?;
        let count: u64 = gone.iter().map(|gone| u64::from(gone.clusters)).sum();
        if count == u64::from(run.clusters) {
            Ok(())
        } else {
            Err(self.wrong("a cluster is shared after all"))
        }
    }

    /// How many extents refer to the first cluster of `run`, and to how many of those behind it as many do.
    pub(super) async fn count(self, blocks: &impl Blocks, run: ClusterRun) -> Result<(u32, u32), Error> {
        let start = run.start.0;
        let leaf = self.leaf(blocks, start).await?;
        let Some(leaf) = leaf else { return Err(self.wrong("a shared cluster is not counted")) };
        let records = self.records(blocks, leaf.block).await?.0;
        let holds = |record: &&RefcountRec| {
            record.start.0 <= start
                && u64::from(start) < u64::from(record.start.0) + u64::from(record.clusters)
        };
        let found = records.iter().find(holds).ok_or(self.wrong("a shared cluster is not counted"))?;
        Ok((found.count, (found.clusters - (start - found.start.0)).min(run.clusters)))
    }

    /// Adds `step` to the count of the clusters `run`; gives those that are counted no more.
    pub(super) async fn adjust(
        self,
        change: &mut Change<'_>,
        run: ClusterRun,
        step: i32,
    ) -> Result<Vec<ClusterRun>, Error> {
        let (mut at, end) = (run.range().start, run.range().end);
        let mut gone = Vec::new();
        while at < end {
            let leaf = match self.leaf(change.blocks(), at).await? {
                Some(leaf) => leaf,
                None => self.add_leaf(change, at, &[]).await?,
            };
            let upto = u32::try_from(u64::from(end).min(leaf.end)).unwrap_or(end);
            let (records, capacity) = self.records(change.blocks(), leaf.block).await?;
            let adjusted = adjust(&records, (at, upto), step);
            let adjusted = adjusted.ok_or_else(|| match step {
                ..0 => self.wrong("a cluster is counted less often than it is shared"),
                _ => Error::TooManyClones { root: self.root },
            })?;
            gone.extend(adjusted.gone);
            self.store(change, leaf, &adjusted.records, capacity).await?;
            at = upto;
        }
        Ok(gone)
    }

    /// The block for cluster `key`; `None` when all leaves are for later ones.
    async fn leaf(self, blocks: &impl Blocks, key: u32) -> Result<Option<Leaf>, Error> {
        let data = blocks.get(self.root, self.root, BlockKind::RefcountBlock).await?;
        let list = match RefcountBlock::parse(blocks.volume(), self.root, data.bytes())?.body {
            RefcountBody::Records { .. } => return Ok(Some(Leaf { block: self.root, cpos: 0, end: END })),
            RefcountBody::Tree(list) => list,
        };
        let tree = ExtentTree::new(self.root, Tree::Refcount, &list);
        let leaf = tree.leaf(blocks, key, false).await?;
        let Some(extent) = leaf.at_or_before(key) else { return Ok(None) };
        Ok(Some(Leaf { block: extent.block, cpos: extent.cpos, end: leaf.after(key) }))
    }

    /// The records of a block, and how many fit.
    async fn records(
        self,
        blocks: &impl Blocks,
        block: BlockNum,
    ) -> Result<(Vec<RefcountRec>, usize), Error> {
        let data = blocks.get(self.root, block, BlockKind::RefcountBlock).await?;
        let parsed = RefcountBlock::parse(blocks.volume(), block, data.bytes())?;
        let ours = parsed.root.is_none_or(|root| root == self.root);
        match parsed.body {
            RefcountBody::Records { capacity, .. } if ours => {
                Ok((parsed.records().collect(), usize::from(capacity)))
            }
            _ => Err(self.wrong("a leaf of it is none")),
        }
    }

    /// Writes the records of `leaf` back, into as many leaves as they need.
    async fn store(
        self,
        change: &mut Change<'_>,
        leaf: Leaf,
        records: &[RefcountRec],
        capacity: usize,
    ) -> Result<(), Error> {
        if records.is_empty() && leaf.block != self.root {
            return self.remove_leaf(change, leaf).await;
        }
        if records.len() <= capacity {
            return self.write_records(change, leaf.block, records).await;
        }
        let leaf = if leaf.block == self.root { self.deepen(change).await? } else { leaf };
        let each = records.len().div_ceil(records.len().div_ceil(capacity.max(1))).max(1);
        let mut parts = records.chunks(each);
        self.write_records(change, leaf.block, parts.next().unwrap_or_default()).await?;
        for part in parts {
            let cpos = part.first().map_or(0, |record| record.start.0);
            self.add_leaf(change, cpos, part).await?;
        }
        Ok(())
    }

    /// Adds a leaf for the clusters from `cpos` on.
    async fn add_leaf(
        self,
        change: &mut Change<'_>,
        cpos: u32,
        records: &[RefcountRec],
    ) -> Result<Leaf, Error> {
        let generation = generation(change.blocks(), self.root).await?;
        let (blocks, alloc) = change.blocks_and_space();
        let new = alloc.claim_block(blocks, Pool::Extent(alloc.slot())).await?;
        self.write_block(change, new, cpos, generation, Some(self.root))?;
        self.write_records(change, new.block, records).await?;
        let (blocks, alloc) = change.blocks_and_space();
        let extent = Extent { cpos, clusters: 1, flags: ExtentFlags::empty(), block: new.block };
        self.extents(alloc).insert(blocks, extent).await?;
        let leaf = self.leaf(change.blocks(), cpos).await?;
        leaf.ok_or(self.wrong("a leaf that was added is not found"))
    }

    /// Moves the records of the root to a leaf of their own.
    async fn deepen(self, change: &mut Change<'_>) -> Result<Leaf, Error> {
        let (records, capacity) = self.records(change.blocks(), self.root).await?;
        let raw = self.head(change).await?;
        raw.flags = U32::new(RefcountBlock::FLAG_TREE);
        let bytes = change.blocks().edit(self.root, self.root, BlockKind::RefcountBlock).await?;
        bytes.get_mut(LIST..).unwrap_or_default().fill(0);
        let list =
            RawExtentList { count: U16::new(u16::try_from(capacity).unwrap_or(0)), ..Default::default() };
        let written = list.write_to_prefix(bytes.get_mut(LIST..).unwrap_or_default());
        written.map_err(|_| self.wrong("its root is too short"))?;
        self.add_leaf(change, 0, &records).await
    }

    /// Takes an empty leaf out; without any, the root holds records again.
    async fn remove_leaf(self, change: &mut Change<'_>, leaf: Leaf) -> Result<(), Error> {
        let data = change.blocks().get(self.root, leaf.block, BlockKind::RefcountBlock).await?;
        let suballoc = RefcountBlock::parse(change.blocks().volume(), leaf.block, data.bytes())?.suballoc;
        drop(data);
        let (blocks, alloc) = change.blocks_and_space();
        let (from, to) = (u64::from(leaf.cpos), u64::from(leaf.cpos) + 1);
        let removed = self.extents(alloc).remove(blocks, (from, to), 1).await?;
        for (block, suballoc) in removed.blocks {
            alloc.free_block(blocks, Pool::Extent(suballoc.slot), block, suballoc).await?;
        }
        alloc.free_block(blocks, Pool::Extent(suballoc.slot), leaf.block, suballoc).await?;
        let raw = self.head(change).await?;
        if raw.clusters.get() > 0 {
            return Ok(());
        }
        raw.flags = U32::ZERO;
        raw.last_eb_blk = U64::ZERO;
        let bytes = change.blocks().edit(self.root, self.root, BlockKind::RefcountBlock).await?;
        empty_list(bytes).ok_or(self.wrong("its root is too short"))
    }

    fn extents(self, alloc: &crate::alloc::Allocators) -> Extents<'_> {
        Extents::new(alloc, self.root, self.root, ExtentRoot::Refcount)
    }

    /// The head of the root, to be changed.
    async fn head<'c>(self, change: &'c mut Change<'_>) -> Result<&'c mut RawRefcountBlock, Error> {
        generation(change.blocks(), self.root).await?;
        let bytes = change.blocks().edit(self.root, self.root, BlockKind::RefcountBlock).await?;
        let (raw, _) =
            RawRefcountBlock::mut_from_prefix(bytes).map_err(|_| self.wrong("its root is too short"))?;
        Ok(raw)
    }

    /// Writes a block without records.
    fn write_block(
        self,
        change: &mut Change<'_>,
        new: NewBlock,
        cpos: u32,
        generation: u32,
        parent: Option<BlockNum>,
    ) -> Result<(), Error> {
        let NewBlock { block, suballoc: Suballoc { slot, bit, group } } = new;
        let fs_generation = change.blocks().volume().fs_generation;
        let bytes = change.blocks().fresh(self.root, block, BlockKind::RefcountBlock);
        let head = RawRefcountBlock {
            signature: RefcountBlock::SIGNATURE,
            suballoc_slot: U16::new(slot),
            suballoc_bit: U16::new(bit),
            fs_generation: U32::new(fs_generation),
            blkno: U64::new(block.0),
            parent: U64::new(parent.map_or(0, |parent| parent.0)),
            flags: U32::new(if parent.is_some() { RefcountBlock::FLAG_LEAF } else { 0 }),
            cpos: U32::new(cpos),
            generation: U32::new(generation),
            suballoc_loc: U64::new(group.map_or(0, |group| group.0)),
            ..RawRefcountBlock::new_zeroed()
        };
        let short = || self.wrong("a block of it is too short");
        head.write_to_prefix(bytes).map_err(|_| short())?;
        empty_list(bytes).ok_or_else(short)
    }

    async fn write_records(
        self,
        change: &mut Change<'_>,
        block: BlockNum,
        records: &[RefcountRec],
    ) -> Result<(), Error> {
        let bytes = change.blocks().edit(self.root, block, BlockKind::RefcountBlock).await?;
        let raw = |record: &RefcountRec| RawRefcountRec {
            cpos: U64::new(u64::from(record.start.0)),
            clusters: U32::new(record.clusters),
            refcount: U32::new(record.count),
        };
        let raws: Vec<RawRefcountRec> = records.iter().map(raw).collect();
        let mut put = || {
            empty_list(bytes)?;
            let (list, rest) = RawRefcountList::mut_from_prefix(bytes.get_mut(LIST..)?).ok()?;
            list.used = U16::new(u16::try_from(raws.len()).ok()?);
            raws.as_bytes().write_to_prefix(rest).ok()
        };
        put().ok_or(self.wrong("more records than fit a block"))
    }

    fn wrong(self, what: &'static str) -> Error {
        Error::RefcountTree { root: self.root, what }
    }
}

/// Makes what follows the head of a block a list without records.
fn empty_list(bytes: &mut [u8]) -> Option<()> {
    let rest = bytes.get_mut(LIST..)?;
    rest.fill(0);
    let room = rest.len().checked_sub(size_of::<RawRefcountList>())? / size_of::<RawRefcountRec>();
    let list = RawRefcountList { count: U16::new(u16::try_from(room).ok()?), ..Default::default() };
    list.write_to_prefix(rest).ok()
}
