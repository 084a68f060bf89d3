//! `oxsan umount`, and `umount.fuse.ocfs2`, which umount(8) calls: unmounts, and waits until the volume is clean.
//!
//! umount(2) of a FUSE mount returns before the daemon has written what it has left to write. So the daemon keeps a file
//! locked for as long as it lives, and leaves in it how that went.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use rustix::fs::{FlockOperation, flock};
use rustix::mount::UnmountFlags;

use crate::{failure, run_dir};

/// The name by which umount(8) finds its helper for mounts of ours.
pub(crate) const NAME: &str = "umount.fuse.ocfs2";

/// Where the files are.
const WHERE: &str = "mounts";

/// What stands in the file while the mount is served, and when its volume was left clean.
const SERVED: &str = "served\n";
const CLEAN: &str = "clean\n";

/// Unmount a volume, and wait until it is clean.
///
/// When it returns with exit status 0 everything is written: the volume can be checked, mounted elsewhere, or its LUN
/// logged out. umount(8) does the same where this program is installed as /sbin/umount.fuse.ocfs2.
#[derive(Args, Clone, Debug)]
pub(crate) struct UmountArgs {
    /// Where it is mounted.
    dir: PathBuf,
    /// Take it away from those who use it
    #[arg(short, long)]
    force: bool,
    /// Take it out of sight now, and away when nobody uses it any more; does not wait
    #[arg(short, long)]
    lazy: bool,
}

/// Runs the command.
pub(crate) fn run(args: &UmountArgs) -> anyhow::Result<ExitCode> {
    let mounted = ::mount::mounted_at(&args.dir).context("reading /proc/self/mountinfo")?;
    let Some(mounted) = mounted else { bail!("{}: not mounted", args.dir.display()) };
    if mounted.fs_type != "fuse.ocfs2" {
        bail!("{}: a {} is mounted there, not a volume of ours", args.dir.display(), mounted.fs_type);
    }
    let status = open_status(mounted.minor);
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::FORCE, args.force);
    flags.set(UnmountFlags::DETACH, args.lazy);
    let dir =
        args.dir.canonicalize().or_else(|_| std::path::absolute(&args.dir)).context("the mount point")?;
    rustix::mount::unmount(&dir, flags).with_context(|| format!("unmounting {}", dir.display()))?;
    match status {
        Some(status) if !args.lazy => wait(status),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// As umount(8) calls it: `umount.fuse.ocfs2 DIR [-flnrv] [-N NAMESPACE] [-t TYPE]`.
pub(crate) fn main(line: &[String]) -> ExitCode {
    let mut args = UmountArgs { dir: PathBuf::new(), force: false, lazy: false };
    let mut words = line.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            // Their values say nothing that the mount point does not.
            Some("N" | "t") => drop(words.next()),
            Some(letters) => {
                args.force |= letters.contains('f');
                args.lazy |= letters.contains('l');
            }
            None => args.dir = word.into(),
        }
    }
    run(&args).unwrap_or_else(|error| failure::report(&error))
}

/// Waits for the daemon's end, and says how it went.
fn wait(mut status: File) -> anyhow::Result<ExitCode> {
    flock(&status, FlockOperation::LockShared).context("waiting for the volume to be clean")?;
    let mut text = String::new();
    status.read_to_string(&mut text).context("reading how the mount ended")?;
    match text.as_str() {
        CLEAN => Ok(ExitCode::SUCCESS),
        SERVED => bail!(
            "the mount's process ended early: the volume was not left clean, and the next mount recovers it"
        ),
        other => bail!("{}", other.trim_end()),
    }
}

/// How a mount is doing, for those who wait for its end. The lock on it goes with the process.
#[derive(Debug)]
pub(crate) struct Status(Option<(File, PathBuf)>);

impl Status {
    /// Nobody waits yet.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Says that the mount of that FUSE connection is served. Where it cannot be said the mount works all the same.
    pub(crate) fn begin(connection: Option<u32>) -> Self {
        let begun = connection.map(|connection| {
            let path = run_dir::own(WHERE)?.join(connection.to_string());
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            (&file).write_all(SERVED.as_bytes())?;
            std::io::Result::Ok((file, path))
        });
        match begun.transpose() {
            Ok(file) => Self(file),
            Err(error) => {
                tracing::debug!(%error, "umount will not wait for this mount");
                Self(None)
            }
        }
    }

    /// Says how it ended. A reader that has the file open keeps it.
    pub(crate) fn say(&self, outcome: &anyhow::Result<()>) {
        let Some((file, _)) = &self.0 else { return };
        let text = match outcome {
            Ok(()) => CLEAN.to_owned(),
            Err(error) => format!("{error:#}\n"),
        };
        let said = file.set_len(0).and_then(|()| {
            use std::os::unix::fs::FileExt;
            file.write_all_at(text.as_bytes(), 0)
        });
        if let Err(error) = said {
            tracing::warn!(%error, "telling umount how the mount ended");
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.0 {
            // Who waits has it open.
            let _ = fs::remove_file(path);
        }
    }
}

/// The file of that connection, if its daemon keeps one.
fn open_status(connection: u32) -> Option<File> {
    run_dir::all(WHERE).find_map(|dir| File::open(dir.join(connection.to_string())).ok())
}
