use proptest::prelude::*;
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::*;
use crate::dx_hash::CharSign;
use crate::error::{Check, Structure};
use crate::raw::Input;
use crate::test_volume::volume;
use crate::units::BlockNum;

#[test]
fn known_hashes() {
    let hash = |name: &[u8], sign| name_hash(0x1234_5678, name, sign);
    for (name, want) in [(&b""[..], 0x1234_5678), (b"foo", 0x2b3d_9c95), (b"selinux", 0x9d57_8504)] {
        assert_eq!(hash(name, CharSign::Signed), want);
        assert_eq!(hash(name, CharSign::Unsigned), want);
    }
    assert_eq!(hash(b"\xc3\xa9", CharSign::Signed), 0xd159_e79e);
    assert_eq!(hash(b"\xc3\xa9", CharSign::Unsigned), 0xd159_f881);
}

#[test]
fn names_split_at_their_prefix() {
    assert_eq!(NameIndex::split(b"user.a.b"), Some((NameIndex::USER, &b"a.b"[..])));
    assert_eq!(NameIndex::split(b"system.posix_acl_access"), Some((NameIndex::POSIX_ACL_ACCESS, &b""[..])));
    assert_eq!(NameIndex::split(b"system.posix_acl_accessx"), None);
    assert_eq!(NameIndex::split(b"user."), None);
    assert_eq!(NameIndex::split(b"other.a"), None);
}

#[test]
fn acls_keep_their_ids_and_lose_their_version() {
    let vfs = [
        &[2, 0, 0, 0][..],
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 7, 0, 0xe8, 3, 0, 0],
        &[0x20, 0, 4, 0, 255, 255, 255, 255],
    ]
    .concat();
    let disk = acl_from_vfs(&vfs).unwrap();
    assert_eq!(disk, vfs[4..]);
    assert_eq!(acl_to_vfs(&disk), Some(vfs.clone()));
    let mut zero_id = disk;
    zero_id[4..8].fill(0);
    assert_eq!(acl_to_vfs(&zero_id), Some(vfs), "an unused id reads as undefined");
    assert_eq!(acl_to_vfs(&[0; 9]), None);
    assert_eq!(acl_from_vfs(&[1, 0, 0, 0]), None);
    assert_eq!(acl_from_vfs(&[2, 0]), None);
}

/// Lays out entries with local values from the end of an area of `len` bytes down.
fn area(len: usize, entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut area = vec![0; len];
    let header =
        RawXattrHeader { count: U16::new(u16::try_from(entries.len()).unwrap()), ..Default::default() };
    header.write_to_prefix(&mut area).unwrap();
    let mut low = len;
    for (index, (name, value)) in entries.iter().enumerate() {
        low -= pair_len(name.len(), value.len() as u64);
        let raw = RawXattrEntry {
            name_hash: U32::new(u32::try_from(index).unwrap()),
            name_offset: U16::new(u16::try_from(low).unwrap()),
            name_len: u8::try_from(name.len()).unwrap(),
            kind: NameIndex::USER.0 | RawXattrEntry::LOCAL,
            value_size: U64::new(value.len() as u64),
        };
        raw.write_to_prefix(&mut area[16 + 16 * index..]).unwrap();
        area[low..low + name.len()].copy_from_slice(name);
        let value_at = low + name.len().next_multiple_of(4);
        area[value_at..value_at + value.len()].copy_from_slice(value);
    }
    area
}

fn check(area: &[u8]) -> Check {
    let volume = volume(12, 12);
    let input = Input::of_len(&volume, BlockNum(5), Structure::InlineXattr, area, area.len()).unwrap();
    XattrEntries::parse(&input).unwrap_err().what
}

#[test]
fn each_check_names_its_entry() {
    let structure = Structure::InlineXattr;
    let one = || area(256, &[(b"name".to_vec(), b"value".to_vec())]);
    let mut bad = one();
    bad[0] = 16;
    assert_eq!(check(&bad), Check::Count { structure, field: "xh_count", found: 16, max: 15 });
    let mut bad = one();
    bad[20..22].copy_from_slice(&250_u16.to_le_bytes());
    assert_eq!(check(&bad), Check::XattrRange { structure, index: 0, offset: 250, len: 12, area: 256 });
    let mut bad = one();
    bad[20..22].copy_from_slice(&28_u16.to_le_bytes());
    assert_eq!(check(&bad), Check::XattrOverlap { structure, index: 0, offset: 28, entries_end: 32 });
    let mut bad = one();
    bad[23] &= 0x7f;
    assert_eq!(check(&bad), Check::XattrPlace { structure, index: 0, size: 5, place: "outside" });
    let mut bad = one();
    bad[20..22].copy_from_slice(&100_u16.to_le_bytes());
    bad[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(check(&bad), Check::XattrPlace { structure, index: 0, size: u64::MAX, place: "local" });
}

/// A kernel that frees an inode cuts its outside values off one by one and leaves the entries in the xattr block:
/// volume b has such a block. The size is not to be believed, and one cut value must not hide its neighbours.
#[test]
fn a_value_without_its_clusters_is_cut_and_the_others_are_not() {
    let mut area = area(4096, &[(b"good".to_vec(), b"value".to_vec()), (b"cut".to_vec(), vec![0; 48])]);
    area[16 + 16 + 7] &= 0x7f;
    area[16 + 16 + 8..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let volume = volume(12, 12);
    let parsed = XattrEntries::bucket(&volume, BlockNum(5), &area).unwrap();
    assert!(matches!(parsed.find(NameIndex::USER, b"good").unwrap().value, XattrValue::Local(b"value")));
    let cut = parsed.find(NameIndex::USER, b"cut").unwrap();
    let structure = Structure::XattrBucket;
    let what = Check::XattrValueSize { structure, index: 1, size: u64::MAX, clusters: 0 };
    assert!(matches!(cut.value, XattrValue::Cut(corrupt) if corrupt.what == what));
}

#[test]
fn bucket_hashes_must_ascend() {
    let entries = [(b"a".to_vec(), vec![]), (b"b".to_vec(), vec![])];
    let mut bucket = area(BUCKET_LEN, &entries);
    let parsed = XattrEntries::bucket(&volume(9, 12), BlockNum(8), &bucket).unwrap();
    assert_eq!((parsed.len(), parsed.bucket_key()), (2, 0));
    bucket[16] = 9;
    let what = XattrEntries::bucket(&volume(9, 12), BlockNum(8), &bucket).unwrap_err().what;
    assert_eq!(what, Check::XattrOrder { structure: Structure::XattrBucket, index: 1, hash: 1 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(64)))]

    #[test]
    fn laid_out_entries_read_back(
        entries in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..60), prop::collection::vec(any::<u8>(), 0..=80)), 0..20)
    ) {
        let area = area(4096, &entries);
        let volume = volume(12, 12);
        let parsed = XattrEntries::bucket(&volume, BlockNum(5), &area).unwrap();
        let back: Vec<_> = parsed
            .iter()
            .map(|entry| match entry.value {
                XattrValue::Local(value) => (entry.name.to_vec(), value.to_vec()),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(back, entries);
    }
}
