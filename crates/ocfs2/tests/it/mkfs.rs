//! What `mkfs.ocfs2` makes and what we make of the same, byte by byte.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use block::{BlockDevice, FileDevice, OpenOptions};
use ocfs2::Volume;
use ocfs2::mkfs::{DeviceSize, FeatureLevel, FeatureList, FsType, Identity, Plan, Request, Shape};
use ocfs2_format::{BlockSize, ClusterInfo, ClusterSize, Compat, Superblock, Uuid};
use rustix::fs::SeekFrom;

/// One volume, asked of both.
#[derive(Clone, Debug, Default)]
struct Case {
    mib: u64,
    block: Option<usize>,
    cluster_bits: Option<u32>,
    slots: Option<u16>,
    journal_mib: Option<u64>,
    journal_64bit: bool,
    local: bool,
    fs_type: FsType,
    level: &'static str,
    features: &'static str,
    cluster: Option<(&'static str, &'static str, bool)>,
    heartbeat: bool,
    no_backup: bool,
    blocks: Option<u64>,
    label: &'static str,
}

impl Case {
    fn args(&self) -> Vec<String> {
        let mut args = vec!["-x".to_owned()];
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                args.push(format!("{name}{value}"));
            }
        };
        option("-b", self.block.map(|b| b.to_string()));
        option("-C", self.cluster_bits.map(|b| (1_u64 << b).to_string()));
        option("-N", self.slots.map(|n| n.to_string()));
        let wide = if self.journal_64bit { ",block64" } else { "" };
        option("-J", self.journal_mib.map(|m| format!("size={m}M{wide}")));
        option("-J", (self.journal_mib.is_none() && self.journal_64bit).then(|| "block64".to_owned()));
        option("-M", self.local.then(|| "local".to_owned()));
        option("-T", self.fs_type.name().map(str::to_owned));
        option("-L", (!self.label.is_empty()).then(|| self.label.to_owned()));
        option("--fs-feature-level=", (!self.level.is_empty()).then(|| self.level.to_owned()));
        option("--fs-features=", (!self.features.is_empty()).then(|| self.features.to_owned()));
        if let Some((stack, name, global)) = self.cluster {
            option("--cluster-stack=", Some(stack.to_owned()));
            option("--cluster-name=", Some(name.to_owned()));
            option("--global-heartbeat", global.then(String::new));
        }
        option("-H", self.heartbeat.then(String::new));
        option("--no-backup-super", self.no_backup.then(String::new));
        args
    }

    fn request(&self) -> Request {
        let level = if self.level.is_empty() { "default" } else { self.level };
        let list = FeatureList::parse(self.features).expect("a list of features");
        let features = list.merge(FeatureLevel::parse(level).expect("a level"));
        let (stack, name, global) = self.cluster.unwrap_or_default();
        Request {
            block_size: self.block.and_then(BlockSize::from_bytes),
            cluster_size: self.cluster_bits.and_then(ClusterSize::from_bits),
            slots: self.slots,
            journal_bytes: self.journal_mib.map(|mib| mib << 20),
            journal_64bit: self.journal_64bit,
            fs_type: self.fs_type,
            features,
            local: self.local || self.features == "local",
            cluster: ClusterInfo::new(stack.as_bytes(), name.as_bytes(), global),
            label: self.label.as_bytes().to_vec(),
            blocks: self.blocks,
            heartbeat_device: self.heartbeat,
            backup_supers: features.compat.contains(Compat::BACKUP_SB) && !self.no_backup,
        }
    }
}

/// Where volumes are made: in memory, so that sparse ones of terabytes are no matter.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(if memory.is_dir() { memory } else { Path::new("/tmp") }).expect("a directory")
}

/// The original, if it is here.
fn original() -> Option<PathBuf> {
    let found =
        ["/usr/sbin/mkfs.ocfs2", "/sbin/mkfs.ocfs2"].map(PathBuf::from).into_iter().find(|p| p.exists());
    if found.is_none() {
        eprintln!("skipped: mkfs.ocfs2 is not installed");
    }
    found
}

/// A library that stops the original's clock: it looks at it more than once.
fn stopped_clock(dir: &Path) -> Option<PathBuf> {
    let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
    std::fs::write(&source, "long time(long *t) { if (t) *t = 1700000000; return 1700000000; }").ok()?;
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if made.is_ok_and(|status| status.success()) {
        return Some(library);
    }
    eprintln!("skipped: no C compiler for a stopped clock");
    None
}

fn empty_file(path: &Path, case: &Case, fill: Option<u8>) {
    let file = File::create(path).expect("a file");
    let bytes = case.mib << 20;
    file.set_len(bytes).expect("a sparse file");
    if let Some(fill) = fill {
        (0..case.mib).for_each(|mib| file.write_all_at(&[fill; 1 << 20], mib << 20).expect("room"));
    }
}

