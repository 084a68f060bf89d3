//! Random changes against a map of names.

use std::collections::BTreeMap;

use ocfs2_format::{BlockNum, FileType};
use proptest::prelude::*;

use super::names::names;
use super::sound::assert_sound;
use super::{CASES, Case, World};
use crate::dir::Names;
use crate::dir::read::Reader;
use crate::inode::Inode;
use crate::{Error, Volume};

const KINDS: [FileType; 3] = [FileType::Regular, FileType::Directory, FileType::Symlink];
/// Changes between two looks at the whole directory.
const BATCH: usize = 60;

type Model = BTreeMap<Vec<u8>, (BlockNum, FileType)>;

#[derive(Clone, Copy, Debug)]
enum Change {
    Insert,
    Remove,
    Replace,
    Rename,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => Just(Change::Insert),
        2 => Just(Change::Remove),
        1 => Just(Change::Replace),
        1 => Just(Change::Rename),
    ]
}

/// Does one change to directory and model alike; what the one refuses, the other must too.
async fn apply(
    names: &mut Names<'_, '_, super::Bump>,
    model: &mut Model,
    (change, old, new, ino): (Change, &[u8], &[u8], BlockNum),
) {
    let kind = KINDS[usize::try_from(ino.0 % 3).unwrap()];
    let known = model.get(old).copied();
    match change {
        Change::Insert => match names.insert(old, ino, kind).await {
            Ok(()) => assert_eq!(model.insert(old.to_vec(), (ino, kind)), None),
            Err(Error::Exists) => assert!(known.is_some()),
            Err(error) => panic!("insert: {error}"),
        },
        Change::Remove => match names.remove(old).await {
            Ok(was) => {
                assert_eq!((Some(was.ino), was.kind), (known.map(|k| k.0), model.remove(old).map(|k| k.1)))
            }
            Err(Error::NotFound) => assert!(known.is_none()),
            Err(error) => panic!("remove: {error}"),
        },
        Change::Replace => match names.replace(old, ino, kind).await {
            Ok(was) => assert_eq!(model.insert(old.to_vec(), (ino, kind)).map(|k| k.0), Some(was.ino)),
            Err(Error::NotFound) => assert!(known.is_none()),
            Err(error) => panic!("replace: {error}"),
        },
        Change::Rename => {
            let Some((ino, kind)) = known else { return };
            if old == new {
                return;
            }
            match names.insert(new, ino, kind).await {
                Ok(()) => {}
                Err(Error::Exists) => drop(names.replace(new, ino, kind).await.unwrap()),
                Err(error) => panic!("rename: {error}"),
            }
            names.remove(old).await.unwrap();
            model.remove(old);
            model.insert(new.to_vec(), (ino, kind));
        }
    }
}

/// Lists the directory.
pub(super) async fn list(volume: &Volume, dir: &Inode) -> Model {
    let mut model = Model::new();
    let mut position = Some(0);
    while let Some(at) = position {
        let page = volume.readdir(dir, at).await.unwrap();
        assert_eq!(page.damage, []);
        for entry in page.entries.into_iter().filter(|entry| !entry.is_dot()) {
            let twice = model.insert(entry.name, (entry.ino, entry.kind.unwrap()));
            assert_eq!(twice, None, "a name is there twice");
        }
        position = page.next;
    }
    model
}

/// Compares what our reader sees with the model: by listing, through the index, and by looking at every entry.
async fn compare(volume: &Volume, ino: BlockNum, model: &Model, universe: &[Vec<u8>], linear: bool) {
    let dir = volume.inode(ino).await.unwrap();
    assert_eq!(&list(volume, &dir).await, model);
    assert_sound(volume, &dir).await;
    let reader = Reader { blocks: volume.meta(), dir: &dir };
    for name in universe {
        let expected = model.get(name).map(|(ino, _)| *ino);
        let found = match dir.dinode().dx_root {
            Some(root) => {
                reader.lookup_indexed(root, name).await.unwrap().map(|indexed| indexed.found.dirent.ino)
            }
            None => volume.lookup(&dir, name).await.unwrap().map(|dirent| dirent.ino),
        };
        assert_eq!(found, expected);
        if linear {
            let found = reader.lookup_linear(name).await.unwrap();
            assert_eq!(found.map(|found| found.dirent.ino), expected);
        }
    }
    for (name, ino) in [(&b"."[..], ino), (b"..", volume.root())] {
        assert_eq!(volume.lookup(&dir, name).await.unwrap().map(|found| found.ino), Some(ino));
    }
}

async fn run(
    case: Case,
    universe: &[Vec<u8>],
    changes: &[(Change, prop::sample::Index, prop::sample::Index)],
) {
    let world = World::new(case).await;
    let ino = world.mkdir().await;
    let mut model = Model::new();
    compare(&world.volume, ino, &model, universe, true).await;
    let mut to = 100;
    for batch in changes.chunks(BATCH) {
        let mut handle = world.volume.change();
        for (change, old, new) in batch {
            to += 1;
            let mut names = Names::new(&mut handle, &world.space, ino);
            let (old, new) = (old.get::<Vec<u8>>(universe), new.get::<Vec<u8>>(universe));
            apply(&mut names, &mut model, (*change, old, new, BlockNum(to))).await;
        }
        world.volume.publish(&handle.seal());
        compare(&world.volume, ino, &model, universe, false).await;
    }
    world.volume.forget(ino);
    compare(&world.volume, ino, &model, universe, true).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: fixtures::cases(40), max_shrink_iters: 300, ..Default::default() })]

    #[test]
    fn a_directory_is_what_was_made_of_it(
        case in prop::sample::select(CASES.to_vec()),
        (seed, count, same_hash) in (any::<u64>(), 4..500_usize, 0..25_usize),
        changes in prop::collection::vec((change(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..900),
    ) {
        let universe = names(seed, count, same_hash);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(case, &universe, &changes));
    }
}
