//! Checks of volumes that a real kernel wrote, whole and damaged.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use block::BlockDevice;
use ocfs2::check::{Finding, Summary, check};

use crate::patched::Patched;
use crate::support::{block_on, device};

/// Checks a device to its end.
pub(crate) async fn run(device: Arc<dyn BlockDevice>) -> Result<(Vec<Finding>, Summary), ocfs2::OpenError> {
    let mut findings = Vec::new();
    let summary = check(device, &mut findings, |job| async { Some(job.run().await) }).await?;
    Ok((findings, summary))
}

/// What is found on `image` with `patches`, as lines; the error when it cannot be opened.
pub(crate) fn lines(image: &Path, patches: Vec<(u64, Vec<u8>)>) -> Vec<String> {
    match block_on(run(Arc::new(Patched::new(image, patches)))) {
        Ok((findings, summary)) => {
            assert_eq!(summary.findings, findings.len() as u64);
            findings.iter().map(ToString::to_string).collect()
        }
        Err(error) => vec![format!("cannot be opened: {error}")],
    }
}

/// Name and the codes that must be found, besides others that follow from the same damage.
const DAMAGE: [(&str, &[&str]); 38] = [
    ("01-superblock-signature", &["cannot be opened"]),
    ("02-inode-signature", &["INODE_ALLOC_REPAIR", "CLUSTER_ALLOC_BIT"]),
    ("03-inode-size-short", &["INODE_SPARSE_SIZE"]),
    ("04-inode-clusters", &["INODE_SPARSE_CLUSTERS"]),
    ("05-link-count", &["INODE_COUNT"]),
    ("06-extent-outside", &["EXTENT_BLKNO_RANGE"]),
    ("07-duplicate-clusters", &["DUP_CLUSTERS_CLONE", "CLUSTER_ALLOC_BIT"]),
    ("08-inode-fs-generation", &["INODE_ALLOC_REPAIR", "INODE_GEN", "CLUSTER_ALLOC_BIT"]),
    ("09-inode-blkno", &["INODE_BLKNO"]),
    ("10-extent-block-signature", &["EXTENT_EB_INVALID"]),
    ("11-extent-order", &["EXTENT_OVERLAP"]),
    ("12-extent-next-free", &["EXTENT_LIST_FREE"]),
    ("13-dirent-rec-len", &["DIRENT_LENGTH", "INODE_NOT_CONNECTED", "INODE_COUNT"]),
    ("14-dirent-inode", &["DIRENT_INODE_FREE", "INODE_NOT_CONNECTED", "INODE_COUNT"]),
    ("15-dirent-type", &["DIRENT_TYPE"]),
    ("16-dotdot", &["DIR_DOTDOT", "INODE_COUNT"]),
    ("17-dx-root-signature", &["DX_TREE_CORRUPT"]),
    ("18-dir-block-trailer", &["DIR_TRAILER_INODE"]),
    ("19-dx-entry-count", &["DX_TREE_CORRUPT"]),
    ("20-group-free-count", &["CHAIN_BITS", "CHAIN_GROUP_BITS", "GROUP_FREE_BITS"]),
    ("21-bitmap-bit-clear", &["CLUSTER_ALLOC_BIT"]),
    (
        "22-group-signature",
        &[
            "CHAIN_LINK_MAGIC",
            "CHAIN_BITS",
            "CHAIN_GROUP_BITS",
            "CHAIN_I_CLUSTERS",
            "CHAIN_I_SIZE",
            "GROUP_EXPECTED_DESC",
            "CLUSTER_ALLOC_BIT",
        ],
    ),
    ("23-inode-bit-clear", &["INODE_ALLOC_REPAIR", "DIRENT_INODE_FREE"]),
    ("24-refcount-record", &["REFCOUNT_COUNT_INVALID"]),
    ("25-refcount-signature", &["REFCOUNT_ROOT_BLOCK_INVALID"]),
    ("26-refcount-loc", &["REFCOUNT_ROOT_BLOCK_INVALID"]),
    ("27-xattr-count", &["XATTR_LOCATION_INVALID"]),
    ("28-xattr-signature", &["XATTR_BLOCK_INVALID"]),
    ("29-journal-superblock", &["JOURNAL_FILE_INVALID"]),
    ("30-truncate-log", &["TRUNCATE_REC_START_RANGE"]),
    ("31-symlink-size", &["LINK_SIZE"]),
    ("32-inline-size", &["INODE_INLINE_SIZE"]),
    ("33-root-dir", &["INODE_ALLOC_REPAIR", "ROOT_DIR_MISSING", "LOSTFOUND_MISSING"]),
    ("50-ecc-one-bit", &["BAD_CRC32"]),
    ("51-ecc-bytes", &["BAD_CRC32"]),
    ("52-ecc-crc", &["BAD_CRC32"]),
    ("53-ecc-group", &["BAD_CRC32"]),
    ("54-ecc-dir-block", &["BAD_CRC32"]),
];

macro_rules! clean {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            let found = lines(&fixtures::image($name), Vec::new());
            assert!(found.is_empty(), "{found:#?}");
        })*
    };
}

clean! {
    a_is_clean: "a",
    b_is_clean: "b",
    c_is_clean: "c",
    d_is_clean: "d",
    e_is_clean: "e",
    f_is_clean: "f",
    g_is_clean: "g",
    dirty_is_clean_as_replayed: "dirty",
    dirty_slot1_is_clean_as_replayed: "dirty-slot1",
    dirty_ecc_is_clean_as_replayed: "dirty-ecc",
    dirty_orphan_is_clean_as_replayed: "dirty-orphan",
    dirty_orphan_slot1_is_clean_as_replayed: "dirty-orphan-slot1",
}

/// The code of a line.
fn code(line: &str) -> &str {
    line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("cannot be opened", |(code, _)| code)
}

#[test]
fn every_corruption_is_found_by_its_name() {
    let known: Vec<&str> = DAMAGE.iter().map(|(name, _)| *name).collect();
    let names: Vec<String> = fixtures::pokes().into_iter().map(|poke| poke.name).collect();
    assert_eq!(known, names);
    let mut wrong = Vec::new();
    for (name, wanted) in DAMAGE {
        let poke = fixtures::poke(name);
        let found = lines(&fixtures::image(&poke.base), poke.patches.clone());
        let codes: BTreeSet<&str> = found.iter().map(|line| code(line)).collect();
        println!("{name}: {codes:?}");
        let missing: Vec<&&str> = wanted.iter().filter(|code| !codes.contains(**code)).collect();
        if !missing.is_empty() {
            wrong.push(format!("{name}: no {missing:?} in {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same findings in the same order, whoever runs the jobs and in whatever order they end.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test that runs jobs on threads")]
fn the_order_of_findings_is_always_the_same() {
    let poke = fixtures::poke("18-dir-block-trailer");
    let image = fixtures::image(&poke.base);
    let inline = lines(&image, poke.patches.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().expect("a runtime");
    let threads = runtime.block_on(async {
        let mut findings = Vec::new();
        let device: Arc<dyn BlockDevice> = Arc::new(Patched::new(&image, poke.patches));
        let spawn = |job: ocfs2::check::Job| async { tokio::spawn(job.run()).await.ok() };
        check(device, &mut findings, spawn).await.expect("a volume");
        findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    });
    assert_eq!(inline, threads);
}

/// A file that is no volume is no volume to check.
#[test]
fn what_is_no_volume_cannot_be_checked() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(1 << 20).expect("a length");
    assert!(block_on(run(Arc::new(device(file.path())))).is_err());
}
