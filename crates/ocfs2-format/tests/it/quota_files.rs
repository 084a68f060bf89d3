//! Quota files of volume b against what `repquota` printed.

use ocfs2_format::quota::{QuotaEntry, QuotaInfo, QuotaKind, QuotaLeaf, qtree_depth, qtree_index};
use ocfs2_format::*;

use crate::volume_file::VolumeFile;

/// Block `index` of a quota file, and its number on the volume.
fn file_block(file: &VolumeFile, inode: BlockNum, index: u32) -> (BlockNum, Vec<u8>) {
    let data = file.read(inode);
    let (_, body) = Dinode::parse(&file.volume, inode, &data).expect("quota inode");
    let Body::Extents(list) = body else { panic!("quota file without extents") };
    let bpc = file.volume.geometry.blocks_per_cluster();
    let extent = list.extent_for(index / bpc).expect("inside");
    let start = extent.block.get() + u64::from(index - extent.cpos * bpc);
    let mut block = file.read(BlockNum(start));
    assert_eq!(BlockKind::Quota.verify(&file.volume, BlockNum(start), &mut block), Ok(false));
    (BlockNum(start), block)
}

fn entry(file: &VolumeFile, inode: BlockNum, kind: QuotaKind, id: u32) -> Option<QuotaEntry> {
    let (block, data) = file_block(file, inode, 0);
    let info = QuotaInfo::parse(&file.volume, block, &data, kind).expect("header");
    assert_eq!((info.block_grace, info.inode_grace, info.sync_ms), (604_800, 604_800, 10_000));
    let mut at = QuotaInfo::TREE_ROOT;
    for level in 0..qtree_depth(&file.volume) {
        let (block, data) = file_block(file, inode, at);
        at = qtree_index(&file.volume, block, &data, (level, id, info.blocks)).expect("reference")?;
    }
    let (block, data) = file_block(file, inode, at);
    QuotaLeaf::parse(&file.volume, block, &data).expect("leaf").entries().find(|entry| entry.id == id)
}

/// The numbers are those of `fixtures/b.quota.txt`; the inodes those of aquota.user and aquota.group.
#[test]
fn usage_and_limits_are_what_repquota_prints() {
    let file = VolumeFile::open("b");
    let find = |kind, inode, id| {
        let entry = entry(&file, BlockNum(inode), kind, id)?;
        Some((entry.space / 1024, entry.inodes, entry.space_limits, entry.inode_limits))
    };
    let user = |id| find(QuotaKind::User, 40, id);
    let group = |id| find(QuotaKind::Group, 41, id);
    assert_eq!(user(0), Some((107_584, 3153, (0, 0), (0, 0))));
    assert_eq!(user(1001), Some((256, 12, (60_000 << 10, 50_000 << 10), (2000, 1000))));
    assert_eq!(user(1004), Some((1664, 28, (0, 0), (0, 0))));
    assert_eq!(user(4_294_967_294), Some((0, 2, (0, 0), (0, 0))));
    assert_eq!(user(77), None);
    assert_eq!(group(0), Some((107_584, 3149, (0, 0), (0, 0))));
    assert_eq!(group(1003), Some((1024, 20, (0, 0), (0, 0))));
}
