use proptest::prelude::*;

use super::*;
use crate::test_volume::volume;

fn walk(area: &[u8]) -> Vec<Result<(usize, u64, String), Check>> {
    DirEntries::new(&volume(12, 12), BlockNum(5), area)
        .map(|entry| {
            entry
                .map(|e| {
                    (e.offset, e.inode.map_or(0, BlockNum::get), String::from_utf8_lossy(e.name).into_owned())
                })
                .map_err(|corrupt| corrupt.what)
        })
        .collect()
}

/// `.`, `..` and `file` in 64 bytes.
fn small() -> Vec<u8> {
    let mut area = vec![0; 64];
    write_entry(&mut area, Some(BlockNum(5)), 16, Some(FileType::Directory), b".").unwrap();
    write_entry(&mut area[16..], Some(BlockNum(4)), 16, Some(FileType::Directory), b"..").unwrap();
    write_entry(&mut area[32..], Some(BlockNum(9)), 32, Some(FileType::Regular), b"file").unwrap();
    area
}

#[test]
fn record_lengths() {
    assert_eq!([1, 4, 5, 255].map(rec_len), [16, 16, 20, 268]);
}

#[test]
fn entries_come_in_order() {
    let names: Vec<_> = walk(&small()).into_iter().map(|entry| entry.unwrap().2).collect();
    assert_eq!(names, [".", "..", "file"]);
}

#[test]
fn a_bad_length_ends_the_walk() {
    for (rec_len, why) in [
        (0_u16, "is less than the smallest entry, 16"),
        (12, "is less than the smallest entry, 16"),
        (18, "is not a multiple of 4"),
        (36, "runs past the end of the block"),
        (0xfffc, "runs past the end of the block"),
        (24, "leaves less than an entry at the end of the block"),
    ] {
        let mut area = small();
        area[40..42].copy_from_slice(&rec_len.to_le_bytes());
        let walked = walk(&area);
        assert_eq!(walked.len(), 3);
        assert_eq!(walked[2], Err(Check::DirRecLen { offset: 32, rec_len, why }));
    }
    let mut area = small();
    area[42] = 21;
    let why = "is too small for its name";
    assert_eq!(walk(&area)[2], Err(Check::DirRecLen { offset: 32, rec_len: 32, why }));
}

#[test]
fn a_bad_name_or_inode_is_reported_and_the_walk_goes_on() {
    let mut area = small();
    area[16 + 12..][..2].copy_from_slice(b"a/");
    let walked = walk(&area);
    assert_eq!(walked[1], Err(Check::DirNameByte { offset: 16, position: 1, byte: b'/' }));
    assert!(walked[2].is_ok());
    area[16 + 10] = 0;
    assert_eq!(walk(&area)[1], Err(Check::DirNoName { offset: 16, inode: 4 }));
    area[16..24].copy_from_slice(&100_000_u64.to_le_bytes());
    area[16 + 10] = 1;
    assert_eq!(walk(&area)[1], Err(Check::DirInode { offset: 16, inode: 100_000 }));
}

#[test]
fn a_tail_too_small_for_an_entry_is_an_error() {
    assert_eq!(walk(&[0; 8]), [Err(Check::DirTail { offset: 0, left: 8 })]);
    assert_eq!(walk(&[]), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(64)))]

    #[test]
    fn written_areas_read_back(
        names in prop::collection::vec("[^/\0]{1,40}", 1..30),
        slack in prop::collection::vec(0_u16..5, 30),
    ) {
        let mut area = vec![0xee; 8192];
        let (mut offset, mut want) = (0, Vec::new());
        for (index, (name, slack)) in names.iter().zip(&slack).enumerate() {
            let len = u16::try_from(rec_len(name.len())).unwrap() + slack * 4;
            let inode = u64::try_from(index).unwrap() + 1;
            write_entry(&mut area[offset..], Some(BlockNum(inode)), len, Some(FileType::Fifo), name.as_bytes())
                .unwrap();
            want.push(Ok((offset, inode, name.clone())));
            offset += usize::from(len);
        }
        prop_assert_eq!(walk(&area[..offset]), want);
    }

    #[test]
    fn any_bytes_end(area in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(walk(&area).len() <= area.len() / MIN_REC_LEN + 1);
    }
}
