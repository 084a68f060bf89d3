//! Serving a mount until it is unmounted or a signal comes.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ::mount::{
    Config, Filesystem, Mount, MountOptions, MountSpec, RwFs, Session, SessionEnd, SystemClock, VolumeFs,
    Writing,
};
use anyhow::{Context as _, bail};
use block::BlockDevice;
use ocfs2::lock::LocalLocks;
use ocfs2::{OpenError, Writable, WriteOptions};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{MountArgs, neighbours};
use crate::files::chain;
use crate::lun_lock::LunLock;
use crate::runtime::{self, Threads};
use crate::signals::Signals;
use crate::umount::Status;
use crate::volume::{self, Access};

/// What the table of mounts shows as the type.
const FS_TYPE: &str = "fuse.ocfs2";

/// How long the end may take: to take the mount away from its users, and to take leave of the target.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the volume may take to become clean once a signal wants the process to end.
const PATIENCE_TO_CLOSE: Duration = Duration::from_secs(30);

/// Mounts, calls `ready`, and serves until the end.
pub(super) fn run(
    args: &MountArgs,
    options: &MountOptions,
    ready: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let runtime = runtime::build(Threads::Cores)?;
    let outcome = runtime.block_on(async {
        let (device, access, _lock) = open(args, options).await?;
        let mut status = Status::none();
        let outcome = serve(args, options, Arc::clone(&device), access, (&mut status, ready)).await;
        let closed = timeout(PATIENCE, device.close()).await;
        let outcome = match (outcome, closed) {
            (Ok(()), Ok(closed)) => closed.context("after the mount"),
            // A target that hangs is told nothing.
            (outcome, _) => outcome,
        };
        status.say(&outcome);
        outcome
    });
    // What still hangs on the device ends with the process.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Opens the device: for writing, unless that is not wanted, or cannot be and need not.
async fn open(
    args: &MountArgs,
    options: &MountOptions,
) -> anyhow::Result<(Arc<dyn BlockDevice>, Access, LunLock)> {
    if options.writing != Writing::No {
        match volume::open_to_mount(&args.volume, Access::Write).await {
            Ok((device, lock)) if !device.geometry().read_only => return Ok((device, Access::Write, lock)),
            Ok((device, _)) if options.writing == Writing::Yes => {
                bail!("{} is write-protected, but option rw was given", device.name())
            }
            Err(error) if options.writing == Writing::Yes || !is_protected(&error) => return Err(error),
            _ => eprintln!("oxsan: WARNING: {} is write-protected, mounted read-only", args.volume.volume),
        }
    }
    let (device, lock) = volume::open_to_mount(&args.volume, Access::Read).await?;
    Ok((device, Access::Read, lock))
}

/// Whether opening failed only because of the writing.
fn is_protected(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    kinds.map(std::io::Error::kind).any(|kind| matches!(kind, PermissionDenied | ReadOnlyFilesystem))
}

async fn serve(
    args: &MountArgs,
    options: &MountOptions,
    device: Arc<dyn BlockDevice>,
    access: Access,
    begin: (&mut Status, impl FnOnce(&str) -> anyhow::Result<()>),
) -> anyhow::Result<()> {
    let name = device.name().to_owned();
    let volume = volume::open_filesystem(&device, ocfs2::OpenOptions::default()).await?;
    for warning in volume.warnings() {
        eprintln!("oxsan: {name}: {warning}");
    }
    neighbours::check(&volume, options, access).await?;
    volume.inode(volume.root()).await.context("the root directory")?;
    refuse_second(&args.dir)?;
    if access == Access::Write
        && let Some(fs) = open_for_writing(&device, options).await?
    {
        drop(volume);
        return serve_writable(args, options, fs, shown(name), begin).await;
    }
    let fs = Arc::new(VolumeFs::new(volume, options.acl));
    let config = fs.config();
    serve_session(args, spec(shown(name), options, true), fs, config, begin).await.map(|_| ())
}

/// Opens the volume for writing; `None`, and a warning, where that cannot be and need not.
async fn open_for_writing(
    device: &Arc<dyn BlockDevice>,
    options: &MountOptions,
) -> anyhow::Result<Option<Writable>> {
    let how = WriteOptions { commit_every: options.commit_every, ..WriteOptions::default() };
    let clock = Arc::new(SystemClock::start());
    match Writable::open(Arc::clone(device), how, Arc::new(LocalLocks::default()), clock).await {
        Ok(fs) => Ok(Some(fs)),
        Err(error @ OpenError::NotWritable { .. }) if options.writing == Writing::IfPossible => {
            eprintln!("oxsan: WARNING: mounted read-only: {}", chain(&error));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Serves a volume that is open for writing, and makes it clean at the end, however that comes.
#[allow(clippy::disallowed_methods, reason = "driver: the journal is driven beside the requests")]
async fn serve_writable(
    args: &MountArgs,
    options: &MountOptions,
    fs: Writable,
    name: String,
    begin: (&mut Status, impl FnOnce(&str) -> anyhow::Result<()>),
) -> anyhow::Result<()> {
    let fs = Arc::new(RwFs::new(fs, options.into()));
    let driver = tokio::spawn({
        let fs = Arc::clone(&fs);
        async move { fs.drive().await }
    });
    let config = fs.config();
    let spec = spec(name.clone(), options, false);
    let outcome = serve_session(args, spec, Arc::clone(&fs), config, begin).await;
    let closed = match &outcome {
        // Whoever unmounted waits; whoever sent a signal wants an end of it.
        Ok(How::Unmounted) => fs.close().await.map_err(anyhow::Error::from),
        _ => timeout(PATIENCE_TO_CLOSE, fs.close())
            .await
            .map_err(anyhow::Error::from)
            .and_then(|closed| closed.map_err(anyhow::Error::from)),
    };
    let closed = closed.with_context(|| {
        format!(
            "{name} was not left clean: nothing that was committed is lost, and the next mount recovers it"
        )
    });
    driver.abort();
    outcome.and(closed)
}

/// How a mount ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Unmounted,
    BySignal,
}

/// Mounts, calls `ready`, and serves until the mount is gone.
async fn serve_session<F: Filesystem>(
    args: &MountArgs,
    spec: MountSpec,
    fs: Arc<F>,
    config: Config,
    (status, ready): (&mut Status, impl FnOnce(&str) -> anyhow::Result<()>),
) -> anyhow::Result<How> {
    let mut signals = Signals::catch()?;
    let (mut mount, fuse) = Mount::new(&spec, &args.dir)?;
    let mut session = Session::start(fuse, fs, config, Handle::current())?;
    mount.raise_read_ahead();
    *status = Status::begin(mount.connection());
    ready(&spec.source)?;
    let mut how = How::Unmounted;
    let end = tokio::select! {
        biased;
        end = session.ended() => end,
        _ = signals.any() => {
            how = How::BySignal;
            unmount(&mut mount)?;
            // A user's connection ends only with this process while somebody uses the mount.
            timeout(PATIENCE, session.ended()).await.unwrap_or(SessionEnd::Unmounted)
        }
    };
    match end {
        SessionEnd::Unmounted => {
            mount.forget();
            Ok(how)
        }
        SessionEnd::Failed(errno) => bail!("/dev/fuse failed: {errno}"),
        _ => Ok(how),
    }
}

/// A mount above another of ours hides it, which nobody wants who types the same command twice.
fn refuse_second(dir: &Path) -> anyhow::Result<()> {
    let there = ::mount::mounted_at(dir).context("reading /proc/self/mountinfo")?;
    if let Some(there) = there.filter(|there| there.fs_type == FS_TYPE) {
        bail!("{} is mounted already: {} is there; umount it first", dir.display(), there.source);
    }
    Ok(())
}

/// Ends the mount, in use or not: whoever asked wants this process gone.
fn unmount(mount: &mut Mount) -> anyhow::Result<()> {
    if let Err(error) = mount.unmount() {
        tracing::warn!(%error, "taking the mount away from those who use it");
        mount.unmount_forcibly()?;
    }
    Ok(())
}

/// The volume in the table of mounts: a file by its whole path, wherever the reader stands.
fn shown(name: String) -> String {
    Path::new(&name).canonicalize().ok().and_then(|path| path.to_str().map(str::to_owned)).unwrap_or(name)
}

fn spec(source: String, options: &MountOptions, read_only: bool) -> MountSpec {
    MountSpec {
        source,
        subtype: "ocfs2".into(),
        read_only,
        atime: options.atime,
        allow_other: options.allow_other,
        default_permissions: true,
        suid: options.suid,
        dev: options.dev,
        exec: options.exec,
    }
}
