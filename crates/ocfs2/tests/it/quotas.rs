//! Names made and taken away and owners changed at random, on volumes that count what users and groups use.

use std::sync::Arc;

use block::{BlockDevice, BlockDeviceExt, Buf, Durability};
use fixtures::Random;
use ocfs2::{Error, NewInode, NewKind, QuotaKind, QuotaLimits, SetAttr, SystemFile, Volume, Writable};

use crate::model::{Op, Workload};
use crate::support::{assert_sound, block_on, fresh, open_for_writing, written};

const FEATURES: &str = "usrquota,grpquota";

async fn work(fs: &Writable, seed: u64, steps: usize) {
    let mut load = Workload::new(fs, seed, 200).await;
    let mut random = Random::new(seed);
    let owners = [0, 1, 1000, 70_000, u32::MAX];
    for step in 0..steps {
        load.step(fs).await;
        let inos: Vec<_> = load.model.nodes.keys().copied().collect();
        let ino = inos[random.below(inos.len())];
        let owner = |random: &mut Random| Some(owners[random.below(owners.len())]);
        let set = SetAttr { uid: owner(&mut random), gid: owner(&mut random), ..SetAttr::default() };
        load.perform(fs, &Op::SetAttr { ino, set }, false).await;
        if step % 100 == 99 {
            fs.sync_quotas().await.expect("a device that does not fail");
        }
    }
    load.release_all(fs).await;
}

/// In three lives, two of which end with a loss of power.
fn lives(sizes: (u64, u64), features: &str, steps: usize) {
    let device = Arc::new(fresh(128, sizes, 1, &[FEATURES, features].join(",")));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    for life in 0..2 {
        block_on(async {
            let fs = open_for_writing(Arc::clone(&shared)).await.expect("a volume");
            let both = async {
                work(&fs, life + sizes.0, steps).await;
                fs.sync().await.expect("a device that does not fail");
            };
            let mut both = std::pin::pin!(both);
            tokio::select! {
                biased;
                () = &mut both => {}
                () = fs.drive() => panic!("it ends with closing"),
            }
        });
    }
    let (_, closed) = block_on(written(shared, async |fs| work(fs, 7, steps).await)).expect("a volume");
    closed.expect("a device that does not fail");
    assert_sound(&format!("{sizes:?} {features}"), &device);
}

#[test]
fn what_names_and_directories_cost_is_counted() {
    lives((512, 4096), "metaecc", 400);
    lives((1024, 4096), "noinline-data", 400);
    lives((4096, 65_536), "noinline-data,metaecc", 300);
}

#[test]
fn who_has_all_inodes_that_he_may_have_makes_no_more() {
    let device = Arc::new(fresh(128, (4096, 4096), 1, FEATURES));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let (_, closed) = block_on(written(shared, async |fs| {
        let limits = QuotaLimits { inodes_hard: 3, space_hard: 8192, ..QuotaLimits::default() };
        fs.set_quota(QuotaKind::User, 1000, limits).await.unwrap();
        let new = NewInode { perm: 0o644, uid: 1000, gid: 1000, umask: None };
        let root = fs.volume().root();
        for name in [b"a", b"b", b"c"] {
            fs.create(root, name, &new, NewKind::File).await.unwrap();
        }
        let refused = fs.create(root, b"d", &new, NewKind::File).await.unwrap_err();
        assert!(matches!(refused, Error::Quota { limit: 3, usage: 4, .. }), "{refused}");
        assert!(fs.lookup(root, b"d").await.unwrap().is_none(), "nothing has happened");
        fs.ignoring_quota_limits().create(root, b"d", &new, NewKind::File).await.unwrap();
        fs.unlink(root, b"a").await.unwrap();
        let refused = fs.create(root, b"e", &new, NewKind::File).await.unwrap_err();
        assert!(matches!(refused, Error::Quota { .. }), "{refused}");
        fs.unlink(root, b"b").await.unwrap();
        fs.create(root, b"e", &new, NewKind::File).await.unwrap();
        assert_eq!(fs.quota(QuotaKind::User, 1000).await.unwrap().inodes, 3);
        assert_eq!(fs.quota(QuotaKind::Group, 1000).await.unwrap().inodes, 3);
    }))
    .unwrap();
    closed.unwrap();
    assert_sound("limits", &device);
}

