//! What may be cloned, what a clone has of its original, and what is left of one that fails.

use ocfs2_format::BlockKind;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use super::{Lay, NEW, changed, file, lay};
use crate::rw::SetXattr;
use crate::test_volume::{TestVolume, block_on};
use crate::{BlockNum, Error, NewInode, NewKind, SetAttr, SetTime, SystemFile, Timestamp, Writable};

async fn fresh(features: &str) -> Option<TestVolume> {
    let features = format!("--fs-features={features}");
    TestVolume::fresh(64, &["-b", "4096", "-C", "4096", "-N", "1", features.as_str()]).await
}

/// A file of three clusters.
async fn original(fs: &Writable) -> BlockNum {
    let ino = file(fs, "original").await;
    lay(fs, ino, &[Lay { cpos: 0, clusters: 3, byte: Some(5) }], 3 << 12).await;
    ino
}

/// Names in the orphan directory.
async fn orphans(fs: &Writable) -> usize {
    let dir = fs.system_ino(SystemFile::OrphanDir(fs.slot())).unwrap();
    let inode = fs.volume().inode(dir).await.unwrap();
    let page = fs.volume().dir_pages(&inode, 0).next().await.unwrap().unwrap();
    page.entries.iter().filter(|entry| !entry.is_dot()).count()
}

#[test]
fn errors_are_the_kernels_and_leave_nothing() {
    block_on(async {
        let Some(volume) = fresh("refcount,xattr,usrquota").await else { return };
        volume
            .written(async |fs| {
                let root = fs.volume().root();
                let ino = original(fs).await;
                let dir = fs.create(root, b"dir", &NEW, NewKind::Dir).await.unwrap().ino();
                let link = fs.create(root, b"link", &NEW, NewKind::Symlink(b"x")).await.unwrap().ino();
                let errno = async |ino, dir, name: &[u8]| {
                    fs.reflink(ino, dir, name, true, &NEW).await.expect_err("refused").errno()
                };
                assert_eq!(errno(dir, root, b"clone").await, 1, "a directory");
                assert_eq!(errno(link, root, b"clone").await, 1, "a symlink");
                let system = fs.system_ino(SystemFile::Journal(0)).unwrap();
                assert_eq!(errno(system, root, b"clone").await, 1, "a system file");
                assert_eq!(errno(ino, root, b"dir").await, 17);
                assert_eq!(errno(ino, ino, b"clone").await, 20);
                assert_eq!(errno(ino, root, &[b'n'; 256]).await, 36);
                assert_eq!(errno(ino, root, b"a/b").await, 22);
                for flag in [0x10, 0x20] {
                    fs.set_flags(ino, flag).await.unwrap();
                    assert_eq!(errno(ino, root, b"clone").await, 1, "{flag:#x}");
                }
                fs.set_flags(ino, 0).await.unwrap();
                fs.set_flags(dir, 0x10).await.unwrap();
                assert_eq!(errno(ino, dir, b"clone").await, 1, "an immutable directory");
                fs.rmdir(root, b"dir").await.expect_err("immutable");
                fs.set_flags(dir, 0).await.unwrap();
                fs.retain(dir).await.unwrap();
                fs.rmdir(root, b"dir").await.unwrap();
                assert_eq!(errno(ino, dir, b"clone").await, 2, "a directory that has been removed");
                fs.release(dir).await;
                fs.retain(ino).await.unwrap();
                fs.unlink(root, b"original").await.unwrap();
                assert_eq!(errno(ino, root, b"clone").await, 2, "a file that has been removed");
                fs.release(ino).await;
                assert_eq!(errno(ino, root, b"clone").await, 116, "one that is gone");
                assert_eq!(orphans(fs).await, 0);
            })
            .await;
        volume.assert_counted().await;
        let Some(volume) = fresh("norefcount,xattr").await else { return };
        volume
            .written(async |fs| {
                let ino = original(fs).await;
                let error = fs.reflink(ino, fs.volume().root(), b"clone", true, &NEW).await.unwrap_err();
                assert_eq!(
                    (error.errno(), error.to_string()),
                    (95, "the volume has no feature `refcount`".into())
                );
            })
            .await;
        volume.assert_clean().await;
    });
}

