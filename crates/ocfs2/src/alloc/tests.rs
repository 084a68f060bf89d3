//! The allocators against a plain model: sets of clusters and blocks.

use std::collections::{BTreeMap, BTreeSet};

use ocfs2_format::{BlockKind, BlockNum, Body, Dinode, GroupDescriptor, Suballoc};
use proptest::prelude::*;

use super::*;
use crate::test_volume::{TestVolume, block_on};
use crate::txn::{Blocks, Handle, Saved};

/// Reads all of an allocator, checks that its counters agree, and gives the clusters or blocks of its bits in use and
/// the clusters of its groups.
async fn read_all(
    blocks: &impl Blocks,
    ino: BlockNum,
    first_group: BlockNum,
) -> (BTreeSet<u64>, BTreeSet<u32>) {
    let volume = *blocks.volume();
    let geometry = volume.geometry;
    let block = blocks.get(ino, ino, BlockKind::Dinode).await.unwrap();
    let (dinode, body) = Dinode::parse(&volume, ino, block.bytes()).unwrap();
    let Body::Chains(list) = body else { panic!("inode {ino} is no allocator") };
    let (mut used, mut clusters) = (BTreeSet::new(), BTreeSet::new());
    let (mut all_used, mut all_total, mut groups) = (0, 0, 0);
    for (index, chain) in (0..).zip(list.chains()) {
        let (mut free, mut total, mut next) = (0, 0, Some(chain.head));
        while let Some(at) = next {
            let bytes = blocks.get(ino, at, BlockKind::GroupDescriptor).await.unwrap();
            let group = GroupDescriptor::parse(&volume, at, bytes.bytes(), Some(ino)).unwrap();
            assert!(group.counts_agree(), "group {at}");
            assert_eq!(group.chain, index, "group {at}");
            let set = (0..group.bitmap.len()).filter(|bit| group.bitmap.get(*bit));
            if list.bits_per_cluster == 1
                && geometry.clusters_per_group() == u32::from(list.clusters_per_group)
            {
                let base = if at == first_group { 0 } else { geometry.cluster_of(at).unwrap().0 };
                used.extend(set.map(|bit| u64::from(base + bit)));
            } else {
                let block = |bit| group.block_of_bit(&volume, bit).unwrap();
                used.extend(set.map(|bit| block(bit).0));
                clusters
                    .extend((0..group.bitmap.len()).map(|bit| geometry.cluster_of(block(bit)).unwrap().0));
            }
            free += u32::from(group.free);
            total += group.bitmap.len();
            groups += 1;
            next = group.next;
        }
        assert_eq!((free, total), (chain.free, chain.total), "chain {index} of {ino}");
        all_used += total - free;
        all_total += total;
    }
    let usage = dinode.bitmap_usage().unwrap();
    assert_eq!((usage.used, usage.total), (all_used, all_total), "inode {ino}");
    if !clusters.is_empty() {
        assert_eq!(dinode.clusters, groups * u32::from(list.clusters_per_group), "inode {ino}");
        assert_eq!(u32::try_from(clusters.len()), Ok(dinode.clusters), "inode {ino}");
    }
    assert_eq!(dinode.size, u64::from(dinode.clusters) << geometry.cluster_size.bits());
    (used, clusters)
}

#[derive(Clone, Debug)]
enum Op {
    Claim { want: u32, min: u32, global: bool },
    Free(prop::sample::Index),
    Log(prop::sample::Index),
    Flush,
    Block { inode: bool, count: u16 },
    FreeBlock(prop::sample::Index),
    Grow { inode: bool },
    Close,
    Commit,
    Home,
    Abandon,
}

