//! pjdfstest on a mount of ours, beside what it said of the kernel's own ocfs2.

use crate::{LabError, Mounted};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the kernel came to; how, the directory's README says.
const KERNEL: &str = include_str!("../suites/pjdfstest-kernel-6.1.txt");
const CONFIG: &str = include_str!("../suites/pjdfstest.toml");

/// A line of the table: what a test said of both. `None` where it was not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line<'a> {
    kernel: Option<&'a str>,
    ours: Option<&'a str>,
}

/// What the suite says of the kernel's ocfs2 and of ours, test by test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table<'a> {
    lines: BTreeMap<&'a str, Line<'a>>,
}

impl<'a> Table<'a> {
    /// Reads what the suite printed.
    #[must_use]
    pub fn new(printed: &'a str) -> Self {
        let mut table = Self::default();
        for (name, verdict) in KERNEL.lines().filter_map(parse_line) {
            table.lines.entry(name).or_default().kernel = Some(verdict);
        }
        for (name, verdict) in printed.lines().filter_map(parse_line) {
            table.lines.entry(name).or_default().ours = Some(verdict);
        }
        table
    }

    /// Tests that are fine on the kernel, and not on ours.
    #[must_use]
    pub fn behind(&self) -> Vec<&'a str> {
        let behind = |line: &Line<'_>| line.kernel == Some("ok") && line.ours != Some("ok");
        self.lines.iter().filter(|(_, line)| behind(line)).map(|(name, _)| *name).collect()
    }

    fn count(&self, of: impl Fn(&Line<'a>) -> Option<&'a str>, verdict: &str) -> usize {
        self.lines.values().filter(|line| of(line) == Some(verdict)).count()
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<72} {:<8} oxsan", "pjdfstest", "kernel")?;
        for (name, line) in &self.lines {
            writeln!(f, "{name:<72} {:<8} {}", line.kernel.unwrap_or("-"), line.ours.unwrap_or("-"))?;
        }
        for verdict in ["ok", "FAILED", "skipped"] {
            let (kernel, ours) =
                (self.count(|line| line.kernel, verdict), self.count(|line| line.ours, verdict));
            writeln!(f, "{verdict:<72} {kernel:<8} {ours}")?;
        }
        Ok(())
    }
}

/// `name   verdict`; the suite's other lines have no `::` in their first word.
fn parse_line(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let (name, verdict) = (words.next()?, words.next()?);
    (name.contains("::") && words.next().is_none()).then_some((name, verdict))
}

/// Runs the suite; what it printed.
///
/// # Errors
/// When it cannot be run. A test that fails is no error.
pub fn run(pjdfstest: &Path, on: &Mounted) -> Result<String, LabError> {
    let config = on.beside().join("pjdfstest.toml");
    std::fs::write(&config, CONFIG).map_err(LabError::io("writing", &config))?;
    let out = Command::new(pjdfstest)
        .arg("-c")
        .arg(&config)
        .arg("-p")
        .arg(on.path())
        .stdin(Stdio::null())
        .output()
        .map_err(LabError::io("starting", pjdfstest))?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_does_better_is_found() {
        let ours =
            KERNEL.replace("chmod::efault_path ok", "chmod::efault_path          FAILED\n\tsome words here");
        let table = Table::new(&ours);
        assert_eq!(table.behind(), ["chmod::efault_path"]);
        assert!(table.to_string().ends_with("370      369\nFAILED                                                                   5        6\nskipped                                                                  23       23\n"), "{table}");
        assert_eq!(Table::new("").behind().len(), 370, "a suite that does not run is behind in everything");
    }
}
