//! `oxsan manifest`: every file of a volume with its checksum, a JSON line each.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use futures_util::StreamExt;
use ocfs2::Follow;

use super::{FilesArgs, Trouble};

/// Prints a JSON line for each file: attributes, checksum, extents, extended attributes.
#[derive(Args)]
pub(crate) struct ManifestArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Only the tree below this path; the paths printed are relative to it
    #[arg(default_value = "/")]
    path: OsString,
}

/// Runs the command.
pub(crate) fn run(args: &ManifestArgs) -> anyhow::Result<ExitCode> {
    super::run(&args.files, async |volume, out| {
        let top = volume.resolve(super::path_bytes(&args.path), Follow::Last).await?;
        let mut trouble = Trouble::default();
        let mut lines = std::pin::pin!(volume.manifest(top));
        while let Some(line) = lines.next().await {
            match line {
                Ok(line) => out.write_all(&line)?,
                Err(error) => trouble.report(&error.path, &error.source),
            }
        }
        Ok(trouble.exit_code())
    })
}
