//! Every block with a signature on every volume parses; every checksum fits.

use std::collections::BTreeMap;

use ocfs2_format::fuzz_bodies::by_signature;
use ocfs2_format::*;

use crate::volume_file::VolumeFile;

/// Whether a block that does not parse is only a left-over: freed, of an older file system, a copy inside a
/// journal or a file, or already reused.
fn stale(what: &Check) -> bool {
    matches!(what, Check::NotValid { .. } | Check::FsGeneration { .. } | Check::SelfBlock { .. })
}

#[test]
fn all_signed_blocks_of_all_volumes_parse() {
    for name in fixtures::NAMES {
        let file = VolumeFile::open(name);
        let mut counts = BTreeMap::<_, (u32, u32)>::new();
        let mut free = None; // worked out when first needed
        for (block, kind, data) in file.signed_blocks() {
            let (good, old) = counts.entry(kind).or_default();
            match by_signature(&file.volume, block, &data) {
                Ok(_) => *good += 1,
                Err(corrupt) if stale(&corrupt.what) => *old += 1,
                Err(_) if free.get_or_insert_with(|| file.free_blocks()).contains(&block) => *old += 1,
                Err(corrupt) => panic!("{name}: {corrupt}"),
            }
        }
        println!("{name}: (good, stale) {counts:?}");
        assert!(counts[&BlockKind::Dinode].0 >= 20, "{name}");
        assert_eq!(
            counts[&BlockKind::Superblock].0,
            1 + u32::try_from(file.superblock.backups().count()).unwrap()
        );
    }
}

#[test]
fn every_checksum_fits_where_a_volume_has_them() {
    for name in ["b", "dirty-ecc"] {
        let file = VolumeFile::open(name);
        assert!(file.volume.features.meta_ecc());
        let mut checked = BTreeMap::<_, u32>::new();
        for (block, kind, mut data) in file.signed_blocks() {
            if by_signature(&file.volume, block, &data).is_err() {
                continue; // a left-over, see above
            }
            let repaired = kind.verify(&file.volume, block, &mut data);
            assert_eq!(repaired, Ok(false), "{name}: block {block}: {kind:?}");
            let before = data.clone();
            kind.seal(&file.volume, &mut data);
            assert_eq!(data, before, "sealing again gives the same bytes");
            *checked.entry(kind).or_default() += 1;
        }
        println!("{name}: {checked:?}");
        assert!(checked.values().sum::<u32>() > 30, "{name}");
    }
}

#[test]
fn geometry_and_features_are_what_the_tools_print() {
    let of = |name| {
        let superblock = VolumeFile::open(name).superblock;
        let geometry = superblock.geometry;
        (
            geometry.block_size.bytes(),
            geometry.cluster_size.bytes(),
            geometry.clusters.get(),
            superblock.max_slots,
            superblock.features.incompat.bits(),
            superblock.uuid_hash,
        )
    };
    let kib = 1024;
    assert_eq!(of("a"), (4096, 4096, 65536, 2, 46936, 0xd2c2_ba5c));
    assert_eq!(of("b"), (4096, 64 * kib, 4096, 4, 65360, 0x4c9a_038d));
    assert_eq!(of("c"), (512, 4096, 32768, 2, 46936, 0x1eda_07fe));
    assert_eq!(of("d"), (1024, 1024 * kib, 1024, 2, 46936, 0xa130_ca3c));
    assert_eq!(of("e"), (2048, 32 * kib, 12288, 2, 46936, 0xfc0d_190f));
    for name in fixtures::NAMES {
        let superblock = VolumeFile::open(name).superblock;
        assert_eq!(superblock.uuid.hash(), superblock.uuid_hash, "{name}");
        assert_eq!(superblock.access(), Ok(Access::ReadWrite), "{name}");
        assert_eq!(superblock.first_cluster_group, superblock.geometry.first_cluster_group(), "{name}");
        assert_eq!(superblock.label(), format!("fx-{name}").as_bytes());
    }
    let b = VolumeFile::open("b").superblock;
    let cluster = b.cluster.unwrap();
    assert_eq!((cluster.stack(), cluster.name()), (&b"o2cb"[..], &b"prd"[..]));
}

#[test]
fn backup_superblocks_equal_the_primary() {
    let file = VolumeFile::open("f");
    let backups: Vec<_> = file.superblock.backups().collect();
    assert_eq!(backups, [BlockNum((1 << 30) / 4096)], "2 GiB hold one copy");
    let data = file.read(backups[0]);
    let copy = Superblock::probe_backup(Superblock::BACKUP_OFFSETS[0], &data).unwrap().superblock;
    assert_eq!(copy, file.superblock);
}

