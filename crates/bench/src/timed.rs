//! A program run to its end, with the CPU and memory it took, by GNU time: the same ruler for every side.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a program's run took.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) wall_s: f64,
    /// User and system time together.
    pub(crate) cpu_s: f64,
    /// The largest resident memory.
    pub(crate) rss_mib: f64,
    pub(crate) stdout: String,
}

/// Runs it; an error with its last words when it fails.
#[allow(clippy::disallowed_methods, reason = "a benchmark: it measures time")]
pub(crate) fn run(command: &Command) -> Result<Taken> {
    let note = tempfile::NamedTempFile::new().context("a temporary file")?;
    let begin = Instant::now();
    let out = Command::new("/usr/bin/time")
        .args(["-f", "%U %S %M", "-o"])
        .arg(note.path())
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .output()
        .context("starting /usr/bin/time (Debian's package `time`)")?;
    let wall_s = begin.elapsed().as_secs_f64();
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let last = said.lines().last().or(stdout.lines().last()).unwrap_or("no message");
        bail!("{:?} ended with {}: {last}", command.get_program(), out.status);
    }
    let text = std::fs::read_to_string(note.path()).context("reading what time wrote")?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, system, rss_kib] = numbers[..] else { bail!("time wrote {text:?}") };
    Ok(Taken { wall_s, cpu_s: user + system, rss_mib: rss_kib / 1024.0, stdout })
}
