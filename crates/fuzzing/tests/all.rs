//! The bodies on the stable toolchain: over their seeds, and over random changes of them.
//!
//! The process may take 4 GiB of address space and no more: memory that follows a length field ends it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a test says how to look at the input that broke it")]

use std::path::Path;

use fixtures::Random;
use fuzzing::{TARGETS, Target, mutate, target};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Writes an input down when the body panics over it, so that it can be looked at and kept.
struct Suspect<'a>(&'a str, &'a [u8]);

impl Drop for Suspect<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", self.0));
            let kept = std::fs::write(&path, self.1);
            println!("cargo xtask fuzz {} --input {} ({kept:?})", self.0, path.display());
        }
    }
}

/// Runs the body over each seed, and over `usual` changed ones (more in `make soak`).
fn survive(name: &str, usual: u32) {
    let Target { body, seeds, .. } = target(name);
    let seeds = seeds();
    assert!(!seeds.is_empty(), "{name}: no seeds");
    let limit = Some(4 << 30);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).expect("a limit may be lowered");
    let watched = |input: &[u8]| {
        let _suspect = Suspect(name, input);
        body(input);
    };
    seeds.iter().for_each(|seed| watched(seed));
    let mut random = Random::new(1);
    for _ in 0..fixtures::cases(usual) {
        let seed = &seeds[random.below(seeds.len())];
        let other = &seeds[random.below(seeds.len())];
        watched(&mutate(&mut random, seed, other));
    }
}

#[test]
fn block() {
    survive("block", 4000);
}

#[test]
fn config() {
    survive("config", 5000);
}

#[test]
fn fuse() {
    survive("fuse", 50000);
}

#[test]
fn journal() {
    survive("journal", 5000);
}

#[test]
fn pdu() {
    survive("pdu", 2000);
}

#[test]
fn scsi() {
    survive("scsi", 50000);
}

#[test]
fn session() {
    survive("session", 5000);
}

#[test]
fn text() {
    survive("text", 20000);
}

#[test]
fn url() {
    survive("url", 50000);
}

#[test]
fn volume() {
    survive("volume", 60);
}

/// libFuzzer's targets are these, by name: none is left out of the tests, none out of `fuzz/`.
#[test]
fn every_target_has_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("the fuzz targets")
        .map(|entry| {
            entry.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect();
    files.sort();
    assert_eq!(files, TARGETS.map(|target| target.name));
}
