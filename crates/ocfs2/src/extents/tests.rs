//! Extent trees against a model: a map from clusters of the file to clusters of the volume.

use std::collections::BTreeMap;

use ocfs2_format::{Body, Dinode, ExtentBlock, RawDinode};
use proptest::prelude::*;
use zerocopy::little_endian::U64;

use super::*;
use crate::alloc::ClusterRun;
use crate::test_volume::{TestVolume, block_on};
use crate::tree::ExtentTree;
use ocfs2_format::{BlockKind, Tree};

/// Cluster of the file to cluster of the volume, and flags.
type Model = BTreeMap<u32, (u32, ExtentFlags)>;

#[derive(Clone, Debug)]
enum Op {
    /// Where there is room, from `at` on: `pieces` extents with a hole of `gap` clusters between them.
    Insert {
        at: u32,
        pieces: u16,
        clusters: u16,
        gap: u32,
        unwritten: bool,
    },
    /// The same after the last cluster.
    Append {
        pieces: u16,
        clusters: u16,
        gap: u32,
        unwritten: bool,
    },
    Write {
        at: u32,
        clusters: u32,
    },
    Share {
        at: u32,
        clusters: u32,
        set: bool,
    },
    Remove {
        at: u32,
        clusters: u32,
        most: usize,
    },
    Truncate {
        at: u32,
        most: usize,
    },
    Commit,
    Abandon,
}

/// Files are this long, in clusters, when they are filled here and there.
const SPAN: u32 = 9000;

fn op() -> impl Strategy<Value = Op> {
    let (at, len) = (0..SPAN, || prop_oneof![1_u32..10, 1_u32..400]);
    let insert = (0..SPAN, 1_u16..120, 1_u16..5, 0_u32..4, any::<bool>());
    let append = (1_u16..120, 1_u16..5, 0_u32..4, any::<bool>());
    prop_oneof![
        5 => insert.prop_map(|(at, pieces, clusters, gap, unwritten)| Op::Insert { at, pieces, clusters, gap, unwritten }),
        3 => append.prop_map(|(pieces, clusters, gap, unwritten)| Op::Append { pieces, clusters, gap, unwritten }),
        3 => (at.clone(), len()).prop_map(|(at, clusters)| Op::Write { at, clusters }),
        2 => (at.clone(), len(), any::<bool>()).prop_map(|(at, clusters, set)| Op::Share { at, clusters, set }),
        3 => (at.clone(), len(), 1_usize..40).prop_map(|(at, clusters, most)| Op::Remove { at, clusters, most }),
        1 => (at, 1_usize..40).prop_map(|(at, most)| Op::Truncate { at, most }),
        2 => Just(Op::Commit),
        1 => Just(Op::Abandon),
    ]
}

struct Bench {
    test: TestVolume,
    alloc: Allocators,
    ino: BlockNum,
    model: Model,
    saved: Model,
    /// The deepest that the tree has been.
    depth: u16,
    tid: u64,
}

impl Bench {
    /// Takes an empty file of the fixture `name`.
    async fn new(name: &str) -> Self {
        let test = TestVolume::fixture(name).await;
        let empty =
            |line: &String| line.contains("\"type\":\"file\"") && line.contains("\"size\":0,\"blocks\":0,");
        let line = fixtures::manifest(name).into_iter().find(empty).expect("an empty file");
        let path = line.split('"').nth(3).unwrap();
        let alloc = Allocators::new(&test.volume, 0);
        let ino = test.volume.resolve(path.as_bytes(), crate::Follow::NotLast).await.expect("a file").ino();
        let (model, saved) = (Model::default(), Model::default());
        Self { test, alloc, ino, model, saved, depth: 0, tid: 0 }
    }

