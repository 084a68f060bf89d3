//! What is measured of the mount when it writes: one table of loads, three peers.

use crate::cases::Setting;
use crate::fio::Fio;
use crate::names;
use crate::places::{Kind, Place};
use crate::report::{Goal, Row};
use crate::stats::{Sample, in_pairs};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of the files that fio works on.
const SIZE: u64 = 512 << 20;
/// Empty files that are made, looked at and removed.
const FILES: u32 = 100_000;

/// A load, its name, and what is promised of it.
type Line = (&'static str, Fio, Option<Goal>);

const fn load(rw: &'static str, bytes: u32, direct: bool) -> Fio {
    Fio { rw, bytes, direct, fsync: false, writers: 1 }
}

const fn appends(writers: u32) -> Fio {
    Fio { rw: "write", bytes: 4096, direct: false, fsync: true, writers }
}

/// Beside fuse2fs: ext4 in user space.
pub(crate) fn beside_fuse2fs(setting: &Setting) -> Result<Vec<Row>> {
    const TWICE: Option<Goal> = Some(Goal::AtLeast(2.0));
    const LINES: &[Line] = &[
        ("randwrite-4k-direct", load("randwrite", 4 << 10, true), TWICE),
        ("randwrite-4k", load("randwrite", 4 << 10, false), TWICE),
        ("write-1m-direct", load("write", 1 << 20, true), TWICE),
        ("write-1m", load("write", 1 << 20, false), TWICE),
        ("randread-4k-direct", load("randread", 4 << 10, true), None),
        ("randread-4k", load("randread", 4 << 10, false), None),
        ("read-1m-direct", load("read", 1 << 20, true), None),
        ("read-1m", load("read", 1 << 20, false), None),
        ("append-fsync-1", appends(1), TWICE),
        ("append-fsync-16", appends(16), TWICE),
    ];
    beside(setting, Kind::Fuse2fs, "fuse2fs", LINES)
}

/// Beside a FUSE filesystem that does nothing: the most that FUSE allows.
pub(crate) fn beside_null(setting: &Setting) -> Result<Vec<Row>> {
    const MOST: Option<Goal> = Some(Goal::AtLeast(0.8));
    const LINES: &[Line] = &[
        ("randread-4k-direct", load("randread", 4 << 10, true), MOST),
        ("randwrite-4k-direct", load("randwrite", 4 << 10, true), MOST),
    ];
    beside(setting, Kind::Null, "null FUSE", LINES)
}

/// Beside a file on the disk itself.
pub(crate) fn beside_raw(setting: &Setting) -> Result<Vec<Row>> {
    const NEAR: Option<Goal> = Some(Goal::AtLeast(0.9));
    const LINES: &[Line] = &[
        ("read-1m-direct", load("read", 1 << 20, true), NEAR),
        ("write-1m-direct", load("write", 1 << 20, true), NEAR),
    ];
    let on_disk =
        tempfile::Builder::new().prefix("disk.").tempdir_in(&setting.cache).context("a place on disk")?;
    let setting = Setting { work: on_disk.path().to_owned(), ..setting.clone() };
    beside(&setting, Kind::Raw, "raw file", LINES)
}

/// 100,000 empty files, and a tree of source, beside fuse2fs.
pub(crate) fn names_beside_fuse2fs(setting: &Setting) -> Result<Vec<Row>> {
    let source = sources(setting)?;
    let side = |kind| -> Result<Sample> {
        let place = Place::new(kind, &setting.oxsan, &setting.work)?;
        let mut sample = names::many_files(&place.dir, FILES)?;
        sample.extend(names::tree(&place.dir, &source)?);
        place.end()?;
        Ok(sample)
    };
    let pairs = in_pairs(setting.pairs, || side(Kind::Ours), || side(Kind::Fuse2fs))?;
    let row = |metric, goal| Row::of("names-100000", "fuse2fs", metric, &pairs, Some(goal));
    Ok(vec![
        row("creates/s", Goal::AtLeast(2.0)),
        row("stats/s", Goal::AtLeast(2.0)),
        row("unlinks/s", Goal::AtLeast(2.0)),
        row("cp -r seconds", Goal::AtMost(0.5)),
        row("rm -r seconds", Goal::AtMost(0.5)),
    ])
}

/// Both sides stay mounted while their turns come; each load has files of its own.
fn beside(setting: &Setting, kind: Kind, peer: &'static str, lines: &[Line]) -> Result<Vec<Row>> {
    let ours = Place::new(Kind::Ours, &setting.oxsan, &setting.work)?;
    let other = Place::new(kind, &setting.oxsan, &setting.work)?;
    let mut rows = Vec::new();
    for (name, fio, goal) in lines {
        let side = |dir: &Path| {
            names::drop_caches()?;
            fio.run(dir, SIZE, setting.runtime_s)
        };
        eprintln!("bench:  {name} beside {peer}");
        let pairs = in_pairs(setting.pairs, || side(&ours.dir), || side(&other.dir))?;
        let metric = if fio.bytes >= 1 << 20 { "MiB/s" } else { "iops" };
        rows.push(Row::of(name, peer, metric, &pairs, *goal));
    }
    ours.end()?;
    other.end()?;
    Ok(rows)
}

/// A tree of source: what this workspace depends on, some thousands of files.
fn sources(setting: &Setting) -> Result<PathBuf> {
    let dir = setting.cache.join("vendor");
    if !dir.exists() {
        let half = setting.cache.join("vendor.half");
        let mut vendor = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        crate::timed::run(vendor.args(["vendor", "--quiet", "--locked", "--versioned-dirs"]).arg(&half))?;
        std::fs::rename(&half, &dir).context("keeping the tree of source")?;
    }
    Ok(dir)
}