fn run_original(mkfs: &Path, clock: &Path, case: &Case, path: &Path) -> Superblock {
    let mut command = Command::new(mkfs);
    command.args(case.args()).arg(path).env("LD_PRELOAD", clock).stdin(Stdio::null());
    command.args(case.blocks.map(|blocks| blocks.to_string()));
    let output = command.output().expect("mkfs.ocfs2 runs");
    assert!(output.status.success(), "{case:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut head = [0; Superblock::PROBE_LEN];
    File::open(path).expect("the volume").read_exact_at(&mut head, 0).expect("a head");
    Superblock::probe(&head, BlockSize::MIN).expect("a superblock").superblock
}

async fn run_ours(request: &Request, identity: &Identity, path: &Path) -> Plan {
    let device = FileDevice::open(path, OpenOptions::default()).expect("the file opens");
    let size = DeviceSize { bytes: std::fs::metadata(path).expect("its size").len(), sector: 512 };
    let shape = Shape::figure(request, size).expect("sizes that fit");
    let plan = Plan::new(request, identity, shape).expect("a layout that fits");
    plan.write(&device, &mut ()).await.expect("written");
    plan
}

/// The pieces of a file that hold data.
fn data(file: &File) -> Vec<(u64, u64)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).expect("a hole follows data");
        pieces.push((start, end));
        at = end;
    }
    pieces
}

/// The blocks in which two files differ: number, and the first bytes of both.
fn differences(a: &Path, b: &Path, block: usize) -> Vec<String> {
    let (a, b) = (File::open(a).expect("a file"), File::open(b).expect("a file"));
    let mut found = Vec::new();
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut pieces: Vec<_> = data(&a).into_iter().chain(data(&b)).collect();
    pieces.sort_unstable();
    let mut done = 0;
    for (start, end) in pieces {
        let mut at = start.max(done);
        while at < end {
            let len = usize::try_from(end - at).expect("64 bits").min(1 << 20);
            a.read_exact_at(&mut left[..len], at).expect("within the file");
            b.read_exact_at(&mut right[..len], at).expect("within the file");
            if left[..len] != right[..len] {
                let blocks = left[..len].chunks(block).zip(right[..len].chunks(block)).enumerate();
                for (index, (left, right)) in blocks.filter(|(_, (left, right))| left != right) {
                    let (left, right) = (without_chance(left), without_chance(right));
                    if left != right {
                        found.push(describe(at / block as u64 + index as u64, &left, &right));
                    }
                }
            }
            at += len as u64;
        }
        done = done.max(end);
    }
    found
}

/// A block without the bytes that the original leaves to chance: what its memory held goes to the disk after the name
/// of a cluster, after the head of a global quota file, and between the entries of a `lost+found` that is not inline.
/// The size of that directory it tells without its trailer, which no other directory does; so that is left out too.
fn without_chance(block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    let len = block.len();
    if block.starts_with(b"OCFSV2") {
        let name = &mut block[0x168..0x178];
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        name[end..].fill(0);
    } else if block.starts_with(b"INODE01") {
        let size = u16::from_le_bytes([block[0x20], block[0x21]]);
        if usize::from(size) == len - 64 || usize::from(size) == len {
            block[0x20..0x22].copy_from_slice(&u16::try_from(len).expect("4096 at most").to_le_bytes());
            // The check is over the size too; that it fits is our reader's to say.
            block[0x80..0x88].fill(0);
        }
    } else if matches!(&block[..4], [0x70 | 0x71, 0x24, 0xf5, 0x0c]) {
        block[0x20..].fill(0);
    } else if matches!(&block[8..14], [16, 0, 1, 2, b'.', _]) {
        let mut at = 0;
        while at + 12 < len {
            let rec_len = usize::from(u16::from_le_bytes([block[at + 8], block[at + 9]]));
            let end = (at + rec_len).clamp(at + 12, len);
            let name = at + 12 + usize::from(block[at + 10]);
            block[name.min(end)..end].fill(0);
            at = end;
        }
        block[len - 8..].fill(0);
    }
    block
}

fn describe(block: u64, left: &[u8], right: &[u8]) -> String {
    let offsets: Vec<_> = (0..left.len()).filter(|&at| left[at] != right[at]).collect();
    let bytes = offsets.iter().take(12).map(|&at| format!("{at:x}:{:02x}/{:02x}", left[at], right[at]));
    let kind = left[..8.min(left.len())].escape_ascii();
    format!("block {block} ({kind}): {} bytes: {}", offsets.len(), bytes.collect::<Vec<_>>().join(" "))
}

