//! Names made, moved and taken away at random, beside a plain model.

use std::sync::Arc;
use std::time::Duration;

use block::{BlockDevice, MemoryDevice};
use fixtures::Random;
use ocfs2::{Error, NewInode, NewKind, OpenOptions, RenameFlags, Volume, Writable};

use crate::model::{Model, Op, Workload};
use crate::orphans::orphans;
use crate::support::{assert_sound, block_on, fresh, open_for_writing, written};

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

/// A volume that is full most of the time: what does not fit fails, and nothing else comes of it.
#[test]
fn a_full_volume() {
    for (mib, sizes, features) in [
        (24, (4096, 4096), "noinline-data"),
        (16, (512, 4096), ""),
        (16, (1024, 4096), "metaecc,noinline-data"),
        (20, (4096, 4096), "noindexed-dirs"),
    ] {
        let what = format!("{sizes:?} {features}, full");
        let device = Arc::new(fresh(mib, sizes, 1, features));
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let (load, closed) = block_on(written(shared, async |fs| {
            let mut load = Workload::new(fs, 0xf011 + mib, 40_000).await;
            let mut steps = 0;
            while load.full < 400 && steps < 30_000 {
                let (full, orphans) = (load.full, load.orphans());
                let (op, _) = load.step(fs).await;
                // Or nobody could ever make room again. Only where many nameless inodes are retained their directory may
                // have to grow, as in the kernel.
                let removes = matches!(op, Op::Unlink { .. } | Op::Rmdir { .. });
                assert!(load.full == full || !removes || orphans > 8, "{what}: {op:?}, {orphans} orphans");
                steps += 1;
                // Fills it first, then goes on for a while.
                load.grows = load.full < 40;
            }
            load.release_all(fs).await;
            assert!(Model::of(fs.volume()).await == load.model, "{what}");
            assert!(
                orphans(fs.volume()).await.is_empty(),
                "{what}: a full volume keeps nobody from deleting"
            );
            load
        }))
        .unwrap();
        closed.unwrap();
        assert!(load.full >= 40, "{what}: {} times", load.full);
        assert_sound(&what, &device);
    }
}

#[test]
fn a_directory_of_20000_names() {
    const COUNT: usize = 20_000;
    for sizes in [(4096, 4096), (512, 4096)] {
        let device = Arc::new(fresh(256, sizes, 1, ""));
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let ((), closed) = block_on(written(shared, async |fs| {
            let new = NewInode { perm: 0o644, ..NewInode::default() };
            let dir = fs.create(fs.volume().root(), b"large", &new, NewKind::Dir).await.unwrap().ino();
            let file = fs.create(dir, b"0", &new, NewKind::File).await.unwrap().ino();
            for n in 1..COUNT {
                fs.link(file, dir, n.to_string().as_bytes()).await.unwrap();
            }
            assert_eq!(usize::try_from(fs.stat(file).await.unwrap().attr().nlink), Ok(COUNT));
            for n in (0..COUNT).step_by(97) {
                let found = fs.lookup(dir, n.to_string().as_bytes()).await.unwrap();
                assert_eq!(found.map(|inode| inode.ino()), Some(file));
            }
            assert!(fs.lookup(dir, b"20000").await.unwrap().is_none());
            for n in (0..COUNT).filter(|n| n % 4 != 0) {
                fs.unlink(dir, n.to_string().as_bytes()).await.unwrap();
            }
        }))
        .unwrap();
        closed.unwrap();
        assert_sound(&format!("{sizes:?}"), &device);
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let ((), closed) = block_on(written(shared, async |fs| {
            let root = fs.volume().root();
            let dir = fs.lookup(root, b"large").await.unwrap().unwrap().ino();
            for n in (0..COUNT).filter(|n| n % 4 == 0) {
                fs.unlink(dir, n.to_string().as_bytes()).await.unwrap();
            }
            fs.rmdir(root, b"large").await.unwrap();
        }))
        .unwrap();
        closed.unwrap();
        assert_sound(&format!("{sizes:?}, emptied"), &device);
    }
}

