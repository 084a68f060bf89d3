//! Extended attributes set and removed at random, beside a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::BlockDevice;
use fixtures::Random;
use ocfs2::{BlockNum, DynFeatures, Error, OpenOptions, SetXattr, Volume, Writable, XattrHow};

use crate::support::{block_on, fsck_complaints, in_memory, written};

type Model = BTreeMap<BlockNum, BTreeMap<Vec<u8>, Vec<u8>>>;

/// Sizes of values, on both sides of each limit.
const SIZES: [usize; 12] = [0, 1, 7, 40, 79, 80, 81, 500, 4096, 4097, 20_000, 65_536];

/// Some inodes of all kinds that share nothing with a reflink.
async fn subjects(volume: &Volume, count: usize) -> Vec<BlockNum> {
    let mut inos = vec![volume.root()];
    let mut walk = volume.walk(volume.inode(volume.root()).await.expect("the root"));
    while let Some(entry) = walk.next().await {
        let inode = entry.expect("a sound volume").inode;
        let shared = inode.dinode().dyn_features.contains(DynFeatures::HAS_REFCOUNT);
        if !shared && inode.attr().flags & 0x30 == 0 && !inos.contains(&inode.ino()) {
            inos.push(inode.ino());
        }
    }
    // From all over the tree, and not the first ones only.
    let step = inos.len().div_ceil(count).max(1);
    inos.into_iter().step_by(step).collect()
}

async fn attributes(volume: &Volume, ino: BlockNum) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let inode = volume.inode(ino).await.expect("an inode");
    let mut all = BTreeMap::new();
    for xattr in volume.xattrs(&inode).await.expect("attributes") {
        let value = volume.xattr_value(&inode, &xattr).await.expect("a value");
        let found = volume.xattr(&inode, xattr.name()).await.expect("found by its name");
        assert_eq!(found, value);
        assert!(all.insert(xattr.name().to_vec(), value).is_none(), "{ino}: a name twice");
    }
    all
}

fn name(random: &mut Random, kinds: usize) -> Vec<u8> {
    let prefix = ["user.", "trusted.", "security."][random.below(3)];
    let number = random.below(kinds);
    // The length goes by the number, so that names come again.
    let tail = "x".repeat([0, 3, 20, 60, 200, 240][number % 6]);
    format!("{prefix}{number:04}{tail}").into_bytes()
}

/// Sets and removes; the model goes along.
async fn workload(fs: &Writable, model: &mut Model, random: &mut Random, steps: usize, most: usize) {
    let inos: Vec<BlockNum> = model.keys().copied().collect();
    for step in 0..steps {
        let ino = inos[random.below(inos.len())];
        let of = model.get_mut(&ino).expect("its own");
        let name = name(random, most);
        if random.below(4) == 0 {
            match (fs.remove_xattr(ino, &name).await, of.remove(&name)) {
                (Ok(_), Some(_)) | (Err(Error::NoAttribute), None) => {}
                (done, was) => panic!("{step}: {done:?}, {:?}", was.is_some()),
            }
            continue;
        }
        let largest = if random.below(8) == 0 { SIZES.len() } else { 8 };
        let fill = u8::try_from(random.below(256)).expect("a byte");
        let value = vec![fill; SIZES[random.below(largest)]];
        let how = [XattrHow::Any, XattrHow::Create, XattrHow::Replace][random.below(3)];
        let set = SetXattr { how, ..SetXattr::default() };
        match (fs.set_xattr(ino, &name, &value, set).await, how, of.contains_key(&name)) {
            (Ok(_), XattrHow::Any, _)
            | (Ok(_), XattrHow::Create, false)
            | (Ok(_), XattrHow::Replace, true) => {
                of.insert(name, value);
            }
            (Err(Error::Exists), XattrHow::Create, true) => {}
            (Err(Error::NoAttribute), XattrHow::Replace, false) => {}
            (Err(Error::NoSpace { .. }), ..) => {}
            (done, ..) => panic!("{step}: {how:?} {}: {done:?}", value.len()),
        }
    }
}

