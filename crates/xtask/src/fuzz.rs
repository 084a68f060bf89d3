//! The fuzz targets, run on the stable toolchain: libFuzzer's coverage comes from LLVM passes that need no nightly.

use crate::metadata;
use crate::step::sh;
use anyhow::{Context, Result, bail, ensure};
use fuzzing::{TARGETS, Target};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What cargo-fuzz would pass, without a sanitizer: our code has no unsafe to catch, and overflow checks are on.
const FLAGS: &str = "--cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
                     -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -C llvm-args=-sanitizer-coverage-pc-table -C llvm-args=-sanitizer-coverage-trace-compares";

/// Builds the targets and runs those that `only` names (all when empty) for `seconds` each, from where the last run
/// left its corpus. An input that fails is left in `fuzz/artifacts`.
pub(crate) fn run(only: &[String], seconds: u64) -> Result<()> {
    let chosen = choose(only)?;
    let triple = host_triple()?;
    let built = metadata::target_dir(&metadata::load()?)?.join("fuzz");
    println!("== building the fuzz targets (some minutes, the first time)");
    sh(Command::new(metadata::cargo())
        .args(["build", "--release", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--target", &triple])
        .env("CARGO_TARGET_DIR", &built)
        .env("RUSTFLAGS", FLAGS))?;
    let mut failed = Vec::new();
    for target in chosen {
        println!("== fuzz {}, {seconds} s", target.name);
        if let Err(error) = one(&target, &built.join(&triple).join("release").join(target.name), seconds) {
            println!("{}: {error:#}", target.name);
            failed.push(target.name);
        }
    }
    ensure!(failed.is_empty(), "inputs that fail are in fuzz/artifacts: {}", failed.join(", "));
    Ok(())
}

/// Runs one target's body over one input, without libFuzzer: a panic shows where.
pub(crate) fn once(only: &[String], input: &Path) -> Result<()> {
    let [target] = &choose(only)?[..] else { bail!("--input is for one target: name it") };
    let bytes = fs::read(input).with_context(|| format!("reading {}", input.display()))?;
    (target.body)(&bytes);
    println!("{}: {} bytes, no panic", target.name, bytes.len());
    Ok(())
}

fn choose(only: &[String]) -> Result<Vec<Target>> {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    for name in only {
        ensure!(names.contains(&name.as_str()), "no fuzz target `{name}`; there are {}", names.join(", "));
    }
    let chosen = |target: &&Target| only.is_empty() || only.iter().any(|name| name == target.name);
    Ok(TARGETS.iter().filter(chosen).copied().collect())
}

/// Runs one target over its seeds and what earlier runs found. libFuzzer's words go into a file; the end of it is
/// shown when an input fails, else the few numbers that say how far it got.
fn one(target: &Target, program: &Path, seconds: u64) -> Result<()> {
    let corpus = Path::new("fuzz/corpus").join(target.name);
    let seeds = Path::new("fuzz/seeds").join(target.name);
    let artifacts = Path::new("fuzz/artifacts").join(target.name);
    for dir in [&corpus, &seeds, &artifacts] {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let path = seeds.join(format!("{number:04}"));
        fs::write(&path, seed).with_context(|| format!("writing {}", path.display()))?;
    }
    let log = artifacts.join("log");
    let words = fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let run = sh(Command::new(program)
        .args([&corpus, &seeds])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-max_len=70000", "-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1"])
        .stderr(words));
    let text = String::from_utf8_lossy(&fs::read(&log).context("reading what libFuzzer said")?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    match &run {
        Ok(()) => {
            let covered = lines.iter().rfind(|line| line.contains(" cov: "));
            let stats = lines.iter().filter(|line| line.starts_with("stat::"));
            covered.into_iter().chain(stats).for_each(|line| println!("  {line}"));
        }
        Err(_) => lines[lines.len().saturating_sub(40)..].iter().for_each(|line| println!("  {line}")),
    }
    run
}

fn host_triple() -> Result<String> {
    let out = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc names no host")
}
