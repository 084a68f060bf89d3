//! The damage under `fixtures/damaged/`: what one block alone can tell is told, with structure, field and value.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use ocfs2_format::fuzz_bodies::as_kind;
use ocfs2_format::*;

use crate::volume_file::VolumeFile;

/// What the poked block says after the damage; `Ok` where only other blocks can tell.
fn verdict(file: &VolumeFile, poke: &fixtures::Poke) -> String {
    let len = file.volume.geometry.block_size.bytes();
    let block = BlockNum(poke.patches[0].0 / len);
    let good = file.read(block);
    let mut data = good.clone();
    for (offset, bytes) in &poke.patches {
        let at = usize::try_from(offset - block.get() * len).expect("one block");
        data[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let kind = BlockKind::of(&good);
    let checked = kind.map_or(Ok(false), |kind| kind.verify(&file.volume, block, &mut data));
    let parsed = checked.and_then(|repaired| {
        kind.map_or(Ok(()), |kind| as_kind(kind, &file.volume, block, &data))?;
        Ok(if repaired { "repaired" } else { "good" })
    });
    parsed.map_or_else(|corrupt| corrupt.what.to_string(), str::to_owned)
}

#[test]
fn damage_is_told_by_structure_field_and_value() {
    let (a, b) = (VolumeFile::open("a"), VolumeFile::open("b"));
    let mut lines = Vec::new();
    for poke in fixtures::pokes() {
        let file = if poke.base == "a" { &a } else { &b };
        lines.push(format!("{}: {}", poke.name, verdict(file, &poke)));
    }
    let want = include_str!("damaged.txt");
    assert_eq!(lines.join("\n"), want.trim_end());
}

/// Every bit of the first superblock flipped: it stays readable, or says why not, and never changes the geometry.
#[test]
fn no_flipped_bit_of_a_checked_superblock_is_believed() {
    let file = VolumeFile::open("b");
    let scratch = fixtures::scratch_image("b");
    let image = OpenOptions::new().read(true).open(&scratch).expect("scratch");
    let mut head = vec![0; Superblock::PROBE_LEN];
    image.read_exact_at(&mut head, 0).expect("scratch");
    for bit in 0..4096 * 8 {
        let mut head = head.clone();
        head[8192 + bit / 8] ^= 1 << (bit % 8);
        // The bit that says there are checksums at all is the one thing they cannot protect.
        let metaecc = bit == (0xe0 + 1) * 8 + 3;
        match Superblock::probe(&head, BlockSize::MIN) {
            Ok(probed) if !metaecc => assert_eq!(probed.superblock, file.superblock, "bit {bit}"),
            Ok(probed) => assert!(!probed.superblock.features.meta_ecc()),
            Err(_) => assert!(bit / 8 < 6 || (0x80..0x84).contains(&(bit / 8)), "bit {bit}"),
        }
    }
}
