//! One step of a chore: said, timed, and remembered when it fails.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs steps one after the other; all of them, so that one run shows every fault.
#[derive(Default)]
pub(crate) struct Steps {
    failed: Vec<String>,
    times: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs `work` as the step `name`; a failure is printed now and again at the end.
    #[allow(clippy::disallowed_methods, reason = "a program: it times its own steps")]
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        println!("== {name}");
        let begin = Instant::now();
        if let Err(error) = work() {
            println!("{name}: {error:#}");
            self.failed.push(name.into());
        }
        self.times.push((name.into(), begin.elapsed()));
    }

    /// Prints where the time went; an error when a step failed.
    pub(crate) fn finish(self) -> Result<()> {
        let line: Vec<String> =
            self.times.iter().map(|(name, time)| format!("{name} {:.0} s", time.as_secs_f64())).collect();
        println!("== time: {}", line.join(", "));
        if !self.failed.is_empty() {
            bail!("failed: {}", self.failed.join(", "));
        }
        Ok(())
    }
}

/// Runs a command with no standard input and its output on ours.
pub(crate) fn sh(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}
