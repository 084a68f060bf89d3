//! `oxsan mount`: a volume as a directory.

mod daemon;
mod neighbours;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use ::mount::MountOptions;
use anyhow::Context as _;
use clap::Args;

use crate::volume::VolumeArgs;

/// Mount a volume through FUSE: for writing, if it can be written.
///
/// Returns when the mount is ready, with exit status 0, or when it failed, with 1. oxsan umount DIR (as a user: fusermount3 -u DIR) ends it. As root everybody may use the
/// mount; as a user only that user, unless -o allow_other and /etc/fuse.conf say otherwise.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  oxsan mount disk.img /mnt
  oxsan mount -o nocluster /dev/sdb1 /mnt         no other node has it mounted
  oxsan mount --foreground 'iscsi://san/iqn.2026-01.org.example:disk/0' /mnt")]
pub(crate) struct MountArgs {
    #[command(flatten)]
    volume: VolumeArgs,
    /// Where to mount it: a directory.
    dir: PathBuf,
    /// Options as of mount.ocfs2(8), separated by commas: ro, rw, nocluster (mount a clustered volume that no other node
    /// has mounted), noatime, relatime, strictatime, nodiratime, atime_quantum=SECONDS, commit=SECONDS, noacl,
    /// nouser_xattr, nosuid, nodev, noexec, allow_other, and those that a mount fulfils anyway, such as data=ordered
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Vec<String>,
    /// Stay in the foreground; Ctrl-C unmounts.
    #[arg(long)]
    foreground: bool,
    /// Where the mount in the background sends its messages: syslog's socket.
    #[arg(long, value_name = "SOCKET", default_value = "/dev/log")]
    syslog: PathBuf,
    /// The half that serves the mount: started by the half that waits for it.
    #[arg(long, hide = true)]
    detached: bool,
}

/// Runs the command.
pub(crate) fn run(args: &MountArgs) -> anyhow::Result<ExitCode> {
    let by_root = rustix::process::geteuid().is_root();
    let options = MountOptions::parse(&args.options.join(","), by_root).context("mount options")?;
    if args.foreground {
        return serve::run(args, &options, |_| {
            eprintln!("oxsan: mounted on {}; Ctrl-C unmounts", args.dir.display());
            Ok(())
        });
    }
    if args.detached {
        let args = MountArgs { volume: daemon::volume_of_parent(&args.volume)?, ..args.clone() };
        return serve::run(&args, &options, |name| daemon::detach(&args, name));
    }
    daemon::start(args)
}
