//! Volumes opened for writing, changed, and closed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use block::{BlockDevice, FailingDevice, Fault, MemoryDevice, RecordingDevice, Rule};
use futures_util::future::join_all;
use ocfs2::{BlockNum, Error, OpenOptions, SetAttr, SetTime, Timestamp, Volume, Writable};

use crate::support::{
    TestClock, block_on, fsck_complaints, in_memory, open_for_writing, path_of, walk, written,
};

async fn reread(device: &MemoryDevice) -> Volume {
    let device: Arc<dyn BlockDevice> = Arc::new(device.snapshot());
    Volume::open(device, OpenOptions::default()).await.expect("a volume")
}

/// The volume is clean: no dirty journal, no slot in use, and `fsck.ocfs2` has nothing to say.
fn assert_clean(name: &str, device: &MemoryDevice) {
    let warnings = block_on(async { format!("{:?}", reread(device).await.warnings()) });
    assert_eq!(warnings, "[]", "{name}");
    if let Some(complaints) = fsck_complaints(device) {
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
    }
}

/// Some regular files of a volume, in order.
async fn files(volume: &Volume, count: usize) -> Vec<BlockNum> {
    let lines = walk(volume).await.lines;
    let number = |line: &String| {
        let digits = line.split("\"ino\":").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
        line.contains("\"type\":\"file\"").then(|| BlockNum(digits.parse().expect("digits")))
    };
    let mut inos: Vec<BlockNum> = lines.values().filter_map(number).collect();
    inos.sort_unstable();
    inos.dedup();
    inos.truncate(count);
    inos
}

#[test]
fn attributes_are_changed_and_last() {
    for name in ["a", "b", "c", "dirty-ecc"] {
        let device = in_memory(name);
        let shared: Arc<dyn BlockDevice> = Arc::new(device.snapshot());
        let before = Timestamp { seconds: -7, nanos: 999_999_999 };
        let after = Timestamp { seconds: 5_000_000_000, nanos: 1 };
        let set = SetAttr {
            perm: Some(0o4751),
            uid: Some(70_000),
            gid: Some(u32::MAX - 1),
            atime: Some(SetTime::To(before)),
            mtime: Some(SetTime::To(after)),
            ..SetAttr::default()
        };
        let (ino, closed) = block_on(written(Arc::clone(&shared), async |fs| {
            let ino = files(fs.volume(), 1).await[0];
            let changed = fs.setattr(ino, &set).await.unwrap();
            assert_eq!(*fs.volume().inode(ino).await.unwrap().attr(), *changed.attr(), "seen at once");
            fs.fsync(ino).await.unwrap();
            ino
        }))
        .unwrap();
        closed.unwrap();
        block_on(async {
            let volume = Volume::open(Arc::clone(&shared), OpenOptions::default()).await.unwrap();
            let attr = *volume.inode(ino).await.unwrap().attr();
            assert_eq!((attr.perm, attr.uid, attr.gid), (0o4751, 70_000, u32::MAX - 1));
            assert_eq!((attr.atime, attr.mtime), (before, after));
            assert!((TestClock::START..TestClock::START + 100).contains(&attr.ctime.seconds), "the clock's");
        });
    }
}

#[test]
fn a_new_owner_takes_the_set_id_bits_from_files_and_not_from_directories() {
    let device: Arc<dyn BlockDevice> = Arc::new(in_memory("c"));
    let (_, closed) = block_on(written(device, async |fs| {
        let file = files(fs.volume(), 1).await[0];
        let root = fs.volume().root();
        let perm = |perm| SetAttr { perm: Some(perm), ..SetAttr::default() };
        let chown = SetAttr { uid: Some(5), ..SetAttr::default() };
        for (ino, from, to) in
            [(file, 0o6755, 0o755), (file, 0o6745, 0o2745), (file, 0o1644, 0o1644), (root, 0o6755, 0o6755)]
        {
            fs.setattr(ino, &perm(from)).await.unwrap();
            assert_eq!(fs.setattr(ino, &chown).await.unwrap().attr().perm, to, "{from:o}");
        }
    }))
    .unwrap();
    closed.unwrap();
}

