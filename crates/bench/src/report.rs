//! The results: a table for people, JSON with every sample for programs.

use crate::stats::{Sample, median, value};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// What was promised of a number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Ours is at least so many times the peer's.
    AtLeast(f64),
    /// Ours is at most so many times the peer's.
    AtMost(f64),
    /// Ours is below this, whatever the peer's.
    OursBelow(f64),
}

/// One number, measured on both sides.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    case: &'static str,
    peer: &'static str,
    metric: &'static str,
    /// All samples, in pairs: ours, the peer's.
    samples: Vec<(f64, f64)>,
    goal: Option<Goal>,
    /// Why there are no samples.
    pub(crate) failure: Option<String>,
}

impl Row {
    /// A metric out of a case's pairs.
    pub(crate) fn of(
        case: &'static str,
        peer: &'static str,
        metric: &'static str,
        pairs: &[(Sample, Sample)],
        goal: Option<Goal>,
    ) -> Self {
        let samples = pairs.iter().map(|(ours, peer)| (value(ours, metric), value(peer, metric))).collect();
        Self { case, peer, metric, samples, goal, failure: None }
    }

    /// A metric without a peer.
    pub(crate) fn alone(
        case: &'static str,
        metric: &'static str,
        samples: &[f64],
        goal: Option<Goal>,
    ) -> Self {
        let samples = samples.iter().map(|ours| (*ours, f64::NAN)).collect();
        Self { case, peer: "", metric, samples, goal, failure: None }
    }

    /// A case that could not be measured.
    pub(crate) fn failed(case: &'static str, why: &str) -> Self {
        Self { case, peer: "", metric: "", samples: Vec::new(), goal: None, failure: Some(why.to_owned()) }
    }

    fn ours(&self) -> f64 {
        median(self.samples.iter().map(|(ours, _)| *ours).collect())
    }

    fn peers(&self) -> f64 {
        median(self.samples.iter().map(|(_, peer)| *peer).collect())
    }

    fn ratio(&self) -> f64 {
        median(self.samples.iter().map(|(ours, peer)| ours / peer).collect())
    }

    /// Goal in words, and whether it was met.
    fn verdict(&self) -> (String, &'static str) {
        let word = |met: bool| if met { "met" } else { "missed" };
        match self.goal {
            Some(Goal::AtLeast(goal)) => (format!(">= {goal}x"), word(self.ratio() >= goal)),
            Some(Goal::AtMost(goal)) => (format!("<= {goal}x"), word(self.ratio() <= goal)),
            Some(Goal::OursBelow(goal)) => (format!("< {goal}"), word(self.ours() < goal)),
            None => (String::new(), ""),
        }
    }

    fn cells(&self) -> [String; 8] {
        if let Some(why) = &self.failure {
            let blank = String::new;
            return [
                self.case.into(),
                blank(),
                blank(),
                blank(),
                blank(),
                blank(),
                blank(),
                format!("failed: {why}"),
            ];
        }
        let (goal, verdict) = self.verdict();
        let (ours, mut peers) = (number(self.ours()), number(self.peers()));
        let mut ratio = format!("{:.2}x", self.ratio());
        if self.peer.is_empty() {
            (ratio, peers) = (String::new(), String::new());
        }
        [self.case.into(), self.metric.into(), ours, peers, self.peer.into(), ratio, goal, verdict.into()]
    }

    fn json(&self) -> Value {
        let (goal, verdict) = self.verdict();
        let samples: Vec<Value> = self.samples.iter().map(|(ours, peer)| json!([ours, peer])).collect();
        json!({
            "case": self.case, "metric": self.metric, "peer": self.peer, "ours": self.ours(), "peers": self.peers(),
            "ratio": self.ratio(), "goal": goal, "verdict": verdict, "pairs": samples, "failure": self.failure,
        })
    }
}

/// Prints the table and writes it, with all samples, into `dir`.
pub(crate) fn write(dir: &Path, rows: &[Row], pairs: usize, runtime_s: u32) -> Result<()> {
    let machine = machine();
    let head = format!("{machine}\nMedians of {pairs} interleaved pairs, {runtime_s} s a load.\n");
    let table = table(rows);
    println!("{head}\n{table}");
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let json = json!({
        "machine": machine, "pairs": pairs, "runtime_s": runtime_s, "time": epoch_s(),
        "results": rows.iter().map(Row::json).collect::<Vec<_>>(),
    });
    let files = [("bench.md", format!("{head}\n{table}")), ("bench.json", format!("{json:#}\n"))];
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("bench: wrote {}", path.display());
    }
    Ok(())
}

/// A Markdown table, its columns aligned so that it reads on a terminal too.
fn table(rows: &[Row]) -> String {
    let head = ["case", "metric", "oxsan", "peer", "peer is", "ratio", "goal", ""].map(str::to_owned);
    let lines: Vec<[String; 8]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let _ = write!(text, "| {cell:<0$} ", width(column));
        }
        text.push_str("|\n");
        if number == 0 {
            for column in 0..line.len() {
                let _ = write!(text, "|{}", "-".repeat(width(column) + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// What was measured, and on what.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    format!("oxsan {commit} on {cores} x {}, Linux {}", model.unwrap_or("unknown CPU"), kernel.trim())
}

#[allow(clippy::disallowed_methods, reason = "a benchmark: it says when it ran")]
fn epoch_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_pair_by_pair_and_judged() {
        let pair = |ours: f64, peer: f64| (vec![("iops", ours)], vec![("iops", peer)]);
        let pairs = [pair(10.0, 5.0), pair(30.0, 10.0), pair(10.0, 10.0)];
        let row = Row::of("case", "tgtd", "iops", &pairs, Some(Goal::AtLeast(2.0)));
        assert_eq!(row.cells(), ["case", "iops", "10.00", "10.00", "tgtd", "2.00x", ">= 2x", "met"]);
        let row = Row::of("case", "tgtd", "iops", &pairs, Some(Goal::AtMost(0.5)));
        assert_eq!(row.verdict().1, "missed");
        assert!(Row::failed("case", "no tgtd").cells()[7].contains("no tgtd"));
    }
}
