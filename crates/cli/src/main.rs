//! The `oxsan` command: each subcommand is a module with its `Args` and its `run`.
#![forbid(unsafe_code)]

mod check;
mod discover;
mod failure;
mod files;
mod foreign;
mod getopt;
mod log;
mod lun_lock;
mod mkfs;
mod mount;
mod perf;
mod run_dir;
mod runtime;
mod signals;
mod size;
mod target;
mod umount;
mod volume;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Many hosts, one LUN, one filesystem, no kernel module.
#[derive(Parser)]
#[command(name = "oxsan", version, max_term_width = 100, after_help = COMMON)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Each one's help is at its arguments, unless it is here.
#[derive(Subcommand)]
enum Command {
    Discover(discover::DiscoverArgs),
    Cat(files::cat::CatArgs),
    Check(check::CheckArgs),
    Cp(files::cp::CpArgs),
    Df(files::df::DfArgs),
    Find(files::find::FindArgs),
    Info(files::info::InfoArgs),
    Ls(files::ls::LsArgs),
    Manifest(files::manifest::ManifestArgs),
    Mkfs(mkfs::MkfsArgs),
    Mount(mount::MountArgs),
    /// Load a LUN, block device or file and measure it.
    Perf(perf::PerfArgs),
    Stat(files::stat::StatArgs),
    /// Be an iSCSI target.
    #[command(subcommand)]
    Target(target::TargetCommand),
    Umount(umount::UmountArgs),
}

/// What holds for all commands.
const COMMON: &str = "A VOLUME is a file, a block device, or a LUN behind iSCSI:
  disk.img, /dev/sdb1, iscsi://[user%secret@]host[:port][,host2[:port]...]/target-name/lun
Paths on a volume are counted from its root, with a slash before them or not.

Environment:
  LIBISCSI_CHAP_USERNAME, LIBISCSI_CHAP_PASSWORD  CHAP name and secret, better kept here than in a URL
  OXSAN_LOG  what is told on standard error: warn (the default), debug, initiator=trace ...
  TZ, LS_COLORS, NO_COLOR, COLUMNS  as everywhere

Exit status: 0; 1 when something failed, in part or as a whole; 2 for a wrong command line.";

fn main() -> ExitCode {
    if let Some(code) = drop_in() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // A wrong line of `check` has the exit status that fsck.ocfs2 gives it.
        Err(error)
            if error.use_stderr() && std::env::args_os().nth(1).is_some_and(|name| name == "check") =>
        {
            // Where the error cannot be told, the status still is.
            let _ = error.print();
            return ExitCode::from(check::USAGE);
        }
        Err(error) => error.exit(),
    };
    log::init();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

/// Runs the command that this program stands in for, where it goes by that one's name.
fn drop_in() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let name = args.next()?;
    let args = || args.map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>();
    match Path::new(&name).file_name()?.to_str()? {
        mkfs::NAME => {
            log::init();
            Some(mkfs::main(&args()))
        }
        umount::NAME => {
            log::init();
            Some(umount::main(&args()))
        }
        _ => None,
    }
}

/// Runs one subcommand. What is asynchronous builds its runtime itself: `oxsan mount` must fork before it has one.
fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Discover(args) => discover::run(&args),
        Command::Cat(args) => files::cat::run(&args),
        Command::Check(args) => Ok(check::run(&args)),
        Command::Cp(args) => files::cp::run(&args),
        Command::Df(args) => files::df::run(&args),
        Command::Find(args) => files::find::run(&args),
        Command::Info(args) => files::info::run(&args),
        Command::Ls(args) => files::ls::run(&args),
        Command::Manifest(args) => files::manifest::run(&args),
        Command::Stat(args) => files::stat::run(&args),
        Command::Mkfs(args) => Ok(mkfs::run(&args)),
        Command::Mount(args) => mount::run(&args),
        Command::Perf(args) => perf::run(&args),
        Command::Target(command) => target::run(command),
        Command::Umount(args) => umount::run(&args),
    }
}