#[test]
fn a_path_of_2000_levels() {
    const LEVELS: usize = 2000;
    let device = Arc::new(fresh(128, (4096, 4096), 1, ""));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let ((), closed) = block_on(written(shared, async |fs| {
        let (new, root) = (NewInode::default(), fs.volume().root());
        let mut path = vec![root];
        for _ in 0..LEVELS {
            let dir = *path.last().unwrap();
            path.push(fs.create(dir, b"down", &new, NewKind::Dir).await.unwrap().ino());
        }
        let (top, bottom) = (path[1], path[LEVELS]);
        let flags = RenameFlags::default();
        let below = fs.rename(root, b"down", bottom, b"loop", flags).await.unwrap_err();
        assert!(matches!(below, Error::IntoItself { ino } if ino == top), "{below}");
        let over = fs.rename(path[LEVELS - 1], b"down", root, b"down", flags).await.unwrap_err();
        assert!(matches!(over, Error::NotEmpty { ino } if ino == top), "{over}");
        fs.rename(path[1000], b"down", root, b"half", flags).await.unwrap();
        let up = fs.lookup(path[1001], b"..").await.unwrap().unwrap();
        assert_eq!(up.ino(), root);
        assert_eq!(up.attr().nlink, 2 + 3);
        for dir in path[1..=1000].iter().rev().skip(1) {
            fs.rmdir(*dir, b"down").await.unwrap();
        }
        fs.rmdir(root, b"down").await.unwrap();
    }))
    .unwrap();
    closed.unwrap();
    assert_sound("deep", &device);
}

#[test]
fn a_file_has_at_most_65000_names() {
    let device = Arc::new(fresh(256, (4096, 4096), 1, ""));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let ((), closed) = block_on(written(shared, async |fs| {
        let (new, root) = (NewInode::default(), fs.volume().root());
        let file = fs.create(root, b"0", &new, NewKind::File).await.unwrap().ino();
        for n in 1..65_000 {
            fs.link(file, root, n.to_string().as_bytes()).await.unwrap();
        }
        let error = fs.link(file, root, b"65000").await.unwrap_err();
        assert!(matches!(error, Error::TooManyLinks { max: 65_000, .. }) && error.errno() == 31, "{error}");
    }))
    .unwrap();
    closed.unwrap();
    assert_sound("many names", &device);
}

#[test]
fn a_new_inode_is_as_the_kernel_makes_it() {
    let device = Arc::new(fresh(64, (4096, 4096), 1, ""));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let ((), closed) = block_on(written(shared, async |fs| {
        let root = fs.volume().root();
        let new = NewInode { perm: 0o6777, uid: 70_000, gid: 80_000, umask: Some(0o027) };
        let file = fs.create(root, b"file", &new, NewKind::File).await.unwrap();
        let attr = *file.attr();
        assert_eq!((attr.perm, attr.uid, attr.gid), (0o6750, 70_000, 80_000));
        assert_eq!((attr.nlink, attr.size, attr.blocks, attr.flags), (1, 0, 0, 0));
        assert!(attr.atime == attr.mtime && attr.mtime == attr.ctime && attr.mtime.nanos == 7);
        assert_eq!(fs.stat(root).await.unwrap().attr().mtime, attr.mtime);
        assert!(file.dinode().dyn_features.is_empty() && file.dinode().suballoc.slot == 0);
        // A directory gives its group, and the bit to directories, where it has the bit.
        let new = NewInode { perm: 0o2755, ..new };
        let dir = fs.create(root, b"dir", &NewInode { gid: 5, ..new }, NewKind::Dir).await.unwrap();
        assert_eq!((dir.attr().perm, dir.attr().gid, dir.attr().nlink), (0o2750, 5, 2));
        let below =
            fs.create(dir.ino(), b"dir", &NewInode { perm: 0o755, ..new }, NewKind::Dir).await.unwrap();
        assert_eq!((below.attr().perm, below.attr().gid), (0o2750, 5));
        let link = fs.create(dir.ino(), b"link", &new, NewKind::Symlink(b"to")).await.unwrap();
        assert_eq!((link.attr().perm, link.attr().gid, link.attr().size), (0o777, 5, 2));
        assert_ne!(link.attr().generation, below.attr().generation);
        let device = fs.create(root, b"null", &new, NewKind::CharDevice(1, 3)).await.unwrap();
        assert_eq!(device.attr().rdev, (1, 3));
        for (kind, number) in [
            (NewKind::Symlink(b""), 2),
            (NewKind::Symlink(&[b'x'; 4096]), 36),
            (NewKind::BlockDevice(4096, 0), 22),
            (NewKind::CharDevice(0, 1 << 20), 22),
        ] {
            assert_eq!(fs.create(root, b"not", &new, kind).await.unwrap_err().errno(), number);
        }
        for (name, number) in [(&b""[..], 22), (b".", 22), (b"a/b", 22), (&[b'x'; 256], 36)] {
            assert_eq!(fs.create(root, name, &new, NewKind::File).await.unwrap_err().errno(), number);
            assert_eq!(fs.unlink(root, name).await.unwrap_err().errno(), number);
        }
    }))
    .unwrap();
    closed.unwrap();
    assert_sound("new", &device);
}

