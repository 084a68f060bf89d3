//! Directories written home with the volume's own allocators, judged by fsck.ocfs2 and by our own check.

use ocfs2_format::{
    BlockKind, BlockNum, DinodeFlags, ExtentList, FileType, RawDinode, RawExtentList, Structure, Timestamp,
};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::CASES;
use super::names::{names, one_hash};
use crate::alloc::{Allocators, ClusterRun, NewBlock, Pool};
use crate::check::Finding;
use crate::dir::Names;
use crate::dir::edit::raw_at;
use crate::extents::Extents;
use crate::test_volume::{TestVolume, block_on};
use crate::txn::{Blocks, Handle};

/// A volume with its allocators; every transaction is home at once.
struct Judged {
    test: TestVolume,
    alloc: Allocators,
}

impl Judged {
    async fn publish(&self, handle: Handle<'_>) {
        let sealed = handle.seal();
        self.test.write_home(&sealed).await;
        self.alloc.published(&sealed, 1);
        self.alloc.home(1);
    }

    /// A new inode without contents.
    async fn inode(&self, handle: &mut Handle<'_>, kind: FileType, links: u32) -> BlockNum {
        let NewBlock { block, suballoc } = self.alloc.claim_block(handle, Pool::Inode(0)).await.unwrap();
        let format = *handle.volume();
        let bytes = handle.fresh(block, block, BlockKind::Dinode);
        let mut head = RawDinode {
            mode: U16::new(kind.mode_bits() | 0o755),
            ..RawDinode::new(&format, block, suballoc)
        };
        head.set_links(links);
        head.set_times(Timestamp { seconds: 1_700_000_000, nanos: 0 });
        *raw_at(bytes, 0, block, Structure::Dinode).unwrap() = head;
        let list = RawExtentList::empty(ExtentList::room_in_dinode(format.geometry.block_size));
        bytes[RawDinode::BODY_OFFSET..][..16].copy_from_slice(list.as_bytes());
        block
    }

    /// A new directory `name` below the root.
    async fn mkdir(&self, name: &[u8]) -> BlockNum {
        let (mut handle, root) = (self.test.volume.change(), self.test.volume.root());
        let dir = self.inode(&mut handle, FileType::Directory, 2).await;
        Names::new(&mut handle, &self.alloc, dir).create(root).await.unwrap();
        Names::new(&mut handle, &self.alloc, root).insert(name, dir, FileType::Directory).await.unwrap();
        self.link(&mut handle, root, |links| links + 1).await;
        self.publish(handle).await;
        dir
    }

    async fn link(&self, handle: &mut Handle<'_>, ino: BlockNum, change: impl FnOnce(u32) -> u32) {
        let bytes = handle.edit(ino, ino, BlockKind::Dinode).await.unwrap();
        let head: &mut RawDinode = raw_at(bytes, 0, ino, Structure::Dinode).unwrap();
        let links = change(u32::from(head.links_count.get()));
        head.set_links(links);
    }

    async fn insert_all(&self, dir: BlockNum, names: &[Vec<u8>], file: BlockNum) {
        for batch in names.chunks(40) {
            let mut handle = self.test.volume.change();
            for name in batch {
                let mut dir = Names::new(&mut handle, &self.alloc, dir);
                dir.insert(name, file, FileType::Regular).await.unwrap();
            }
            self.publish(handle).await;
        }
    }

    async fn remove_all(&self, dir: BlockNum, names: &[Vec<u8>]) {
        for batch in names.chunks(40) {
            let mut handle = self.test.volume.change();
            for name in batch {
                Names::new(&mut handle, &self.alloc, dir).remove(name).await.unwrap();
            }
            self.publish(handle).await;
        }
    }

