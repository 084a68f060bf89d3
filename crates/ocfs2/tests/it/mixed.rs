//! Everything that can be done to a volume, at random, beside a model of it in memory.
//!
//! What fails is made smaller by leaving operations out: each is drawn from a number of its own, whatever came before.

use std::sync::Arc;

use block::{BlockDevice, MemoryDevice};
use fixtures::Random;
use ocfs2::{FallocateMode, FileType, OpenOptions, SetAttr, Volume, Writable};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::model::{BALLAST, Model, Op, Workload};
use crate::orphans::orphans;
use crate::support::{assert_sound, block_on, fresh, written};

/// Operations between two openings.
const ROUND: usize = 60;
/// Operations of one run, at the most.
const STEPS: usize = 240;

/// A volume that is worked on.
#[derive(Clone, Copy, Debug)]
struct Bench {
    mib: u64,
    sizes: (u64, u64),
    features: &'static str,
    /// Most bytes of a file.
    most: usize,
}

/// fsck.ocfs2 complains of clusters behind the end of a file, which the kernel's fallocate leaves there, too.
async fn give_up_what_is_behind_ends(fs: &Writable, model: &mut Model) {
    // What takes up room comes first, that there is some for the others.
    let ballast = model.nodes[&model.root].names.get(BALLAST).copied();
    let mut files: Vec<_> = model.nodes.iter().filter(|(_, node)| node.is_file()).collect();
    files.sort_by_key(|(ino, _)| Some(**ino) != ballast);
    for (ino, node) in files {
        fs.set_flags(*ino, 0).await.expect("a device that does not fail");
        for size in [node.data.len() + 1, node.data.len()] {
            let set = SetAttr { size: Some(size as u64), ..SetAttr::default() };
            fs.setattr(*ino, &set).await.expect("a device that does not fail");
        }
    }
    *model = Model::of(fs.volume()).await;
}

impl Bench {
    /// One operation for each of `seeds`.
    fn run(&self, seeds: &[u64]) -> usize {
        let what = format!("{self:?}");
        let device = Arc::new(fresh(self.mib, self.sizes, 1, self.features));
        let (mut model, mut full) = (None, 0);
        for round in seeds.chunks(ROUND) {
            let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
            let (load, closed) =
                block_on(written(shared, async |fs| self.round(fs, model.take(), round).await))
                    .expect("a sound volume");
            closed.expect("a device that does not fail");
            full += load.full;
            model = Some(load.model.named());
            let reread = block_on(async { Model::of(&reread(&device).await).await });
            assert!(Some(&reread) == model.as_ref(), "{what}: read again");
        }
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let ((), closed) = block_on(written(shared, async |fs| {
            fs.scan_after_opening().await;
            assert!(orphans(fs.volume()).await.is_empty(), "{what}");
            let mut model = Model::of(fs.volume()).await;
            give_up_what_is_behind_ends(fs, &mut model).await;
        }))
        .expect("a sound volume");
        closed.expect("a device that does not fail");
        assert_sound(&what, &device);
        full
    }

    /// Whether it is to be full most of the time.
    fn is_small(&self) -> bool {
        self.mib < 40
    }

    /// Leaves little room.
    async fn fill(&self, fs: &Writable, load: &mut Workload) {
        let (dir, kind, name) = (load.model.root, FileType::Regular, BALLAST.to_vec());
        load.perform(
            fs,
            &Op::Create { dir, name: name.clone(), kind, target: Vec::new(), rdev: (0, 0) },
            false,
        )
        .await;
        let ino = load.model.nodes[&dir].names[&name];
        let mode = FallocateMode { keep_size: true, punch_hole: false };
        let mut at = 0;
        for len in (self.sizes.1.ilog2() + 1..=25).rev().map(|bits| 1 << bits) {
            if load.perform(fs, &Op::Allocate { ino, at, len, mode }, false).await {
                at += len;
            }
        }
        load.full = 0;
    }

    /// One round of operations, which ends with inodes that are still retained.
    async fn round(&self, fs: &Writable, model: Option<Model>, seeds: &[u64]) -> Workload {
        fs.scan_after_opening().await;
        let found = Model::of(fs.volume()).await;
        let mut load = Workload::of(model.unwrap_or_else(|| found.clone()), 0, 24);
        assert!(found == load.model, "{self:?}: opened again");
        load.most = Some(self.most);
        if self.is_small() && load.model.nodes.len() < 3 {
            self.fill(fs, &mut load).await;
        }
        for seed in seeds {
            load.random = Random::new(*seed);
            load.step(fs).await;
        }
        let (found, wanted) = (Model::of(fs.volume()).await, load.model.named());
        assert!(found == wanted, "{self:?}: {}", found.difference(&wanted));
        load
    }

    /// So many runs, each of them other operations.
    fn runs(self, cases: u32) {
        let config = Config {
            max_shrink_iters: 300,
            failure_persistence: None,
            ..Config::with_cases(fixtures::cases(cases))
        };
        let seeds = proptest::collection::vec(any::<u64>().no_shrink(), STEPS / 2..STEPS);
        let full = std::cell::Cell::new(0);
        TestRunner::new(config)
            .run(&seeds, |seeds| {
                full.set(full.get() + self.run(&seeds));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{self:?}: {error}"));
        assert_eq!(full.get() > 0, self.is_small(), "{self:?}: full {} times", full.get());
    }
}

async fn reread(device: &MemoryDevice) -> Volume {
    let device: Arc<dyn BlockDevice> = Arc::new(device.snapshot());
    Volume::open(device, OpenOptions::default()).await.expect("a volume")
}

#[test]
fn blocks_of_512_bytes() {
    Bench { mib: 128, sizes: (512, 4096), features: "", most: 200_000 }.runs(2);
    Bench { mib: 128, sizes: (512, 4096), features: "metaecc,noindexed-dirs", most: 20_000 }.runs(2);
}

#[test]
fn blocks_of_1024_bytes() {
    Bench { mib: 128, sizes: (1024, 4096), features: "usrquota,grpquota", most: 100_000 }.runs(2);
    Bench { mib: 128, sizes: (1024, 4096), features: "noinline-data,metaecc", most: 200_000 }.runs(2);
}

#[test]
fn blocks_of_4096_bytes() {
    Bench { mib: 256, sizes: (4096, 4096), features: "", most: 200_000 }.runs(2);
    Bench { mib: 256, sizes: (4096, 4096), features: "noinline-data,noindexed-dirs", most: 200_000 }.runs(1);
    Bench { mib: 256, sizes: (4096, 4096), features: "metaecc,usrquota,grpquota", most: 9000 }.runs(2);
}

#[test]
fn large_clusters() {
    Bench { mib: 512, sizes: (4096, 65_536), features: "metaecc", most: 400_000 }.runs(2);
    Bench { mib: 1024, sizes: (4096, 1 << 20), features: "", most: 400_000 }.runs(1);
    Bench { mib: 1536, sizes: (4096, 1 << 20), features: "noinline-data", most: 2_500_000 }.runs(1);
}

#[test]
fn volumes_that_are_soon_full() {
    Bench { mib: 16, sizes: (1024, 4096), features: "noinline-data", most: 400_000 }.runs(2);
    Bench { mib: 20, sizes: (4096, 4096), features: "", most: 800_000 }.runs(2);
    Bench { mib: 24, sizes: (512, 4096), features: "metaecc", most: 800_000 }.runs(2);
    Bench { mib: 39, sizes: (4096, 16_384), features: "usrquota", most: 1_600_000 }.runs(2);
}
