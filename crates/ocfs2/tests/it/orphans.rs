//! Inodes that have lost their last name: kept while somebody has them, then deleted, if need be by the next who opens
//! the volume.

use std::sync::Arc;

use block::{BlockDevice, MemoryDevice};
use ocfs2::{BlockNum, Error, NewInode, NewKind, OpenOptions, SystemFile, Volume, Writable};

use crate::model::Model;
use crate::support::{assert_sound, block_on, fresh, fsck_complaints, in_memory, open_for_writing, written};

/// The inodes in all orphan directories.
pub(crate) async fn orphans(volume: &Volume) -> Vec<BlockNum> {
    let mut all = Vec::new();
    for slot in 0..volume.superblock().max_slots {
        let dir = volume.system_file(SystemFile::OrphanDir(slot)).expect("every slot has one");
        let dir = volume.inode(dir).await.expect("a directory");
        let mut position = Some(0);
        while let Some(at) = position {
            let page = volume.readdir(&dir, at).await.expect("entries");
            all.extend(page.entries.iter().filter(|entry| !entry.is_dot()).map(|entry| entry.ino));
            position = page.next;
        }
    }
    all
}

async fn reread(device: &MemoryDevice) -> Volume {
    let device: Arc<dyn BlockDevice> = Arc::new(device.snapshot());
    Volume::open(device, OpenOptions::default()).await.expect("a volume")
}

/// Opens and closes a volume.
fn pass_over(device: &Arc<MemoryDevice>) {
    let shared = Arc::clone(device) as Arc<dyn BlockDevice>;
    let ((), closed) = block_on(written(shared, async |_| ())).expect("a volume");
    closed.expect("a device that does not fail");
}

