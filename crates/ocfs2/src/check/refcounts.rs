//! Refcount trees against the extents that share clusters.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use ocfs2_format::{BlockKind, RawRefcountBlock, RawRefcountList, RawRefcountRec, RefcountBlock, Tree};

use super::Code;
use super::chains::Allocators;
use super::clusters::ClusterMap;
use super::ctx::{Ctx, view, views};
use super::extents::{self, Root};
use super::finding::{Finding, Findings};
use super::part::Shared;
use super::suballoc;

/// Leaves that are read at once.
const READS: usize = 16;

/// A run of clusters with the number of extents that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    start: u64,
    end: u64,
    count: u64,
}

/// Sorts the shared extents by tree and place, and takes the clusters of each tree, once however often they are shared.
pub(super) fn claim(shared: &mut [Shared], map: &mut ClusterMap) {
    shared.sort_unstable();
    for tree in shared.chunk_by(|one, other| one.root == other.root) {
        for run in sweep(tree) {
            let start = u32::try_from(run.start).unwrap_or(u32::MAX);
            map.claim(start, u32::try_from(run.end - run.start).unwrap_or(0));
        }
    }
}

/// Cuts the extents of one tree into runs of equal count. They are in ascending order of their starts.
fn sweep(extents: &[Shared]) -> Vec<Counted> {
    let mut edges: Vec<(u64, i64)> = Vec::with_capacity(extents.len() * 2);
    for extent in extents {
        edges.push((extent.start.into(), 1));
        edges.push((u64::from(extent.start) + u64::from(extent.count), -1));
    }
    edges.sort_unstable();
    let mut runs: Vec<Counted> = Vec::new();
    let (mut at, mut count) = (0, 0_i64);
    for (place, step) in edges {
        if place > at && count > 0 {
            let count = count.unsigned_abs();
            match runs.last_mut() {
                Some(last) if last.end == at && last.count == count => last.end = place,
                _ => runs.push(Counted { start: at, end: place, count }),
            }
        }
        (at, count) = (place, count + step);
    }
    runs
}

/// Checks every tree that an inode is attached to. `shared` is as [`claim`] leaves it. Gives the trees' own blocks.
pub(super) async fn check(
    ctx: &Ctx,
    out: &mut Findings,
    allocators: &Allocators,
    attached: Vec<(u64, u64)>,
    shared: &[Shared],
) -> Vec<u64> {
    let mut roots: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (root, ino) in attached {
        roots.entry(root).or_default().push(ino);
    }
    let mut blocks = Vec::new();
    for (root, inodes) in roots {
        let start = shared.partition_point(|extent| extent.root < root);
        let end = shared.partition_point(|extent| extent.root <= root);
        let held = sweep(shared.get(start..end).unwrap_or_default());
        let mut tree = RefTree {
            ctx,
            root,
            records: Vec::new(),
            blocks: Vec::new(),
            end: 0,
            generation: 0,
            broken: false,
        };
        tree.read(out, allocators, &inodes).await;
        if !tree.broken {
            tree.compare(out, &held);
        }
        blocks.append(&mut tree.blocks);
    }
    blocks
}

/// A tree while it is read.
struct RefTree<'a> {
    ctx: &'a Ctx,
    root: u64,
    records: Vec<Counted>,
    blocks: Vec<u64>,
    /// End of the last record.
    end: u64,
    generation: u32,
    broken: bool,
}