#[test]
fn what_a_kernel_left_dirty_is_recovered_as_the_kernel_does() {
    for name in ["dirty", "dirty-slot1", "dirty-ecc", "dirty-orphan", "dirty-orphan-slot1"] {
        let device = Arc::new(in_memory(name));
        let (_, closed) =
            block_on(written(Arc::clone(&device) as Arc<dyn BlockDevice>, async |_| ())).unwrap();
        closed.unwrap();
        let (walked, slots) = block_on(async {
            let volume = reread(&device).await;
            (walk(&volume).await, volume.slots().to_vec())
        });
        assert!(walked.errors.is_empty(), "{name}: {:?}", walked.errors);
        for slot in slots {
            assert!(slot.node.is_none() && slot.journal.is_some_and(|journal| !journal.dirty), "{name}");
        }
        let ours: BTreeMap<String, String> = walked.lines;
        let theirs = fixtures::manifest(name);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        // The kernel showed the root of before the replay: see `Volume::root_attr_to_show`.
        for line in theirs.iter().filter(|line| !path_of(line).is_empty()) {
            assert_eq!(ours.get(&path_of(line)).map(|line| line.trim_end()), Some(line.as_str()), "{name}");
        }
        assert_clean(name, &device);
    }
}

/// What changes on a volume that is opened and closed is the journal's superblock, where its log was not empty as mkfs
/// leaves it: `s_start` and `s_sequence`. Slot map and journal inode are written twice, and are then as they were.
#[test]
fn opening_and_closing_a_clean_volume_changes_next_to_nothing() {
    for name in ["a", "c", "e"] {
        let before = in_memory(name);
        let device = Arc::new(before.snapshot());
        let (_, closed) =
            block_on(written(Arc::clone(&device) as Arc<dyn BlockDevice>, async |_| ())).unwrap();
        closed.unwrap();
        let (old, new) = (before.image(), device.image());
        let sectors = old.chunks(512).zip(new.chunks(512)).enumerate();
        let changed: Vec<usize> = sectors.filter(|(_, (old, new))| old != new).map(|(n, _)| n).collect();
        assert!(changed.len() <= 1, "{name}: sectors {changed:?}");
        for sector in changed {
            let (old, new) = (&old[sector * 512..][..512], &new[sector * 512..][..512]);
            assert_eq!(old[..4], [0xc0, 0x3b, 0x39, 0x98], "{name}: a journal's superblock");
            assert_eq!((&old[..0x18], &old[0x20..]), (&new[..0x18], &new[0x20..]), "{name}");
        }
        assert_eq!(fsck_complaints(&before), fsck_complaints(&device), "{name}");
    }
}

