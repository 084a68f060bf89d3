use std::io::Read as _;

use zerocopy::FromZeros;

use super::*;
use crate::test_volume::block_of;

/// The head of a volume with 4096-byte blocks and 64 KiB clusters, written field by field.
fn head(edit: impl FnOnce(&mut RawDinode, &mut RawSuperblock)) -> Vec<u8> {
    let mut dinode = RawDinode::new_zeroed();
    dinode.signature = Superblock::SIGNATURE;
    dinode.blkno = U64::new(2);
    dinode.clusters = U32::new(4096);
    dinode.fs_generation = U32::new(77);
    let mut body = RawSuperblock::new_zeroed();
    body.minor_rev_level = U16::new(90);
    body.blocksize_bits = U32::new(12);
    body.clustersize_bits = U32::new(16);
    body.max_slots = U16::new(4);
    body.feature_compat = U32::new(3);
    body.feature_incompat = U32::new(0xbf50 | 0x4000);
    body.feature_ro_compat = U32::new(7);
    body.root_blkno = U64::new(33);
    body.system_dir_blkno = U64::new(34);
    body.first_cluster_group = U64::new(16);
    body.label[..4].copy_from_slice(b"fx-b");
    body.cluster_stack = *b"o2cb";
    body.cluster_name = *b"sixteen-bytes-ok";
    body.xattr_inline_size = U16::new(256);
    edit(&mut dinode, &mut body);
    let mut block = block_of(4096, &[(0, dinode.as_bytes()), (0xc0, body.as_bytes())]);
    assert!(ecc::seal(&mut block, 0x80));
    block_of(Superblock::PROBE_LEN, &[(8192, &block)])
}

fn probe(head: &[u8]) -> Result<Superblock, ProbeError> {
    Superblock::probe(head, BlockSize::MIN).map(|probed| probed.superblock)
}

fn check(edit: impl FnOnce(&mut RawDinode, &mut RawSuperblock)) -> Check {
    match probe(&head(edit)) {
        Err(ProbeError::Corrupt(corrupt)) => corrupt.what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_superblock() {
    let superblock = probe(&head(|_, _| {})).unwrap();
    assert_eq!(superblock.geometry.blocks().get(), 65536);
    assert_eq!(superblock.label(), b"fx-b");
    let cluster = superblock.cluster.unwrap();
    assert_eq!((cluster.stack(), cluster.name()), (&b"o2cb"[..], &b"sixteen-bytes-ok"[..]));
    assert_eq!(superblock.backups().count(), 0, "the volume ends before 1 GiB");
}

#[test]
fn stale_bytes_of_a_smaller_block_size_do_not_matter() {
    let mut head = head(|_, _| {});
    head[1024..1030].copy_from_slice(b"OCFSV2");
    assert!(probe(&head).is_ok());
    // And when nothing is good, the first failure is told.
    head[8192] = 0;
    assert!(matches!(probe(&head), Err(ProbeError::Corrupt(c)) if c.block == BlockNum(2)));
}

#[test]
fn nothing_there() {
    assert_eq!(probe(&[]), Err(ProbeError::NotOcfs2));
    assert_eq!(probe(&[2; 4096]), Err(ProbeError::NotOcfs2));
    let mut head = head(|_, _| {});
    head.truncate(8192 + 100);
    let short = Check::Short { structure: Structure::Superblock, len: 100, want: 4096 };
    assert_eq!(probe(&head), Err(ProbeError::Corrupt(Corrupt { block: BlockNum(2), what: short })));
    head.truncate(4096);
    head[8..17].copy_from_slice(b"OracleCFS");
    assert_eq!(probe(&head), Err(ProbeError::Ocfs1));
}

#[test]
fn each_check_names_its_field() {
    assert_eq!(check(|_, s| s.minor_rev_level = U16::new(91)), Check::Revision { major: 0, minor: 91 });
    let bits = Check::BlockSizeBits { found: 11, expected: 12 };
    assert_eq!(check(|_, s| s.blocksize_bits = U32::new(11)), bits);
    assert_eq!(check(|_, s| s.clustersize_bits = U32::new(21)), Check::ClusterSizeBits { found: 21 });
    assert_eq!(check(|_, s| s.max_slots = U16::new(0)), Check::MaxSlots { found: 0 });
    assert_eq!(check(|_, s| s.max_slots = U16::new(256)), Check::MaxSlots { found: 256 });
    assert_eq!(check(|d, _| d.clusters = U32::new(0)), Check::NoClusters);
    let structure = Structure::Superblock;
    let field = "s_root_blkno";
    let root = |found| Check::PointerRange { structure, field, found };
    assert_eq!(check(|_, s| s.root_blkno = U64::new(0)), root(0));
    assert_eq!(check(|_, s| s.root_blkno = U64::new(65536)), root(65536));
    let own = Check::SelfBlock { structure, field: "i_blkno", found: 3 };
    assert_eq!(check(|d, _| d.blkno = U64::new(3)), own);
}

#[test]
fn one_flipped_bit_is_repaired_and_two_are_an_error() {
    let mut head = head(|_, _| {});
    head[8192 + 0x110] ^= 4;
    let probed = Superblock::probe(&head, BlockSize::MAX).unwrap();
    assert!(probed.repaired);
    assert_eq!(probed.superblock.label(), b"fx-b");
    head[8192 + 0x111] ^= 4;
    let error = probe(&head).unwrap_err();
    assert!(
        error.to_string().starts_with("superblock damaged: block 2: superblock: checksum is 0x"),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[test]
fn a_backup_names_its_own_block() {
    let offset = Superblock::BACKUP_OFFSETS[0];
    let backup = head(|d, s| {
        d.blkno = U64::new((1 << 30) / 4096);
        d.clusters = U32::new(1 << 20);
        s.feature_incompat = U32::new(0xb750);
    });
    let probed = Superblock::probe_backup(offset, &backup[8192..]).unwrap();
    let blocks: Vec<_> = probed.superblock.backups().map(BlockNum::get).collect();
    assert_eq!(blocks, [1 << 18, 1 << 20, 1 << 22], "64 GiB are the end of the volume");
    let primary = head(|_, _| {});
    assert!(matches!(Superblock::probe_backup(offset, &primary[8192..]), Err(ProbeError::Corrupt(_))));
    assert_eq!(Superblock::probe_backup(offset, &[0; 4096]), Err(ProbeError::NoBackup { offset }));
}

#[test]
fn a_heartbeat_device_is_refused_by_name() {
    let head = head(|_, s| {
        s.feature_incompat = U32::new(2);
        s.max_slots = U16::new(0);
        s.root_blkno = U64::new(0);
    });
    assert_eq!(probe(&head).unwrap().access(), Err(Refused::HeartbeatDevice));
}

#[test]
fn every_superblock_that_mkfs_made_is_written_again_byte_for_byte() {
    for name in fixtures::NAMES {
        let mut image = [0; Superblock::PROBE_LEN];
        std::fs::File::open(fixtures::image(name)).unwrap().read_exact(&mut image).unwrap();
        let superblock = probe(&image).unwrap();
        let volume = superblock.volume();
        let size = superblock.geometry.block_size.len();
        let mut block = superblock.encode(Superblock::BLOCK);
        crate::BlockKind::Superblock.seal(&volume, &mut block);
        assert_eq!(block, image[2 * size..3 * size], "{name}");
    }
}