    /// Takes an empty directory away, and all that it has.
    async fn rmdir(&self, dir: BlockNum, name: &[u8]) {
        let (root, volume) = (self.test.volume.root(), &self.test.volume);
        loop {
            let mut handle = volume.change();
            let mut names = Names::new(&mut handle, &self.alloc, dir);
            names.expect_empty().await.unwrap();
            let gone = names.free_index(2).await.unwrap();
            self.publish(handle).await;
            if gone {
                break;
            }
        }
        let mut handle = volume.change();
        Names::new(&mut handle, &self.alloc, root).remove(name).await.unwrap();
        self.link(&mut handle, root, |links| links - 1).await;
        let inode = volume.inode(dir).await.unwrap();
        if matches!(inode.body(), crate::inode::Body::Tree(_)) {
            let bytes = handle.edit(dir, dir, BlockKind::Dinode).await.unwrap();
            raw_at::<RawDinode>(bytes, 0, dir, Structure::Dinode).unwrap().size = U64::new(0);
            let removed = Extents::of_inode(&self.alloc, dir).truncate(&mut handle, 0, 1000).await.unwrap();
            assert!(removed.done && removed.blocks.is_empty());
            for extent in removed.extents {
                let start = volume.geometry().cluster_of(extent.block).unwrap();
                let run = ClusterRun { start, clusters: u32::from(extent.clusters) };
                self.alloc.free_clusters(&mut handle, run).await.unwrap();
            }
        }
        let bytes = handle.edit(dir, dir, BlockKind::Dinode).await.unwrap();
        let head: &mut RawDinode = raw_at(bytes, 0, dir, Structure::Dinode).unwrap();
        head.flags = U32::new(head.flags.get() & !DinodeFlags::VALID.bits());
        head.dtime = U64::new(1_700_000_001);
        head.set_links(0);
        self.alloc.free_block(&mut handle, Pool::Inode(0), dir, inode.dinode().suballoc).await.unwrap();
        self.publish(handle).await;
    }

    /// What unmounting does: freed clusters and the window go back to the cluster bitmap.
    async fn settle(&self) {
        loop {
            let mut handle = self.test.volume.change();
            let more = self.alloc.flush_record(&mut handle).await.unwrap().is_some();
            self.publish(handle).await;
            if !more {
                break;
            }
        }
        let mut handle = self.test.volume.change();
        self.alloc.close_window(&mut handle).await.unwrap();
        self.publish(handle).await;
    }

    /// What our own check finds.
    async fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let device = std::sync::Arc::clone(self.test.volume.device());
        crate::check::check(device, &mut findings, |job| async { Some(job.run().await) }).await.unwrap();
        findings
    }
}

#[test]
fn directories_of_every_form_are_clean_to_fsck_and_to_our_check() {
    for case in CASES {
        let (block, cluster) = (case.block.to_string(), (1_u32 << case.cluster_bits).to_string());
        let features = format!("--fs-features={}", case.features);
        block_on(async {
            let options = ["-N", "1", "-b", &block, "-C", &cluster, &features];
            let Some(test) = TestVolume::fresh(192, &options).await else { return };
            let alloc = Allocators::new(&test.volume, 0);
            let judged = Judged { test, alloc };
            let before = judged.findings().await;
            let (kept, gone) = (judged.mkdir(b"kept").await, judged.mkdir(b"gone").await);
            let few = judged.mkdir(b"few").await;
            let mut all = names(case.block as u64, 900, 0);
            all.extend((0..20).map(one_hash));
            let mut handle = judged.test.volume.change();
            let file = judged.inode(&mut handle, FileType::Regular, 1).await;
            judged.publish(handle).await;
            judged.insert_all(kept, &all, file).await;
            judged.insert_all(few, &all[..5], file).await;
            judged.remove_all(kept, &all[..300]).await;
            judged.insert_all(kept, &all[100..200], file).await;
            judged.insert_all(gone, &all, file).await;
            judged.remove_all(gone, &all).await;
            judged.rmdir(gone, b"gone").await;
            let mut handle = judged.test.volume.change();
            let links = u32::try_from(all.len() - 300 + 100 + 5).unwrap();
            judged.link(&mut handle, file, |_| links).await;
            judged.publish(handle).await;
            judged.settle().await;
            judged.test.assert_clean().await;
            let after = judged.findings().await;
            // mkfs.ocfs2 leaves some things wrong itself where there is no inline data.
            let same = |a: &Finding, b: &Finding| (a.code, a.inode, a.block) == (b.code, b.inode, b.block);
            let news = after.iter().filter(|found| !before.iter().any(|old| same(found, old)));
            let news: Vec<_> = news.map(ToString::to_string).collect();
            assert!(news.is_empty(), "{case:?}: {news:#?}, at first {before:#?}");
        });
    }
}
