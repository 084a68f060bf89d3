//! Chores of the workspace: `cargo xtask CHORE`. The Makefile and the CI script call nothing else.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program: its words go to the terminal")]

mod checks;
mod fuzz;
mod lab_cmd;
mod layers;
mod licences;
mod metadata;
mod nextest;
mod selects;
mod step;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Chores of the workspace.
#[derive(Parser)]
#[command(name = "xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Every check there is, with fixed samples: format, lints, layers, licences, tests, lab, documentation.
    Test,
    /// The part that needs no root and no network.
    Quick,
    /// The property tests and the fuzz bodies with large counts, the tests marked as long, and libFuzzer.
    Soak {
        /// Samples of each property test and fuzz body, as a multiple of what `test` takes.
        #[arg(long, default_value_t = 50)]
        times: u32,
        /// How long libFuzzer runs each target, in seconds.
        #[arg(long, default_value_t = 300)]
        fuzz_seconds: u64,
        /// What the property tests draw their samples from; without it, the time of day, and it is printed.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// The suites of others: pjdfstest and fsx on mounts of volumes of four geometries; libiscsi's against our target, over
    /// one path and over two, on LUNs of its own.
    Conformance {
        /// Run only those of libiscsi's tests whose name holds one of these words.
        only: Vec<String>,
    },
    /// The fuzz targets, on the stable toolchain.
    Fuzz {
        /// Which; all without.
        only: Vec<String>,
        /// How long each.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Runs only this input, of one target.
        #[arg(long)]
        input: Option<PathBuf>,
    },
    /// oxsan beside its peers; tables into bench-results/.
    Bench {
        /// Passed on to the bench program (see `cargo run -p bench -- --help`).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Checks that no crate depends on one drawn above it.
    Deps,
    /// Checks that every dependency's licence fits MIT OR Apache-2.0.
    Licences,
    /// Real Linux kernels in QEMU.
    Lab {
        #[command(subcommand)]
        what: lab_cmd::LabChore,
    },
}

fn main() -> ExitCode {
    match run(Args::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<ExitCode> {
    match chore {
        Chore::Test => checks::test()?,
        Chore::Quick => checks::quick()?,
        Chore::Soak { times, fuzz_seconds, seed } => checks::soak(times, fuzz_seconds, seed)?,
        Chore::Conformance { only } => checks::conformance(&only)?,
        Chore::Fuzz { only, input: Some(input), .. } => fuzz::once(&only, &input)?,
        Chore::Fuzz { only, seconds, input: None } => fuzz::run(&only, seconds)?,
        Chore::Bench { args } => checks::bench(&args)?,
        Chore::Deps => layers::check()?,
        Chore::Licences => licences::check()?,
        Chore::Lab { what } => return lab_cmd::run(what),
    }
    Ok(ExitCode::SUCCESS)
}