/// Where the blocks of all quota files lie on the device, in bytes.
async fn quota_blocks(volume: &Volume) -> Vec<u64> {
    let files = [
        SystemFile::UserQuota,
        SystemFile::GroupQuota,
        SystemFile::LocalUserQuota(0),
        SystemFile::LocalGroupQuota(0),
    ];
    let mut blocks = Vec::new();
    for file in files {
        let ino = volume.system_file(file).expect("a volume with quotas");
        let inode = volume.inode(ino).await.expect("a sound volume");
        let mut map = volume.fiemap(&inode, 0, inode.attr().size);
        while let Some(extent) = map.next().await.expect("a sound volume") {
            blocks.extend((extent.physical..extent.physical + extent.length).step_by(512));
        }
    }
    blocks
}

/// Counts for many ids, whatever comes of it.
async fn count_somehow(fs: &Writable) {
    let new = |uid| NewInode { perm: 0o644, uid, gid: uid, umask: None };
    let root = fs.volume().root();
    for uid in (0..400).step_by(7) {
        let name = format!("more {uid}");
        let _refused = fs.create(root, name.as_bytes(), &new(uid), NewKind::File).await;
    }
    let limits = QuotaLimits { inodes_hard: 300, ..QuotaLimits::default() };
    let _refused = fs.set_quota(QuotaKind::User, 77_777, limits).await;
    let mut from = Some(0);
    while let Some(at) = from {
        from = match fs.next_quota(QuotaKind::User, at).await {
            Ok(Some(status)) => status.id.checked_add(1),
            _ => None,
        };
    }
    let _refused = fs.sync_quotas().await;
}

/// Without checks, so that everything must be judged by itself: no panic, no walk without an end.
#[test]
fn damaged_quota_files_are_errors() {
    let base = Arc::new(fresh(64, (512, 4096), 1, FEATURES));
    let shared = Arc::clone(&base) as Arc<dyn BlockDevice>;
    let (blocks, closed) = block_on(written(shared, async |fs| {
        let new = |uid| NewInode { perm: 0o644, uid, gid: uid, umask: None };
        for uid in 0..120 {
            let name = format!("file {uid}");
            fs.create(fs.volume().root(), name.as_bytes(), &new(uid), NewKind::File).await.unwrap();
        }
        fs.sync_quotas().await.unwrap();
        quota_blocks(fs.volume()).await
    }))
    .unwrap();
    closed.unwrap();
    assert!(blocks.len() > 60, "{} blocks", blocks.len());
    let mut random = Random::new(0xbad);
    let mut failed = 0;
    for _ in 0..80 {
        let device = Arc::new(base.snapshot());
        for _ in 0..3 {
            let block = blocks[random.below(blocks.len())];
            // Heads and first entries, most of the time.
            let reach = if random.below(3) > 0 { 8 } else { 126 };
            let at = 4 * random.below(reach);
            let value = [0, 1, 2, 7, 40, u32::MAX, 1 << 31][random.below(7)];
            let whole = block_on(device.read_at(block, 512)).unwrap();
            let mut changed = whole.to_vec();
            changed[at..][..4].copy_from_slice(&u32::to_le_bytes(value));
            block_on(device.write_at(block, Buf::copy_of(&changed), Durability::Cached)).unwrap();
        }
        let done = block_on(written(device as Arc<dyn BlockDevice>, async |fs| count_somehow(fs).await));
        failed += usize::from(!matches!(done, Ok((_, Ok(())))));
    }
    assert!(failed > 0, "nothing was found wrong in 80 damaged volumes");
}