#[test]
fn one_commit_serves_many_who_wait() {
    let device = Arc::new(RecordingDevice::new(in_memory("a")));
    let shared = Arc::clone(&device);
    let (_, closed) = block_on(written(Arc::clone(&device) as Arc<dyn BlockDevice>, async |fs| {
        let inos = files(fs.volume(), 64).await;
        let flushes =
            || shared.log().changes().filter(|change| matches!(change, block::Change::Flush)).count();
        let perm = |perm| SetAttr { perm: Some(perm), ..SetAttr::default() };
        for ino in &inos {
            fs.setattr(*ino, &perm(0o600)).await.unwrap();
        }
        let before = flushes();
        let all = join_all(inos.iter().map(|ino| fs.fsync(*ino))).await;
        assert!(all.len() == 64 && all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(flushes() - before, 1, "one commit, whose commit block is written through");
    }))
    .unwrap();
    closed.unwrap();
}

#[test]
fn what_is_closed_changes_no_more() {
    let device: Arc<dyn BlockDevice> = Arc::new(in_memory("c"));
    block_on(async {
        let fs = open_for_writing(device).await.unwrap();
        let (_, closed) = futures_util::future::join(fs.drive(), fs.close()).await;
        closed.unwrap();
        let set = SetAttr { perm: Some(0), ..SetAttr::default() };
        assert!(matches!(fs.setattr(fs.volume().root(), &set).await, Err(Error::Closed)));
        assert!(matches!(fs.close().await, Err(Error::Closed)));
    });
}

/// Every request in turn fails, once or for good. Nothing panics, the error is told, what was promised is there after
/// the next opening, and the volume is clean then.
#[test]
fn a_request_that_fails_loses_nothing_that_was_promised() {
    // Replaying takes many requests that are all alike.
    for (name, times, step) in
        [("dirty-ecc", 1, 7), ("dirty-ecc", u64::MAX, 11), ("c", 1, 1), ("c", u64::MAX, 5)]
    {
        let base = in_memory(name);
        // Some reads may fail unnoticed: of a block that was wanted ahead of its time. Then later ones are tried.
        let mut unnoticed = 0;
        for after in (0..).step_by(step) {
            let device = base.snapshot();
            let inner = Arc::new(device);
            let failing = Arc::new(FailingDevice::new(Arc::clone(&inner)));
            failing.add(Rule::new(Fault::Error(io::ErrorKind::Other)).after(after).times(times));
            let (promised, failed) = block_on(some_changes(failing));
            unnoticed = if failed { 0 } else { unnoticed + 1 };
            if unnoticed == 10 {
                assert!(after > 40, "{name}: only {after} requests");
                break;
            }
            let again = Arc::clone(&inner) as Arc<dyn BlockDevice>;
            let (_, closed) = block_on(written(again, async |fs| {
                for (ino, perm) in promised {
                    let found = fs.volume().inode(ino).await.unwrap().attr().perm;
                    assert_eq!(found, perm, "{name}: inode {ino} after request {after} failed");
                }
            }))
            .unwrap_or_else(|error| panic!("{name}: after request {after} failed: {error:?}"));
            closed.unwrap();
            if after % 77 == 0 {
                assert_clean(name, &inner);
            }
        }
    }
}

/// A few changes, each made to last: those that were promised to, and whether anything failed.
async fn some_changes(device: Arc<dyn BlockDevice>) -> (Vec<(BlockNum, u16)>, bool) {
    let mut promised = Vec::new();
    let done = written(device, async |fs| {
        for (n, perm) in [(0, 0o701), (1, 0o702), (2, 0o703)] {
            // The three places of the top of the tree are read anew each time.
            let Some(ino) = first_names(fs).await?.get(n).copied() else { break };
            fs.setattr(ino, &SetAttr { perm: Some(perm), ..SetAttr::default() }).await?;
            fs.fsync(ino).await?;
            promised.push((ino, perm));
        }
        Ok::<(), Error>(())
    })
    .await;
    let failed = !matches!(done, Ok((Ok(()), Ok(()))));
    (promised, failed)
}

async fn first_names(fs: &Writable) -> Result<Vec<BlockNum>, Error> {
    let volume = fs.volume();
    let root = volume.inode(volume.root()).await?;
    let page = volume.readdir(&root, 0).await?;
    let named = page.entries.iter().filter(|entry| entry.name != b"." && entry.name != b"..");
    Ok(named.map(|entry| entry.ino).take(3).collect())
}

#[test]
fn flags_are_kept_and_bind() {
    let device: Arc<dyn BlockDevice> = Arc::new(in_memory("c"));
    let (_, closed) = block_on(written(device, async |fs| {
        let file = files(fs.volume(), 1).await[0];
        let perm = SetAttr { perm: Some(0o600), ..SetAttr::default() };
        // FS_IMMUTABLE_FL and FS_NODUMP_FL; FS_DIRSYNC_FL is for directories, FS_EXTENT_FL nobody's to change.
        let set = fs.set_flags(file, 0x10 | 0x40 | 0x1_0000 | 0x8_0000).await.unwrap();
        assert_eq!(set.attr().flags, 0x50);
        assert!(matches!(fs.setattr(file, &perm).await, Err(Error::Flagged { flags: 0x50, .. })));
        assert_eq!(fs.set_flags(file, 0).await.unwrap().attr().flags, 0);
        fs.setattr(file, &perm).await.unwrap();
        let root = fs.volume().root();
        assert_eq!(fs.set_flags(root, 0x1_0000).await.unwrap().attr().flags, 0x1_0000);
    }))
    .unwrap();
    closed.unwrap();
}

/// Every free cluster is given up, and no other: all files read as before from a device that forgets what is discarded.
#[test]
fn trimming_gives_up_free_clusters_only() {
    for name in ["a", "b", "c", "dirty-orphan"] {
        let device = Arc::new(in_memory(name));
        let free = async |fs: &Writable| {
            let stat = fs.volume().statfs().await.unwrap();
            stat.free * stat.block_size
        };
        let (told, closed) = block_on(written(Arc::clone(&device) as Arc<dyn BlockDevice>, async |fs| {
            let all = 0..u64::MAX;
            let (mut seen, mut last) = (0, 0);
            let told = fs.trim(all, 0, |bytes| (seen, last) = (seen + 1, bytes)).await.unwrap();
            assert!(seen > 0 && last <= device.geometry().size);
            assert_eq!(fs.trim(0..u64::MAX, u64::MAX, |_| ()).await.unwrap(), 0, "no run is that long");
            assert!(fs.trim(0..told / 2, 0, |_| ()).await.unwrap() <= told / 2);
            (told, free(fs).await)
        }))
        .unwrap();
        closed.unwrap();
        // What has been freed by the recovery is held until it is home.
        assert!(told.0 <= told.1 && told.0 > told.1 / 2, "{name}: {told:?}");
        let untouched = in_memory(name);
        let (before, after) =
            block_on(async { (walk(&reread(&untouched).await).await, walk(&reread(&device).await).await) });
        assert!(after.errors.is_empty(), "{name}: {:?}", after.errors);
        let contents = |lines: &BTreeMap<String, String>| -> Vec<String> {
            let hash = |line: &String| line.split("\"sha256").nth(1).map(str::to_owned);
            lines.values().filter_map(hash).collect()
        };
        assert_eq!(contents(&before.lines), contents(&after.lines), "{name}");
        assert_clean(name, &device);
    }
}