#[test]
fn a_full_volume_has_discontiguous_groups() {
    let file = VolumeFile::open("g");
    let mut discontiguous = 0;
    for (block, kind, data) in file.signed_blocks() {
        if kind != BlockKind::GroupDescriptor {
            continue;
        }
        let Ok(group) = GroupDescriptor::parse(&file.volume, block, &data, None) else { continue };
        assert!(group.counts_agree(), "group {block}");
        let Some(pieces) = group.pieces else { continue };
        discontiguous += 1;
        assert!(pieces.len() > 1);
        // Every inode in the group says so itself.
        for bit in 1..group.bitmap.len() {
            let place = group.block_of_bit(&file.volume, bit).unwrap();
            let inode = file.read(place);
            if let Ok((dinode, _)) = Dinode::parse(&file.volume, place, &inode) {
                assert_eq!(u32::from(dinode.suballoc.bit), bit);
                assert_eq!(dinode.suballoc.group_of(place), Some(block));
            }
        }
    }
    assert!(discontiguous > 0);
}

#[test]
fn indexed_directories_hash_their_names_as_we_do() {
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        let file = VolumeFile::open(name);
        let (mut names, mut leaves) = (0, BTreeMap::new());
        for (block, kind, data) in file.signed_blocks() {
            let entries = match kind {
                BlockKind::DxRoot => match DxRoot::parse(&file.volume, block, &data, None) {
                    Ok(DxRoot { body: DxBody::Inline(entries), .. }) => entries.iter().collect::<Vec<_>>(),
                    _ => continue,
                },
                BlockKind::DxLeaf => match DxLeaf::parse(&file.volume, block, &data) {
                    Ok(leaf) => leaf.entries.iter().collect(),
                    Err(_) => continue, // a copy in the journal
                },
                _ => continue,
            };
            for entry in entries {
                leaves.entry(entry.block).or_insert_with(Vec::new).push(entry.hash);
            }
        }
        for (block, hashes) in leaves {
            let data = file.read(block);
            let entries = DirEntries::of_block(&file.volume, block, &data, true);
            if DirTrailer::parse(&file.volume, block, &data, None).is_err() {
                continue; // the index of a removed directory
            }
            for entry in entries.map(Result::unwrap).filter(|entry| entry.inode.is_some()) {
                let hash = DxHash::of(entry.name, file.volume.dx_seed, CharSign::Signed);
                assert!(hashes.contains(&hash), "{name}: block {block}: {:?}", entry.name.escape_ascii());
                names += 1;
            }
        }
        println!("{name}: {names} names");
        assert!(names > 10, "{name}");
    }
}

#[test]
fn xattr_names_hash_as_we_do() {
    for name in ["a", "b", "c", "d", "e", "f"] {
        let file = VolumeFile::open(name);
        let mut seen = 0;
        let mut check = |entries: &XattrEntries<'_>| {
            for entry in entries.iter() {
                let hash = xattr::name_hash(file.volume.uuid_hash, entry.name, CharSign::Signed);
                assert_eq!(hash, entry.hash, "{name}: {:?}", entry.name.escape_ascii());
                assert!(entry.full_name().is_some());
                seen += 1;
            }
        };
        let mut buckets = Vec::new();
        for (block, kind, data) in file.signed_blocks() {
            match kind {
                BlockKind::Dinode => {
                    let Ok((dinode, _)) = Dinode::parse(&file.volume, block, &data) else { continue };
                    let inline = XattrEntries::inline(&file.volume, &dinode, &data).unwrap();
                    inline.iter().for_each(&mut check);
                }
                BlockKind::XattrBlock => match XattrBlock::parse(&file.volume, block, &data) {
                    Ok(XattrBlock { body: XattrBody::Entries(entries), .. }) => check(&entries),
                    Ok(XattrBlock { body: XattrBody::Tree { list, .. }, .. }) => {
                        buckets.extend(list.extents())
                    }
                    Err(_) => {}
                },
                _ => {}
            }
        }
        for extent in &buckets {
            let step = (xattr::BUCKET_LEN / file.volume.block_len()) as u64;
            let first = file.read_len(extent.block, xattr::BUCKET_LEN);
            let count = XattrEntries::bucket(&file.volume, extent.block, &first).unwrap().num_buckets();
            assert!(count > 0);
            for index in 0..u64::from(count) {
                let block = BlockNum(extent.block.get() + index * step);
                let mut data = file.read_len(block, xattr::BUCKET_LEN);
                assert_eq!(BlockKind::XattrBucket.verify(&file.volume, block, &mut data), Ok(false));
                check(&XattrEntries::bucket(&file.volume, block, &data).unwrap());
            }
        }
        println!("{name}: {seen} xattrs, {} bucket extents", buckets.len());
        assert!(seen > 20, "{name}");
    }
}
