use proptest::prelude::*;

use super::*;
use crate::error::Structure;
use crate::test_volume::{block_of, volume};

fn parse(data: &[u8], tree: Tree) -> Result<(u16, Vec<Extent>, Vec<Child>), Check> {
    let volume = volume(12, 12);
    let input = Input::new(&volume, BlockNum(77), Structure::ExtentList, data).unwrap();
    let list = ExtentList::parse(&input, 0x30, 252, tree).map_err(|corrupt| corrupt.what)?;
    Ok((list.depth(), list.extents().collect(), list.children().collect()))
}

fn list(depth: u16, records: &[RawExtentRec]) -> Vec<u8> {
    let used = u16::try_from(records.len()).unwrap();
    let head = RawExtentList {
        tree_depth: U16::new(depth),
        count: U16::new(252),
        next_free_rec: U16::new(used),
        ..Default::default()
    };
    block_of(4096, &[(0x30, head.as_bytes()), (0x40, records.as_bytes())])
}

fn rec(cpos: u32, clusters: u16, flags: u8, blkno: u64) -> RawExtentRec {
    RawExtentRec {
        cpos: U32::new(cpos),
        leaf_clusters: U16::new(clusters),
        reserved: 0,
        flags,
        blkno: U64::new(blkno),
    }
}

#[test]
fn an_empty_first_record_is_skipped_and_an_empty_later_one_is_an_error() {
    let (_, extents, _) =
        parse(&list(0, &[rec(9, 0, 0, 0), rec(3, 2, 1, 50), rec(9, 1, 2, 70)]), Tree::Data).unwrap();
    assert_eq!(extents.iter().map(|e| e.cpos).collect::<Vec<_>>(), [3, 9]);
    let bad = parse(&list(0, &[rec(3, 2, 1, 50), rec(9, 0, 0, 70)]), Tree::Data);
    assert_eq!(bad, Err(Check::ExtentEmpty { index: 1 }));
}

#[test]
fn the_stale_position_of_an_empty_record_does_not_take_part_in_lookup() {
    let volume = volume(12, 12);
    let data = list(0, &[rec(9, 0, 0, 0), rec(3, 2, 0, 50), rec(9, 1, 0, 70)]);
    let input = Input::new(&volume, BlockNum(77), Structure::ExtentList, &data).unwrap();
    let list = ExtentList::parse(&input, 0x30, 252, Tree::Data).unwrap();
    assert_eq!(list.extent_for(4).map(|e| e.block.0), Some(50));
    assert_eq!(list.extent_for(5), None);
    assert_eq!(list.extent_for(2), None);
    assert_eq!(list.extent_at_or_before(8).map(|e| e.block.0), Some(50));
    assert_eq!(list.extent_for(9).map(|e| e.block.0), Some(70));
}

#[test]
fn what_a_record_may_not_say() {
    let one = |r: RawExtentRec, tree| parse(&list(0, &[r]), tree).map(|_| ());
    assert_eq!(one(rec(0, 1, 4, 50), Tree::Data), Err(Check::ExtentFlags { index: 0, flags: 4 }));
    assert_eq!(one(rec(0, 1, 1, 50), Tree::DirIndex), Err(Check::ExtentFlags { index: 0, flags: 1 }));
    assert_eq!(one(rec(0, 1, 0, 0), Tree::Data), Err(Check::ExtentRange { index: 0, blkno: 0, clusters: 1 }));
    let past = rec(0, 2, 0, 99_999);
    assert_eq!(one(past, Tree::Data), Err(Check::ExtentRange { index: 0, blkno: 99_999, clusters: 2 }));
    assert_eq!(one(past, Tree::Refcount), Ok(()));
    let wrap = rec(u32::MAX, 2, 0, 50);
    assert_eq!(one(wrap, Tree::Data), Err(Check::ExtentEnd { index: 0, cpos: u32::MAX, clusters: 2 }));
    assert_eq!(one(wrap, Tree::DirIndex), Ok(()));
    let overlap = parse(&list(0, &[rec(0, 5, 0, 50), rec(4, 1, 0, 60)]), Tree::Data).map(|_| ());
    assert_eq!(overlap, Err(Check::ExtentOrder { index: 1, cpos: 4, previous_end: 5 }));
    assert_eq!(parse(&list(6, &[]), Tree::Data), Err(Check::TreeTooDeep { found: 6, max: 5 }));
}

