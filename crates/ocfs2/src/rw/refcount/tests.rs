//! Counts beside a map, and the clones of a kernel's volume that get clusters of their own.

use std::collections::BTreeMap;

use fixtures::Random;
use ocfs2_format::{BlockNum, ClusterNum, DynFeatures, ExtentFlags};

use super::*;
use crate::Error;
use crate::alloc::ClusterRun;
use crate::lock::{Level, Rank};
use crate::rw::change::Change;
use crate::test_volume::{TestVolume, block_on};
use crate::txn::Blocks;
use crate::{Volume, Writable};

/// The files of `volume` that are attached to a refcount tree, with what they hold.
async fn clones(volume: &Volume) -> BTreeMap<BlockNum, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut walk = volume.walk(volume.inode(volume.root()).await.unwrap());
    while let Some(entry) = walk.next().await {
        let inode = entry.unwrap().inode;
        if inode.dinode().dyn_features.contains(DynFeatures::HAS_REFCOUNT) && inode.attr().size < 8 << 20 {
            let data = volume.read(&inode, 0, inode.attr().size).await.unwrap().to_vec();
            found.insert(inode.ino(), data);
        }
    }
    found
}

#[test]
fn clones_get_clusters_of_their_own() {
    for name in ["a", "c", "d", "e"] {
        block_on(async {
            let volume = TestVolume::fixture(name).await;
            let before = clones(&volume.volume).await;
            assert!(before.len() > 1, "{name}: {} clones", before.len());
            volume
                .written(async |fs| {
                    for ino in before.keys() {
                        fs.unshare(*ino, 0..u64::MAX).await.unwrap();
                        let inode = fs.volume().inode(*ino).await.unwrap();
                        let crate::inode::Body::Tree(tree) = inode.body() else { continue };
                        let mut cursor = tree.cursor(0);
                        while let Some(extent) = cursor.next(fs.volume().meta()).await.unwrap() {
                            assert!(!extent.flags.contains(ExtentFlags::REFCOUNTED), "{name}: {ino}");
                        }
                    }
                })
                .await;
            let after = clones(&volume.reopened().await).await;
            assert!(after == before, "{name}: the contents have changed");
            volume.assert_clean().await;
        });
    }
}

/// A tree with many records: leaves are added, cut and removed, and the root holds records again at the end.
#[test]
fn counts_are_those_of_a_map() {
    for name in ["c", "d"] {
        block_on(async {
            let volume = TestVolume::fixture(name).await;
            volume.written(async |fs| many(name, fs).await).await;
            volume.assert_clean().await;
        });
    }
}

async fn many(name: &str, fs: &Writable) {
    let ino = *plain(fs.volume()).await.first().expect("a file");
    let mut random = Random::new(77);
    let mut model: BTreeMap<u32, u32> = BTreeMap::new();
    let mut op = fs.operation();
    op.lock_inode(Rank::Child, ino, Level::Exclusive).await.unwrap();
    let mut tree = None;
    while tree.is_none() {
        let mut change = op.begin().await.unwrap();
        let done = RefcountTree::create(&mut change, ino, 4711).await;
        tree = change.end(done).await.unwrap();
    }
    let tree = tree.expect("made");
    let clusters = fs.volume().geometry().clusters.0;
    let mut highest = 0;
    for step in 0..1200 {
        // First up, and then all down again.
        let up = step < 500 && random.below(4) > 0;
        let start = match model.first_key_value() {
            Some((first, _)) if step > 600 => *first,
            _ => u32::try_from(random.below(usize::try_from(clusters.min(4000)).unwrap() - 8)).unwrap(),
        };
        let mut run =
            ClusterRun { start: ClusterNum(start), clusters: 1 + u32::try_from(random.below(7)).unwrap() };
        if !up {
            while run.clusters > 0 && !run.range().all(|cluster| model.contains_key(&cluster)) {
                run.clusters -= 1;
            }
        }
        for cluster in run.range() {
            let count = model.entry(cluster).or_default();
            *count = count.checked_add_signed(if up { 1 } else { -1 }).unwrap();
            if *count == 0 {
                model.remove(&cluster);
            }
        }
        loop {
            let mut change = op.begin().await.unwrap();
            let done = match up {
                true => tree.increase(&mut change, run, 1).await,
                false => tree.uncount(&mut change, run).await,
            };
            if change.end(done).await.unwrap().is_some() {
                break;
            }
        }
        highest = highest.max(leaves(fs, tree).await);
        if step % 50 == 0 || step > 1190 {
            for (cluster, count) in &model {
                let one = ClusterRun { start: ClusterNum(*cluster), clusters: 1 };
                let found = tree.count(fs.volume().meta(), one).await.unwrap().0;
                assert_eq!(found, *count, "{name}: {cluster}");
            }
        }
    }
    assert!(highest > 3, "{name}: at most {highest} leaves");
    while let Some((first, count)) = model.first_key_value().map(|(a, b)| (*a, *b)) {
        let one = ClusterRun { start: ClusterNum(first), clusters: 1 };
        let mut change = op.begin().await.unwrap();
        let done = tree.uncount(&mut change, one).await;
        if change.end(done).await.unwrap().is_some() {
            if count == 1 {
                model.remove(&first)
            } else {
                model.insert(first, count - 1)
            };
        }
    }
    assert_eq!(leaves(fs, tree).await, 0, "{name}: the root holds records again");
    loop {
        let mut change = op.begin().await.unwrap();
        let done = tree.detach(&mut change, ino).await;
        if change.end(done).await.unwrap().is_some() {
            return;
        }
    }
}

