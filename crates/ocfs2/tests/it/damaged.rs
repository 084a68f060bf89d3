//! Damaged volumes: what cannot be read is named, the rest is read all the same, and nothing panics or hangs.

use std::collections::BTreeSet;
use std::sync::Arc;

use block::BlockDevice;
use fixtures::Random;
use ocfs2::{BlockNum, DynFeatures, OpenOptions, Volume};

use crate::patched::{Patched, metadata_blocks};
use crate::support::{Walked, block_on, open, path_of, walk};

/// Each corruption with what is said of it: a piece of an error for what a reader must notice, nothing for what it
/// can read past (counters, bitmaps, links: the checker's to find) or the code repairs.
const DAMAGE: [(&str, &str); 38] = [
    ("01-superblock-signature", "no superblock at bytes 1024"),
    ("02-inode-signature", "block 10813: dinode: signature is"),
    ("03-inode-size-short", ""),
    ("04-inode-clusters", ""),
    ("05-link-count", ""),
    ("06-extent-outside", "block 10813: extent list: record 0: e_blkno"),
    ("07-duplicate-clusters", ""),
    ("08-inode-fs-generation", "block 10813: dinode: i_fs_generation is"),
    ("09-inode-blkno", "block 10813: dinode: i_blkno is"),
    ("10-extent-block-signature", "block 8722: extent block: signature is"),
    ("11-extent-order", "block 8722: extent list: record 1: e_cpos"),
    ("12-extent-next-free", "block 8722: extent block: l_next_free_rec is"),
    ("13-dirent-rec-len", "directory entry at byte"),
    ("14-dirent-inode", "dinode"),
    ("15-dirent-type", ""),
    ("16-dotdot", ""),
    ("17-dx-root-signature", ""),
    ("18-dir-block-trailer", "directory block trailer: signature is"),
    ("19-dx-entry-count", ""),
    ("20-group-free-count", ""),
    ("21-bitmap-bit-clear", ""),
    ("22-group-signature", ""),
    ("23-inode-bit-clear", ""),
    ("24-refcount-record", ""),
    ("25-refcount-signature", ""),
    ("26-refcount-loc", "HAS_REFCOUNT"),
    ("27-xattr-count", "block 8740: xattr block: entry 0: a value of 999 bytes"),
    ("28-xattr-signature", "block 8740: xattr block: signature is"),
    ("29-journal-superblock", ""),
    ("30-truncate-log", ""),
    ("31-symlink-size", "fast symlink: i_size is 3"),
    ("32-inline-size", "more than the"),
    ("33-root-dir", "block 5: dinode: signature is"),
    ("50-ecc-one-bit", ""),
    ("51-ecc-bytes", "dinode: checksum is"),
    ("52-ecc-crc", "dinode: checksum is"),
    ("53-ecc-group", ""),
    ("54-ecc-dir-block", "directory block trailer: checksum is"),
];

/// The errors of a volume, opening it included.
async fn examine(device: Arc<dyn BlockDevice>) -> (Walked, u64) {
    match Volume::open(device, OpenOptions::default()).await {
        Ok(volume) => {
            let mut walked = walk(&volume).await;
            walked.errors.extend(volume.warnings().iter().map(ToString::to_string));
            (walked, volume.repaired_blocks())
        }
        Err(error) => (Walked { errors: vec![error.to_string()], ..Walked::default() }, 0),
    }
}

