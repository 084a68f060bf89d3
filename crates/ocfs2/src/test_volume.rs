//! Volumes for unit tests that change them: copies of fixtures, or fresh ones of `mkfs.ocfs2`.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ::block::{Backend, BlockDevice, BlockDeviceExt, Buf, Durability, FileDevice, IoFuture};

use crate::check::{Finding, Job, check};
use crate::lock::LocalLocks;
use crate::txn::Sealed;
use crate::{Clock, OpenOptions, Timestamp, Volume, Writable, WriteOptions};

/// A clock that stands.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: 2_000_000_000, nanos: 7 }
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) -> IoFuture<'_, ()> {
        IoFuture::boxed(std::future::pending())
    }
}

/// Runs one test's future.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// An open volume that may be changed, in a file that goes when it is dropped.
pub(crate) struct TestVolume {
    pub(crate) volume: Volume,
    device: Arc<dyn BlockDevice>,
    path: tempfile::TempPath,
    /// What was wrong with it at the start.
    said: Vec<String>,
}

impl TestVolume {
    /// A copy of the fixture `name`.
    pub(crate) async fn fixture(name: &str) -> Self {
        Self::open(fixtures::scratch_image(name)).await
    }

    /// A fresh volume of `mib` MiB; `None`, and a word why, without mkfs.ocfs2.
    pub(crate) async fn fresh(mib: u64, options: &[&str]) -> Option<Self> {
        let path = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
        fs::OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(mib << 20)).expect("a size");
        let common = ["-q", "-F", "-M", "local", "-J", "size=16M"];
        let made = Command::new("mkfs.ocfs2").args(common).args(options).arg(&path).output();
        match made {
            Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
            Err(why) => {
                println!("skipped: mkfs.ocfs2: {why}");
                return None;
            }
        }
        Some(Self::open(path).await)
    }

    /// A copy of the fixture that the damage `name` is made for, with it.
    pub(crate) async fn damaged(name: &str) -> Self {
        let poke = fixtures::poke(name);
        let path = fixtures::scratch_image(&poke.base);
        poke.apply(&path);
        Self::open(path).await
    }

    async fn open(path: tempfile::TempPath) -> Self {
        let said = judged(&path).await;
        let (device, volume) = open(&path).await;
        Self { volume, device, path, said }
    }

    /// Opens the volume for writing, alone, does `work` on it, and closes it.
    pub(crate) async fn written<T>(&self, work: impl AsyncFnOnce(&Writable) -> T) -> T {
        let fs = self.writable(Arc::new(Still)).await;
        let both = async {
            let done = work(&fs).await;
            fs.close().await.expect("a device that does not fail");
            done
        };
        futures_util::future::join(fs.drive(), both).await.1
    }

    /// The same without closing it, as after a crash: what was changed is in the journal.
    pub(crate) async fn crashed<T>(&self, work: impl AsyncFnOnce(&Writable) -> T) -> T {
        let fs = self.writable(Arc::new(Still)).await;
        let work = async {
            let done = work(&fs).await;
            fs.sync().await.expect("a device that does not fail");
            done
        };
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => done,
            () = fs.drive() => panic!("it ends with closing"),
        }
    }

    /// Opens the volume for writing, alone.
    pub(crate) async fn writable(&self, clock: Arc<dyn Clock>) -> Writable {
        let (device, _) = open(&self.path).await;
        let service = Arc::new(LocalLocks::default());
        let fs = Writable::open(device, WriteOptions::default(), service, clock).await;
        fs.expect("a volume that can be written")
    }

    /// Fails as [`Self::assert_clean`] does, and where quotas are not counted right.
    pub(crate) async fn assert_counted(&self) {
        let after = judged(&self.path).await;
        let news: Vec<_> = after.iter().filter(|line| !self.said.contains(line)).collect();
        assert!(news.is_empty(), "{news:#?}");
    }

    /// Publishes, and writes everything home at once: what the journal does in its time.
    pub(crate) async fn write_home(&self, sealed: &Sealed) {
        let block_size = self.volume.geometry().block_size.bytes();
        for (block, bytes) in self.volume.publish(sealed) {
            self.device
                .write_at(block * block_size, Buf::copy_of(&bytes), Durability::Cached)
                .await
                .expect("a write");
            self.volume.at_home(block, &bytes);
        }
        assert_eq!(self.volume.pending_blocks(), 0);
    }

    /// The volume as somebody sees it who opens it now.
    pub(crate) async fn reopened(&self) -> Volume {
        open(&self.path).await.1
    }

    /// Fails when fsck.ocfs2, or our own check, finds something that it did not find before.
    pub(crate) async fn assert_clean(&self) {
        let after = judged(&self.path).await;
        // Quotas are counted by the operations, not by what changes allocators and trees under them.
        let is_news = |line: &&String| !self.said.contains(line) && !line.starts_with("[QUOTA_USAGE]");
        let news: Vec<_> = after.iter().filter(is_news).collect();
        assert!(news.is_empty(), "{news:#?}");
    }
}

/// What is wrong with a volume, by our own check and by fsck.ocfs2.
async fn judged(path: &Path) -> Vec<String> {
    let (device, _) = open(path).await;
    let mut findings: Vec<Finding> = Vec::new();
    let checked = check(device, &mut findings, |job: Job| async { Some(job.run().await) }).await;
    checked.expect("a volume");
    let ours = findings.iter().map(ToString::to_string);
    let theirs = fsck(path).unwrap_or_else(|| {
        println!("skipped: fsck.ocfs2 is not here");
        Vec::new()
    });
    ours.chain(theirs).collect()
}

async fn open(path: &Path) -> (Arc<dyn BlockDevice>, Volume) {
    let options = ::block::OpenOptions { backend: Backend::Inline, ..Default::default() };
    let device: Arc<dyn BlockDevice> = Arc::new(FileDevice::open(path, options).expect("an image"));
    let volume = Volume::open(Arc::clone(&device), OpenOptions::default()).await.expect("a volume");
    (device, volume)
}

/// What fsck.ocfs2 complains of; `None` where it is not installed.
fn fsck(path: &Path) -> Option<Vec<String>> {
    let said = Command::new("fsck.ocfs2").arg("-fn").arg(path).output().ok()?;
    let text = [said.stdout, said.stderr].concat();
    let usual = ["Pass ", "All passes", "fsck.ocfs2 ", "Checking OCFS2", "  ", "**", "\0"];
    let odd = |line: &&str| !line.is_empty() && !usual.iter().any(|start| line.starts_with(start));
    let path = path.to_string_lossy().into_owned();
    let lines = String::from_utf8_lossy(&text).lines().filter(odd).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.starts_with(&path)).collect();
    let end = String::from_utf8_lossy(&text).contains("All passes succeeded");
    Some(if end { lines } else { [lines, vec!["it gave up".to_owned()]].concat() })
}