const KINDS: [NewKind<'_>; 4] = [NewKind::File, NewKind::Dir, NewKind::Symlink(&[b't'; 3905]), NewKind::Fifo];

/// Makes one inode of each kind below the root, each retained, and takes their names away.
async fn make_orphans(fs: &Writable) -> Vec<BlockNum> {
    let root = fs.volume().root();
    let mut inos = Vec::new();
    for (n, kind) in KINDS.into_iter().enumerate() {
        let name = format!("orphan{n}").into_bytes();
        let inode =
            fs.create_retained(root, &name, &NewInode::default(), kind).await.expect("room for a few");
        match kind {
            NewKind::Dir => fs.rmdir(root, &name).await.expect("room for a few"),
            _ => fs.unlink(root, &name).await.expect("room for a few"),
        }
        assert!(fs.lookup(root, &name).await.expect("room for a few").is_none());
        inos.push(inode.ino());
    }
    inos
}

#[test]
fn what_is_retained_outlives_its_names() {
    let device = Arc::new(fresh(128, (4096, 4096), 2, ""));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let ((), closed) = block_on(written(shared, async |fs| {
        let before = Model::of(fs.volume()).await.timeless();
        let inos = make_orphans(fs).await;
        assert_eq!(orphans(fs.volume()).await.len(), inos.len());
        for ino in &inos {
            let inode = fs.stat(*ino).await.unwrap();
            assert_eq!(inode.attr().nlink, 0);
            fs.retain(*ino).await.unwrap();
        }
        let target = fs.volume().readlink(&fs.stat(inos[2]).await.unwrap()).await.unwrap();
        assert_eq!(target, [b't'; 3905]);
        let new = NewInode::default();
        let made = fs.create(inos[1], b"late", &new, NewKind::File).await.unwrap_err();
        assert!(matches!(made, Error::NotFound), "a directory that has been removed: {made}");
        let linked = fs.link(inos[0], fs.volume().root(), b"late").await.unwrap_err();
        assert!(matches!(linked, Error::NotFound), "an inode without a name gets none: {linked}");
        for ino in &inos {
            fs.release(*ino).await;
            assert!(fs.stat(*ino).await.is_ok(), "it was retained twice");
            fs.release(*ino).await;
            let gone = fs.stat(*ino).await.unwrap_err();
            assert!(matches!(gone, Error::Stale { ino: of } if of == *ino) && gone.errno() == 116, "{gone}");
            assert!(matches!(fs.retain(*ino).await, Err(Error::Stale { .. })));
            // One too many is no harm.
            fs.release(*ino).await;
        }
        assert!(orphans(fs.volume()).await.is_empty());
        assert!(fs.read_only().is_none(), "a number that is out of use is no damage");
        assert!(Model::of(fs.volume()).await == before);
    }))
    .unwrap();
    closed.unwrap();
    assert_sound("released", &device);
}

#[test]
fn the_next_who_opens_the_volume_deletes_what_a_crash_left() {
    for features in ["", "metaecc,noinline-data"] {
        let device = Arc::new(fresh(128, (1024, 4096), 2, features));
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        // Left alone once without a close, and once closed with the inodes still retained.
        for closes in [false, true] {
            block_on(async {
                let fs = open_for_writing(Arc::clone(&shared)).await.unwrap();
                let work = async {
                    make_orphans(&fs).await;
                    fs.sync().await.unwrap();
                    if closes {
                        fs.close().await.unwrap();
                    }
                };
                let drive = std::pin::pin!(fs.drive());
                futures_util::future::select(drive, std::pin::pin!(work)).await;
            });
            assert_eq!(block_on(async { orphans(&reread(&device).await).await }).len(), KINDS.len());
            pass_over(&device);
            assert!(block_on(async { orphans(&reread(&device).await).await }).is_empty());
            assert_sound(features, &device);
        }
    }
}

#[test]
fn the_orphans_that_a_kernel_left_are_deleted() {
    for name in ["dirty-orphan", "dirty-orphan-slot1"] {
        let device = Arc::new(in_memory(name));
        let before = block_on(async { orphans(&reread(&device).await).await });
        assert!(!before.is_empty(), "{name}");
        pass_over(&device);
        assert!(block_on(async { orphans(&reread(&device).await).await }).is_empty(), "{name}");
        assert_sound(name, &device);
    }
}

/// Takes away all names below `dir`, and then its own.
async fn remove_all(fs: &Writable, root: BlockNum) {
    let model = Model::without_data(fs.volume()).await;
    let mut todo = vec![(root, false)];
    while let Some((dir, emptied)) = todo.pop() {
        let node = &model.nodes[&dir];
        if emptied {
            let parent = &model.nodes[&node.parent];
            let name = parent.names.iter().find(|(_, ino)| **ino == dir).expect("its name").0;
            if name != b"lost+found" {
                fs.rmdir(node.parent, name).await.unwrap_or_else(|error| panic!("{dir}: {error}"));
            }
            continue;
        }
        if dir != root {
            todo.push((dir, true));
        }
        for (name, ino) in &node.names {
            if fs.stat(*ino).await.expect("an inode with a name").attr().flags & 0x30 != 0 {
                let refused = match model.nodes[ino].kind {
                    ocfs2::FileType::Directory => {
                        fs.rmdir(dir, name).await.expect_err("its flags, or names in it, forbid it")
                    }
                    _ => fs.unlink(dir, name).await.expect_err("its flags, or names in it, forbid it"),
                };
                assert!(matches!(refused, Error::Flagged { .. } | Error::NotEmpty { .. }), "{refused}");
                fs.set_flags(*ino, 0).await.expect("an inode with a name");
            }
            match model.nodes[ino].kind {
                ocfs2::FileType::Directory => todo.push((*ino, false)),
                _ => fs.unlink(dir, name).await.unwrap_or_else(|error| panic!("{ino}: {error}")),
            }
        }
    }
}

/// All that a kernel made, of every form, is deleted: extent trees, indexes, attributes, shared clusters.
#[test]
fn everything_on_a_volume_is_deleted() {
    for name in ["a", "c", "d", "e", "f", "g", "dirty-ecc"] {
        let device = Arc::new(in_memory(name));
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let (left, closed) = block_on(written(shared, async |fs| {
            remove_all(fs, fs.volume().root()).await;
            orphans(fs.volume()).await
        }))
        .unwrap();
        closed.unwrap();
        assert!(left.is_empty(), "{name}: {left:?}");
        let complaints = fsck_complaints(&device).unwrap_or_default();
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
        let found = crate::support::findings(&device);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}
