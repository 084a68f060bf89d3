//! The commands that read a volume's files without a mount: `ls cat stat find cp df info manifest`.

mod entry;
mod escape;
mod output;
mod show;

pub(crate) mod cat;
pub(crate) mod cp;
pub(crate) mod df;
pub(crate) mod find;
pub(crate) mod info;
pub(crate) mod ls;
pub(crate) mod manifest;
pub(crate) mod stat;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use clap::Args;
use ocfs2::{OpenOptions, Volume};
use tokio::time::timeout;

use crate::failure;
use crate::runtime::{self, Threads};
use crate::volume::{self, Access, VolumeArgs};

pub(crate) use output::Output;
pub(crate) use show::{Clock, chain};

/// Unit of reading a file's contents, in bytes.
pub(crate) const CHUNK: u64 = 1 << 20;
/// Chunks on their way at once.
pub(crate) const DEPTH: usize = 4;

/// Exit status of a process that SIGPIPE ended: what a shell sees of `ls | head`.
const BROKEN_PIPE: u8 = 141;

/// The volume of a command that reads files.
#[derive(Args, Clone, Debug)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    volume: VolumeArgs,
    /// Show the volume as it lies, without what its dirty journals hold
    #[arg(long)]
    no_replay: bool,
}

/// What a command could not do, counted: it goes on, and its exit status says so at the end.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    count: u64,
    hinted: BTreeSet<&'static str>,
}

impl Trouble {
    /// Says what went wrong with `path`.
    pub(crate) fn report(&mut self, path: &[u8], error: &(dyn std::error::Error + 'static)) {
        self.count += 1;
        let path = path.iter().position(|byte| *byte != b'/').map_or(&path[..0], |start| &path[start..]);
        eprintln!("oxsan: /{}: {}", path.escape_ascii(), show::chain(error));
        self.hint(std::iter::successors(Some(error), |error| error.source()).find_map(failure::hint));
    }

    /// Says what to do about it, unless that has been said.
    pub(crate) fn hint(&mut self, hint: Option<&'static str>) {
        if let Some(hint) = hint
            && self.hinted.insert(hint)
        {
            eprintln!("hint: {hint}");
        }
    }

    /// How many things were reported.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// 0, or 1 when something was reported.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(self.count > 0))
    }
}

/// Runs a command that reads a volume, on one thread.
pub(crate) fn run(
    args: &FilesArgs,
    command: impl AsyncFnOnce(Volume, &mut Output) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    run_on(Threads::One, args, command)
}

/// Opens the volume, says what is wrong with it, runs `command` on it, and closes it.
pub(crate) fn run_on(
    threads: Threads,
    args: &FilesArgs,
    command: impl AsyncFnOnce(Volume, &mut Output) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    runtime::build(threads)?.block_on(async {
        let device = volume::open(&args.volume, Access::Read).await?;
        let options = OpenOptions { replay: !args.no_replay, ..OpenOptions::default() };
        let volume = volume::open_filesystem(&device, options).await?;
        for warning in volume.warnings() {
            eprintln!("oxsan: warning: {}", show::chain(warning));
        }
        let mut output = Output::stdout();
        let result = command(volume.clone(), &mut output).await.and_then(|code| {
            output.flush()?;
            Ok(code)
        });
        if volume.repaired_blocks() > 0 {
            let count = volume.repaired_blocks();
            eprintln!("oxsan: warning: {count} metadata blocks had one wrong bit; repaired in memory");
        }
        // What was read has been read: a target that is gone by now is no failure, and one that hangs is left.
        let _ = timeout(runtime::PATIENCE, device.close()).await;
        quiet_about_pipes(result)
    })
}

/// Whoever read our output has gone: no error to talk about.
fn quiet_about_pipes(result: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    match result {
        Err(error)
            if error.chain().any(|cause| {
                cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
            }) =>
        {
            Ok(ExitCode::from(BROKEN_PIPE))
        }
        result => result,
    }
}

/// A path argument as bytes.
pub(crate) fn path_bytes(path: &OsStr) -> &[u8] {
    path.as_bytes()
}
