//! Two nodes on one memory disk: each sees at once what the other has changed, and when both lose power nothing that
//! was promised is overwritten by what one of them had in its log.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use block::{BlockDevice, RecordingDevice};
use fixtures::Random;
use futures_util::future::join_all;
use ocfs2::{BlockNum, SetAttr, SetXattr, Writable, WriteOptions};

use crate::double::{Cluster, Node};
use crate::support::{TestClock, block_on, fsck_complaints, in_memory, written};

type Work<'w> = Pin<Box<dyn Future<Output = ()> + 'w>>;

/// A clustered volume that nobody has left dirty.
fn clean(name: &str) -> block::MemoryDevice {
    let device = in_memory(name);
    let shared: Arc<dyn BlockDevice> = Arc::new(device.snapshot());
    let clean = Arc::new(device);
    let (_, closed) =
        block_on(written(Arc::clone(&clean) as Arc<dyn BlockDevice>, async |_| ())).expect("a sound volume");
    closed.expect("a device that does not fail");
    drop(shared);
    clean.snapshot()
}

async fn open(device: &Arc<dyn BlockDevice>, node: &Arc<Node>, number: u32) -> Writable {
    let options = WriteOptions { node: number, ..WriteOptions::default() };
    let (service, clock) = (Arc::clone(node), Arc::new(TestClock::default()));
    Writable::open(Arc::clone(device), options, service, clock).await.expect("a clean volume")
}

/// Opens the volume on two nodes, lets them work at once, and closes it on both.
async fn together(
    cluster: &Arc<Cluster>,
    device: Arc<dyn BlockDevice>,
    work: impl AsyncFnOnce(&Writable, &Writable),
) {
    let (one, two) = (cluster.join(1), cluster.join(2));
    let first = open(&device, &one, 1).await;
    let rest = async {
        let second = open(&device, &two, 2).await;
        assert_ne!(first.slot(), second.slot());
        let both = async {
            work(&first, &second).await;
            second.close().await.expect("a device that does not fail");
            cluster.leave(2);
        };
        let drive = second.drive();
        futures_util::future::join(drive, both).await;
        first.close().await.expect("a device that does not fail");
        cluster.leave(1);
    };
    futures_util::future::join(first.drive(), rest).await;
}

/// Some inodes to change.
fn subjects(device: &Arc<dyn BlockDevice>, count: usize) -> Vec<BlockNum> {
    block_on(async {
        let volume = ocfs2::Volume::open(Arc::clone(device), ocfs2::OpenOptions::default())
            .await
            .expect("a sound volume");
        let mut inos = Vec::new();
        let mut walk = volume.walk(volume.inode(volume.root()).await.expect("the root"));
        while let Some(entry) = walk.next().await {
            let inode = entry.expect("a sound volume").inode;
            if inode.attr().flags & 0x30 == 0 && !inos.contains(&inode.ino()) {
                inos.push(inode.ino());
            }
        }
        inos.truncate(count);
        inos
    })
}

fn owner(uid: u32) -> SetAttr {
    SetAttr { uid: Some(uid), ..SetAttr::default() }
}

fn group(gid: u32) -> SetAttr {
    SetAttr { gid: Some(gid), ..SetAttr::default() }
}

#[test]
fn each_sees_at_once_what_the_other_has_changed() {
    for name in ["dirty-slot1", "dirty-ecc", "b"] {
        let device: Arc<dyn BlockDevice> = Arc::new(clean(name));
        let inos = subjects(&device, 5);
        let cluster = Arc::new(Cluster::default());
        block_on(together(&cluster, Arc::clone(&device), async |one, two| {
            for round in 1..40 {
                for ino in &inos {
                    let (here, there) = if round % 2 == 0 { (one, two) } else { (two, one) };
                    here.setattr(*ino, &owner(round)).await.unwrap();
                    let seen = *there.setattr(*ino, &group(round)).await.unwrap().attr();
                    assert_eq!((seen.uid, seen.gid), (round, round), "{name}: inode {ino}");
                    let key = format!("user.{}", round % 7);
                    let value = vec![u8::try_from(round).unwrap(); 60 * (round as usize % 7)];
                    there.set_xattr(*ino, key.as_bytes(), &value, SetXattr::default()).await.unwrap();
                    let inode = here.set_xattr(*ino, b"user.same", b"x", SetXattr::default()).await.unwrap();
                    assert_eq!(here.volume().xattr(&inode, key.as_bytes()).await.unwrap(), value);
                }
            }
        }));
        assert!(cluster.demands() > 200, "{name}: {} demands", cluster.demands());
        check(name, &device);
    }
}