fn op() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![1_u32..4, 1_u32..200, 500_u32..3000];
    prop_oneof![
        6 => (size(), 1_u32..40, any::<bool>()).prop_map(|(want, min, global)| Op::Claim { want, min, global }),
        2 => any::<prop::sample::Index>().prop_map(Op::Free),
        2 => any::<prop::sample::Index>().prop_map(Op::Log),
        2 => Just(Op::Flush),
        4 => (any::<bool>(), 1_u16..400).prop_map(|(inode, count)| Op::Block { inode, count }),
        2 => any::<prop::sample::Index>().prop_map(Op::FreeBlock),
        1 => any::<bool>().prop_map(|inode| Op::Grow { inode }),
        1 => Just(Op::Close),
        3 => Just(Op::Commit),
        1 => Just(Op::Home),
        1 => Just(Op::Abandon),
    ]
}

/// What must be so. Cloned when a handle begins, for the case that it is abandoned.
#[derive(Clone, Debug, Default)]
struct Model {
    mine: Vec<ClusterRun>,
    logged: Vec<ClusterRun>,
    blocks: BTreeMap<BlockNum, (bool, Suballoc)>,
    /// Freed by transactions up to now, each with its number; `u64::MAX` for the open handle.
    held: Vec<(u64, ClusterRun)>,
}

struct Bench {
    test: TestVolume,
    alloc: Allocators,
    model: Model,
    saved: Model,
    tid: u64,
    at_start: BTreeSet<u32>,
    first_group: BlockNum,
}

fn overlap(a: ClusterRun, b: ClusterRun) -> bool {
    a.range().start < b.range().end && b.range().start < a.range().end
}

impl Bench {
    async fn new(test: TestVolume) -> Self {
        let alloc = Allocators::new(&test.volume, 0);
        let first_group = test.volume.superblock().first_cluster_group;
        let bitmap = alloc.file(SystemFile::GlobalBitmap).unwrap();
        let (used, _) = read_all(&test.volume.change(), bitmap, first_group).await;
        let at_start = used.into_iter().map(|cluster| u32::try_from(cluster).expect("a cluster")).collect();
        let (model, saved) = (Model::default(), Model::default());
        Self { test, alloc, model, saved, tid: 0, at_start, first_group }
    }

    /// Checks a claim against everything that must not be given out.
    fn claimed(&mut self, run: ClusterRun) {
        let end = run.range().end;
        assert!(end <= self.test.volume.geometry().clusters.0);
        let taken = self.model.mine.iter().chain(&self.model.logged);
        let held = self.model.held.iter().map(|(_, held)| held);
        assert!(!taken.chain(held).any(|other| overlap(*other, run)), "{run:?}");
        assert!(self.at_start.range(run.range()).next().is_none(), "{run:?}");
        self.model.mine.push(run);
    }

    async fn apply(&mut self, handle: &mut Handle<'_>, op: &Op) {
        let before = handle.save();
        match self.try_apply(handle, op).await {
            Ok(()) => {}
            Err(Error::NoSpace { .. } | Error::TruncateLogFull { .. }) => assert_unchanged(handle, &before),
            Err(error) => panic!("{op:?}: {error}"),
        }
    }

