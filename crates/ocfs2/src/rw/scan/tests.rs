//! Orphans of forms that no public call makes, and those whose owners have limits.

use ocfs2_format::{Extent, ExtentFlags};

use super::*;
use crate::alloc::Pool;
use crate::extents::Extents;
use crate::rw::orphans::orphan_name;
use crate::test_volume::{TestVolume, block_on};
use crate::{Inode, NewInode, NewKind};

const NEW: NewInode = NewInode { perm: 0o644, uid: 1001, gid: 1002, umask: None };

/// What the orphan directory of the volume's own slot holds.
async fn left(fs: &Writable) -> usize {
    let orphans = fs.orphans(fs.slot()).await.unwrap();
    orphans.nameless.len() + orphans.appended.len()
}

/// Leaves the file `ino` as a kernel does that dies while it writes past the end: clusters there, and an entry.
async fn append_in_vain(fs: &Writable, ino: BlockNum) {
    let dir = fs.orphan_dir(fs.slot()).unwrap();
    let mut op = fs.operation();
    op.lock_inode(Rank::Child, ino, Level::Exclusive).await.unwrap();
    op.lock_inode(Rank::OrphanDir, dir, Level::Exclusive).await.unwrap();
    op.will_use(Pool::Extent(fs.slot())).unwrap();
    loop {
        let mut change = op.begin().await.unwrap();
        let steps = async {
            let (blocks, alloc) = change.blocks_and_space();
            for cpos in [0, 3, 7, 20] {
                let run = alloc.claim_clusters(blocks, 1, 1).await?;
                let block = fs.volume().geometry().cluster_start(run.start);
                let extent = Extent { cpos, clusters: 1, flags: ExtentFlags::UNWRITTEN, block };
                Extents::of_inode(alloc, ino).insert(blocks, extent).await?;
            }
            let name = [APPENDING, &orphan_name(ino)].concat();
            names_of(&mut change, dir).insert(&name, ino, ocfs2_format::FileType::Regular).await?;
            let raw = change.dinode(ino).await?;
            raw.size = (3 * 4096 + 5).into();
            raw.flags = U32::new(raw.flags.get() | DinodeFlags::DIO_ORPHANED.bits());
            raw.dio_orphaned_slot = U16::new(fs.slot());
            Ok(())
        };
        let done = steps.await;
        if change.end(done).await.unwrap().is_some() {
            return;
        }
    }
}

async fn file(fs: &Writable, name: &[u8]) -> Inode {
    fs.lookup(fs.volume().root(), name).await.unwrap().expect("it has its name")
}

#[test]
fn what_was_appended_in_vain_is_given_up() {
    for options in [&["-b4K", "-C4K", "--fs-features=noinline-data"][..], &["-b512", "-C4K"]] {
        block_on(async {
            let Some(volume) = TestVolume::fresh(64, options).await else { return };
            volume
                .crashed(async |fs| {
                    let root = fs.volume().root();
                    for name in [&b"kept"[..], b"removed"] {
                        let made = fs.create(root, name, &NEW, NewKind::File).await.unwrap();
                        append_in_vain(fs, made.ino()).await;
                    }
                    fs.unlink(root, b"removed").await.unwrap();
                    assert_eq!(left(fs).await, 3, "two were appended to, and one of them has no name");
                })
                .await;
            volume
                .written(async |fs| {
                    fs.scan_after_opening().await;
                    assert_eq!(left(fs).await, 0);
                    let kept = file(fs, b"kept").await;
                    assert_eq!(kept.dinode().clusters, 2, "the clusters 0 and 3");
                    assert!(!kept.dinode().flags.contains(DinodeFlags::DIO_ORPHANED));
                })
                .await;
            volume.assert_clean().await;
        });
    }
}

/// Deleting what a crash has left takes from what its owner uses, which is counted only when all else of the recovery is
/// done.
#[test]
fn orphans_are_counted_when_they_go() {
    block_on(async {
        let volume = TestVolume::fixture("b").await;
        volume
            .crashed(async |fs| {
                let root = fs.volume().root();
                for (name, kind) in [(&b"f"[..], NewKind::File), (b"s", NewKind::Symlink(&[b'x'; 4000]))] {
                    fs.create_retained(root, name, &NEW, kind).await.unwrap();
                    fs.unlink(root, name).await.unwrap();
                }
                assert_eq!(left(fs).await, 2);
            })
            .await;
        volume.written(async |_| ()).await;
        volume.written(async |fs| assert_eq!(left(fs).await, 0)).await;
        volume.assert_counted().await;
    });
}

/// A node scans all directories when no other has since its last look: the count in the lock's value block tells.
#[test]
fn nodes_take_turns() {
    assert_eq!(turn(0, None), (true, 1));
    assert_eq!(turn(4, Some(4)), (true, 5));
    assert_eq!(turn(4, Some(5)), (false, 5));
    assert_eq!(turn(5, Some(5)), (true, 6));
    assert_eq!(turn(u32::MAX, Some(u32::MAX)), (true, 0));
    assert_eq!(turn(7, Some(0)), (false, 0));
}

#[test]
fn where_nobody_else_is_all_is_scanned_each_time() {
    block_on(async {
        let Some(volume) = TestVolume::fresh(64, &["-b4K", "-C4K"]).await else { return };
        volume
            .written(async |fs| {
                for count in 1..4 {
                    assert!(fs.is_my_scan().await.unwrap());
                    assert_eq!(fs.scans().count.load(Ordering::Relaxed), count);
                }
            })
            .await;
    });
}
