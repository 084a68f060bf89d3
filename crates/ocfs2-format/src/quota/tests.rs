use zerocopy::IntoBytes;

use super::*;
use crate::test_volume::{block_of, volume};
use crate::units::BlockNum;

#[test]
fn tree_shape_by_block_size() {
    let shape = |bits| (qtree_refs(&volume(bits, 12)), qtree_depth(&volume(bits, 12)));
    assert_eq!([9, 10, 11, 12].map(shape), [(126, 5), (254, 5), (510, 4), (1022, 4)]);
    let chunk = |bits| {
        let volume = volume(bits, 12);
        (QuotaChunk::entries_per_block(&volume), QuotaChunk::blocks_per_chunk(&volume))
    };
    assert_eq!([9, 10, 11, 12].map(chunk), [(21, 190), (42, 192), (85, 191), (170, 192)]);
    assert_eq!(QuotaChunk::header_block(&volume(9, 12), 2), 1 + 191 * 2);
}

#[test]
fn the_tree_is_walked_by_the_digits_of_the_id() {
    let volume = volume(12, 12);
    let id = 3 * 1022 * 1022 + 5 * 1022 + 7;
    let mut data = vec![0; 4096];
    for (index, block) in [(0, 2), (3, 3), (5, 4), (7, 1000)] {
        data[index * 4..][..4].copy_from_slice(&u32::to_le_bytes(block));
    }
    let step = |level| qtree_index(&volume, BlockNum(9), &data, (level, id, 6));
    assert_eq!([0, 1, 2].map(|level| step(level).unwrap()), [Some(2), Some(3), Some(4)]);
    let error = step(3).unwrap_err().to_string();
    assert_eq!(error, "block 9: quota tree block: reference is 1000, more than its blocks of the file of 5");
}

#[test]
fn headers_are_told_apart() {
    let volume = volume(12, 12);
    let header = RawQuotaHeader { magic: U32::new(QuotaInfo::magic(QuotaKind::User)), version: U32::ZERO };
    let info = RawQuotaInfo { blocks: U32::new(6), free_entry: U32::new(5), ..Default::default() };
    let data = block_of(4096, &[(0, header.as_bytes()), (8, info.as_bytes())]);
    let parsed = QuotaInfo::parse(&volume, BlockNum(9), &data, QuotaKind::User).unwrap();
    assert_eq!((parsed.blocks, parsed.free_block, parsed.free_entry), (6, None, Some(5)));
    let wrong = QuotaInfo::parse(&volume, BlockNum(9), &data, QuotaKind::Group).unwrap_err();
    let text = "block 9: quota file header: magic is 0x0cf52470, not 0x0cf52471";
    assert_eq!(wrong.to_string(), text);
    assert!(LocalQuotaInfo::parse(&volume, BlockNum(9), &data, QuotaKind::User).is_err());
}

#[test]
fn leaves_show_entries_in_use() {
    let volume = volume(9, 12);
    let head = RawQuotaLeafHeader { entries: 1.into(), ..Default::default() };
    let entry = RawQuotaEntry { id: U32::new(1000), curspace: 4096.into(), ..Default::default() };
    let data = block_of(512, &[(0, head.as_bytes()), (16 + 88, entry.as_bytes())]);
    let leaf = QuotaLeaf::parse(&volume, BlockNum(9), &data).unwrap();
    assert_eq!(leaf.entries().map(|e| (e.id, e.space)).collect::<Vec<_>>(), [(1000, 4096)]);
    assert_eq!(QuotaLeaf::capacity(&volume), 5);
}

#[test]
fn an_entry_is_never_taken_for_a_free_one() {
    let entry = QuotaEntry { id: 7, use_count: 1, space: u64::MAX, ..QuotaEntry::default() };
    assert_eq!(QuotaEntry::from(&RawQuotaEntry::new(&entry)), entry);
    let nothing = RawQuotaEntry::new(&QuotaEntry::default());
    assert_eq!((nothing.itime.get(), nothing == RawQuotaEntry::default()), (1, false));
}

#[test]
fn entries_of_a_local_file_are_numbered_through() {
    let volume = volume(9, 12);
    assert_eq!(QuotaChunk::entries_per_chunk(&volume), 190 * 21);
    let place = |number| {
        let QuotaPlace { header, bit, block, offset } = QuotaPlace::of(&volume, number);
        (header, bit, block, offset)
    };
    assert_eq!(place(0), (1, 0, 2, 0));
    assert_eq!(place(22), (1, 22, 3, 24));
    assert_eq!(place(190 * 21 - 1), (1, 190 * 21 - 1, 191, 20 * 24));
    assert_eq!(place(190 * 21 + 1), (192, 1, 193, 24));
}