/// Makes the volume twice and tells where they differ.
async fn compare(case: &Case, fill: Option<u8>) -> Option<Vec<String>> {
    let mkfs = original()?;
    let dir = scratch();
    let clock = stopped_clock(dir.path())?;
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
    empty_file(&theirs, case, fill);
    empty_file(&ours, case, fill);
    let superblock = run_original(&mkfs, &clock, case, &theirs);
    let identity = Identity {
        uuid: superblock.uuid,
        generation: superblock.fs_generation,
        dx_seed: superblock.dx_seed,
        now: superblock.made,
    };
    run_ours(&case.request(), &identity, &ours).await;
    judge(case, &ours).await;
    Some(differences(&theirs, &ours, superblock.geometry.block_size.len()))
}

/// Volumes up to this size are shown to `fsck.ocfs2`, whose memory and time follow it; `make soak` shows it larger ones.
fn fsck_mib() -> u64 {
    u64::from(fixtures::cases(1)) * 160
}

/// `fsck.ocfs2` finds nothing wrong with the volume, and our own reader opens it and sees `lost+found`.
async fn judge(case: &Case, path: &Path) {
    if case.heartbeat {
        return;
    }
    let device: Arc<dyn BlockDevice> = Arc::new(crate::support::device(path));
    let volume = Volume::open(device, ocfs2::OpenOptions::default()).await.expect("our reader opens it");
    let walked = crate::support::walk(&volume).await;
    assert_eq!(walked.errors, Vec::<String>::new(), "{case:?}");
    assert_eq!(walked.lines.len(), 2, "{case:?}: the root and lost+found");
    if case.mib > fsck_mib() {
        return; // it would take minutes
    }
    if !Path::new("/usr/sbin/fsck.ocfs2").exists() {
        eprintln!("skipped: fsck.ocfs2 is not installed");
        return;
    }
    let output = Command::new("/usr/sbin/fsck.ocfs2").arg("-fn").arg(path).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    // It wants an index for the system directory too, which the kernel never makes: a false complaint.
    let expected = |line: &str| {
        line.is_empty()
            || line.starts_with("Pass ")
            || line.starts_with("[DX_TREE_MISSING]")
            || line == "All passes succeeded."
    };
    let passes = text.lines().skip_while(|line| !line.starts_with("Pass 0a"));
    let complaints: Vec<_> = passes.clone().filter(|line| !expected(line)).collect();
    assert!(output.status.success() && passes.count() >= 9 && complaints.is_empty(), "{case:?}:\n{text}");
}

/// A small volume, for what does not depend on size. Both devices are full of old bytes.
const OLD_BYTES: Option<u8> = Some(0xa5);

