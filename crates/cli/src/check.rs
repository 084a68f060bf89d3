//! `oxsan check`: whether a volume is sound.

mod progress;
mod report;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ocfs2::check::{Job, JobPart, Summary};

use crate::runtime::{self, Threads};
use crate::signals::Signals;
use crate::volume::{self, Access, VolumeArgs};
use crate::{failure, foreign};

use report::Report;

/// Exit status when something is wrong with the volume: `fsck.ocfs2` calls it errors left uncorrected.
const UNCORRECTED: u8 = 4;
/// Exit status when the check could not be done.
const OPERATIONAL: u8 = 8;
/// Exit status of a wrong command line.
pub(crate) const USAGE: u8 = 16;
/// Exit status when a signal ended the check.
const CANCELLED: u8 = 32;

/// Check a volume, without writing to it.
///
/// A finding is one line, with the name that fsck.ocfs2 gives it: see fsck.ocfs2.checks(8). A volume with dirty
/// journals is judged as it will be after they are replayed, which happens in memory. While a node writes to the
/// volume, what is found means nothing.
#[derive(Args)]
#[command(after_help = "Examples:
  oxsan check disk.img
  oxsan check --json 'iscsi://san/iqn.2026-01.org.example:disk/0' | jq -r .code | sort | uniq -c

Exit status: 0 when the volume is sound; 4 when something is wrong with it; 8 when it could not be checked; 16 for a
wrong command line; 32 when a signal ended the check.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    volume: VolumeArgs,
    /// One JSON object a line: each finding, then a summary
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    match runtime::build(Threads::Cores).and_then(|runtime| runtime.block_on(check(args))) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            failure::report(&error);
            ExitCode::from(OPERATIONAL)
        }
    }
}

async fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    let mut signals = Signals::catch()?;
    let device = tokio::select! {
        biased;
        _ = signals.any() => return Ok(CANCELLED),
        device = volume::open(&args.volume, Access::Read) => device?,
    };
    let mut report = Report::new(args.json, args.quiet);
    let result = tokio::select! {
        biased;
        _ = signals.any() => None,
        result = ocfs2::check::check(device.clone(), &mut report, spawn) => Some(result),
    };
    // What was read has been read: how the target takes our leave is no matter.
    let close = tokio::time::timeout(runtime::PATIENCE, device.close());
    let status = match result {
        None => {
            report.cancelled()?;
            CANCELLED
        }
        Some(Ok(summary)) => {
            report.finish(&summary)?;
            status(&summary)
        }
        Some(Err(error)) => {
            report.clear();
            if let ocfs2::OpenError::NoSuperblock { .. } = error
                && let Some(other) = foreign::look(&*device).await
            {
                return Err(other.into());
            }
            return Err(error).context("the volume cannot be checked");
        }
    };
    let _ = close.await;
    Ok(status)
}

fn status(summary: &Summary) -> u8 {
    if summary.findings > 0 { UNCORRECTED } else { 0 }
}

#[allow(clippy::disallowed_methods, reason = "driver: the command decides which threads do the work")]
async fn spawn(job: Job) -> Option<JobPart> {
    tokio::spawn(job.run()).await.ok()
}
