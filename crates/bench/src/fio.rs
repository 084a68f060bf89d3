//! fio, asked for a load, and what it says of it.

use crate::stats::Sample;
use crate::timed;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// A load on one file, or on one file a writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fio {
    /// fio's name of it: read, write, randread, randwrite.
    pub(crate) rw: &'static str,
    pub(crate) bytes: u32,
    /// Past the page cache, at depth 16; else through it, one at a time.
    pub(crate) direct: bool,
    /// Each write is followed by an fsync.
    pub(crate) fsync: bool,
    pub(crate) writers: u32,
}

impl Fio {
    /// Runs it in `dir` for so many seconds on files of `size` bytes altogether. Random reads are of a cold cache:
    /// fio drops it first.
    pub(crate) fn run(&self, dir: &Path, size: u64, runtime_s: u32) -> Result<Sample> {
        let mut command = Command::new("/usr/bin/fio");
        command.args(["--name=load", "--output-format=json", "--group_reporting", "--time_based"]);
        command.args(["--randseed=1", "--fallocate=none", "--end_fsync=0"]);
        if self.rw == "randwrite" {
            // As the disk of a VM: the file is there. fio writes it first, and does not count that.
            command.arg("--overwrite=1");
        }
        command.arg(format!("--directory={}", dir.display()));
        command.arg(format!("--runtime={runtime_s}"));
        command.arg(format!("--size={}", size / u64::from(self.writers)));
        command.arg(format!("--rw={}", self.rw)).arg(format!("--bs={}", self.bytes));
        command.arg(format!("--numjobs={}", self.writers));
        if self.direct {
            command.args(["--direct=1", "--ioengine=libaio", "--iodepth=16"]);
        } else {
            command.args(["--ioengine=psync"]);
        }
        if self.fsync {
            command.arg("--fsync=1");
        }
        let taken = timed::run(&command)?;
        let _ = timed::run(Command::new("find").arg(dir).args(["-name", "load.*", "-delete"]));
        sample(&taken.stdout)
    }
}

/// Both directions together: each load has one.
fn sample(text: &str) -> Result<Sample> {
    // fio may print a remark before its JSON.
    let json = text.find('{').and_then(|start| text.get(start..)).context("fio printed no JSON")?;
    let json: serde_json::Value = serde_json::from_str(json).context("reading fio's JSON")?;
    let job = &json["jobs"][0];
    let sum = |what: &str| ["read", "write"].iter().filter_map(|way| job[way][what].as_f64()).sum::<f64>();
    Ok(vec![("iops", sum("iops")), ("MiB/s", sum("bw_bytes") / f64::from(1 << 20))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_counted() {
        let text = r#"fio: a remark
            {"jobs": [{"read": {"iops": 0.0, "bw_bytes": 0}, "write": {"iops": 12.5, "bw_bytes": 2097152}}]}"#;
        assert_eq!(sample(text).unwrap(), vec![("iops", 12.5), ("MiB/s", 2.0)]);
        assert!(sample("no JSON").is_err());
    }
}