#[test]
fn flags_forbid_changes_of_names() {
    const APPEND: u32 = 0x20;
    const IMMUTABLE: u32 = 0x10;
    let device = Arc::new(fresh(64, (4096, 4096), 1, ""));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let ((), closed) = block_on(written(shared, async |fs| {
        let (new, root, flags) = (NewInode::default(), fs.volume().root(), RenameFlags::default());
        let dir = fs.create(root, b"dir", &new, NewKind::Dir).await.unwrap().ino();
        let file = fs.create(dir, b"file", &new, NewKind::File).await.unwrap().ino();
        let forbidden = |error: Error| assert!(matches!(error, Error::Flagged { .. }), "{error}");
        fs.set_flags(dir, IMMUTABLE).await.unwrap();
        forbidden(fs.create(dir, b"new", &new, NewKind::File).await.unwrap_err());
        forbidden(fs.link(file, dir, b"new").await.unwrap_err());
        forbidden(fs.unlink(dir, b"file").await.unwrap_err());
        forbidden(fs.rename(dir, b"file", root, b"file", flags).await.unwrap_err());
        fs.set_flags(dir, APPEND).await.unwrap();
        fs.create(dir, b"new", &new, NewKind::File).await.unwrap();
        forbidden(fs.unlink(dir, b"new").await.unwrap_err());
        forbidden(fs.rename(dir, b"file", dir, b"new", flags).await.unwrap_err());
        fs.set_flags(dir, 0).await.unwrap();
        for flag in [IMMUTABLE, APPEND] {
            fs.set_flags(file, flag).await.unwrap();
            forbidden(fs.link(file, root, b"other").await.unwrap_err());
            forbidden(fs.unlink(dir, b"file").await.unwrap_err());
            forbidden(fs.rename(dir, b"file", dir, b"other", flags).await.unwrap_err());
            forbidden(fs.rename(dir, b"new", dir, b"file", flags).await.unwrap_err());
        }
        fs.set_flags(file, 0).await.unwrap();
        fs.rename(dir, b"new", dir, b"file", flags).await.unwrap();
    }))
    .unwrap();
    closed.unwrap();
    assert_sound("flags", &device);
}

/// Many tasks on two threads: none waits for ever, and the tree is whole.
#[test]
#[allow(clippy::disallowed_methods, reason = "driver: the test's tasks")]
fn many_at_once() {
    let device = Arc::new(fresh(256, (4096, 4096), 1, ""));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    runtime.block_on(async {
        let fs = open_for_writing(shared).await.unwrap();
        let driver = tokio::spawn({
            let fs = fs.clone();
            async move { fs.drive().await }
        });
        let tasks: Vec<_> = (0..8).map(|n| tokio::spawn(at_random(fs.clone(), n))).collect();
        for task in tasks {
            tokio::time::timeout(Duration::from_secs(200), task).await.expect("an end").unwrap();
        }
        Model::of(fs.volume()).await;
        fs.close().await.unwrap();
        driver.await.unwrap();
    });
    assert_sound("many at once", &device);
    assert!(block_on(async { orphans(&reread(&device).await).await }).is_empty());
}

/// Operations on what others change at the same time: they may fail, but only for a reason.
async fn at_random(fs: Writable, seed: u64) {
    let mut random = Random::new(0xa11 + seed);
    let new = NewInode { perm: 0o755, ..NewInode::default() };
    let mut dirs = vec![fs.volume().root()];
    let name = |random: &mut Random| vec![b"abcdefghijkl"[random.below(12)]];
    for _ in 0..400 {
        let (from, to) = (dirs[random.below(dirs.len())], dirs[random.below(dirs.len())]);
        let (one, other) = (name(&mut random), name(&mut random));
        let done = match random.below(8) {
            0 => fs.create(from, &one, &new, NewKind::File).await.map(drop),
            1 | 2 => fs.create(from, &one, &new, NewKind::Dir).await.map(drop),
            3 => fs.unlink(from, &one).await,
            4 => fs.rmdir(from, &one).await,
            5 | 6 => fs.rename(from, &one, to, &other, RenameFlags::default()).await,
            _ => match fs.lookup_retained(from, &one).await {
                Ok(Some(inode)) => {
                    let linked = fs.link(inode.ino(), to, &other).await;
                    fs.release(inode.ino()).await;
                    linked.map(drop)
                }
                other => other.map(drop),
            },
        };
        if let Err(error) = done {
            assert!([1, 2, 17, 20, 21, 22, 39, 116].contains(&error.errno()), "{error}");
        }
        // Directories that others have made, or removed, or moved.
        let found = fs.lookup(from, &name(&mut random)).await;
        if let Ok(Some(inode)) = found
            && inode.is_dir()
        {
            dirs.truncate(6);
            dirs.push(inode.ino());
        }
    }
}