impl RefTree<'_> {
    fn expect(&self, out: &mut Findings, code: Code, block: u64, values: (&'static str, u64, u64)) {
        out.expect(code, ("refcount tree", self.root), block, values);
    }

    async fn read(&mut self, out: &mut Findings, allocators: &Allocators, inodes: &[u64]) {
        let root = self.root;
        let bytes = self.ctx.read(out, root, root, BlockKind::RefcountBlock).await;
        let raw = bytes.as_deref().and_then(|bytes| view::<RawRefcountBlock>(bytes, 0)).copied();
        let (Some(bytes), Some(raw)) = (bytes, raw.filter(|raw| raw.signature == RefcountBlock::SIGNATURE))
        else {
            self.broken = true;
            for ino in inodes {
                let message = format!("inode {ino}: i_refcount_loc {root} leads to no refcount tree");
                let finding = Finding::new(Code::RefcountRootBlockInvalid, message).block(root).inode(*ino);
                out.push(finding.values("i_refcount_loc", root, 0));
            }
            return;
        };
        self.generation = raw.generation.get();
        self.head(out, allocators, root, &raw, 0);
        self.expect(
            out,
            Code::RefcountCount,
            root,
            ("rf_count", raw.count.get().into(), inodes.len() as u64),
        );
        match raw.flags.get() {
            0 => self.records(out, root, &bytes),
            RefcountBlock::FLAG_TREE => self.leaves(out, allocators, &raw, &bytes).await,
            flags => {
                self.broken = true;
                let values = ("rf_flags", flags.into(), 0);
                self.expect(out, Code::RefcountBlockInvalid, root, values);
            }
        }
    }

    /// The fields of the head of a block.
    fn head(
        &mut self,
        out: &mut Findings,
        allocators: &Allocators,
        block: u64,
        raw: &RawRefcountBlock,
        parent: u64,
    ) {
        self.blocks.push(block);
        let generation = u64::from(self.ctx.format().fs_generation);
        self.expect(out, Code::RbBlkno, block, ("rf_blkno", raw.blkno.get(), block));
        self.expect(
            out,
            Code::RbGen,
            block,
            ("rf_fs_generation", raw.fs_generation.get().into(), generation),
        );
        self.expect(out, Code::RbParent, block, ("rf_parent", raw.parent.get(), parent));
        let from = (raw.suballoc_slot.get(), raw.suballoc_bit.get(), raw.suballoc_loc.get());
        suballoc::check(out, allocators, (self.root, block), from);
    }

    async fn leaves(
        &mut self,
        out: &mut Findings,
        allocators: &Allocators,
        raw: &RawRefcountBlock,
        bytes: &[u8],
    ) {
        let (ctx, root) = (self.ctx, self.root);
        let list = Root {
            ino: root,
            block: root,
            bytes,
            offset: 0x80,
            room: ctx.room(0x90, 16),
            tree: Tree::Refcount,
            last: ("rf_last_eb_blk", raw.last_eb_blk.get()),
            dense: false,
            sharing: false,
        };
        let walked = extents::walk(ctx, out, allocators, &list).await;
        self.broken |= walked.broken;
        self.blocks.extend(&walked.blocks);
        if !walked.broken {
            let leaves = walked.extents.len() as u64;
            self.expect(
                out,
                Code::RefcountClusters,
                root,
                ("rf_clusters", raw.clusters.get().into(), leaves),
            );
        }
        let mut reads = futures_util::stream::iter(walked.extents)
            .map(|extent| async move {
                let mut found = Findings::default();
                let bytes = ctx.read(&mut found, root, extent.block.0, BlockKind::RefcountBlock).await;
                (extent, bytes, found)
            })
            .buffered(READS);
        while let Some((extent, bytes, mut found)) = reads.next().await {
            out.absorb(&mut found);
            let block = extent.block.0;
            let raw = bytes.as_deref().and_then(|bytes| view::<RawRefcountBlock>(bytes, 0)).copied();
            let leaf = raw.filter(|raw| {
                raw.signature == RefcountBlock::SIGNATURE && raw.flags.get() == RefcountBlock::FLAG_LEAF
            });
            let (Some(bytes), Some(raw)) = (bytes, leaf) else {
                self.broken = true;
                let message = format!("refcount tree {root}: block {block} is no leaf of it");
                out.push(Finding::new(Code::RefcountBlockInvalid, message).block(block));
                continue;
            };
            self.head(out, allocators, block, &raw, root);
            self.expect(
                out,
                Code::RefcountBlockInvalid,
                block,
                ("rf_cpos", raw.cpos.get().into(), extent.cpos.into()),
            );
            let generation = (u64::from(raw.generation.get()), u64::from(self.generation));
            self.expect(
                out,
                Code::RefcountBlockInvalid,
                block,
                ("rf_generation", generation.0, generation.1),
            );
            self.records(out, block, &bytes);
        }
    }

    /// The records of a block.
    fn records(&mut self, out: &mut Findings, block: u64, bytes: &[u8]) {
        let Some(head) = view::<RawRefcountList>(bytes, 0x80) else { return };
        let room = self.ctx.room(0x90, 16);
        let (count, used) = (u64::from(head.count.get()), u64::from(head.used.get()));
        self.expect(out, Code::RefcountListCount, block, ("rl_count", count, room));
        if used > room {
            self.expect(out, Code::RefcountListUsed, block, ("rl_used", used, room));
            self.broken = true;
        } else if used == 0 && block != self.root {
            self.expect(out, Code::RefcountListEmpty, block, ("rl_used", 0, 1));
        }
        let clusters = u64::from(self.ctx.geometry().clusters.get());
        let records: &[RawRefcountRec] = views(bytes, 0x90, used.min(room));
        for (index, record) in records.iter().enumerate() {
            let (start, len) = (record.cpos.get(), u64::from(record.clusters.get()));
            let say = |code, why: &str, values: (&'static str, u64, u64)| {
                let message = format!(
                    "refcount tree {}, block {block}: record {index} of {len} clusters from cluster {start} on {why}",
                    self.root
                );
                Finding::new(code, message).block(block).values(values.0, values.1, values.2)
            };
            let Some(end) = start.checked_add(len).filter(|end| len > 0 && *end <= clusters) else {
                out.push(say(Code::RefcountClusterRange, "lies outside the volume", ("r_cpos", start, 0)));
                continue;
            };
            if start < self.end {
                let values = ("r_cpos", start, self.end);
                out.push(say(Code::RefcountClusterCollision, "begins inside the one before it", values));
                continue;
            }
            self.end = end;
            self.records.push(Counted { start, end, count: record.refcount.get().into() });
        }
    }

    /// The records against what is shared.
    fn compare(&self, out: &mut Findings, held: &[Counted]) {
        let root = self.root;
        let mut at = 0;
        let say = |code, (start, end): (u64, u64), found: u64, expected: u64| {
            let message = format!(
                "refcount tree {root}: r_refcount of {} clusters from cluster {start} on is {found}, but {expected} extents \
                 hold them",
                end - start
            );
            Finding::new(code, message).block(root).values("r_refcount", found, expected)
        };
        for record in &self.records {
            let mut from = record.start;
            while from < record.end {
                while held.get(at).is_some_and(|run| run.end <= from) {
                    at += 1;
                }
                let (end, count) = match held.get(at) {
                    Some(run) if run.start <= from => (run.end.min(record.end), run.count),
                    Some(run) => (run.start.min(record.end), 0),
                    None => (record.end, 0),
                };
                if count != record.count {
                    let code =
                        if count == 0 { Code::RefcountRecRedundant } else { Code::RefcountCountInvalid };
                    out.push(say(code, (from, end), record.count, count));
                }
                from = end;
            }
        }
        // What is shared without a record.
        let mut at = 0;
        for run in held {
            let mut from = run.start;
            while from < run.end {
                while self.records.get(at).is_some_and(|record| record.end <= from) {
                    at += 1;
                }
                let (end, covered) = match self.records.get(at) {
                    Some(record) if record.start <= from => (record.end.min(run.end), true),
                    Some(record) => (record.start.min(run.end), false),
                    None => (run.end, false),
                };
                if !covered {
                    out.push(say(Code::RefcountCountInvalid, (from, end), 0, run.count));
                }
                from = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_that_overlap_are_counted() {
        let of = |start, count| Shared { root: 9, start, count };
        let runs: Vec<_> = sweep(&[of(10, 10), of(10, 4), of(14, 6), of(30, 1)])
            .iter()
            .map(|run| (run.start, run.end, run.count))
            .collect();
        assert_eq!(runs, [(10, 20, 2), (30, 31, 1)]);
        let runs: Vec<_> =
            sweep(&[of(1, 5), of(3, 1)]).iter().map(|run| (run.start, run.end, run.count)).collect();
        assert_eq!(runs, [(1, 3, 1), (3, 4, 2), (4, 6, 1)]);
        assert!(sweep(&[]).is_empty());
    }
}
