//! Extent trees as they lie, level by level.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use ocfs2_format::{
    BlockKind, BlockNum, Extent, ExtentBlock, ExtentFlags, Incompat, MAX_TREE_DEPTH, RawDinode,
    RawExtentBlock, RawExtentList, RawExtentRec, RoCompat, Tree,
};

use super::Code;
use super::chains::Allocators;
use super::ctx::{Ctx, view, views};
use super::finding::{Finding, Findings};
use super::suballoc;

/// Extent blocks that are read at once.
const DEPTH: usize = 32;
/// End of every tree: one past the last position.
const END: u64 = 1 << 32;

/// The root of a tree, in the block that holds it.
#[derive(Clone, Copy)]
pub(super) struct Root<'a> {
    pub(super) ino: u64,
    /// The block that holds the list.
    pub(super) block: u64,
    pub(super) bytes: &'a [u8],
    /// Byte of the list.
    pub(super) offset: usize,
    /// Records that fit.
    pub(super) room: u64,
    pub(super) tree: Tree,
    /// The last-leaf pointer, under its name.
    pub(super) last: (&'static str, u64),
    /// Whether positions must follow each other without a gap.
    pub(super) dense: bool,
    /// Whether extents may be shared.
    pub(super) sharing: bool,
}

/// What a tree holds.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The extents that lie inside the volume, in order.
    pub(super) extents: Vec<Extent>,
    /// The tree's own blocks.
    pub(super) blocks: Vec<u64>,
    /// Whether a part of the tree could not be followed.
    pub(super) broken: bool,
    /// Clusters of all leaf records, wrong ones too.
    pub(super) clusters: u64,
}

/// A block of the tree that is to be read: it may hold positions from `low` to below `high`.
#[derive(Clone, Copy)]
struct Node {
    block: u64,
    low: u64,
    high: u64,
}

/// Where a list lies, and what is due in it.
#[derive(Clone, Copy)]
struct Place {
    block: u64,
    depth: u16,
    low: u64,
    high: u64,
}

/// Walks the data of the inode `ino`, whose block is `bytes`, once more: what is wrong with it was told in pass 1.
pub(super) async fn walk_again(ctx: &Ctx, ino: u64, bytes: &[u8]) -> Walked {
    let root = Root {
        ino,
        block: ino,
        bytes,
        offset: RawDinode::BODY_OFFSET,
        room: ctx.room(0xd0, 16),
        tree: Tree::Data,
        last: ("i_last_eb_blk", 0),
        dense: true,
        sharing: false,
    };
    walk(ctx, &mut Findings::default(), &Allocators::default(), &root).await
}

/// Walks a tree to its leaves.
pub(super) async fn walk(ctx: &Ctx, out: &mut Findings, allocators: &Allocators, root: &Root<'_>) -> Walked {
    let mut walker =
        Walker { ctx, root: *root, walked: Walked::default(), seen: BTreeSet::new(), end: 0, leaf: None };
    walker.run(out, allocators).await;
    walker.walked
}

struct Walker<'a> {
    ctx: &'a Ctx,
    root: Root<'a>,
    walked: Walked,
    seen: BTreeSet<u64>,
    /// End of the last extent.
    end: u64,
    /// The last leaf, and the leaf that it says comes next.
    leaf: Option<(u64, u64)>,
}