/// Compares a list of cases, and tells of all that differ.
async fn assert_all(cases: impl IntoIterator<Item = Case>, fill: Option<u8>) {
    let mut failed = Vec::new();
    for case in cases {
        let Some(found) = compare(&case, fill).await else { return };
        if !found.is_empty() {
            let shown = found.iter().take(12).cloned().collect::<Vec<_>>().join("\n    ");
            failed.push(format!("{case:?}: {} blocks differ (theirs/ours):\n    {shown}", found.len()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn sized(mib: u64) -> Case {
    Case { mib, ..Case::default() }
}

#[tokio::test]
async fn volumes_of_every_size_by_default() {
    assert_all([32, 200, 300, 600].map(sized), OLD_BYTES).await;
    let large = [1024, 4 << 10, (16 << 10) + 3];
    assert_all(large.map(sized), None).await;
    // The original writes every zero of every journal: one slot, for the test's sake.
    let local = [10, 33, 700, 3000, 100 << 10, 1 << 20, (3 << 20) + 12_345];
    assert_all(local.map(|mib| Case { local: true, ..sized(mib) }), None).await;
}

#[tokio::test]
async fn every_block_and_cluster_size() {
    let blocks = [512, 1024, 2048, 4096];
    let of = |mib, block, cluster_bits, slots| Case {
        block: Some(block),
        cluster_bits: Some(cluster_bits),
        slots: Some(slots),
        journal_mib: Some(10),
        ..sized(mib)
    };
    for (slots, block) in [1, 3, 8, 2].into_iter().zip(blocks) {
        assert_all([12, 14, 17, 20].map(|cluster| of(120, block, cluster, slots)), OLD_BYTES).await;
    }
    let large = blocks.into_iter().flat_map(|block| [12, 15, 18].map(|cluster| (block, cluster)));
    assert_all(large.map(|(block, cluster)| of(5000, block, cluster, 2)), None).await;
}

#[tokio::test]
async fn many_slots() {
    let of = |mib, block, slots| Case {
        block: Some(block),
        slots: Some(slots),
        journal_mib: Some(4),
        ..sized(mib)
    };
    let cases =
        [of(900, 4096, 33), of(900, 1024, 33), of(1500, 512, 64), of(2500, 4096, 255), of(2500, 512, 255)];
    assert_all(cases, None).await;
    assert_all([16, 9, 8, 7].map(|slots| of(300, 4096, slots)), OLD_BYTES).await;
}

#[tokio::test]
async fn journals_of_every_size() {
    let of = |mib, block, journal| Case {
        block: Some(block),
        journal_mib: Some(journal),
        slots: Some(2),
        ..sized(mib)
    };
    assert_all([of(200, 1024, 5), of(200, 512, 9), of(200, 4096, 64)], OLD_BYTES).await;
    let wide = Case { journal_64bit: true, ..of(1100, 4096, 16) };
    assert_all([wide, of(2000, 4096, 600), of(1000, 512, 200), of(4000, 1024, 1400)], None).await;
}

/// With small blocks a journal may be in more pieces than its inode can name. The original hands out the leaves of
/// such a tree in another order (it takes more than it needs and gives them back), so nobody compares here.
#[tokio::test]
async fn journals_in_so_many_pieces_that_they_need_a_tree() {
    let of = |mib, block, journal| Case {
        block: Some(block),
        journal_mib: Some(journal),
        slots: Some(2),
        ..sized(mib)
    };
    for case in [of(1500, 512, 400)] {
        let dir = scratch();
        let path = dir.path().join("ours");
        empty_file(&path, &case, None);
        let uuid = Uuid(*b"a volume of ours");
        let identity = Identity { uuid, generation: 7, dx_seed: [1, 2, 3], now: 1_700_000_000 };
        run_ours(&case.request(), &identity, &path).await;
        judge(&case, &path).await;
    }
}

#[tokio::test]
async fn every_type_and_cluster() {
    let typed = |mib, fs_type| Case { fs_type, local: true, ..sized(mib) };
    let types = [FsType::Datafiles, FsType::Mail, FsType::Vmstore];
    let cases = types.into_iter().flat_map(|t| [3 << 10, 70 << 10, 200 << 10].map(|mib| typed(mib, t)));
    assert_all(cases, None).await;
    let cluster = |cluster| Case { cluster: Some(cluster), label: "a label", ..sized(220) };
    let clusters =
        [("o2cb", "one", false), ("o2cb", "sixteenletters16", true), ("pcmk", "my-cluster", false)];
    assert_all(clusters.map(cluster), OLD_BYTES).await;
    assert_all(
        [Case { no_backup: true, ..sized(5000) }, Case { features: "nobackup-super", ..sized(5000) }],
        None,
    )
    .await;
}

#[tokio::test]
async fn every_feature() {
    let level = |level, mib| Case { level, ..sized(mib) };
    assert_all([level("max-compat", 64), level("max-features", 64), level("default", 64)], OLD_BYTES).await;
    assert_all([level("max-compat", 5000), level("max-features", 5000)], None).await;
    let single = [
        "nosparse",
        "nounwritten",
        "noextended-slotmap",
        "noinline-data",
        "metaecc",
        "noxattr",
        "noindexed-dirs",
        "usrquota",
        "grpquota",
        "norefcount",
        "nodiscontig-bg",
        "noappend-dio",
        "local",
    ];
    assert_all(single.map(|features| Case { features, ..sized(64) }), OLD_BYTES).await;
}

#[tokio::test]
async fn features_with_small_blocks_and_large_clusters() {
    let small_blocks = |features| Case { features, block: Some(512), slots: Some(2), ..sized(160) };
    assert_all(["metaecc,usrquota,grpquota", "noinline-data", "nodiscontig-bg"].map(small_blocks), OLD_BYTES)
        .await;
    let large_clusters = |features| Case { features, cluster_bits: Some(20), ..sized(1100) };
    assert_all(
        ["usrquota,grpquota", "noinline-data,noindexed-dirs,metaecc", "noextended-slotmap"]
            .map(large_clusters),
        None,
    )
    .await;
}

#[tokio::test]
async fn heartbeat_devices() {
    let of = |mib, block| Case { heartbeat: true, block, ..sized(mib) };
    assert_all([of(1, None), of(2, Some(512)), of(100, Some(1024))], OLD_BYTES).await;
    assert_all(
        [Case { level: "max-features", ..of(4, None) }, Case { local: true, ..of(4, None) }],
        OLD_BYTES,
    )
    .await;
}

#[tokio::test]
async fn part_of_a_device() {
    let of = |block, blocks| Case { block, blocks: Some(blocks), ..sized(300) };
    assert_all([of(Some(4096), 65536), of(Some(1024), 30_001), of(None, 50_000)], OLD_BYTES).await;
}
