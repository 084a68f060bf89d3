//! Files, their clones, and what becomes of them, beside a model that copies all of it.

use std::collections::BTreeMap;

use fixtures::Random;
use ocfs2_format::BlockNum;

use super::{Lay, NEW, file, has_inline_data, lay, lay_inline};
use crate::rw::SetXattr;
use crate::test_volume::{TestVolume, block_on};
use crate::{Volume, Writable};

/// What a file is expected to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct File {
    data: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    perm: u16,
    owner: (u32, u32),
}

#[derive(Debug)]
struct Model {
    files: BTreeMap<String, (BlockNum, File)>,
    made: usize,
    random: Random,
    cluster: usize,
}

/// How large everything is.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Files at the beginning, and steps.
    files: usize,
    steps: usize,
    /// Extents of the largest file, and clusters of the longest.
    extents: usize,
    longest: usize,
    /// Attributes of the one that has most.
    xattrs: usize,
}

async fn found(volume: &Volume, ino: BlockNum) -> File {
    let inode = volume.inode(ino).await.unwrap();
    let mut xattrs = BTreeMap::new();
    for xattr in volume.xattrs(&inode).await.unwrap() {
        let twice = xattrs.insert(xattr.name().to_vec(), volume.xattr_value(&inode, &xattr).await.unwrap());
        assert_eq!(twice, None, "{ino}: a name is there twice");
    }
    let attr = inode.attr();
    let data = volume.read(&inode, 0, attr.size).await.unwrap().to_vec();
    File { data, xattrs, perm: attr.perm, owner: (attr.uid, attr.gid) }
}

impl Model {
    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit.max(1))
    }

    fn any(&mut self) -> Option<String> {
        let n = self.random.below(self.files.len().max(1));
        self.files.keys().nth(n).cloned()
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("file-{}", self.made)
    }

    /// A new file with holes, unwritten extents and data; or with its contents in the inode.
    async fn make(&mut self, fs: &Writable, scale: Scale) {
        let name = self.new_name();
        let ino = file(fs, &name).await;
        let mut expected = File { perm: 0o6754, owner: (500, 600), ..File::default() };
        // The area for attributes comes before or after the contents.
        if self.below(2) == 0 {
            self.set_xattrs(fs, ino, &mut expected, 2).await;
        }
        if has_inline_data(fs).await && self.below(3) == 0 {
            let data: Vec<u8> = (0..self.below(300)).map(|_| self.random.byte()).collect();
            expected.data = lay_inline(fs, ino, &data).await;
        } else {
            let (mut lays, mut cpos) = (Vec::new(), 0);
            let extents = if self.below(4) == 0 { scale.extents } else { self.below(6) };
            for _ in 0..extents {
                cpos += self.below(3);
                let longest = if extents > 10 { 2 } else { scale.longest };
                let clusters = 1 + self.below(longest);
                let byte = (self.below(4) > 0).then(|| self.random.byte());
                let end = (cpos + clusters) * self.cluster;
                expected.data.resize(cpos * self.cluster, 0);
                expected.data.resize(end, byte.unwrap_or(0));
                let (cpos_32, clusters_32) = (cpos.try_into().unwrap(), clusters.try_into().unwrap());
                lays.push(Lay { cpos: cpos_32, clusters: clusters_32, byte });
                cpos += clusters;
            }
            let cut = self.below(self.cluster);
            let size = if extents == 0 { cut } else { expected.data.len() - cut };
            expected.data.resize(size, 0);
            lay(fs, ino, &lays, size as u64).await;
        }
        let count = if self.below(3) == 0 { scale.xattrs } else { self.below(4) };
        self.set_xattrs(fs, ino, &mut expected, count).await;
        self.files.insert(name, (ino, expected));
    }

    async fn set_xattrs(&mut self, fs: &Writable, ino: BlockNum, expected: &mut File, count: usize) {
        for _ in 0..count {
            let prefix = ["user.", "trusted.", "security."][self.below(3)];
            let name = format!("{prefix}{}-{}", self.below(10 * count), "n".repeat(self.below(40)));
            // fsck.ocfs2 counts the length of a value in 16 bits.
            let len = [self.below(20), 80, 81, 30_000, 65_535][self.below(5).min(self.below(5))];
            let value = vec![self.random.byte(); len];
            match fs.set_xattr(ino, name.as_bytes(), &value, SetXattr::default()).await {
                Ok(_) => expected.xattrs.insert(name.into_bytes(), value),
                Err(error) => panic!("{name}: {error}"),
            };
        }
    }

    async fn step(&mut self, fs: &Writable, scale: Scale) {
        let root = fs.volume().root();
        let Some(name) = self.any() else { return self.make(fs, scale).await };
        let (ino, expected) = self.files[&name].clone();
        match self.below(10) {
            0..5 => {
                let (clone, preserve) = (self.new_name(), self.below(2) == 0);
                let made = fs.reflink(ino, root, clone.as_bytes(), preserve, &NEW).await.unwrap();
                let mut expected = expected;
                if !preserve {
                    expected.perm &= !0o022;
                    expected.owner = (NEW.uid, NEW.gid);
                    expected.xattrs.retain(|name, _| !name.starts_with(b"security."));
                }
                assert_eq!(made.dinode().clusters, fs.volume().inode(ino).await.unwrap().dinode().clusters);
                self.files.insert(clone, (made.ino(), expected));
            }
            5..7 => {
                let (from, len) = (self.below(expected.data.len()), self.below(expected.data.len()));
                fs.unshare(ino, from as u64..(from + len) as u64).await.unwrap();
            }
            7 => {
                let mut expected = expected;
                self.set_xattrs(fs, ino, &mut expected, 2).await;
                let gone = expected.xattrs.keys().nth(1).cloned();
                if let Some(gone) = gone {
                    fs.remove_xattr(ino, &gone).await.unwrap();
                    expected.xattrs.remove(&gone);
                }
                self.files.insert(name, (ino, expected));
            }
            _ => {
                fs.unlink(root, name.as_bytes()).await.unwrap();
                self.files.remove(&name);
            }
        }
    }

    async fn assert_same(&self, what: &str, volume: &Volume) {
        for (name, (ino, expected)) in &self.files {
            let found = found(volume, *ino).await;
            let differs = found.data.iter().zip(&expected.data).position(|(a, b)| a != b);
            assert_eq!((differs, found.data.len()), (None, expected.data.len()), "{what}: {name}: data");
            let same = (&found.xattrs, found.perm, found.owner);
            assert!(
                same == (&expected.xattrs, expected.perm, expected.owner),
                "{what}: {name}: {:o} {:?} {:?}, not {:o} {:?} {:?}",
                found.perm,
                found.owner,
                found.xattrs.keys(),
                expected.perm,
                expected.owner,
                expected.xattrs.keys()
            );
        }
    }
}

