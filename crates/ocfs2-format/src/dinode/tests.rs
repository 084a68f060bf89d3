use zerocopy::FromZeros;

use super::*;
use crate::test_volume::{block_of, volume};

/// A regular file of 5 bytes, inline.
fn small(edit: impl FnOnce(&mut RawDinode)) -> Vec<u8> {
    let mut raw = RawDinode::new_zeroed();
    raw.signature = Dinode::SIGNATURE;
    raw.blkno = U64::new(500);
    raw.fs_generation = U32::new(0x1234_5678);
    raw.flags = U32::new(1);
    raw.mode = U16::new(0o100_644);
    raw.links_count = U16::new(1);
    raw.links_count_hi = U16::new(9);
    raw.size = U64::new(5);
    raw.mtime = U64::new((-1000_i64).cast_unsigned());
    raw.dyn_features = U16::new(1);
    edit(&mut raw);
    let inline = RawInlineData { count: U16::new(3896), reserved: [0; 6] };
    block_of(4096, &[(0, raw.as_bytes()), (0xc0, inline.as_bytes()), (0xc8, b"hello\0")])
}

fn parse(data: &[u8]) -> Result<Dinode, Check> {
    let parsed = Dinode::parse(&volume(12, 12), BlockNum(500), data);
    parsed.map(|(dinode, _)| dinode).map_err(|corrupt| corrupt.what)
}

#[test]
fn a_small_file() {
    let data = small(|_| {});
    let (dinode, body) = Dinode::parse(&volume(12, 12), BlockNum(500), &data).unwrap();
    assert!(matches!(body, Body::Inline { data: b"hello", room: 3896 }));
    assert_eq!(dinode.links, 1, "the high half counts in indexed directories only");
    assert_eq!(dinode.mtime, Timestamp { seconds: -1000, nanos: 0 });
    assert_eq!(dinode.suballoc.group_of(BlockNum(500)), Some(BlockNum(500)));
}

#[test]
fn each_check_names_its_field() {
    let structure = Structure::Dinode;
    assert_eq!(parse(&small(|d| d.flags = U32::new(0))), Err(Check::NotValid { flags: 0 }));
    assert_eq!(parse(&small(|d| d.dtime = U64::new(9))), Err(Check::DeletedInUse { dtime: 9 }));
    let own = Check::SelfBlock { structure, field: "i_blkno", found: 501 };
    assert_eq!(parse(&small(|d| d.blkno = U64::new(501))), Err(own));
    assert_eq!(parse(&small(|d| d.mode = U16::new(0o644))), Err(Check::FileType { mode: 0o644 }));
    assert_eq!(parse(&small(|d| d.size = U64::new(3897))), Err(Check::InlineSize { size: 3897, max: 3896 }));
    assert_eq!(parse(&small(|d| d.clusters = U32::new(1))), Err(Check::InlineClusters { clusters: 1 }));
    let pointer = Check::FlagWithoutPointer { flags: 0x11, flag: "HAS_REFCOUNT", field: "i_refcount_loc" };
    assert_eq!(parse(&small(|d| d.dyn_features = U16::new(0x11))), Err(pointer));
    let found = 1_000_000_000;
    let nanos = Check::Count { structure, field: "i_ctime_nsec", found, max: 999_999_999 };
    assert_eq!(parse(&small(|d| d.ctime_nsec = U32::new(1_000_000_000))), Err(nanos));
    let room = small(|d| {
        d.dyn_features = U16::new(7);
        d.xattr_inline_size = U16::new(256);
    });
    let count = Check::Count { structure, field: "id_count", found: 3896, max: 3640 };
    assert_eq!(parse(&room), Err(count), "the xattr area takes its room from the data");
    let size = Check::InlineXattrSize { found: 4096, block_size: 4096 };
    let whole = small(|d| {
        d.dyn_features = U16::new(7);
        d.xattr_inline_size = U16::new(4096);
    });
    assert_eq!(parse(&whole), Err(size));
}

#[test]
fn fast_symlinks_must_be_as_long_as_they_say() {
    let link = |size: u64, target: &[u8]| {
        let raw = small(|d| {
            d.mode = U16::new(0o120_777);
            d.dyn_features = U16::new(0);
            d.size = U64::new(size);
        });
        block_of(4096, &[(0, &raw[..0xc0]), (0xc0, target)])
    };
    let data = link(6, b"target");
    let (_, body) = Dinode::parse(&volume(12, 12), BlockNum(500), &data).unwrap();
    assert!(matches!(body, Body::FastSymlink(b"target")));
    assert_eq!(parse(&link(7, b"target")), Err(Check::SymlinkSize { size: 7, length: 6 }));
    assert_eq!(
        parse(&link(u64::from(u32::MAX), b"t")),
        Err(Check::SymlinkSize { size: 0xffff_ffff, length: 1 })
    );
    assert_eq!(parse(&link(3904, &[b'x'; 3904])), Err(Check::SymlinkUnterminated { room: 3904 }));
}

#[test]
fn a_directory_may_not_be_larger_than_its_clusters() {
    let dir = |size: u64| {
        let raw = small(|d| {
            d.mode = U16::new(0o040_755);
            d.dyn_features = U16::new(0);
            d.clusters = U32::new(2);
            d.size = U64::new(size);
        });
        let list = crate::RawExtentList { count: U16::new(243), ..Default::default() };
        parse(&block_of(4096, &[(0, &raw[..0xc0]), (0xc0, list.as_bytes())]))
    };
    assert!(dir(8192).is_ok());
    assert_eq!(dir(12288).unwrap_err(), Check::DirSize { size: 12288, clusters: 2 });
    assert!(dir(5000).is_ok());
    let huge = 1 << 45;
    assert!(matches!(dir(huge).unwrap_err(), Check::FileSize { .. }));
}

#[test]
fn device_numbers() {
    let mut dinode = parse(&small(|_| {})).unwrap();
    // minor 0x12345, major 0xabc as the kernel packs them
    dinode.id1 = [0x45 | 0xabc << 8 | 0x123 << 20, 0];
    assert_eq!(dinode.rdev(), (0xabc, 0x12345));
}