#[test]
fn every_corruption_is_named_and_the_rest_is_still_read() {
    let known: Vec<&str> = DAMAGE.iter().map(|(name, _)| *name).collect();
    let names: Vec<String> = fixtures::pokes().into_iter().map(|poke| poke.name).collect();
    assert_eq!(known, names);
    let mut wrong = Vec::new();
    for (name, want) in DAMAGE {
        let poke = fixtures::poke(name);
        let patched = Patched::new(&fixtures::image(&poke.base), poke.patches.clone());
        let (walked, repaired) = block_on(examine(Arc::new(patched)));
        let errors = &walked.errors;
        let ok = match want {
            "" => errors.is_empty(),
            want => errors.iter().any(|error| error.contains(want)),
        };
        if !ok {
            wrong.push(format!("{name}: {want:?} not in {errors:#?}"));
        }
        assert_eq!(repaired, u64::from(name == "50-ecc-one-bit"), "{name}: repaired blocks");
        if matches!(name, "01-superblock-signature" | "33-root-dir") {
            continue; // nothing can be reached
        }
        // Whatever is not the damaged file or below the damaged directory is as the kernel had it.
        let theirs: BTreeSet<String> =
            fixtures::manifest(&poke.base).iter().map(|line| path_of(line)).collect();
        let ours: BTreeSet<String> = walked.lines.keys().cloned().collect();
        let lost = theirs.difference(&ours).count();
        let bound = match name {
            "13-dirent-rec-len" => 16,
            "18-dir-block-trailer" | "54-ecc-dir-block" => 130,
            _ => 2,
        };
        assert!(
            lost <= bound,
            "{name}: {lost} files lost: {:?}",
            theirs.difference(&ours).collect::<Vec<_>>()
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_flipped_bit_is_repaired_and_the_manifest_is_whole() {
    let poke = fixtures::poke("50-ecc-one-bit");
    let patched = Patched::new(&fixtures::image("b"), poke.patches);
    let (walked, _) = block_on(examine(Arc::new(patched)));
    for line in fixtures::manifest("b") {
        assert_eq!(walked.lines.get(&path_of(&line)).map(|ours| ours.trim_end()), Some(line.as_str()));
    }
}

/// Volume f reaches the first backup at 1 GiB: its superblock destroyed, it opens all the same, and says so.
#[test]
fn a_backup_superblock_stands_in() {
    let patched = Patched::new(&fixtures::image("f"), vec![(8192, vec![0; 512])]);
    let (walked, _) = block_on(examine(Arc::new(patched)));
    assert_eq!(walked.errors.len(), 1, "{:?}", walked.errors);
    assert!(walked.errors[0].starts_with("THE SUPERBLOCK IS BAD"), "{:?}", walked.errors);
    assert_eq!(walked.lines.len(), fixtures::manifest("f").len());
}

#[test]
fn a_truncated_volume_gives_errors_for_what_is_gone() {
    let whole = fixtures::image("dirty-orphan");
    for size in [0_u64, 512, 4096, 12288, 1 << 20, 8 << 20, 20 << 20, 60 << 20] {
        let device = Patched::new(&whole, Vec::new()).cut(size);
        let (walked, _) = block_on(examine(Arc::new(device)));
        assert!(!walked.errors.is_empty(), "{size} bytes");
    }
}

/// mkfs.ocfs2 without inline-data, but with an index or metaecc, makes a lost+found whose size ends where the trailer of
/// its block begins. Kernel and fsck.ocfs2 take that; here such a directory could not be read, nor listed by its parent.
#[test]
fn a_directory_may_end_within_its_block() {
    block_on(async {
        let volume = open("a").await;
        let mut inodes = volume.walk(volume.inode(volume.root()).await.expect("the root"));
        let dir = loop {
            let inode = inodes.next().await.expect("a directory with blocks").expect("sound").inode;
            if inode.is_dir() && !inode.dinode().dyn_features.contains(DynFeatures::INLINE_DATA) {
                break inode;
            }
        };
        let names = names_of(&volume, &dir).await;
        let (block, size) = (volume.geometry().block_size.bytes(), dir.attr().size);
        assert_eq!(size % block, 0);
        let patch = (dir.ino().0 * block + 0x20, (size - 64).to_le_bytes().to_vec());
        let patched = Arc::new(Patched::new(&fixtures::image("a"), vec![patch]));
        let device: Arc<dyn BlockDevice> = patched;
        let mut findings: Vec<ocfs2::check::Finding> = Vec::new();
        let run = |job: ocfs2::check::Job| async { Some(job.run().await) };
        ocfs2::check::check(Arc::clone(&device), &mut findings, run).await.expect("a volume");
        assert!(findings.is_empty(), "{findings:?}");
        let volume = Volume::open(device, OpenOptions::default()).await.expect("open");
        let dir = volume.inode(dir.ino()).await.expect("a size that ends within a block");
        assert_eq!(dir.attr().size, size - 64);
        assert_eq!(names_of(&volume, &dir).await, names);
    });
}

async fn names_of(volume: &Volume, dir: &ocfs2::Inode) -> Vec<ocfs2::Dirent> {
    let (mut names, mut position) = (Vec::new(), Some(0));
    while let Some(at) = position {
        let page = volume.readdir(dir, at).await.expect("a page");
        names.extend(page.entries);
        position = page.next;
    }
    names
}

/// A directory said to be as long as the volume, over blocks that hold no names: each of them was kept as an error of
/// its own, so that memory followed `i_size`. The walk gives such a directory up after a few. Blocks with a trailer are
/// judged as a whole, those without entry by entry: the flag of an index, which calls for trailers, is set or not.
#[test]
fn a_directory_as_long_as_the_volume_is_given_up_early() {
    block_on(async {
        for indexed in [true, false] {
            let (patched, _) = a_directory_as_long_as_the_volume(indexed).await;
            let (walked, _) = examine(patched).await;
            let errors = walked.errors.len();
            assert!((16..64).contains(&errors), "indexed {indexed}: the walk has {errors} errors");
        }
    });
}

/// `ls` and the mount list page by page: they give up by the same rule, which `ls` once did not have at all.
#[test]
fn so_is_a_listing_page_by_page() {
    block_on(async {
        for indexed in [true, false] {
            let (patched, ino) = a_directory_as_long_as_the_volume(indexed).await;
            let volume = Volume::open(patched, OpenOptions::default()).await.expect("open");
            let dir = volume.inode(ino).await.expect("its inode is good");
            let mut pages = volume.dir_pages(&dir, 0);
            let (mut count, mut errors) = (0, 0);
            while let Some(page) = pages.next().await {
                count += 1;
                errors += page.map_or(1, |page| page.damage.len());
            }
            assert!((16..64).contains(&errors), "indexed {indexed}: {errors} errors");
            assert!(count < 64, "indexed {indexed}: {count} pages");
        }
    });
}

async fn a_directory_as_long_as_the_volume(indexed: bool) -> (Arc<Patched>, BlockNum) {
    let volume = open("a").await;
    let geometry = *volume.geometry();
    let mut walk = volume.walk(volume.inode(volume.root()).await.expect("the root"));
    let dir = loop {
        let entry = walk.next().await.expect("a directory with an index").expect("readable");
        if entry.inode.is_dir() && entry.inode.dinode().dyn_features.contains(DynFeatures::INDEXED_DIR) {
            break entry.inode;
        }
    };
    let mut extents = volume.fiemap(&dir, 0, u64::MAX);
    let first = extents.next().await.expect("readable").expect("an extent").physical;
    let clusters = (u64::from(geometry.clusters.get()) - (first >> geometry.cluster_size.bits())).min(65_535);
    let at = dir.ino().get() * geometry.block_size.bytes();
    let size = clusters << geometry.cluster_size.bits();
    let mut features = dir.dinode().dyn_features;
    features.set(DynFeatures::INDEXED_DIR, indexed);
    let patches = vec![
        (at + 0x14, u32::try_from(clusters).expect("at most 65,535").to_le_bytes().to_vec()),
        (at + 0x20, size.to_le_bytes().to_vec()),
        (at + 0x76, features.bits().to_le_bytes().to_vec()),
        (at + 0xc4, vec![1, 0]), // one extent
        (at + 0xd4, u16::try_from(clusters).expect("at most 65,535").to_le_bytes().to_vec()),
    ];
    (Arc::new(Patched::new(&fixtures::image("a"), patches)), dir.ino())
}

/// Bits flipped all over the metadata, many at once, from fixed seeds: whatever comes of it, it ends.
#[test]
fn random_flips_never_panic_or_hang() {
    for (name, block_size) in [("dirty-orphan", 4096_usize), ("c", 512), ("b", 4096)] {
        let image = fixtures::image(name);
        let blocks = metadata_blocks(&image, block_size);
        assert!(blocks.len() > 50, "{name}: {} metadata blocks", blocks.len());
        let mut random = Random::new(0x6f78_7361);
        for round in 0..12 {
            let flips = (0..1 << (round / 2)).map(|_| {
                let block = blocks[random.below(blocks.len())];
                // Heads of blocks matter more than their tails.
                let range = if random.below(2) == 0 { 256.min(block_size) } else { block_size };
                let offset = block + random.below(range) as u64;
                (offset, vec![random.byte()])
            });
            let patched = Patched::new(&image, flips.collect());
            block_on(examine(Arc::new(patched)));
        }
    }
}