    async fn try_apply(&mut self, handle: &mut Handle<'_>, op: &Op) -> Result<(), Error> {
        let pool = |inode| if inode { Pool::Inode(0) } else { Pool::Extent(0) };
        match op {
            Op::Claim { want, min, global } => {
                let run = match global {
                    true => self.alloc.claim_global(handle, *want, *min).await?,
                    false => self.alloc.claim_clusters(handle, *want, *min).await?,
                };
                assert!(run.clusters <= *want && run.clusters >= *min.min(want));
                self.claimed(run);
            }
            Op::Free(which) | Op::Log(which) if !self.model.mine.is_empty() => {
                let at = which.index(self.model.mine.len());
                let run = self.model.mine[at];
                if let Op::Free(_) = op {
                    self.alloc.free_clusters(handle, run).await?;
                    self.model.held.push((u64::MAX, run));
                } else {
                    self.alloc.log_freed(handle, run).await?;
                    self.model.logged.push(run);
                }
                self.model.mine.remove(at);
            }
            Op::Flush => {
                while let Some(record) = self.alloc.flush_record(handle).await? {
                    let freed = record.freed.expect("no void record");
                    let inside = |run: &ClusterRun| overlap(*run, freed);
                    self.model
                        .held
                        .extend(self.model.logged.iter().filter(|r| inside(r)).map(|r| (u64::MAX, *r)));
                    self.model.logged.retain(|run| !inside(run));
                }
                assert!(self.model.logged.is_empty());
            }
            Op::Block { inode, count } => {
                for _ in 0..*count {
                    let before = handle.save();
                    let new = match self.alloc.claim_block(handle, pool(*inode)).await {
                        Err(error @ Error::NoSpace { .. }) => {
                            assert_unchanged(handle, &before);
                            println!("{error}");
                            break;
                        }
                        new => new?,
                    };
                    assert!(self.model.blocks.insert(new.block, (*inode, new.suballoc)).is_none());
                }
            }
            Op::FreeBlock(which) if !self.model.blocks.is_empty() => {
                let at = which.index(self.model.blocks.len());
                let (block, (inode, suballoc)) =
                    self.model.blocks.iter().nth(at).map(|(b, of)| (*b, *of)).unwrap();
                self.alloc.free_block(handle, pool(inode), block, suballoc).await?;
                self.model.blocks.remove(&block);
                // Freed twice is an error, not a smaller count. The handle would have to be dropped then.
                let before = handle.save();
                let again = self.alloc.free_block(handle, pool(inode), block, suballoc).await;
                assert!(matches!(again, Err(Error::Bits { changed: 0, .. })), "{again:?}");
                handle.restore(before);
            }
            Op::Grow { inode } => self.alloc.grow(handle, pool(*inode)).await?,
            Op::Close => self.alloc.close_window(handle).await?,
            _ => {}
        }
        Ok(())
    }

    /// Ends the handle: publishes it and compares everything with the model.
    async fn commit(&mut self, handle: Handle<'_>) {
        let sealed = handle.seal();
        self.test.write_home(&sealed).await;
        self.tid += 1;
        self.alloc.published(&sealed, self.tid);
        for (tid, _) in self.model.held.iter_mut().filter(|(tid, _)| *tid == u64::MAX) {
            *tid = self.tid;
        }
        self.compare().await;
        self.saved = self.model.clone();
    }

    async fn compare(&self) {
        let blocks = self.test.volume.change();
        let file = |file| self.alloc.file(file).unwrap();
        let (used, _) = read_all(&blocks, file(SystemFile::GlobalBitmap), self.first_group).await;
        let mut expected = self.at_start.clone();
        expected.extend(self.model.mine.iter().chain(&self.model.logged).flat_map(|run| run.range()));
        let unused = |window: &ocfs2_format::LocalAlloc<'_>| -> Vec<u32> {
            let free = window.bitmap.free_runs(0..window.bits).flatten();
            free.map(|bit| window.start.0 + bit).collect()
        };
        expected.extend(self.alloc.with_window(&blocks, unused).await.unwrap());
        for (inode, pool) in [(true, Pool::Inode(0)), (false, Pool::Extent(0))] {
            let (bits, clusters) = read_all(&blocks, file(pool.file()), self.first_group).await;
            expected.extend(clusters);
            let mine = self.model.blocks.iter().filter(|(_, (of, _))| *of == inode);
            assert!(mine.into_iter().all(|(block, _)| bits.contains(&block.0)));
        }
        let used: BTreeSet<u32> =
            used.into_iter().map(|cluster| u32::try_from(cluster).expect("a cluster")).collect();
        let wrong: Vec<_> = used.symmetric_difference(&expected).take(5).collect();
        assert!(wrong.is_empty(), "clusters {wrong:?}");
        let held: u64 = self.model.held.iter().map(|(_, run)| u64::from(run.clusters)).sum();
        assert_eq!(self.alloc.held(), held);
    }

    async fn run(&mut self, ops: &[Op]) {
        let volume = self.test.volume.clone();
        let mut handle = volume.change();
        for op in ops {
            match op {
                Op::Commit => {
                    self.commit(std::mem::replace(&mut handle, volume.change())).await;
                }
                Op::Abandon => {
                    handle = volume.change();
                    self.model = self.saved.clone();
                }
                Op::Home => {
                    self.alloc.home(self.tid);
                    self.model.held.retain(|(tid, _)| *tid == u64::MAX);
                    // What was let go is let go for a handle that is abandoned, too.
                    self.saved.held.clear();
                }
                op => self.apply(&mut handle, op).await,
            }
        }
        self.commit(handle).await;
    }

    /// Gives everything back: only the groups that were added are in use then.
    async fn give_back(&mut self) {
        let volume = self.test.volume.clone();
        let mut handle = volume.change();
        for (block, (inode, suballoc)) in std::mem::take(&mut self.model.blocks) {
            let pool = if inode { Pool::Inode(0) } else { Pool::Extent(0) };
            self.alloc.free_block(&mut handle, pool, block, suballoc).await.unwrap();
        }
        let flushed = self.try_apply(&mut handle, &Op::Flush).await;
        flushed.unwrap();
        for run in std::mem::take(&mut self.model.mine) {
            self.alloc.free_clusters(&mut handle, run).await.unwrap();
            self.model.held.push((u64::MAX, run));
        }
        self.alloc.close_window(&mut handle).await.unwrap();
        self.commit(handle).await;
        self.test.assert_clean().await;
    }
}