#[test]
fn unaligned_extents_are_refused_where_a_cluster_has_several_blocks() {
    let volume = volume(12, 16);
    let data = list(0, &[rec(0, 1, 0, 17)]);
    let input = Input::new(&volume, BlockNum(77), Structure::ExtentList, &data).unwrap();
    let what = ExtentList::parse(&input, 0x30, 252, Tree::Data).unwrap_err().what;
    assert_eq!(what, Check::ExtentUnaligned { index: 0, blkno: 17 });
    assert!(ExtentList::parse(&input, 0x30, 252, Tree::Refcount).is_ok());
}

#[test]
fn a_count_beyond_the_block_is_refused_before_anything_is_read() {
    let mut data = list(0, &[]);
    data[0x32..0x34].copy_from_slice(&253_u16.to_le_bytes());
    let what = parse(&data, Tree::Data).unwrap_err();
    assert!(matches!(what, Check::Count { field: "l_count", found: 253, max: 252, .. }));
    data[0x32..0x36].copy_from_slice(&[252, 0, 253, 0]);
    let what = parse(&data, Tree::Data).unwrap_err();
    assert!(matches!(what, Check::Used { field: "l_next_free_rec", found: 253, of: 252, .. }));
}

/// Sorted, disjoint extents inside the test volume.
fn extents() -> impl Strategy<Value = Vec<Extent>> {
    prop::collection::vec((0_u32..50, 1_u16..9, 0_u8..4, 1_u64..90_000), 0..252).prop_map(|parts| {
        let mut cpos = 0;
        let mut extents = Vec::new();
        for (gap, clusters, flags, block) in parts {
            cpos += gap;
            let flags = ExtentFlags::from_bits_retain(flags);
            extents.push(Extent { cpos, clusters, flags, block: BlockNum(block) });
            cpos += u32::from(clusters);
        }
        extents
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(64)))]

    #[test]
    fn leaves_round_trip_and_look_up_like_a_scan(extents in extents(), probe in 0_u32..12_000) {
        let volume = volume(12, 12);
        let raw: Vec<_> = extents.iter().map(RawExtentRec::from_extent).collect();
        let data = list(0, &raw);
        let input = Input::new(&volume, BlockNum(77), Structure::ExtentList, &data).unwrap();
        let list = ExtentList::parse(&input, 0x30, 252, Tree::Data).unwrap();
        prop_assert_eq!(list.extents().collect::<Vec<_>>(), extents.clone());
        let scan = extents.iter().find(|e| (u64::from(e.cpos)..e.end()).contains(&u64::from(probe)));
        prop_assert_eq!(list.extent_for(probe), scan.copied());
    }

    #[test]
    fn interior_records_keep_32_bit_lengths(clusters in any::<u32>(), probe in any::<u32>()) {
        let children = [(0, 1_000_u32), (1_000, 70_000), (71_000, clusters)]
            .map(|(cpos, clusters)| Child { cpos, clusters, block: BlockNum(u64::from(cpos) + 1) });
        let raw: Vec<_> = children.iter().map(RawExtentRec::from_child).collect();
        let data = list(1, &raw);
        let volume = volume(12, 12);
        let input = Input::new(&volume, BlockNum(77), Structure::ExtentList, &data).unwrap();
        let list = ExtentList::parse(&input, 0x30, 252, Tree::Data).unwrap();
        prop_assert_eq!(list.children().collect::<Vec<_>>(), children);
        let want = children.iter().rev().find(|c| c.cpos <= probe).copied();
        prop_assert_eq!(list.child_for(probe), want);
    }
}
