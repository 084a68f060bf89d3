//! `oxsan manifest`: every file of a volume with its checksum, a JSON line each.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt;
use ocfs2::{Follow, ManifestJob, ManifestPart};
use tokio::task::JoinHandle;

use super::{FilesArgs, Trouble};
use crate::runtime::Threads;

/// Jobs made before their turn comes: enough for many cores and for what waits on a network, at 2 MiB each.
const JOBS: usize = 12;

/// Print a JSON line for each file: attributes, checksum, extents, extended attributes.
///
/// Depth first, names in byte order: two manifests of the same files are the same text. Exit status: 0, or 1 when
/// something could not be read.
#[derive(Args)]
pub(crate) struct ManifestArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Only the tree below this path; the paths printed are relative to it
    #[arg(default_value = "/")]
    path: OsString,
}

/// Runs the command: the walk here, checksums and lines on every core.
pub(crate) fn run(args: &ManifestArgs) -> anyhow::Result<ExitCode> {
    super::run_on(Threads::Cores, &args.files, async |volume, out| {
        let top = volume.resolve(super::path_bytes(&args.path), Follow::Last).await?;
        let mut trouble = Trouble::default();
        let mut parts = std::pin::pin!(volume.manifest_jobs(top).map(spawn).buffered(JOBS));
        while let Some(part) = parts.next().await {
            let part = part.context("a thread that made lines has panicked")?;
            out.write_all(&part.lines)?;
            for error in part.errors {
                trouble.report(&error.path, &error.source);
            }
        }
        Ok(trouble.exit_code())
    })
}

#[allow(clippy::disallowed_methods, reason = "driver: the command decides which threads do the work")]
fn spawn(job: ManifestJob) -> JoinHandle<ManifestPart> {
    tokio::spawn(job.run())
}
