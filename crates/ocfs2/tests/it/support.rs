//! Opening volumes in tests.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use block::{Backend, BlockDevice, BlockDeviceExt, Buf, Durability, FileDevice, IoFuture, MemoryDevice};
use futures_util::StreamExt;
use ocfs2::lock::LocalLocks;
use ocfs2::mkfs::{DeviceSize, FeatureLevel, FeatureList, Identity, Plan, Request, Shape};
use ocfs2::{
    BlockSize, Clock, ClusterSize, OpenError, OpenOptions, Timestamp, Uuid, Volume, Writable, WriteOptions,
};

/// Runs one test's future.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// The file `path` as a device that cannot be written.
pub(crate) fn device(path: &Path) -> FileDevice {
    let options = block::OpenOptions { read_only: true, backend: Backend::Inline, ..Default::default() };
    FileDevice::open(path, options).expect("an image")
}

/// The fixture `name`, opened.
pub(crate) async fn open(name: &str) -> Volume {
    let device: Arc<dyn BlockDevice> = Arc::new(device(&fixtures::image(name)));
    Volume::open(device, OpenOptions::default()).await.unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// What a manifest of the whole volume gives.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Path to line, for what could be read.
    pub(crate) lines: BTreeMap<String, String>,
    /// What could not, as `path: error`.
    pub(crate) errors: Vec<String>,
}

/// Walks a volume to its end, whatever is wrong with it. Only a root that cannot be read leaves nothing.
pub(crate) async fn walk(volume: &Volume) -> Walked {
    let mut walked = Walked::default();
    let root = match volume.inode(volume.root()).await {
        Ok(root) => root,
        Err(error) => {
            walked.errors.push(format!("/: {error}"));
            return walked;
        }
    };
    let mut stream = std::pin::pin!(volume.manifest(root));
    while let Some(part) = stream.next().await {
        let text = String::from_utf8(part.lines).expect("names that are not UTF-8 are in base 64");
        walked.lines.extend(text.lines().map(|line| (path_of(line), line.to_owned())));
        walked.errors.extend(part.errors.iter().map(|error| format!("{error}: {}", error.source)));
    }
    walked
}

/// The path in a manifest line, or its base 64.
pub(crate) fn path_of(line: &str) -> String {
    line.split('"').nth(3).unwrap_or_default().to_owned()
}

/// A clock that moves on by a second whenever it is looked at, and whose sleeps never end.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    /// Where it starts.
    pub(crate) const START: i64 = 2_000_000_000;
}

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicI64::new(Self::START))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: self.0.fetch_add(1, Ordering::Relaxed), nanos: 7 }
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) -> IoFuture<'_, ()> {
        IoFuture::boxed(std::future::pending())
    }
}

/// `device` opened for writing, alone.
pub(crate) async fn open_for_writing(device: Arc<dyn BlockDevice>) -> Result<Writable, OpenError> {
    let clock = Arc::new(TestClock::default());
    Writable::open(device, WriteOptions::default(), Arc::new(LocalLocks::default()), clock).await
}

/// Opens `device` for writing, does `work` on it, and closes it: what came of the work and of the closing.
pub(crate) async fn written<T>(
    device: Arc<dyn BlockDevice>,
    work: impl AsyncFnOnce(&Writable) -> T,
) -> Result<(T, Result<(), ocfs2::Error>), OpenError> {
    let fs = open_for_writing(device).await?;
    let both = async {
        let done = work(&fs).await;
        (done, fs.close().await)
    };
    let ((), done) = futures_util::future::join(fs.drive(), both).await;
    Ok(done)
}

const CHUNK: usize = 64 << 10;

/// The fixture `name`, in memory.
pub(crate) fn in_memory(name: &str) -> MemoryDevice {
    load(&fixtures::image(name)).named(name)
}