/// The handle changes what it changed when it was saved, and nothing else.
fn assert_unchanged(handle: &Handle<'_>, before: &Saved) {
    assert!(handle.is_as_saved(before), "a step that failed for want of space has changed something");
}

fn run(test: TestVolume, ops: &[Op]) {
    block_on(async {
        let mut bench = Bench::new(test).await;
        bench.run(ops).await;
        bench.give_back().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 8, failure_persistence: None, ..ProptestConfig::with_cases(fixtures::cases(2)) })]

    #[test]
    fn small_blocks(ops in prop::collection::vec(op(), 60)) {
        run(block_on(TestVolume::fixture("c")), &ops);
    }

    #[test]
    fn equal_blocks_and_clusters(ops in prop::collection::vec(op(), 60)) {
        run(block_on(TestVolume::fixture("a")), &ops);
    }

    #[test]
    fn checksums_and_large_clusters(ops in prop::collection::vec(op(), 60)) {
        run(block_on(TestVolume::fixture("b")), &ops);
    }

    #[test]
    fn a_volume_that_is_nearly_full_and_has_discontiguous_groups(ops in prop::collection::vec(op(), 60)) {
        run(block_on(TestVolume::fixture("g")), &ops);
    }

    #[test]
    fn the_largest_clusters(ops in prop::collection::vec(op(), 40)) {
        let options = ["-b", "4096", "-C", "1M", "-N", "2", "--fs-features=metaecc,discontig-bg"];
        if let Some(test) = block_on(TestVolume::fresh(512, &options)) {
            run(test, &ops);
        }
    }
}

/// Only single clusters are free: a group has to be made of pieces.
#[test]
fn an_allocator_grows_by_pieces_where_the_volume_is_fragmented() {
    for options in [["-b", "4096", "-C", "4096", "-N", "1"], ["-b", "1024", "-C", "4096", "-N", "1"]] {
        block_on(async {
            let features = ["--fs-features=discontig-bg,metaecc"];
            let options = [options.as_slice(), &features].concat();
            let Some(test) = TestVolume::fresh(96, &options).await else { return };
            let mut bench = Bench::new(test).await;
            let volume = bench.test.volume.clone();
            let mut handle = volume.change();
            while let Ok(run) = bench.alloc.claim_global(&mut handle, 40, 1).await {
                bench.claimed(run);
            }
            let all = std::mem::take(&mut bench.model.mine);
            for run in all {
                if run.clusters == 40 {
                    let last = ClusterRun { start: ClusterNum(run.start.0 + 3), clusters: 37 };
                    bench.alloc.free_clusters(&mut handle, last).await.unwrap();
                    bench.model.held.push((u64::MAX, last));
                    bench.model.mine.push(ClusterRun { start: run.start, clusters: 3 });
                } else {
                    bench.model.mine.push(run);
                }
            }
            // Nothing that was freed may be used yet, so there is no room at all.
            let none = bench.alloc.grow(&mut handle, Pool::Inode(0)).await;
            assert!(matches!(none, Err(Error::NoSpace { .. })), "{none:?}");
            bench.commit(handle).await;
            let none = bench.alloc.grow(&mut volume.change(), Pool::Inode(0)).await;
            assert!(matches!(none, Err(Error::NoSpace { .. })), "{none:?}");
            bench.run(&[Op::Home, Op::Grow { inode: true }, Op::Grow { inode: false }]).await;
            bench
                .run(&[Op::Block { inode: true, count: 1500 }, Op::Block { inode: false, count: 1500 }])
                .await;
            let apart = bench.model.blocks.values().filter(|(_, suballoc)| suballoc.group.is_some()).count();
            assert!(apart > 500, "{apart}");
            bench.give_back().await;
        });
    }
}