    fn tree(&self) -> Extents<'_> {
        Extents::of_inode(&self.alloc, self.ino)
    }

    async fn give_back(&self, handle: &mut Handle<'_>, removed: Removed) {
        for extent in removed.extents {
            let start = handle.volume().geometry.cluster_of(extent.block).unwrap();
            let run = ClusterRun { start, clusters: u32::from(extent.clusters) };
            self.alloc.free_clusters(handle, run).await.unwrap();
        }
        for (block, suballoc) in removed.blocks {
            self.alloc.free_block(handle, crate::alloc::Pool::Extent(0), block, suballoc).await.unwrap();
        }
    }

    /// Puts extents where the model has nothing.
    async fn fill(&mut self, handle: &mut Handle<'_>, op: (u32, u16, u16, u32, bool)) {
        let (mut at, pieces, clusters, gap, unwritten) = op;
        let flags = if unwritten { ExtentFlags::UNWRITTEN } else { ExtentFlags::empty() };
        for _ in 0..pieces {
            let room = (0..u32::from(clusters)).take_while(|n| !self.model.contains_key(&(at + n))).count();
            let room = u16::try_from(room).unwrap();
            if room > 0 {
                let Ok(run) = self.alloc.claim_clusters(handle, u32::from(room), 1).await else { return };
                let clusters = u16::try_from(run.clusters).unwrap();
                let block = handle.volume().geometry.cluster_start(run.start);
                let extent = Extent { cpos: at, clusters, flags, block };
                match self.tree().insert(handle, extent).await {
                    Ok(()) => {}
                    Err(Error::NoSpace { .. }) => {
                        self.alloc.free_clusters(handle, run).await.unwrap();
                        return;
                    }
                    Err(error) => panic!("{error}"),
                }
                let new = (0..run.clusters).map(|n| (at + n, (run.start.0 + n, flags)));
                self.model.extend(new);
                // The same place once more is refused, and nothing changes.
                if at.is_multiple_of(7) {
                    let again = self.tree().insert(handle, extent).await;
                    assert!(matches!(again, Err(Error::ExtentOverlap { .. })), "{again:?}");
                }
            }
            at += u32::from(clusters) + gap;
        }
    }

    async fn flags(
        &mut self,
        handle: &mut Handle<'_>,
        (at, clusters): (u32, u32),
        (set, clear): (ExtentFlags, ExtentFlags),
    ) {
        let (mut start, end) = (u64::from(at), u64::from(at + clusters));
        while start < end {
            let next = match self.tree().set_flags(handle, (start, end), set, clear).await {
                Err(Error::NoSpace { .. }) => return,
                next => next.unwrap(),
            };
            assert!(next > start && next <= end);
            let range = u32::try_from(start).unwrap()..u32::try_from(next).unwrap();
            for (_, (_, flags)) in self.model.range_mut(range) {
                *flags = (*flags | set) - clear;
            }
            start = next;
        }
    }

    async fn remove(&mut self, handle: &mut Handle<'_>, (at, end): (u32, u64), most: usize) {
        let mut upto = end;
        loop {
            let removed = match self.tree().remove(handle, (u64::from(at), upto), most).await {
                Err(Error::NoSpace { .. }) => return,
                removed => removed.unwrap(),
            };
            assert!(removed.extents.len() <= most);
            for extent in &removed.extents {
                assert!(extent.cpos >= at && extent.end() <= upto);
                upto = u64::from(extent.cpos);
                let cluster = handle.volume().geometry.cluster_of(extent.block).unwrap().0;
                for n in 0..u32::from(extent.clusters) {
                    let (was, flags) = self.model.remove(&(extent.cpos + n)).expect("it was there");
                    assert_eq!((was, flags), (cluster + n, extent.flags));
                }
            }
            let done = removed.done;
            self.give_back(handle, removed).await;
            let left = self.model.range(at..).next().is_some_and(|(cpos, _)| u64::from(*cpos) < end);
            assert_eq!(done, !left);
            if done {
                return;
            }
        }
    }

    /// Compares the tree with the model, as the reader's cursor has it, and checks what it need not look at.
    async fn compare(&mut self, handle: &Handle<'_>) {
        let block = handle.get(self.ino, self.ino, BlockKind::Dinode).await.unwrap();
        let (dinode, body) = Dinode::parse(handle.volume(), self.ino, block.bytes()).unwrap();
        let Body::Extents(list) = body else { panic!("no tree") };
        self.depth = self.depth.max(list.depth());
        let tree = ExtentTree::new(self.ino, Tree::Data, &list);
        let mut cursor = tree.cursor(0);
        let mut found = Model::default();
        while let Some(extent) = cursor.next(handle).await.unwrap() {
            let start = handle.volume().geometry.cluster_of(extent.block).unwrap().0;
            for n in 0..u32::from(extent.clusters) {
                assert!(found.insert(extent.cpos + n, (start + n, extent.flags)).is_none());
            }
        }
        assert_eq!(found.len(), self.model.len());
        assert!(found == self.model);
        assert_eq!(u64::from(dinode.clusters), self.model.len() as u64);
        self.check_nodes(handle, dinode.last_leaf, list.depth()).await;
    }

    /// Walks the tree level by level: ranges without gaps, no empty node, leaves linked in order.
    async fn check_nodes(&self, handle: &Handle<'_>, last_leaf: Option<BlockNum>, depth: u16) {
        let block = handle.get(self.ino, self.ino, BlockKind::Dinode).await.unwrap();
        let root = ExtentRoot::Dinode.parse(handle.volume(), self.ino, block.bytes()).unwrap().list;
        let end = self.model.last_key_value().map_or(0, |(cpos, _)| u64::from(*cpos) + 1);
        if depth == 0 {
            assert_eq!(last_leaf, None);
            return;
        }
        let mut level: Vec<(u64, u64, BlockNum)> = Vec::new();
        let ranges = |children: Vec<ocfs2_format::Child>, low: u64, high: u64| {
            let mut at = low;
            let mut ranges = Vec::new();
            for child in children {
                assert_eq!(u64::from(child.cpos), at);
                at += u64::from(child.clusters);
                ranges.push((u64::from(child.cpos), at, child.block));
            }
            assert_eq!(at, high);
            ranges
        };
        level.extend(ranges(root.children().collect(), 0, end));
        for depth in (0..depth).rev() {
            let (mut below, mut links) = (Vec::new(), Vec::new());
            for (low, high, number) in level {
                let bytes = handle.get(self.ino, number, BlockKind::ExtentBlock).await.unwrap();
                let node =
                    ExtentBlock::parse(handle.volume(), number, bytes.bytes(), Tree::Data, Some(depth))
                        .unwrap();
                assert!(!node.list.is_empty(), "block {number}");
                links.push((number, node.next_leaf));
                if depth > 0 {
                    assert_eq!(node.next_leaf, None);
                    below.extend(ranges(node.list.children().collect(), low, high));
                } else {
                    let first = node.list.extents().next().unwrap();
                    assert!(low == 0 || low == u64::from(first.cpos), "leaf {number} begins late");
                    assert!(node.list.extents().all(|extent| extent.end() <= high));
                }
            }
            if depth == 0 {
                let blocks = links.iter().map(|(block, _)| Some(*block)).skip(1).chain([None]);
                assert!(links.iter().map(|(_, next)| *next).eq(blocks));
                assert_eq!(links.last().map(|(block, _)| *block), last_leaf);
            }
            level = below;
        }
    }

    /// Publishes, with a size that covers the tree.
    async fn commit(&mut self, mut handle: Handle<'_>) {
        self.compare(&handle).await;
        let end = self.model.last_key_value().map_or(0, |(cpos, _)| u64::from(*cpos) + 1);
        let size = end << handle.volume().geometry.cluster_size.bits();
        let bytes = handle.edit(self.ino, self.ino, BlockKind::Dinode).await.unwrap();
        RawDinode::mut_from(self.ino, bytes).unwrap().0.size = U64::new(size);
        let sealed = handle.seal();
        self.test.write_home(&sealed).await;
        self.tid += 1;
        self.alloc.published(&sealed, self.tid);
        self.alloc.home(self.tid);
        self.saved = self.model.clone();
    }

    async fn run(&mut self, ops: &[Op]) {
        let volume = self.test.volume.clone();
        let mut handle = volume.change();
        let (unwritten, shared, none) =
            (ExtentFlags::UNWRITTEN, ExtentFlags::REFCOUNTED, ExtentFlags::empty());
        for op in ops {
            match *op {
                Op::Insert { at, pieces, clusters, gap, unwritten } => {
                    self.fill(&mut handle, (at, pieces, clusters, gap, unwritten)).await;
                }
                Op::Append { pieces, clusters, gap, unwritten } => {
                    let at = self.model.last_key_value().map_or(0, |(cpos, _)| cpos + 1);
                    self.fill(&mut handle, (at, pieces, clusters, gap, unwritten)).await;
                }
                Op::Write { at, clusters } => {
                    self.flags(&mut handle, (at, clusters), (none, unwritten)).await
                }
                Op::Share { at, clusters, set } => {
                    let flags = if set { (shared, none) } else { (none, shared) };
                    self.flags(&mut handle, (at, clusters), flags).await;
                }
                Op::Remove { at, clusters, most } => {
                    self.remove(&mut handle, (at, u64::from(at + clusters)), most).await;
                }
                Op::Truncate { at, most } => self.remove(&mut handle, (at, 1 << 32), most).await,
                Op::Commit => self.commit(std::mem::replace(&mut handle, volume.change())).await,
                Op::Abandon => {
                    handle = volume.change();
                    self.model = self.saved.clone();
                }
            }
            self.compare(&handle).await;
        }
        // What is shared must be in a refcount tree: for fsck's sake nothing is.
        self.flags(&mut handle, (0, 4 * SPAN), (none, shared)).await;
        self.model.values().for_each(|(_, flags)| assert!(!flags.contains(shared)));
        self.alloc.close_window(&mut handle).await.unwrap();
        self.commit(handle).await;
        self.test.assert_clean().await;
        let reopened = self.test.reopened().await;
        self.compare(&reopened.change()).await;
    }
}

