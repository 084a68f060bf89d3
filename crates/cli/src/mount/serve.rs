//! Serving a mount until it is unmounted or a signal comes.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ::mount::{Mount, MountOptions, MountSpec, Session, SessionEnd, VolumeFs};
use anyhow::{Context as _, bail};
use block::BlockDevice;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{MountArgs, neighbours};
use crate::runtime::{self, Threads};
use crate::signals::Signals;
use crate::volume::{self, Access};

/// What the table of mounts shows as the type.
const FS_TYPE: &str = "fuse.ocfs2";

/// How long the end may take: to take the mount away from its users, and to take leave of the target.
const PATIENCE: Duration = Duration::from_secs(5);

/// Mounts, calls `ready`, and serves until the end.
pub(super) fn run(
    args: &MountArgs,
    options: &MountOptions,
    ready: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let runtime = runtime::build(Threads::Cores)?;
    let outcome = runtime.block_on(async {
        let device = volume::open(&args.volume, Access::Read).await?;
        let outcome = serve(args, options, Arc::clone(&device), ready).await;
        let closed = timeout(PATIENCE, device.close()).await;
        match (outcome, closed) {
            (Ok(()), Ok(closed)) => closed.context("after the mount"),
            // A target that hangs is told nothing.
            (outcome, _) => outcome,
        }
    });
    // What still hangs on the device ends with the process.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn serve(
    args: &MountArgs,
    options: &MountOptions,
    device: Arc<dyn BlockDevice>,
    ready: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = device.name().to_owned();
    let volume = volume::open_filesystem(&device, ocfs2::OpenOptions::default()).await?;
    for warning in volume.warnings() {
        eprintln!("oxsan: {name}: {warning}");
    }
    neighbours::check(&volume, options).await?;
    volume.inode(volume.root()).await.context("the root directory")?;
    let mut signals = Signals::catch()?;
    let fs = Arc::new(VolumeFs::new(volume, options.acl));
    let name = shown(name);
    refuse_second(&args.dir)?;
    let (mut mount, fuse) = Mount::new(&spec(name.clone(), options), &args.dir)?;
    let config = fs.config();
    let mut session = Session::start(fuse, fs, config, Handle::current())?;
    mount.raise_read_ahead();
    ready(&name)?;
    let end = tokio::select! {
        biased;
        end = session.ended() => end,
        _ = signals.any() => {
            unmount(&mut mount)?;
            // A user's connection ends only with this process while somebody uses the mount.
            timeout(PATIENCE, session.ended()).await.unwrap_or(SessionEnd::Unmounted)
        }
    };
    match end {
        SessionEnd::Unmounted => {
            mount.forget();
            Ok(())
        }
        SessionEnd::Failed(errno) => bail!("/dev/fuse failed: {errno}"),
        _ => Ok(()),
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

fn spec(source: String, options: &MountOptions) -> MountSpec {
    MountSpec {
        source,
        subtype: "ocfs2".into(),
        read_only: true,
        atime: ::mount::Atime::default(),
        allow_other: options.allow_other,
        default_permissions: true,
        suid: options.suid,
        dev: options.dev,
        exec: options.exec,
    }
}
