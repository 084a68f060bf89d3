//! Going into the background: a second process of the same program serves the mount, and tells the first when it is
//! ready. Until then it writes to the terminal, so that errors are seen, and dies of Ctrl-C with it.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use initiator::VolumeUrl;

use super::MountArgs;
use crate::log;
use crate::volume::VolumeArgs;

/// What the child says when the mount is ready.
const READY: u8 = b'\n';

/// Starts the child and waits until it is ready or gone.
pub(super) fn start(args: &MountArgs) -> anyhow::Result<ExitCode> {
    // Not current_exe(): that is a name, which may lead to another program by now.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("oxsan").args(["mount", "--detached"]);
    command.args(args.volume.initiator.to_args());
    command.arg("--syslog").arg(&args.syslog);
    for options in &args.options {
        command.args(["-o", options]);
    }
    command.arg("--").arg(shown(&args.volume.volume)).arg(&args.dir);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the mount's process")?;
    hand_over(&mut child, &args.volume.volume)?;
    let mut word = [0];
    let mut output = child.stdout.take().context("the mount's process has no output")?;
    match output.read(&mut word) {
        Ok(1) if word == [READY] => return Ok(ExitCode::SUCCESS),
        Ok(_) => {}
        Err(error) => return Err(error).context("waiting for the mount"),
    }
    // It has said why.
    let status = child.wait().context("waiting for the mount's process")?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) => bail!("the mount was gone before it was ready"),
        Some(code) => Ok(ExitCode::from(code)),
        None => bail!("the mount's process ended early: {status}"),
    }
}

/// The volume goes to the child through a pipe: a secret in its URL must not stand in `ps` for as long as the mount
/// lives.
fn hand_over(child: &mut Child, volume: &str) -> anyhow::Result<()> {
    let mut input = child.stdin.take().context("the mount's process has no input")?;
    match input.write_all(volume.as_bytes()) {
        // It is gone already, and has said why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("handing the volume over"),
    }
}

/// What `ps` may show of a volume.
fn shown(volume: &str) -> &str {
    if VolumeUrl::is_url(volume) { "iscsi-volume" } else { volume }
}

/// In the child: the volume as the parent was given it.
pub(super) fn volume_of_parent(args: &VolumeArgs) -> anyhow::Result<VolumeArgs> {
    let mut volume = String::new();
    io::stdin().read_to_string(&mut volume).context("reading the volume's name from the parent")?;
    Ok(VolumeArgs { volume, ..args.clone() })
}

/// In the child, when the mount is ready: leaves terminal and working directory, and lets the parent go.
/// From now on messages go to syslog, with the volume's `name` and the mount point before each.
pub(super) fn detach(args: &MountArgs, name: &str) -> anyhow::Result<()> {
    log::to_syslog(args.syslog.clone(), &format!("{name} on {}", args.dir.display()));
    std::env::set_current_dir("/").context("leaving the working directory")?;
    // Fails where it leads a session already, which is as good.
    let _ = rustix::process::setsid();
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").context("opening /dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("leaving standard input")?;
    let told = rustix::io::write(rustix::stdio::stdout(), &[READY]);
    rustix::stdio::dup2_stdout(&null).context("leaving standard output")?;
    rustix::stdio::dup2_stderr(&null).context("leaving standard error")?;
    // A parent that was killed no longer listens; then nobody wants the mount.
    told.context("telling that the mount is ready").map(|_| ())
}
