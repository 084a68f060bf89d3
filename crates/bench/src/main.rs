//! oxsan measured beside its peers: every claim of speed in the README comes out of this program.
//!
//! Each case runs oxsan and its peer in turns on one machine in one run (pairs, the order changed from pair to pair),
//! and reports the medians and the median of the pairs' ratios. The table goes to the terminal, and with all samples
//! into `bench-results/` as Markdown and JSON.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program: its words go to the terminal")]

mod cases;
mod file_cases;
mod fio;
mod load;
mod made;
mod names;
mod nullfs;
mod places;
mod plot;
mod report;
mod server;
mod stats;
mod timed;
mod volume_cases;
mod volumes;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// oxsan measured beside its peers.
#[derive(Parser, Debug)]
#[command(name = "bench")]
struct Args {
    /// Only the cases whose name holds one of these words; all without.
    only: Vec<String>,
    /// Pairs of runs a case.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Seconds a run loads a LUN.
    #[arg(long, default_value_t = 5)]
    runtime: u32,
    /// The oxsan program; `make bench` names the release build.
    #[arg(long, default_value = "oxsan")]
    oxsan: PathBuf,
    /// Where the results go.
    #[arg(long, default_value = "bench-results")]
    out: PathBuf,
    /// Where LUNs and volumes lie while they are measured: a tmpfs, so that no disk is measured.
    #[arg(long, default_value = "/dev/shm")]
    ram: PathBuf,
    /// Where volumes that a kernel made are kept from run to run.
    #[arg(long, default_value = "target/bench")]
    cache: PathBuf,
    /// Names the cases and ends.
    #[arg(long)]
    list: bool,
    /// Serves a FUSE filesystem that does nothing on this directory, until it is unmounted.
    #[arg(long, hide = true)]
    serve_null: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if let Some(dir) = &args.serve_null {
        return nullfs::serve(dir);
    }
    let wanted =
        |name: &str| args.only.is_empty() || args.only.iter().any(|word| name.contains(word.as_str()));
    let cases: Vec<cases::Case> = cases::ALL.iter().filter(|case| wanted(case.name)).copied().collect();
    ensure!(!cases.is_empty(), "no case has a name with {:?}; `--list` names them", args.only);
    if args.list {
        for case in cases {
            println!("{:<24} {}", case.name, case.what);
        }
        return Ok(());
    }
    ensure!(args.pairs > 0, "no pairs, no medians");
    let work =
        tempfile::Builder::new().prefix("oxsan-bench.").tempdir_in(&args.ram).context("a place in memory")?;
    let setting = cases::Setting {
        oxsan: args.oxsan.clone(),
        work: work.path().to_owned(),
        cache: args.cache.clone(),
        out: args.out.clone(),
        pairs: args.pairs,
        runtime_s: args.runtime,
    };
    let mut results = Vec::new();
    for case in cases {
        eprintln!("bench: {}: {}", case.name, case.what);
        match (case.run)(&setting) {
            Ok(mut rows) => results.append(&mut rows),
            Err(error) => results.push(report::Row::failed(case.name, &format!("{error:#}"))),
        }
    }
    report::write(&args.out, &results, args.pairs, args.runtime)?;
    ensure!(results.iter().all(|row| row.failure.is_none()), "some cases could not be measured");
    Ok(())
}
