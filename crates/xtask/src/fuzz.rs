//! The fuzz targets, run on the stable toolchain: libFuzzer's coverage comes from LLVM passes that need no nightly.

use crate::metadata;
use crate::step::sh;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
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
    let target = metadata::target_dir(&metadata::load()?)?.join("fuzz");
    let triple = host_triple()?;
    sh(Command::new(metadata::cargo())
        .args(["build", "--release", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--target", &triple])
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", FLAGS))?;
    let mut failed = Vec::new();
    for name in targets()? {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        println!("== fuzz {name}, {seconds} s");
        let corpus = Path::new("fuzz/corpus").join(&name);
        let artifacts = Path::new("fuzz/artifacts").join(&name);
        for dir in [&corpus, &artifacts] {
            fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        seed(&name, &corpus)?;
        let run = sh(Command::new(target.join(&triple).join("release").join(&name))
            .arg(&corpus)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args([
                "-max_len=70000",
                "-rss_limit_mb=1024",
                "-timeout=10",
                "-verbosity=0",
                "-print_final_stats=1",
            ]));
        if run.is_err() {
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "inputs that fail are in fuzz/artifacts: {}", failed.join(", "));
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir("fuzz/fuzz_targets")
        .context("reading fuzz/fuzz_targets")?
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn host_triple() -> Result<String> {
    let out = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc names no host")
}

/// Something real to begin with.
fn seed(name: &str, corpus: &Path) -> Result<()> {
    match name {
        "block" => seed_blocks(corpus),
        "text" => {
            let text = b"\0InitiatorName=iqn.2026-01.a:b\0SessionType=Normal\0HeaderDigest=CRC32C,None\0\
                         MaxRecvDataSegmentLength=262144\0InitialR2T=No\0ErrorRecoveryLevel=0\0";
            write(&corpus.join("seed-login"), text)
        }
        "url" => {
            write(&corpus.join("seed-url"), b"iscsi://a%b@10.0.0.1:3260,[::1]/iqn.2026-01.a:b/1?auth=md5")
        }
        _ => Ok(()),
    }
}

/// Some blocks of each signature, behind the four bytes by which the target's body chooses geometry and kind.
fn seed_blocks(corpus: &Path) -> Result<()> {
    // Where a kind's index stands among the kinds of the body.
    let signatures: [&[u8]; 9] = [
        b"OCFSV2", b"INODE01", b"EXBLK01", b"GROUP01", b"DIRTRL1", b"DXDIR01", b"DXLEAF1", b"XATTR01",
        b"REFCNT1",
    ];
    for (volume, block_size, shape) in [("c", 512, 0_u8), ("a", 4096, 3)] {
        let image = fs::read(fixtures::image(volume)).context("reading a fixture")?;
        let mut taken = BTreeMap::<usize, usize>::new();
        for (number, block) in image.chunks_exact(block_size).enumerate() {
            let trailer = block_size - 64;
            let kind =
                signatures.iter().position(|s| block.starts_with(s) || block[trailer..].starts_with(s));
            let Some(kind) = kind else { continue };
            let count = taken.entry(kind).or_default();
            if *count < 12 {
                *count += 1;
                let head = [shape, 0xff, u8::try_from(kind)?, 1];
                write(&corpus.join(format!("seed-{volume}-{number}")), &[&head, block].concat())?;
            }
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
