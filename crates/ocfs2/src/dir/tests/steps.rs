//! Single steps: each way in which a directory grows, and each refusal.

use ocfs2_format::{BlockKind, BlockNum, DxBody, DxRoot, FileType};

use super::model::list;
use super::names::one_hash;
use super::sound::assert_sound;
use super::{CASES, Case, World};
use crate::Error;
use crate::dir::Names;
use crate::inode::Body;
use crate::txn::Blocks;

const FILE: FileType = FileType::Regular;
const INDEXED: Case = Case { features: "inline-data,indexed-dirs", block: 512, cluster_bits: 12 };

fn name(n: usize) -> Vec<u8> {
    format!("name-{n}").into_bytes()
}

/// Adds names until the directory is as wanted; gives their number.
async fn fill(world: &World, dir: BlockNum, until: impl AsyncFn(&World) -> bool) -> usize {
    let have = list(&world.volume, &world.volume.inode(dir).await.unwrap()).await.len();
    for n in have..20_000 {
        if until(world).await {
            return n;
        }
        let mut handle = world.volume.change();
        Names::new(&mut handle, &world.space, dir).insert(&name(n), BlockNum(1000), FILE).await.unwrap();
        world.volume.publish(&handle.seal());
    }
    panic!("it never came to that");
}

/// Clusters of leaves; `None` while the directory has no index.
async fn index_clusters(world: &World, dir: BlockNum) -> Option<u32> {
    let inode = world.volume.inode(dir).await.unwrap();
    let root = inode.dinode().dx_root?;
    let block = world.volume.meta().get(dir, root, BlockKind::DxRoot).await.unwrap();
    let parsed = DxRoot::parse(world.volume.meta().volume(), root, block.bytes(), Some(dir)).unwrap();
    assert_eq!(matches!(parsed.body, DxBody::Inline(_)), parsed.clusters == 0);
    Some(parsed.clusters)
}

#[tokio::test]
async fn a_directory_leaves_its_dinode_gets_an_index_and_the_index_grows() {
    for case in CASES {
        let (world, indexed) = (World::new(case).await, !case.features.contains("noindexed"));
        let dir = world.mkdir().await;
        let inline = !case.features.contains("noinline");
        let inode = world.volume.inode(dir).await.unwrap();
        assert_eq!(matches!(inode.body(), Body::Inline(_)), inline, "{case:?}");
        let in_blocks =
            async |world: &World| matches!(world.volume.inode(dir).await.unwrap().body(), Body::Tree(_));
        let count = fill(&world, dir, in_blocks).await;
        assert_eq!(count > 0, inline);
        assert_eq!(index_clusters(&world, dir).await.is_some(), indexed, "{case:?}");
        if !indexed {
            continue;
        }
        fill(&world, dir, async |world| index_clusters(world, dir).await >= Some(3)).await;
        let inode = world.volume.inode(dir).await.unwrap();
        assert_sound(&world.volume, &inode).await;
    }
}

trait Refuse {
    /// The error's variant, for comparison.
    fn refused(self) -> String;
}

impl<T: std::fmt::Debug> Refuse for Result<T, Error> {
    fn refused(self) -> String {
        let text = format!("{:?}", self.unwrap_err());
        text.split([' ', '(']).next().unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let world = World::new(INDEXED).await;
    let dir = world.mkdir().await;
    fill(&world, dir, async |world| index_clusters(world, dir).await >= Some(1)).await;
    let mut handle = world.volume.change();
    let mut names = Names::new(&mut handle, &world.space, dir);
    let (taken, file) = (name(3), BlockNum(1000));
    assert_eq!(names.insert(&taken, file, FILE).await.refused(), "Exists");
    assert_eq!(names.insert(&[b'x'; 256], file, FILE).await.refused(), "NameTooLong");
    for bad in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
        assert_eq!(names.insert(bad, file, FILE).await.refused(), "BadName");
        assert_eq!(names.remove(bad).await.refused(), "BadName");
    }
    assert_eq!(names.replace(b".", file, FILE).await.refused(), "BadName");
    assert_eq!(names.remove(b"not there").await.refused(), "NotFound");
    assert_eq!(names.replace(b"not there", file, FILE).await.refused(), "NotFound");
    assert_eq!(names.expect_empty().await.refused(), "NotEmpty");
    assert_eq!(handle.credits(), 0);
    let errno = |error: Error| error.errno();
    assert_eq!(errno(Error::Exists), 17);
    assert_eq!(errno(Error::NotEmpty { ino: dir }), 39);
    assert_eq!(errno(Error::NameTooLong { len: 256 }), 36);
}

