//! What must hold of every directory beside its names: trailers, free list, index.

use std::collections::BTreeSet;

use ocfs2_format::{BlockKind, BlockNum, CharSign, DirTrailer, DxBody, DxEntry, DxHash, DxLeaf, DxRoot};

use crate::Volume;
use crate::dir::area::AreaMut;
use crate::dir::index::Place;
use crate::dir::read::Reader;
use crate::inode::{Body, Inode};
use crate::meta_block::Kind;

/// Checks trailers, free list and index of a directory that does not change meanwhile.
pub(super) async fn assert_sound(volume: &Volume, dir: &Inode) {
    let format = volume.meta().volume();
    let reader = Reader { blocks: volume.meta(), dir };
    let Body::Tree(_) = dir.body() else {
        assert!(dir.dinode().dx_root.is_none());
        return;
    };
    let (mut with_holes, mut expected) = (BTreeSet::new(), Vec::new());
    let mut position = Some(0);
    while let Some(at) = position {
        let area = reader.area(at).await.unwrap().unwrap();
        let block = area.block.blkno();
        for entry in area.entries(format) {
            let entry = entry.unwrap();
            if entry.inode.is_some() {
                expected.push((DxHash::of(entry.name, format.dx_seed, CharSign::Signed), block));
            }
        }
        if reader.kind() != Kind::PlainDir {
            let mut bytes = area.block.bytes()[area.range.clone()].to_vec();
            let hole = AreaMut::new(format, block, &mut bytes).largest_hole().unwrap();
            let trailer = DirTrailer::parse(format, block, area.block.bytes(), Some(dir.ino())).unwrap();
            let said = if dir.dinode().dx_root.is_some() { hole } else { 0 };
            assert_eq!(usize::from(trailer.free_rec_len), said, "block {block}");
            if said > 0 {
                with_holes.insert(block);
            }
        }
        position = reader.next_block(at);
    }
    if let Some(root) = dir.dinode().dx_root {
        let mut listed = index(volume, &reader, root, &mut expected).await;
        for block in with_holes {
            assert!(listed.remove(&block), "block {block} has room and is not in the list");
        }
        assert!(listed.is_empty(), "{listed:?} have no room and are in the list");
    }
}

/// Compares the index with what it must have, and gives the blocks of the free list.
async fn index(
    volume: &Volume,
    reader: &Reader<'_, crate::meta::Meta>,
    root: BlockNum,
    expected: &mut Vec<(DxHash, BlockNum)>,
) -> BTreeSet<BlockNum> {
    let (format, dir) = (volume.meta().volume(), reader.dir.ino());
    let block = volume.meta().get(dir, root, BlockKind::DxRoot).await.unwrap();
    let parsed = DxRoot::parse(format, root, block.bytes(), Some(dir)).unwrap();
    assert_eq!(usize::try_from(parsed.num_entries).unwrap(), expected.len());
    let mut found: Vec<DxEntry> = Vec::new();
    match parsed.body {
        DxBody::Inline(entries) => found.extend(entries.iter()),
        DxBody::Tree(list) => {
            assert_eq!(list.extents().next().unwrap().cpos, 0, "every hash must have a place");
            for extent in list.extents() {
                for n in 0..format.geometry.clusters_to_blocks(u64::from(extent.clusters)) {
                    let leaf = BlockNum(extent.block.0 + n);
                    let block = volume.meta().get(dir, leaf, BlockKind::DxLeaf).await.unwrap();
                    for entry in DxLeaf::parse(format, leaf, block.bytes()).unwrap().entries.iter() {
                        let place = reader.index_place(root, entry.hash).await.unwrap();
                        assert!(matches!(place, Place::Leaf(at) if at.block == leaf), "{entry:?} in {leaf}");
                        found.push(entry);
                    }
                }
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().map(|entry| (entry.hash, entry.block)).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(&found, expected);
    let (mut listed, mut next) = (BTreeSet::new(), parsed.free);
    while let Some(block) = next {
        assert!(listed.insert(block), "the list comes back to {block}");
        let bytes = volume.meta().get(dir, block, BlockKind::DirBlock).await.unwrap();
        next = DirTrailer::parse(format, block, bytes.bytes(), Some(dir)).unwrap().free_next;
    }
    listed
}