/// A group that lies about its free bits is not used, and nothing is written from it.
#[test]
fn a_group_whose_count_is_wrong_is_refused() {
    block_on(async {
        let volume = TestVolume::damaged("20-group-free-count").await.volume;
        let alloc = Allocators::new(&volume, 0);
        let mut handle = volume.change();
        let run = ClusterRun { start: ClusterNum(1000), clusters: 1 };
        let freed = alloc.free_clusters(&mut handle, run).await;
        assert!(
            matches!(freed, Err(Error::Chain { field: "bg_free_bits_count", found: 9, .. })),
            "{freed:?}"
        );
        assert_eq!(handle.credits(), 0);
    });
}

/// Clusters that somebody reserved are not claimed by others, and the window stays while they are.
#[test]
fn what_is_reserved_is_kept_until_it_is_claimed_or_given_up() {
    block_on(async {
        let test = TestVolume::fixture("a").await;
        let alloc = Allocators::new(&test.volume, 0);
        let mut handle = test.volume.change();
        assert!(alloc.reserve(&handle, 10, 1).await.unwrap().is_none());
        assert!(alloc.move_window(&mut handle, 100, 10).await.unwrap());
        let first = alloc.reserve(&handle, 10, 1).await.unwrap().unwrap();
        let second = alloc.reserve(&handle, 10, 1).await.unwrap().unwrap();
        let claimed = alloc.claim_clusters(&mut handle, 10, 10).await.unwrap();
        assert!(!overlap(first.run(), second.run()) && !overlap(claimed, first.run()));
        assert!(!overlap(claimed, second.run()));
        let given_up = first.run();
        drop(first);
        assert_eq!(alloc.claim_clusters(&mut handle, 10, 10).await.unwrap(), given_up);
        assert!(matches!(alloc.close_window(&mut handle).await, Err(Error::WindowReserved { slot: 0 })));
        alloc.claim_reserved(&mut handle, &second).await.unwrap();
        assert_eq!(alloc.window(&handle).await.unwrap().used, 30);
        drop(second);
        alloc.close_window(&mut handle).await.unwrap();
    });
}

/// An extent that points at the superblock or at a group descriptor frees neither.
#[test]
fn the_volumes_own_clusters_are_not_freed() {
    block_on(async {
        let volume = TestVolume::fixture("a").await.volume;
        let alloc = Allocators::new(&volume, 0);
        let second_group = volume.geometry().clusters_per_group();
        for (start, clusters) in [(0, 1), (3, 1), (second_group, 2), (second_group - 1, 2)] {
            let mut handle = volume.change();
            let run = ClusterRun { start: ClusterNum(start), clusters };
            let freed = alloc.free_clusters(&mut handle, run).await;
            assert!(matches!(freed, Err(Error::Bits { changed: 0, .. })), "{start}: {freed:?}");
        }
        let beyond = ClusterRun { start: ClusterNum(u32::MAX - 1), clusters: 9 };
        let freed = alloc.free_clusters(&mut volume.change(), beyond).await;
        assert!(matches!(freed, Err(Error::BeyondVolume { .. })), "{freed:?}");
    });
}