impl RefcountTree {
    /// Counts one less, and gives up nothing: in this test nobody really uses the clusters.
    async fn uncount(self, change: &mut Change<'_>, run: ClusterRun) -> Result<(), Error> {
        self.adjust(change, run, -1).await.map(drop)
    }
}

/// Leaf blocks of the tree.
async fn leaves(fs: &Writable, tree: RefcountTree) -> u32 {
    let meta = fs.volume().meta();
    let data = meta.get(tree.root, tree.root, ocfs2_format::BlockKind::RefcountBlock).await.unwrap();
    ocfs2_format::RefcountBlock::parse(Blocks::volume(meta), tree.root, data.bytes()).unwrap().leaves
}

/// Regular files that share nothing.
async fn plain(volume: &Volume) -> Vec<BlockNum> {
    let mut found = Vec::new();
    let mut walk = volume.walk(volume.inode(volume.root()).await.unwrap());
    while let Some(entry) = walk.next().await {
        let inode = entry.unwrap().inode;
        let regular = inode.attr().kind == crate::FileType::Regular;
        if regular && !inode.dinode().dyn_features.contains(DynFeatures::HAS_REFCOUNT) {
            found.push(inode.ino());
        }
    }
    found
}

/// Deleting the clones of a kernel's volume, one by one: what others share stays theirs, and the trees go with the last.
#[test]
fn deleted_clones_leave_the_others_whole() {
    for name in ["a", "e"] {
        block_on(async {
            let volume = TestVolume::fixture(name).await;
            let before = clones(&volume.volume).await;
            let doomed: Vec<BlockNum> = before.keys().copied().step_by(2).collect();
            volume.written(async |fs| remove_all(fs, &doomed).await).await;
            let after = clones(&volume.reopened().await).await;
            let left = before.iter().filter(|(ino, _)| !doomed.contains(ino));
            assert!(after.iter().eq(left), "{name}: what is left has changed");
            volume.assert_clean().await;
            let last: Vec<BlockNum> = after.keys().copied().collect();
            volume.written(async |fs| remove_all(fs, &last).await).await;
            assert!(clones(&volume.reopened().await).await.is_empty(), "{name}");
            volume.assert_clean().await;
        });
    }
}

/// Unlinks every name of the inodes `doomed`.
async fn remove_all(fs: &Writable, doomed: &[BlockNum]) {
    let mut names = Vec::new();
    let mut dirs = vec![fs.volume().root()];
    while let Some(dir) = dirs.pop() {
        let inode = fs.volume().inode(dir).await.unwrap();
        let mut pages = fs.volume().dir_pages(&inode, 0);
        while let Some(page) = pages.next().await {
            for entry in page.unwrap().entries.into_iter().filter(|entry| !entry.is_dot()) {
                if entry.kind == Some(crate::FileType::Directory) {
                    dirs.push(entry.ino);
                } else if doomed.contains(&entry.ino) {
                    names.push((dir, entry.name));
                }
            }
        }
    }
    for (dir, name) in names {
        fs.unlink(dir, &name).await.unwrap();
    }
}

/// Every second cluster of an extent is the file's own, so each is a record of its own in the truncate log, which has not
/// room for so many at once: then no change could ever have given the extent up.
#[test]
fn an_extent_that_is_shared_here_and_there_is_given_up() {
    for name in ["a", "c"] {
        block_on(async {
            let volume = TestVolume::fixture(name).await;
            let before = clones(&volume.volume).await;
            volume.written(async |fs| scatter(name, fs, &before).await).await;
            volume.assert_clean().await;
        });
    }
}

async fn scatter(name: &str, fs: &Writable, clones: &BTreeMap<BlockNum, Vec<u8>>) {
    let mut longest: BTreeMap<BlockNum, (u16, BlockNum, BlockNum)> = BTreeMap::new();
    let mut sharers: BTreeMap<BlockNum, Vec<(BlockNum, ocfs2_format::Extent)>> = BTreeMap::new();
    for ino in clones.keys() {
        let inode = fs.volume().inode(*ino).await.unwrap();
        let root = inode.dinode().refcount_root.unwrap();
        let crate::inode::Body::Tree(tree) = inode.body() else { continue };
        let mut cursor = tree.cursor(0);
        while let Some(extent) = cursor.next(fs.volume().meta()).await.unwrap() {
            sharers.entry(extent.block).or_default().push((*ino, extent));
            let most = longest.entry(root).or_default();
            *most = (*most).max((extent.clusters, extent.block, *ino));
        }
    }
    let (clusters, block, ino) = *longest.values().max().unwrap();
    assert!(clusters > 80, "{name}: {clusters} clusters");
    let cluster = fs.volume().geometry().cluster_size.bytes();
    for (other, extent) in &sharers[&block] {
        for n in (0..u64::from(extent.clusters)).step_by(2).filter(|_| *other != ino) {
            let start = (u64::from(extent.cpos) + n) * cluster;
            fs.unshare(*other, start..start + 1).await.unwrap();
        }
    }
    let mut op = fs.operation();
    op.lock_inode(Rank::Child, ino, Level::Exclusive).await.unwrap();
    op.drop_extents(ino, (0, 1 << 32)).await.unwrap();
    assert_eq!(fs.volume().inode(ino).await.unwrap().dinode().clusters, 0);
}