#[test]
fn a_clone_has_its_originals_attributes_or_those_of_a_new_file() {
    block_on(async {
        let Some(volume) = fresh("refcount,xattr,usrquota,grpquota").await else { return };
        volume
            .written(async |fs| {
                let root = fs.volume().root();
                let ino = original(fs).await;
                let mtime = Timestamp { seconds: 77, nanos: 88 };
                let set = SetAttr { mtime: Some(SetTime::To(mtime)), ..SetAttr::default() };
                fs.setattr(ino, &set).await.unwrap();
                fs.set_flags(ino, 0x48).await.unwrap();
                let dir_like = NewInode { perm: 0o2775, uid: 1, gid: 4321, umask: None };
                let dir = fs.create(root, b"dir", &dir_like, NewKind::Dir).await.unwrap().ino();
                let kept = fs.reflink(ino, dir, b"kept", true, &NEW).await.unwrap();
                let attr = kept.attr();
                assert_eq!((attr.perm, attr.uid, attr.gid, attr.flags), (0o6754, 500, 600, 0x48));
                assert_eq!((attr.mtime, attr.nlink), (mtime, 1));
                assert_ne!(attr.ctime, mtime);
                let own =
                    fs.reflink(ino, dir, b"own", false, &NewInode { perm: 0o1777, ..NEW }).await.unwrap();
                let attr = own.attr();
                assert_eq!((attr.perm, attr.uid, attr.gid, attr.flags), (0o754, 7, 4321, 0x48));
                assert_ne!(attr.mtime, mtime);
                // user::rwx group::r-x mask::r-x other::--- for user 9: r--
                let acl: Vec<u8> = [
                    (1_u16, 7_u16, u32::MAX),
                    (2, 4, 9),
                    (4, 5, u32::MAX),
                    (16, 5, u32::MAX),
                    (32, 0, u32::MAX),
                ]
                .iter()
                .flat_map(|(tag, perm, id)| {
                    [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
                })
                .collect();
                let acl = [&2_u32.to_le_bytes()[..], &acl].concat();
                let name = b"system.posix_acl_default";
                fs.set_xattr(dir, name, &acl, SetXattr::default()).await.unwrap();
                let own = fs.reflink(ino, dir, b"acl", false, &NEW).await.unwrap();
                assert_eq!(own.attr().perm, 0o6750, "the default ACL says it, not the umask");
                let access = fs.volume().xattr(&own, b"system.posix_acl_access").await.unwrap();
                assert_eq!(access.len(), acl.len());
                let again = fs.reflink(own.ino(), root, b"again", true, &NEW).await.unwrap();
                let copied = fs.volume().xattr(&again, b"system.posix_acl_access").await.unwrap();
                assert_eq!(copied, access, "preserved");
                let bare = fs.reflink(own.ino(), root, b"bare", false, &NEW).await.unwrap();
                let none = fs.volume().xattr(&bare, b"system.posix_acl_access").await.unwrap_err();
                assert!(matches!(none, Error::NoAttribute));
                assert_eq!(bare.attr().perm, 0o6750);
            })
            .await;
        volume.assert_counted().await;
    });
}

#[test]
fn a_tree_that_cannot_count_on_is_left_alone() {
    block_on(async {
        let Some(volume) = fresh("refcount,xattr").await else { return };
        volume
            .written(async |fs| {
                let root = fs.volume().root();
                let ino = original(fs).await;
                let one = fs.reflink(ino, root, b"one", true, &NEW).await.unwrap();
                let tree = one.dinode().refcount_root.unwrap();
                let poke = async |at: usize, value: u32| {
                    changed(fs, ino, async |change| {
                        let bytes = change.blocks().edit(tree, tree, BlockKind::RefcountBlock).await?;
                        let number = U32::mut_from_bytes(&mut bytes[at..at + 4]).unwrap();
                        Ok(std::mem::replace(number, U32::new(value)).get())
                    })
                    .await
                };
                // rf_count, and r_refcount of the only record.
                for (at, found) in [(0x30, 2), (0x9c, 2)] {
                    assert_eq!(poke(at, u32::MAX).await, found);
                    let error = fs.reflink(ino, root, b"two", true, &NEW).await.unwrap_err();
                    assert_eq!(error.errno(), 31, "{error}");
                    assert_eq!(fs.lookup(root, b"two").await.unwrap().map(|inode| inode.ino()), None);
                    poke(at, found).await;
                }
                assert_eq!(fs.read_only().map(|why| why.to_string()), None);
            })
            .await;
        volume.assert_clean().await;
    });
}

/// What fails for want of space leaves the original as it was, and nothing else.
#[test]
fn a_full_volume_and_a_full_quota_leave_nothing() {
    block_on(async {
        let Some(volume) = fresh("refcount,xattr,usrquota").await else { return };
        volume
            .written(async |fs| {
                let root = fs.volume().root();
                let ino = original(fs).await;
                let limits = crate::QuotaLimits { space_hard: 2 << 12, ..Default::default() };
                fs.set_quota(crate::QuotaKind::User, NEW.uid, limits).await.unwrap();
                let error = fs.reflink(ino, root, b"clone", false, &NEW).await.unwrap_err();
                assert_eq!(error.errno(), 122, "{error}");
                assert_eq!(orphans(fs).await, 0);
                fs.ignoring_quota_limits().reflink(ino, root, b"clone", false, &NEW).await.unwrap();
            })
            .await;
        volume.assert_counted().await;
    });
}
