//! The two load programs: `oxsan perf` and libiscsi's `iscsi-perf`, asked for the same load.

use crate::timed;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// A load of reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) random: bool,
    pub(crate) bytes: u32,
    pub(crate) depth: u32,
    pub(crate) runtime_s: u32,
}

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) iops: f64,
    /// Of the load program itself, its start and login among it.
    pub(crate) client_cpu_s: f64,
}

impl Load {
    /// I/Os of the whole run.
    pub(crate) fn count(&self, done: &Done) -> f64 {
        done.iops * f64::from(self.runtime_s)
    }

    /// MiB a second.
    pub(crate) fn mib_s(&self, done: &Done) -> f64 {
        done.iops * f64::from(self.bytes) / f64::from(1 << 20)
    }

    /// Client CPU of one I/O, in microseconds.
    pub(crate) fn client_us(&self, done: &Done) -> f64 {
        done.client_cpu_s * 1e6 / self.count(done)
    }

    /// `oxsan perf`.
    pub(crate) fn by_oxsan(&self, oxsan: &Path, url: &str) -> Result<Done> {
        let mut command = Command::new(oxsan);
        command.args(["perf", url, "--json", "--rw", if self.random { "randread" } else { "read" }]);
        command.args(["--bs", &self.bytes.to_string(), "--depth", &self.depth.to_string()]);
        command.args(["--runtime", &self.runtime_s.to_string()]);
        let taken = timed::run(&command)?;
        let json: serde_json::Value =
            serde_json::from_str(&taken.stdout).context("reading oxsan perf's JSON")?;
        let iops = json["iops"].as_f64().with_context(|| format!("no `iops` in {json}"))?;
        Ok(Done { iops, client_cpu_s: taken.cpu_s })
    }

    /// `iscsi-perf`, which counts in the LUN's blocks of 512 bytes.
    pub(crate) fn by_libiscsi(&self, url: &str) -> Result<Done> {
        let mut command = Command::new("/usr/bin/iscsi-perf");
        command.args(["-m", &self.depth.to_string(), "-b", &(self.bytes / 512).to_string()]);
        command.args(["-t", &self.runtime_s.to_string()]);
        if self.random {
            command.arg("-r");
        }
        let taken = timed::run(command.arg(url))?;
        let iops = last_average(&taken.stdout).context("iscsi-perf printed no average")?;
        Ok(Done { iops, client_cpu_s: taken.cpu_s })
    }
}

/// `iops average N (M MB/s)` stands in every line that iscsi-perf prints; the last is of the whole run.
fn last_average(text: &str) -> Option<f64> {
    text.rsplit_once("iops average ")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_of_the_whole_run_is_read() {
        let text = "00:00:01 - lba 7, iops current 51796 (202 MB/s), iops average 51796 (202 MB/s), in_flight 32\r\n\
                    iops average 50824 (198 MB/s)        \nfinished.\n";
        assert_eq!(last_average(text), Some(50824.0));
    }
}