/// The file `path`, in memory.
fn load(path: &Path) -> MemoryDevice {
    let size = std::fs::metadata(path).expect("an image").len();
    let device = MemoryDevice::new(size);
    let mut file = File::open(path).expect("an image");
    let mut chunk = vec![0; CHUNK];
    for at in (0..size).step_by(CHUNK) {
        let len = chunk.len().min(usize::try_from(size - at).expect("less than a chunk"));
        file.read_exact(&mut chunk[..len]).expect("the image has that size");
        if chunk[..len].iter().any(|byte| *byte != 0) {
            let buf = Buf::copy_of(&chunk[..len]);
            block_on(device.write_at(at, buf, Durability::Cached)).expect("memory takes writes");
        }
    }
    device
}

/// What `fsck.ocfs2 -fn` complains of on this volume, less what it complains of on sound ones; `None` where there is
/// no such program, which is said.
pub(crate) fn fsck_complaints(device: &MemoryDevice) -> Option<Vec<String>> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    store(device, file.as_file());
    let output = match Command::new("fsck.ocfs2").arg("-fn").arg(file.path()).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: fsck.ocfs2: {error}");
            return None;
        }
    };
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let done = said.contains("All passes succeeded.");
    let sound = ["XATTR_VALUE_LEN_INVALID", "INODE_SPARSE_SIZE", "DX_TREE_MISSING"];
    let complaint = |line: &&str| {
        let coded = line.starts_with('[') && !sound.iter().any(|code| line[1..].starts_with(code));
        coded || line.contains("fsck.ocfs2:")
    };
    let mut complaints: Vec<String> = said.lines().filter(complaint).map(str::to_owned).collect();
    if !done {
        complaints.push(format!("it did not come to its end: {said}"));
    }
    Some(complaints)
}

/// Writes `device` into an empty file, leaving holes where it is zero.
fn store(device: &MemoryDevice, mut file: &File) {
    let size = device.geometry().size;
    for at in (0..size).step_by(CHUNK) {
        let len = CHUNK.min(usize::try_from(size - at).expect("less than a chunk"));
        let chunk = block_on(device.read_at(at, len)).expect("memory gives what it has");
        if chunk.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&chunk)).expect("room for an image");
        }
    }
    file.set_len(size).expect("room for an image");
}

/// A fresh volume of `mib` MiB in memory, for one host, as mkfs makes it with `features` (as `--fs-features` takes them)
/// added to the usual ones.
pub(crate) fn fresh(mib: u64, (block, cluster): (u64, u64), slots: u16, features: &str) -> MemoryDevice {
    let device = MemoryDevice::new(mib << 20);
    let request = Request {
        block_size: BlockSize::from_bits(block.ilog2()),
        cluster_size: ClusterSize::from_bits(cluster.ilog2()),
        slots: Some(slots),
        journal_bytes: Some((4 << 20).max(16 * cluster)),
        features: FeatureList::parse(features).expect("features").merge(FeatureLevel::default()),
        local: true,
        ..Request::default()
    };
    let identity =
        Identity { uuid: Uuid([7; 16]), generation: 0x600d, dx_seed: [1, 2, 3], now: 1_700_000_000 };
    let shape =
        Shape::figure(&request, DeviceSize { bytes: mib << 20, sector: 512 }).expect("sizes that fit");
    let plan = Plan::new(&request, &identity, shape).expect("a layout that fits");
    block_on(plan.write(&device, &mut ())).expect("memory takes writes");
    device
}

/// What our own check finds on this volume, as lines.
pub(crate) fn findings(device: &MemoryDevice) -> Vec<String> {
    let device: Arc<dyn BlockDevice> = Arc::new(device.snapshot());
    let (found, _) = block_on(crate::check::run(device)).expect("a volume");
    found.iter().map(ToString::to_string).collect()
}

/// Fails where our own check or `fsck.ocfs2` finds anything.
pub(crate) fn assert_sound(what: &str, device: &MemoryDevice) {
    let ours = findings(device);
    assert!(ours.is_empty(), "{what}: {ours:#?}");
    let theirs = fsck_complaints(device).unwrap_or_default();
    assert!(theirs.is_empty(), "{what}: {theirs:#?}");
}