fn run(mib: u64, sizes: (&str, &str), features: &str, seed: u64, scale: Scale) {
    block_on(async {
        let features = format!("--fs-features={features}");
        let options = ["-b", sizes.0, "-C", sizes.1, "-N", "2", features.as_str()];
        let Some(volume) = TestVolume::fresh(mib, &options).await else { return };
        let cluster = usize::try_from(volume.volume.geometry().cluster_size.bytes()).unwrap();
        let mut model = Model { files: BTreeMap::new(), made: 0, random: Random::new(seed), cluster };
        let what = format!("{sizes:?} {features} seed {seed}");
        for round in 0..3 {
            volume
                .written(async |fs| {
                    for _ in 0..scale.files {
                        model.make(fs, scale).await;
                    }
                    for _ in 0..scale.steps {
                        model.step(fs, scale).await;
                    }
                    model.assert_same(&what, fs.volume()).await;
                })
                .await;
            model.assert_same(&format!("{what} round {round}"), &volume.reopened().await).await;
            volume.assert_counted().await;
        }
        let free = volume.reopened().await.statfs().await.unwrap();
        volume
            .written(async |fs| {
                while let Some(name) = model.any() {
                    fs.unlink(fs.volume().root(), name.as_bytes()).await.unwrap();
                    model.files.remove(&name);
                }
            })
            .await;
        volume.assert_counted().await;
        let empty = volume.reopened().await.statfs().await.unwrap();
        assert!(empty.free >= free.free, "{what}: nothing came back");
    });
}

const ALL: &str = "sparse,unwritten,xattr,inline-data,indexed-dirs,refcount,discontig-bg";

#[test]
fn blocks_of_512_bytes() {
    let scale = Scale { files: 5, steps: 30, extents: 700, longest: 40, xattrs: 60 };
    run(128, ("512", "4096"), ALL, 1, scale);
    run(128, ("512", "4096"), &format!("{ALL},metaecc,usrquota,grpquota"), 2, scale);
}

#[test]
fn blocks_of_1024_bytes() {
    let scale = Scale { files: 5, steps: 30, extents: 300, longest: 40, xattrs: 60 };
    run(128, ("1024", "4096"), &format!("{ALL},usrquota,grpquota"), 3, scale);
}

#[test]
fn blocks_of_4096_bytes() {
    let scale = Scale { files: 5, steps: 30, extents: 600, longest: 40, xattrs: 150 };
    run(256, ("4096", "4096"), ALL, 4, scale);
    run(256, ("4096", "4096"), &format!("{ALL},metaecc"), 5, scale);
}

#[test]
fn larger_clusters() {
    let scale = Scale { files: 4, steps: 25, extents: 60, longest: 5, xattrs: 40 };
    run(1024, ("4096", "65536"), &format!("{ALL},metaecc,usrquota,grpquota"), 6, scale);
}

#[test]
fn the_largest_clusters() {
    let scale = Scale { files: 3, steps: 15, extents: 4, longest: 2, xattrs: 30 };
    run(4096, ("4096", "1M"), &format!("{ALL},metaecc"), 7, scale);
}