fn run(name: &str, ops: &[Op]) -> u16 {
    block_on(async {
        let mut bench = Bench::new(name).await;
        bench.run(ops).await;
        bench.depth
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 8, failure_persistence: None, ..ProptestConfig::with_cases(fixtures::cases(2)) })]

    #[test]
    fn blocks_of_512_bytes(ops in prop::collection::vec(op(), 40)) {
        run("c", &ops);
    }

    #[test]
    fn blocks_of_4096_bytes(ops in prop::collection::vec(op(), 40)) {
        run("a", &ops);
    }

    #[test]
    fn checksums(ops in prop::collection::vec(op(), 40)) {
        run("b", &ops);
    }

    #[test]
    fn large_clusters(ops in prop::collection::vec(op(), 40)) {
        run("d", &ops);
    }
}

/// Written backwards every leaf stays half empty, so few extents make a deep tree. Then it is cut, and it goes.
#[test]
fn a_tree_of_three_levels_grows_and_goes() {
    block_on(async {
        let mut bench = Bench::new("c").await;
        let volume = bench.test.volume.clone();
        let mut handle = volume.change();
        for at in (0..4500).rev() {
            bench.fill(&mut handle, (at * 2, 1, 1, 0, at % 3 == 0)).await;
            if at % 500 == 0 {
                // A slot at rest has no window.
                bench.alloc.close_window(&mut handle).await.unwrap();
                bench.commit(std::mem::replace(&mut handle, volume.change())).await;
            }
        }
        assert_eq!(bench.depth, 3);
        bench.test.assert_clean().await;
        let parts = [(1000, 700), (8000, 3000), (0, 90), (5000, 1)];
        for (at, clusters) in parts {
            bench.flags(&mut handle, (at, clusters), (ExtentFlags::empty(), ExtentFlags::UNWRITTEN)).await;
            bench.remove(&mut handle, (at, u64::from(at + clusters)), 7).await;
            bench.compare(&handle).await;
        }
        bench.alloc.close_window(&mut handle).await.unwrap();
        bench.commit(std::mem::replace(&mut handle, volume.change())).await;
        bench.test.assert_clean().await;
        bench.remove(&mut handle, (0, 1 << 32), 1000).await;
        bench.alloc.close_window(&mut handle).await.unwrap();
        bench.commit(handle).await;
        bench.test.assert_clean().await;
        assert!(bench.model.is_empty());
    });
}

/// A leaf lost its first extents, and it was the first leaf below the last child of the root, but not the tree's last
/// leaf: that child's start was moved, and its end with it, past the end of the tree (random tests showed it once in
/// about 30 runs: 2471 for 2375). Nothing tightens the end of a tree that is changed elsewhere.
#[test]
fn what_begins_later_does_not_end_later() {
    block_on(async {
        let mut bench = Bench::new("c").await;
        let volume = bench.test.volume.clone();
        let mut handle = volume.change();
        for at in (0..1500).rev() {
            bench.fill(&mut handle, (at * 2, 1, 1, 0, false)).await;
        }
        assert!(bench.depth == 0 && bench.model.len() == 1500);
        for at in (0..2900).step_by(9) {
            bench.remove(&mut handle, (at, u64::from(at) + 7), 40).await;
            bench.compare(&handle).await;
        }
        assert_eq!(bench.depth, 2);
    });
}
