//! `oxsan find`: files by name, type, size and more.

mod expression;
mod glob;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ocfs2::Follow;

use super::{FilesArgs, Trouble, path_bytes};
use expression::{Candidate, Query};

/// What its long help says.
const ABOUT: &str = "Find files, as find(1) does.

After the paths come the conditions, all of which must hold: -name PATTERN, -iname PATTERN, -path PATTERN, \
-type f|d|l|p|s|c|b (several with commas), -size [+-]N[ckMG], -links [+-]N, -inum N, -uid N, -gid N, -empty, \
-maxdepth N, -mindepth N; a ! or -not before one turns it round. -print0 ends each path with a NUL.";

/// The arguments of `oxsan find`.
#[derive(Args)]
#[command(long_about = ABOUT)]
pub(crate) struct FindArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Paths on the volume (default: /), then conditions
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Runs the command.
pub(crate) fn run(args: &FindArgs) -> anyhow::Result<ExitCode> {
    let words: Vec<&[u8]> = args.rest.iter().map(|word| path_bytes(word)).collect();
    let first = words.iter().position(|word| word.starts_with(b"-") || *word == b"!").unwrap_or(words.len());
    let (paths, conditions) = words.split_at(first);
    let query = Query::parse(conditions).context("the conditions")?;
    let paths: Vec<&[u8]> = if paths.is_empty() { vec![b"/"] } else { paths.to_vec() };
    super::run(&args.files, async |volume, out| {
        let mut trouble = Trouble::default();
        for top in paths {
            let inode = match volume.resolve(top, Follow::NotLast).await {
                Ok(inode) => inode,
                Err(error) => {
                    trouble.report(top, &error);
                    continue;
                }
            };
            let mut walk = volume.walk(inode);
            while let Some(item) = walk.next().await {
                let entry = match item {
                    Ok(entry) => entry,
                    Err(error) => {
                        trouble.report(&error.path, &error.source);
                        continue;
                    }
                };
                let candidate = Candidate::new(top, &entry.path, &entry.inode);
                if query.max_depth.is_some_and(|most| candidate.depth >= most) {
                    walk.skip_dir();
                }
                if query.matches(&candidate) {
                    if query.print0 {
                        out.write_all(&candidate.path)?;
                        out.write_all(b"\0")?;
                    } else {
                        out.name(&candidate.path)?;
                        out.write_all(b"\n")?;
                    }
                }
            }
        }
        Ok(trouble.exit_code())
    })
}