fn run(fixture: &str, inodes: usize, steps: usize, most: usize) {
    let device = Arc::new(in_memory(fixture));
    let mut random = Random::new(0x7a77 + u64::from(fixture.as_bytes()[0]));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let (model, closed) = block_on(written(shared, async |fs| {
        let mut model = Model::new();
        for ino in subjects(fs.volume(), inodes).await {
            model.insert(ino, attributes(fs.volume(), ino).await);
        }
        workload(fs, &mut model, &mut random, steps, most).await;
        for (ino, of) in &model {
            assert!(attributes(fs.volume(), *ino).await == *of, "{fixture}: inode {ino}");
        }
        model
    }))
    .expect("a sound volume");
    closed.expect("a device that does not fail");
    let names = model.values().map(BTreeMap::len).max();
    assert!(names.is_some_and(|names| names > most / 3), "{fixture}: {names:?}: too few to fill buckets");
    block_on(async {
        let again: Arc<dyn BlockDevice> = Arc::new(device.snapshot());
        let volume = Volume::open(again, OpenOptions::default()).await.expect("a volume");
        for (ino, of) in &model {
            assert!(attributes(&volume, *ino).await == *of, "{fixture}: inode {ino}, read again");
        }
    });
    if let Some(mut complaints) = fsck_complaints(&device) {
        // It wants every byte of a block in use, which is no rule of the kernel's: see the fixtures' README.
        complaints.retain(|line| !line.starts_with("[XATTR_FREE_START"));
        assert!(complaints.is_empty(), "{fixture}: {complaints:#?}");
    }
}

#[test]
fn blocks_of_4096_bytes() {
    run("a", 6, 1500, 120);
}

#[test]
fn blocks_of_512_bytes() {
    run("c", 6, 1500, 120);
}

#[test]
fn blocks_of_1024_bytes_and_large_clusters() {
    run("d", 4, 800, 100);
}

#[test]
fn blocks_of_2048_bytes() {
    run("e", 5, 1000, 120);
}

#[test]
fn checksums() {
    run("dirty-ecc", 5, 1000, 120);
}

#[test]
fn one_inode_with_very_many() {
    run("a", 1, 4000, 3000);
    run("c", 1, 3000, 2000);
}

/// The version, then entries of tag, permissions and id.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let entry = |(tag, perm, id): &(u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
}

const NONE: u32 = u32::MAX;

#[test]
fn an_access_acl_and_the_permissions_are_one() {
    let device: Arc<dyn BlockDevice> = Arc::new(in_memory("e"));
    let name = b"system.posix_acl_access";
    let (_, closed) = block_on(written(device, async |fs| {
        let ino = subjects(fs.volume(), 3).await[1];
        let perm = async || fs.volume().inode(ino).await.unwrap().attr().perm & 0o777;
        let get = async || fs.volume().xattr(&fs.volume().inode(ino).await.unwrap(), name).await;
        let named = |mask, others| {
            acl(&[
                (1, 6, NONE),
                (2, 7, 1000),
                (4, 4, NONE),
                (8, 5, 77),
                (0x10, mask, NONE),
                (0x20, others, NONE),
            ])
        };
        fs.set_xattr(ino, name, &named(5, 1), SetXattr::default()).await.unwrap();
        assert_eq!(perm().await, 0o651);
        let chmod = ocfs2::SetAttr { perm: Some(0o624), ..ocfs2::SetAttr::default() };
        fs.setattr(ino, &chmod).await.unwrap();
        assert_eq!((perm().await, get().await.unwrap()), (0o624, named(2, 4)));
        let bits = acl(&[(1, 7, NONE), (4, 1, NONE), (0x20, 0, NONE)]);
        fs.set_xattr(ino, name, &bits, SetXattr::default()).await.unwrap();
        assert_eq!(perm().await, 0o710, "permission bits say all of it");
        assert!(matches!(get().await, Err(Error::NoAttribute)));
        let bad = acl(&[(1, 7, NONE)]);
        let refused = fs.set_xattr(ino, name, &bad, SetXattr::default()).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidAcl { .. }) && refused.errno() == 22, "{refused}");
    }))
    .unwrap();
    closed.unwrap();
}
