//! Names made, moved and taken away at random, beside a plain model.

use std::sync::Arc;

use block::{BlockDevice, MemoryDevice};
use ocfs2::{OpenOptions, Volume};

use crate::model::{Model, Workload};
use crate::support::{assert_sound, block_on, fresh, written};

async fn reread(device: &MemoryDevice) -> Volume {
    let device: Arc<dyn BlockDevice> = Arc::new(device.snapshot());
    Volume::open(device, OpenOptions::default()).await.expect("a volume")
}

fn run(mib: u64, sizes: (u64, u64), features: &str, steps: usize, names: usize) {
    let what = format!("{sizes:?} {features}");
    let device = Arc::new(fresh(mib, sizes, 1, features));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let (model, closed) = block_on(written(shared, async |fs| {
        let mut load = Workload::new(fs, 0x5eed + sizes.0 + sizes.1, names).await;
        for _ in 0..steps {
            load.step(fs).await;
        }
        load.release_all(fs).await;
        assert!(Model::of(fs.volume()).await == load.model, "{what}");
        load.model
    }))
    .expect("a sound volume");
    closed.expect("a device that does not fail");
    assert!(block_on(async { Model::of(&reread(&device).await).await }) == model, "{what}: read again");
    assert!(model.nodes.len() > steps / 40, "{what}: only {} inodes", model.nodes.len());
    assert_sound(&what, &device);
}

#[test]
fn blocks_of_512_bytes() {
    run(128, (512, 4096), "", 3000, 300);
    run(128, (512, 4096), "noinline-data", 2000, 300);
    run(128, (512, 4096), "noindexed-dirs,metaecc", 2000, 300);
}

#[test]
fn blocks_of_1024_bytes() {
    run(128, (1024, 4096), "", 3000, 300);
    run(128, (1024, 4096), "noinline-data,metaecc", 2000, 300);
}

#[test]
fn blocks_of_4096_bytes() {
    run(128, (4096, 4096), "", 3000, 600);
    run(128, (4096, 4096), "noinline-data", 2000, 600);
    run(128, (4096, 4096), "noinline-data,noindexed-dirs", 2000, 600);
    run(128, (4096, 4096), "metaecc", 2000, 600);
}

#[test]
fn large_clusters() {
    run(512, (4096, 65_536), "metaecc", 2000, 300);
    run(1024, (4096, 1 << 20), "", 1500, 200);
    run(2048, (4096, 1 << 20), "noinline-data", 1000, 200);
}