impl Walker<'_> {
    async fn run(&mut self, out: &mut Findings, allocators: &Allocators) {
        let root = self.root;
        let Some(header) = view::<RawExtentList>(root.bytes, root.offset) else { return };
        let mut depth = header.tree_depth.get();
        if depth > MAX_TREE_DEPTH {
            let values = ("l_tree_depth", u64::from(depth), u64::from(MAX_TREE_DEPTH));
            self.report(out, Code::ExtentListDepth, root.block, values);
            self.walked.broken = true;
            return;
        }
        let place = Place { block: root.block, depth, low: 0, high: END };
        let mut nodes = self.list(out, root.bytes, root.offset, root.room, place);
        while depth > 0 {
            depth -= 1;
            nodes = self.level(out, allocators, nodes, depth).await;
        }
        self.ends(out);
    }

    /// Reads the blocks of one level; gives those of the next.
    async fn level(
        &mut self,
        out: &mut Findings,
        allocators: &Allocators,
        nodes: Vec<Node>,
        depth: u16,
    ) -> Vec<Node> {
        let (ctx, ino) = (self.ctx, self.root.ino);
        let mut below = Vec::new();
        let mut reads = futures_util::stream::iter(nodes)
            .map(|node| async move {
                let mut found = Findings::default();
                let bytes = ctx.read(&mut found, ino, node.block, BlockKind::ExtentBlock).await;
                (node, bytes, found)
            })
            .buffered(DEPTH);
        while let Some((node, bytes, mut found)) = reads.next().await {
            out.absorb(&mut found);
            let Some(bytes) = bytes else {
                self.walked.broken = true;
                continue;
            };
            below.extend(self.extent_block(out, allocators, node, depth, &bytes));
        }
        below
    }

    fn extent_block(
        &mut self,
        out: &mut Findings,
        allocators: &Allocators,
        node: Node,
        depth: u16,
        bytes: &[u8],
    ) -> Vec<Node> {
        let ino = self.root.ino;
        let Some(raw) = view::<RawExtentBlock>(bytes, 0) else { return Vec::new() };
        if raw.signature != ExtentBlock::SIGNATURE {
            let message = format!(
                "inode {ino}: the record for position {} leads to block {}, which is no extent block",
                node.low, node.block
            );
            let finding = Finding::new(Code::ExtentEbInvalid, message).block(node.block).inode(ino);
            out.push(finding.values("e_blkno", node.block, 0));
            self.walked.broken = true;
            return Vec::new();
        }
        let generation = u64::from(self.ctx.format().fs_generation);
        let found = u64::from(raw.fs_generation.get());
        if found != generation {
            self.report(out, Code::EbGen, node.block, ("h_fs_generation", found, generation));
        }
        if raw.blkno.get() != node.block {
            self.report(out, Code::EbBlkno, node.block, ("h_blkno", raw.blkno.get(), node.block));
        }
        self.walked.blocks.push(node.block);
        let from = (raw.suballoc_slot.get(), raw.suballoc_bit.get(), raw.suballoc_loc.get());
        suballoc::check(out, allocators, (ino, node.block), from);
        let next = raw.next_leaf_blk.get();
        if depth == 0 {
            self.link(out, node.block, next);
        } else if next != 0 {
            self.report(out, Code::ExtentNextLeaf, node.block, ("h_next_leaf_blk", next, 0));
        }
        let place = Place { block: node.block, depth, low: node.low, high: node.high };
        let offset = std::mem::offset_of!(RawExtentBlock, list);
        self.list(out, bytes, offset, self.ctx.room(offset + 16, 16), place)
    }

    /// Takes the next leaf: the one before it must lead to it.
    fn link(&mut self, out: &mut Findings, block: u64, next: u64) {
        if let Some((before, told)) = self.leaf
            && told != block
            && !self.walked.broken
        {
            self.report(out, Code::ExtentNextLeaf, before, ("h_next_leaf_blk", told, block));
        }
        self.leaf = Some((block, next));
    }

    /// The end of the chain of leaves, and the pointer to it.
    fn ends(&self, out: &mut Findings) {
        if self.walked.broken {
            return;
        }
        let (last, next) = self.leaf.unwrap_or_default();
        if next != 0 {
            self.report(out, Code::ExtentNextLeaf, last, ("h_next_leaf_blk", next, 0));
        }
        let (field, found) = self.root.last;
        if found != last {
            self.report(out, Code::ExtentLastEb, self.root.block, (field, found, last));
        }
    }

    /// Checks a list; gives the blocks below it.
    fn list(
        &mut self,
        out: &mut Findings,
        bytes: &[u8],
        offset: usize,
        room: u64,
        place: Place,
    ) -> Vec<Node> {
        let Some(header) = view::<RawExtentList>(bytes, offset) else { return Vec::new() };
        let depth = header.tree_depth.get();
        if depth != place.depth {
            let values = ("l_tree_depth", u64::from(depth), u64::from(place.depth));
            self.report(out, Code::ExtentListDepth, place.block, values);
            self.walked.broken = true;
            return Vec::new();
        }
        let (count, mut used) = (u64::from(header.count.get()), u64::from(header.next_free_rec.get()));
        if count != room {
            self.report(out, Code::ExtentListCount, place.block, ("l_count", count, room));
        }
        if used > room {
            self.report(out, Code::ExtentListFree, place.block, ("l_next_free_rec", used, room));
            used = room;
            self.walked.broken = true;
        }
        if used == 0 && place.block != self.root.block {
            self.report(out, Code::ExtentListFree, place.block, ("l_next_free_rec", 0, 1));
        }
        let records: &[RawExtentRec] = views(bytes, offset + size_of::<RawExtentList>(), used);
        if depth == 0 {
            self.leaf_records(out, records, place);
            Vec::new()
        } else {
            self.children(out, records, place)
        }
    }

    fn children(&mut self, out: &mut Findings, records: &[RawExtentRec], place: Place) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let (cpos, block) = (u64::from(record.cpos.get()), record.blkno.get());
            if !self.ctx.holds(block) {
                self.record(out, Code::ExtentBlknoRange, place, index, ("e_blkno", block, 0));
                self.walked.broken = true;
                continue;
            }
            if !self.seen.insert(block) {
                self.record(out, Code::ExtentEbInvalid, place, index, ("e_blkno", block, 0));
                self.walked.broken = true;
                continue;
            }
            let mut low = cpos;
            match nodes.last_mut() {
                Some(before) if cpos <= before.low => {
                    self.record(out, Code::ExtentOverlap, place, index, ("e_cpos", cpos, before.low + 1));
                    low = before.low;
                }
                Some(before) => before.high = cpos.min(place.high),
                // What lies before the first record's start belongs to it too.
                None => low = place.low,
            }
            nodes.push(Node { block, low, high: place.high });
        }
        nodes
    }

    fn leaf_records(&mut self, out: &mut Findings, records: &[RawExtentRec], place: Place) {
        let is_index = matches!(self.root.tree, Tree::XattrIndex | Tree::DirIndex);
        for (index, record) in records.iter().enumerate() {
            let (mut cpos, count) = (record.cpos.get(), record.leaf_clusters.get());
            let block = record.blkno.get();
            if count == 0 && index == 0 && self.root.tree != Tree::Refcount {
                continue; // the kernel leaves an empty first record behind when it rotates a leaf
            }
            self.flags(out, place, index, record.flags);
            let at = u64::from(cpos);
            if at < self.end {
                self.record(out, Code::ExtentOverlap, place, index, ("e_cpos", at, self.end));
                cpos = u32::try_from(self.end).unwrap_or(u32::MAX);
            } else if self.root.dense && at != self.end {
                self.record(out, Code::NoHoles, place, index, ("e_cpos", at, self.end));
            }
            let end = u64::from(cpos) + if is_index { 1 } else { u64::from(count) };
            if at < place.low || end > place.high {
                self.record(out, Code::ExtentRange, place, index, ("e_cpos", at, place.low));
            }
            self.end = end;
            self.walked.clusters += u64::from(count);
            if self.inside(out, place, index, record) {
                let flags = ExtentFlags::from_bits_retain(record.flags);
                let start = if self.root.tree == Tree::Refcount {
                    block
                } else {
                    block - block % self.ctx.per_cluster()
                };
                self.walked.extents.push(Extent { cpos, clusters: count, flags, block: BlockNum(start) });
            }
        }
    }

    /// Whether a leaf record's clusters (or its refcount block) lie inside the volume.
    fn inside(&self, out: &mut Findings, place: Place, index: usize, record: &RawExtentRec) -> bool {
        let (block, count) = (record.blkno.get(), u64::from(record.leaf_clusters.get()));
        if !self.ctx.holds(block) || count == 0 {
            self.record(out, Code::ExtentBlknoRange, place, index, ("e_blkno", block, 0));
            return false;
        }
        if self.root.tree == Tree::Refcount {
            return true;
        }
        let per = self.ctx.per_cluster();
        let start = block - block % per;
        if start != block {
            self.record(out, Code::ExtentBlknoUnaligned, place, index, ("e_blkno", block, start));
        }
        let left = (self.ctx.geometry().blocks().0.saturating_sub(start)) / per;
        if count > left {
            self.record(out, Code::ExtentClustersOverrun, place, index, ("e_leaf_clusters", count, left));
            return false;
        }
        true
    }

    fn flags(&self, out: &mut Findings, place: Place, index: usize, flags: u8) {
        let format = self.ctx.format();
        let data = matches!(self.root.tree, Tree::Data | Tree::XattrValue);
        let unwritten = data && format.features.ro_compat.contains(RoCompat::UNWRITTEN);
        let flags = ExtentFlags::from_bits_retain(flags);
        let value = u64::from(flags.bits());
        if flags.contains(ExtentFlags::UNWRITTEN) && !unwritten {
            self.record(out, Code::ExtentMarkedUnwritten, place, index, ("e_flags", value, value & !1));
        }
        let shared = data && self.root.sharing && format.has(Incompat::REFCOUNT_TREE);
        if flags.contains(ExtentFlags::REFCOUNTED) && !shared {
            self.record(out, Code::ExtentMarkedRefcounted, place, index, ("e_flags", value, value & !2));
        }
    }

    fn report(&self, out: &mut Findings, code: Code, block: u64, values: (&'static str, u64, u64)) {
        let ino = self.root.ino;
        out.push(Finding::field(code, format_args!("inode {ino}"), block, values).inode(ino));
    }

    fn record(
        &self,
        out: &mut Findings,
        code: Code,
        place: Place,
        index: usize,
        (field, found, expected): (&'static str, u64, u64),
    ) {
        let ino = self.root.ino;
        let why = match code {
            Code::ExtentBlknoRange => "which lies outside the volume".to_owned(),
            Code::ExtentEbInvalid => "which is in the tree already".to_owned(),
            Code::ExtentRange => {
                format!("outside {} to {}, which the record above gives it", place.low, place.high)
            }
            _ => format!("should be {expected}"),
        };
        let message =
            format!("inode {ino}, block {}: extent record {index}: {field} is {found}, {why}", place.block);
        out.push(Finding::new(code, message).block(place.block).inode(ino).values(field, found, expected));
    }
}
