//! Loads of names: many small files, and a tree of source.

use crate::stats::Sample;
use crate::timed;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Directories that the files are spread over.
const DIRS: u32 = 100;

/// Creates, looks at, and unlinks `files` empty files; each in names a second.
pub(crate) fn many_files(dir: &Path, files: u32) -> Result<Sample> {
    let paths: Vec<PathBuf> = (0..files).map(|n| dir.join(format!("d{}/file-{n}", n % DIRS))).collect();
    for n in 0..DIRS {
        fs::create_dir(dir.join(format!("d{n}"))).context("a directory")?;
    }
    let create = rate(&paths, |path| File::create(path).map(drop))?;
    // What the kernel remembers of the names is not to answer.
    drop_caches()?;
    let stat = rate(&paths, |path| path.metadata().map(drop))?;
    let unlink = rate(&paths, |path| fs::remove_file(path))?;
    for n in 0..DIRS {
        fs::remove_dir(dir.join(format!("d{n}"))).context("removing a directory")?;
    }
    Ok(vec![("creates/s", create), ("stats/s", stat), ("unlinks/s", unlink)])
}

/// Copies the tree `source` with `cp -r`, and removes it with `rm -r`, in seconds.
pub(crate) fn tree(dir: &Path, source: &Path) -> Result<Sample> {
    let copy = dir.join("tree");
    let taken = timed::run(Command::new("cp").arg("-r").arg(source).arg(&copy))?;
    let same = Command::new("diff").args(["-rq"]).arg(source).arg(&copy).status().context("starting diff")?;
    ensure!(same.success(), "the copy differs");
    let removed = timed::run(Command::new("rm").arg("-r").arg(&copy))?;
    Ok(vec![("cp -r seconds", taken.wall_s), ("rm -r seconds", removed.wall_s)])
}

#[allow(clippy::disallowed_methods, reason = "a benchmark: it measures time")]
fn rate(paths: &[PathBuf], each: impl Fn(&Path) -> std::io::Result<()>) -> Result<f64> {
    let begin = Instant::now();
    for path in paths {
        each(path).with_context(|| path.display().to_string())?;
    }
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let count = paths.len() as f64;
    Ok(count / begin.elapsed().as_secs_f64())
}

/// Names, inodes and clean pages that the kernel has cached go.
pub(crate) fn drop_caches() -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3").context("dropping the kernel's caches needs root")
}