/// Nothing is lost of what two nodes change at once, on inodes that they share, and of their own beside them.
#[test]
fn both_work_at_once() {
    let device: Arc<dyn BlockDevice> = Arc::new(clean("dirty-slot1"));
    let inos = subjects(&device, 3);
    let cluster = Arc::new(Cluster::default());
    let latest: BTreeMap<BlockNum, Cell<u32>> = inos.iter().map(|ino| (*ino, Cell::new(0))).collect();
    block_on(together(&cluster, Arc::clone(&device), async |one, two| {
        let mut tasks: Vec<Work<'_>> = Vec::new();
        for (node, fs) in [(1, one), (2, two)] {
            for task in 0..3 {
                let (inos, latest) = (&inos, &latest);
                tasks.push(Box::pin(async move {
                    let mut random = Random::new(node * 10 + task);
                    for step in 1..60 {
                        let ino = inos[random.below(inos.len())];
                        let known = latest[&ino].get();
                        let key = format!("user.{node}.{task}.{}", step % 5);
                        let inode =
                            fs.set_xattr(ino, key.as_bytes(), &[7; 90], SetXattr::default()).await.unwrap();
                        assert!(inode.attr().gid >= known, "inode {ino} went back in time");
                        if (node, task) == (1, 0) {
                            fs.setattr(ino, &group(step)).await.unwrap();
                            latest[&ino].set(latest[&ino].get().max(step));
                        }
                    }
                }));
            }
        }
        join_all(tasks).await;
        for ino in &inos {
            let inode = one.setattr(*ino, &owner(1)).await.unwrap();
            assert_eq!(inode.attr().gid, latest[ino].get());
            let ours = one.volume().xattrs(&inode).await.unwrap();
            let set = ours.iter().filter(|xattr| xattr.name().starts_with(b"user.")).count();
            assert!(set > 20, "inode {ino}: {set}");
        }
    }));
    check("dirty-slot1", &device);
}

/// What a hand-over is for: node 1 changes an inode and lets node 2 have it, node 2 changes it and is promised that it
/// lasts; then the power fails. Were the first change still in node 1's log, its replay would undo the second.
#[test]
fn a_log_does_not_undo_what_another_node_was_promised() {
    let base = clean("dirty-ecc");
    let device = Arc::new(RecordingDevice::new(base.snapshot()));
    let shared: Arc<dyn BlockDevice> = Arc::clone(&device) as _;
    let inos = subjects(&shared, 4);
    let cluster = Arc::new(Cluster::default());
    let promises: std::cell::RefCell<Vec<(usize, BlockNum, u32)>> = std::cell::RefCell::default();
    block_on(together(&cluster, Arc::clone(&shared), async |one, two| {
        let mut random = Random::new(11);
        for step in 1..50 {
            let ino = inos[random.below(inos.len())];
            let fs = if random.below(2) == 0 { one } else { two };
            fs.setattr(ino, &owner(step)).await.unwrap();
            if random.below(2) == 0 {
                fs.fsync(ino).await.unwrap();
                promises.borrow_mut().push((device.log().events().len(), ino, step));
            }
        }
    }));
    let log = device.log();
    let (promises, mut random, mut images) = (promises.into_inner(), Random::new(12), 0);
    for crash in log.crashes(&base) {
        if crash.unsure().next().is_some() && random.below(5) != 0 {
            continue;
        }
        for choice in crash.choices(13, 2) {
            let image = Arc::new(crash.image(&choice).snapshot());
            images += 1;
            let opened = block_on(written(Arc::clone(&image) as Arc<dyn BlockDevice>, async |fs| {
                let mut owners = BTreeMap::new();
                for ino in &inos {
                    owners.insert(*ino, fs.volume().inode(*ino).await.expect("an inode").attr().uid);
                }
                owners
            }));
            let (owners, closed) = opened.expect("both slots are recovered");
            closed.expect("a device that does not fail");
            for ino in &inos {
                let promised = promises.iter().filter(|(at, of, _)| *at <= crash.event() && of == ino);
                let least = promised.map(|(.., step)| *step).max().unwrap_or(0);
                // The owner at first is any number; a step is less than fifty.
                let found = owners[ino];
                assert!(
                    least == 0 || (least..50).contains(&found),
                    "cut after event {}: inode {ino} has owner {found}, and {least} was promised",
                    crash.event()
                );
            }
        }
    }
    assert!(images > 40, "only {images} images");
}

fn check(name: &str, device: &Arc<dyn BlockDevice>) {
    let copy = block::MemoryDevice::new(device.geometry().size);
    block_on(async {
        use block::BlockDeviceExt as _;
        for at in (0..device.geometry().size).step_by(1 << 20) {
            let bytes = device.read_at(at, 1 << 20).await.expect("memory gives what it has");
            copy.write_at(at, bytes, block::Durability::Cached).await.expect("memory takes writes");
        }
    });
    if let Some(complaints) = fsck_complaints(&copy) {
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
    }
    let (findings, _) = block_on(crate::check::run(Arc::new(copy))).expect("a volume");
    let counts: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(!counts.iter().any(|line| line.contains("QUOTA_USAGE")), "{name}: {counts:#?}");
}
