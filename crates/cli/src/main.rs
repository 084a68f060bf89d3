//! The `oxsan` command: each subcommand is a module with its `Args` and its `run`.
#![forbid(unsafe_code)]

mod discover;
mod failure;
mod perf;
mod size;
mod volume;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Many hosts, one LUN, one filesystem, no kernel module.
#[derive(Parser)]
#[command(name = "oxsan", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask an iSCSI portal for its targets.
    Discover(discover::DiscoverArgs),
    /// Load a LUN, block device or file and measure it.
    Perf(perf::PerfArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("OXSAN_LOG"))
        .with_writer(std::io::stderr)
        .init();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

/// Runs one subcommand. What is asynchronous builds its runtime itself: `oxsan mount` must fork before it has one.
fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Discover(args) => discover::run(&args),
        Command::Perf(args) => perf::run(&args),
    }
}