#[tokio::test]
async fn a_full_volume_stops_every_kind_of_growth_and_changes_nothing() {
    for case in CASES {
        let world = World::new(case).await;
        let dir = world.mkdir().await;
        let mut refused = 0;
        for n in 0..1500 {
            // Each name is tried with no cluster left, then with one, and so on.
            for clusters in 0.. {
                world.space.limit(clusters);
                let mut handle = world.volume.change();
                let mut names = Names::new(&mut handle, &world.space, dir);
                match names.insert(&name(n), BlockNum(1000), FILE).await {
                    Ok(()) => {
                        world.volume.publish(&handle.seal());
                        break;
                    }
                    Err(Error::NoSpace { .. }) if clusters < 6 => {
                        assert_eq!(handle.credits(), 0, "{case:?}, name {n}");
                        refused += 1;
                    }
                    Err(error) => panic!("{case:?}, name {n}: {error}"),
                }
            }
        }
        assert!(refused > 0, "{case:?}");
        let inode = world.volume.inode(dir).await.unwrap();
        assert_sound(&world.volume, &inode).await;
        assert_eq!(list(&world.volume, &inode).await.len(), 1500);
    }
}

#[tokio::test]
async fn more_names_of_one_hash_than_a_leaf_holds_are_refused_and_the_others_stay() {
    let world = World::new(INDEXED).await;
    let dir = world.mkdir().await;
    let mut fitted = 0;
    for n in 0..40 {
        let mut handle = world.volume.change();
        let mut names = Names::new(&mut handle, &world.space, dir);
        match names.insert(&one_hash(n), BlockNum(1000), FILE).await {
            Ok(()) => {
                fitted += 1;
                world.volume.publish(&handle.seal());
            }
            Err(Error::NoSpace { .. }) => assert_eq!(handle.credits(), 0),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(fitted, 29, "what a leaf of 512 bytes holds");
    let mut handle = world.volume.change();
    Names::new(&mut handle, &world.space, dir).insert(b"another", BlockNum(1000), FILE).await.unwrap();
    world.volume.publish(&handle.seal());
    let inode = world.volume.inode(dir).await.unwrap();
    assert_sound(&world.volume, &inode).await;
    assert_eq!(list(&world.volume, &inode).await.len(), 30);
}

#[tokio::test]
async fn a_moved_directory_gets_another_parent_and_an_emptied_one_is_empty() {
    for case in CASES {
        let world = World::new(case).await;
        let dir = world.mkdir().await;
        let mut handle = world.volume.change();
        let mut names = Names::new(&mut handle, &world.space, dir);
        names.expect_empty().await.unwrap();
        for n in 0..60 {
            names.insert(&name(n), BlockNum(1000), FILE).await.unwrap();
        }
        let was = names.replace(b"..", BlockNum(999), FileType::Directory).await.unwrap();
        assert_eq!(was.ino, world.volume.root());
        for n in 0..60 {
            assert_eq!(names.expect_empty().await.refused(), "NotEmpty");
            assert_eq!(names.remove(&name(n)).await.unwrap().ino, BlockNum(1000));
        }
        names.expect_empty().await.unwrap();
        assert_eq!(names.find(b"..").await.unwrap().map(|found| found.ino), Some(BlockNum(999)));
    }
}

/// Every block that a change reads is damaged in turn: the change must fail, or not have used it.
#[tokio::test]
async fn nothing_is_built_on_a_damaged_block() {
    let world = World::new(INDEXED).await;
    let dir = world.mkdir().await;
    fill(&world, dir, async |world| index_clusters(world, dir).await >= Some(2)).await;
    let inode = world.volume.inode(dir).await.unwrap();
    let root = inode.dinode().dx_root.unwrap();
    let reader = crate::dir::read::Reader { blocks: world.volume.meta(), dir: &inode };
    let mut places = vec![(root, BlockKind::DxRoot, 0x30)];
    let mut position = Some(0);
    while let Some(at) = position {
        let block = reader.area(at).await.unwrap().unwrap().block.blkno();
        // Once the first entry's length, once the trailer's owner.
        places.extend([(block, BlockKind::DirBlock, 8), (block, BlockKind::DirBlock, 448 + 0x30)]);
        position = reader.next_block(at);
    }
    for (block, kind, byte) in places {
        let mut handle = world.volume.change();
        handle.edit(dir, block, kind).await.unwrap()[byte] ^= 0x55;
        let before = handle.get(dir, block, kind).await.unwrap().bytes().to_vec();
        for n in 0..40 {
            let mut names = Names::new(&mut handle, &world.space, dir);
            let inserted = names.insert(&name(5000 + n), BlockNum(1000), FILE).await.is_ok();
            let removed = names.remove(&name(n)).await.is_ok();
            assert!(kind != BlockKind::DxRoot || !(inserted || removed));
        }
        let after = handle.get(dir, block, kind).await.unwrap().bytes().to_vec();
        assert_eq!(before, after, "{kind:?} {block} was changed though byte {byte} was wrong");
    }
}
