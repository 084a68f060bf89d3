//! Volumes that oxsan itself makes, in memory: those that a kernel under emulation would take hours for.

use anyhow::{Context, Result};
use block::{BlockDevice, Buf, FileDevice};
use fixtures::Random;
use mount::SystemClock;
use ocfs2::lock::LocalLocks;
use ocfs2::{BlockNum, FallocateMode, NewInode, NewKind, Writable, WriteHow, WriteOptions};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

/// Directories of [`million`], and the files in each.
const DIRS: u32 = 1000;

const NEW: NewInode = NewInode { perm: 0o755, uid: 0, gid: 0, umask: None };

/// An empty volume of `bytes`.
fn formatted(oxsan: &Path, image: &Path, bytes: u64) -> Result<()> {
    let file = File::create(image).with_context(|| format!("creating {}", image.display()))?;
    file.set_len(bytes).context("its size")?;
    let options = "mkfs -q -M local -N 1 -b 4096 -C 4096".split(' ');
    crate::timed::run(Command::new(oxsan).args(options).arg(image)).map(drop)
}

/// Opens a volume for writing, does `work` on it, and closes it.
fn written<T>(image: &Path, work: impl AsyncFnOnce(&Writable) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let device: Arc<dyn BlockDevice> = Arc::new(FileDevice::open(
            image,
            block::OpenOptions { exclusive: true, ..block::OpenOptions::default() },
        )?);
        let (locks, clock) = (Arc::new(LocalLocks::default()), Arc::new(SystemClock::start()));
        let fs = Writable::open(device, WriteOptions::default(), locks, clock).await?;
        let work = async {
            let done = work(&fs).await?;
            fs.close().await?;
            Ok(done)
        };
        let (done, ()) = futures_util::future::join(work, fs.drive()).await;
        done
    })
}

/// A million files in 1000 directories: empty ones, small ones within their inodes, and one in eight of two clusters.
pub(crate) fn million(oxsan: &Path, image: &Path) -> Result<u32> {
    formatted(oxsan, image, 12 << 30)?;
    written(image, async |fs| {
        let root = fs.volume().root();
        for dir in 0..DIRS {
            let dir = fs.create(root, format!("dir{dir}").as_bytes(), &NEW, NewKind::Dir).await?.ino();
            for file in 0..1000 {
                let name = format!("file-with-a-name-{file}.dat");
                let ino = fs.create(dir, name.as_bytes(), &NEW, NewKind::File).await?.ino();
                let len = if file % 8 == 0 { 5000 } else { file };
                if len > 0 {
                    let bytes = Buf::copy_of(&vec![0x5a; len]);
                    fs.write(ino, 0, bytes.into_bufs(), WriteHow::default()).await?;
                }
            }
        }
        Ok(DIRS * 1000)
    })
}

/// What a random read of an allocated but unwritten place takes, which needs no data: finding it, in microseconds; and
/// how deep the tree is. The file has `extents` of one cluster, spread over `bytes`.
#[allow(clippy::disallowed_methods, reason = "a benchmark: it measures time")]
pub(crate) fn lookup_us(oxsan: &Path, image: &Path, extents: u64, bytes: u64) -> Result<(f64, u16)> {
    const LOOKUPS: u32 = 200_000;
    formatted(oxsan, image, 8 << 30)?;
    let gap = bytes / extents / 4096 * 4096;
    let place = |n: u64| n * gap;
    let ino = written(image, async |fs| {
        let root = fs.volume().root();
        let ino = fs.create(root, b"extents", &NEW, NewKind::File).await?.ino();
        let mode = FallocateMode { keep_size: false, punch_hole: false };
        for n in 0..extents {
            fs.fallocate(ino, place(n), 4096, mode).await?;
        }
        Ok(ino)
    })?;
    written(image, async |fs| {
        let mut random = Random::new(1);
        let mut read = async |count: u32| -> Result<()> {
            for _ in 0..count {
                let n = random.bits() % extents;
                fs.read(ino, place(n), 4096).await?;
            }
            Ok(())
        };
        // The tree's blocks come into the cache.
        read(LOOKUPS / 4).await?;
        let begin = Instant::now();
        read(LOOKUPS).await?;
        let us = begin.elapsed().as_secs_f64() * 1e6 / f64::from(LOOKUPS);
        Ok((us, depth(fs, ino).await?))
    })
}

/// The depth of a file's extent tree.
async fn depth(fs: &Writable, ino: BlockNum) -> Result<u16> {
    let inode = fs.volume().inode(ino).await?;
    inode.tree_depth().context("a file without a tree")
}
