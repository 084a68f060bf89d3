//! The chores behind `make test`, `make quick`, `make soak`, `make conformance` and `make bench`.

use crate::step::{Steps, sh};
use crate::{fuzz, layers, licences, metadata, nextest, selects};
use anyhow::{Context, Result};
use lab::fsx::Way;
use lab::{Geometry, Mounted};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tests that want root, /dev/fuse or a second kernel: not in the quick part.
const QUICK: &str = "not (package(lab) or package(mount) or test(/_as_root$/))";

/// Every check there is.
pub(crate) fn test() -> Result<()> {
    let mut steps = Steps::default();
    fast_steps(&mut steps);
    // Before the tests, so that no test's time limit has to cover a build or a download.
    steps.run("program", || {
        println!("program: {}", lab::build_oxsan()?.display());
        Ok(())
    });
    steps.run("suites", || suites().map(|_| ()));
    if lab::is_root() {
        steps.run("lab", || {
            let dir = lab::LabDir::ready()?;
            println!("lab: {} under {:?}", dir.initrd().display(), dir.accel());
            Ok(())
        });
    }
    let mut counts = nextest::Counts::default();
    steps.run("tests", || {
        counts = nextest::run("ci", &[], &[])?;
        counts.judge()
    });
    steps.run("doc", || {
        sh(cargo()
            .args(["doc", "--quiet", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings"))
    });
    let all = steps.finish();
    counts.print();
    all
}

/// What needs no root and no network.
pub(crate) fn quick() -> Result<()> {
    let mut steps = Steps::default();
    fast_steps(&mut steps);
    let mut counts = nextest::Counts::default();
    steps.run("tests", || {
        counts = nextest::run("ci", &["-E", QUICK], &[])?;
        Ok(())
    });
    let all = steps.finish();
    counts.print();
    all.and(counts.judge_quick())
}

/// Large counts: the tests multiply their samples by `times` (`OXSAN_SOAK`), and those that are too long for `make test`
/// run too; then each fuzz target for `fuzz_seconds`. Tests of the kernel lab and the mounts take no samples: `make test` has
/// them.
pub(crate) fn soak(times: u32, fuzz_seconds: u64, seed: Option<u64>) -> Result<()> {
    let mut steps = Steps::default();
    let mut counts = nextest::Counts::default();
    let times = times.to_string();
    let seed = seed.unwrap_or_else(time_of_day).to_string();
    println!("samples of seed {seed} (again: --seed {seed})");
    steps.run("tests", || {
        let args = ["-E", QUICK, "--run-ignored", "all", "--release"];
        counts = nextest::run("soak", &args, &[("OXSAN_SOAK", &times), ("PROPTEST_RNG_SEED", &seed)])?;
        counts.judge()
    });
    steps.run("fuzz", || fuzz::run(&[], fuzz_seconds));
    let all = steps.finish();
    counts.print();
    all
}

#[allow(clippy::disallowed_methods, reason = "driver: each soak takes other samples")]
fn time_of_day() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// The suites of others that try a mount, installed where they are not yet: pjdfstest and fsx.
fn suites() -> Result<(PathBuf, PathBuf)> {
    let target = metadata::target_dir(&metadata::load()?)?;
    Ok((lab::Suite::Pjdfstest.ready(&target)?, lab::Suite::Fsx.ready(&target)?))
}

/// The suites of others: libiscsi's against our target; on our mounts pjdfstest, and a million operations of fsx. With
/// `only`, libiscsi's tests of these names alone.
pub(crate) fn conformance(only: &[String]) -> Result<()> {
    let program = lab::build_oxsan()?;
    if only.is_empty() {
        mounts(&program)?;
    }
    for (paths, name) in [(1, "one path"), (2, "two paths")] {
        println!("== {name}");
        let result = lab::conformance::run(&program, only, paths, &mut |line| println!("{line}"))?;
        println!("{result}");
        anyhow::ensure!(result.failed + result.hung == 0, "the target does not conform over {name}");
        anyhow::ensure!(result.passed > 0, "no test ran over {name}");
    }
    Ok(())
}

/// What tries a mount.
fn mounts(oxsan: &Path) -> Result<()> {
    let (pjdfstest, fsx) = suites()?;
    for geometry in Geometry::ALL {
        println!("== {geometry}");
        let volume = Mounted::new(oxsan, geometry, &[])?;
        let printed = lab::posix::run(&pjdfstest, &volume)?;
        let table = lab::posix::Table::new(&printed);
        println!("{table}");
        anyhow::ensure!(table.behind().is_empty(), "behind the kernel in {}", table.behind().join(", "));
        volume.end()?;
        for (seed, way) in (1..=FSX_SEEDS).flat_map(|seed| Way::ALL.map(|way| (seed, way))) {
            println!("fsx: {way:?}, seed {seed}");
            let volume = Mounted::new(oxsan, geometry, &[])?;
            lab::fsx::run(&fsx, &volume, way, seed, FSX_OPERATIONS)?;
            volume.end()?;
        }
    }
    Ok(())
}

/// Seeds of fsx for each geometry and each way, and operations of each: a million in all.
const FSX_SEEDS: u64 = 10;
const FSX_OPERATIONS: u64 = 8400;

/// oxsan beside its peers, everything built for release.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    sh(cargo().args(["build", "--release", "--quiet", "--locked", "--package", "bench"]))?;
    let target = metadata::target_dir(&metadata::load()?)?;
    let mut bench = Command::new(target.join("release/bench"));
    bench.arg("--oxsan").arg(lab::build_oxsan()?).arg("--cache").arg(target.join("bench"));
    sh(bench.args(args))
}

fn fast_steps(steps: &mut Steps) {
    steps.run("format", || sh(cargo().args(["fmt", "--all", "--check"])).context("run `cargo fmt`"));
    steps.run("layers", layers::check);
    steps.run("licences", licences::check);
    steps.run("select", selects::check);
    steps.run("clippy", || {
        sh(cargo().args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    });
}

fn cargo() -> Command {
    Command::new(metadata::cargo())
}
