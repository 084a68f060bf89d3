//! `oxsan target`: serves LUNs over iSCSI.

use std::process::ExitCode;

use clap::Subcommand;
use target::cli::{ServeArgs, serve};

use crate::runtime::{self, Threads};

/// What to do as an iSCSI target.
#[derive(Subcommand)]
pub(crate) enum TargetCommand {
    /// Serve files and block devices as LUNs of an iSCSI target, until SIGINT or SIGTERM.
    Serve(ServeArgs),
}

/// Runs the command on a runtime of its own.
pub(crate) fn run(command: TargetCommand) -> anyhow::Result<ExitCode> {
    let TargetCommand::Serve(args) = command;
    let runtime = runtime::build(Threads::Cores)?;
    runtime.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}
