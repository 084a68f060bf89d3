//! The `oxsan` command: each subcommand is a module with its `Args` and its `run`.
#![forbid(unsafe_code)]

mod discover;
mod failure;
mod files;
mod foreign;
mod log;
mod mount;
mod perf;
mod runtime;
mod signals;
mod size;
mod target;
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
    /// Write files to standard output.
    Cat(files::cat::CatArgs),
    /// Copy files and trees out of a volume.
    Cp(files::cp::CpArgs),
    /// Show how full a volume is.
    Df(files::df::DfArgs),
    /// Find files by name, type, size and more.
    Find(files::find::FindArgs),
    /// Show what a volume is: superblock, features, slots, journals.
    Info(files::info::InfoArgs),
    /// List directories.
    Ls(files::ls::LsArgs),
    /// Print a JSON line for each file: attributes, checksum, extents, extended attributes.
    Manifest(files::manifest::ManifestArgs),
    /// Mount a volume, read-only, through FUSE.
    Mount(mount::MountArgs),
    /// Load a LUN, block device or file and measure it.
    Perf(perf::PerfArgs),
    /// Show all that is known of files.
    Stat(files::stat::StatArgs),
    /// Be an iSCSI target.
    #[command(subcommand)]
    Target(target::TargetCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

/// Runs one subcommand. What is asynchronous builds its runtime itself: `oxsan mount` must fork before it has one.
fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Discover(args) => discover::run(&args),
        Command::Cat(args) => files::cat::run(&args),
        Command::Cp(args) => files::cp::run(&args),
        Command::Df(args) => files::df::run(&args),
        Command::Find(args) => files::find::run(&args),
        Command::Info(args) => files::info::run(&args),
        Command::Ls(args) => files::ls::run(&args),
        Command::Manifest(args) => files::manifest::run(&args),
        Command::Stat(args) => files::stat::run(&args),
        Command::Mount(args) => mount::run(&args),
        Command::Perf(args) => perf::run(&args),
        Command::Target(command) => target::run(command),
    }
}
