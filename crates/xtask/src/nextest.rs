//! The tests under cargo-nextest, and the count of those that could not run here.

use crate::metadata;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a run of the tests came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: usize,
    failed: usize,
    /// One entry for each test that printed `skipped: why`: its name and the why.
    skipped: Vec<(String, String)>,
}

impl Counts {
    /// Prints the skips and the line that closes a run. Call it last: CI reads the closing line.
    pub(crate) fn print(&self) {
        for (test, why) in &self.skipped {
            println!("skipped: {test}: {why}");
        }
        println!("{} tests could not run here", self.skipped.len());
        let passed = self.passed.saturating_sub(self.skipped.len());
        println!("{passed} passed, {} failed, {} skipped", self.failed, self.skipped.len());
    }

    /// An error when a test failed, or none ran.
    pub(crate) fn judge_quick(&self) -> Result<()> {
        if self.failed > 0 {
            bail!("{} tests failed", self.failed);
        }
        if self.passed == 0 {
            bail!("no test ran");
        }
        Ok(())
    }

    /// The same, and: as root with /dev/fuse every test can run, so there a skip is a failure.
    pub(crate) fn judge(&self) -> Result<()> {
        self.judge_quick()?;
        if !self.skipped.is_empty() && lab::is_root() && Path::new("/dev/fuse").exists() {
            bail!("{} tests were skipped, though this is root with /dev/fuse", self.skipped.len());
        }
        Ok(())
    }
}

/// Runs the workspace's tests under a profile of `.config/nextest.toml`, with `args` added and `env` set; counts what
/// its JUnit file says.
pub(crate) fn run(profile: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Counts> {
    let dir = metadata::target_dir(&metadata::load()?)?.join("nextest");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let junit = dir.join("junit.xml");
    let _ = fs::remove_file(&junit);
    let config = dir.join("ci.toml");
    fs::write(&config, tool_config(profile, &dir, &junit))
        .with_context(|| format!("writing {}", config.display()))?;
    let status = Command::new(metadata::cargo())
        .args(["nextest", "run", "--workspace", "--profile", profile, "--cargo-quiet", "--tool-config-file"])
        .arg(format!("oxsan:{}", config.display()))
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .status()
        .context("starting cargo nextest")?;
    let text = fs::read_to_string(&junit)
        .with_context(|| format!("cargo nextest ended with {status} and left no {}", junit.display()))?;
    let counts = count(&text);
    if !status.success() && counts.failed == 0 {
        bail!("cargo nextest ended with {status}");
    }
    Ok(counts)
}

/// Where the runner keeps its files: under the target directory, wherever that is, not in the tree.
fn tool_config(profile: &str, dir: &Path, junit: &Path) -> String {
    let (dir, junit) = (dir.join("store"), junit);
    format!(
        "[store]\ndir = {dir:?}\n[profile.{profile}.junit]\npath = {junit:?}\nstore-success-output = true\n\
         store-failure-output = true\n"
    )
}

/// Reads the counts out of a JUnit file as nextest writes it: `<testcase name=…>` with the output inside.
fn count(junit: &str) -> Counts {
    let mut counts = Counts::default();
    for case in junit.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or(case);
        let name = attribute(case, "classname").unwrap_or("?").to_owned()
            + " "
            + attribute(case, "name").unwrap_or("?");
        if case.contains("<failure") || case.contains("<error") {
            counts.failed += 1;
            continue;
        }
        counts.passed += 1;
        if let Some(why) = case.lines().find_map(|line| line.trim().split("skipped: ").nth(1)) {
            counts.skipped.push((name, why.to_owned()));
        }
    }
    counts
}

fn attribute<'a>(case: &'a str, name: &str) -> Option<&'a str> {
    // A blank before the name, so that `name` is not found in `classname`; the first attribute has none.
    let mark = format!("{name}=\"");
    let at = if case.starts_with(&mark) { 0 } else { case.find(&format!(" {mark}"))? + 1 };
    case.get(at + mark.len()..)?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_and_failures_are_counted_by_test() {
        let junit = r#"<testsuites><testsuite>
            <testcase name="a::b" classname="block" time="1"><system-out>
skipped: no /dev/fuse here
skipped: said twice
</system-out></testcase>
            <testcase name="c" classname="block"><system-out>fine</system-out></testcase>
            <testcase name="d" classname="scsi"><failure type="x">skipped: no</failure></testcase>
            </testsuite></testsuites>"#;
        let counts = count(junit);
        assert_eq!((counts.passed, counts.failed), (2, 1));
        assert_eq!(counts.skipped, [("block a::b".to_owned(), "no /dev/fuse here".to_owned())]);
        assert!(counts.judge().is_err());
    }
}
