//! The two targets: ours and tgtd, each with one LUN on loopback, and the CPU each has taken so far.

use anyhow::{Context, Result, bail, ensure};
use lab::{HostProgram, wait_until};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const IQN: &str = "iqn.2026-01.test.oxsan:bench";

/// A running target; ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    program: HostProgram,
    url: String,
}

impl Server {
    /// `oxsan target serve` with `lun` as LUN 0.
    pub(crate) fn ours(oxsan: &Path, lun: &Path, log: &Path) -> Result<Self> {
        let portal = free_portal()?;
        let mut command = Command::new(oxsan);
        command.args(["target", "serve", "--iqn", IQN, "--portal", &portal.to_string(), "--lun"]).arg(lun);
        let mut program = HostProgram::start(&mut command, log)?;
        let up =
            wait_until(Duration::from_secs(10), || TcpStream::connect(portal).is_ok() || !program.running());
        ensure!(up && program.running(), "oxsan target serve does not listen: {}", last_line(log));
        Ok(Self { program, url: format!("iscsi://{portal}/{IQN}/0") })
    }

    /// tgtd with `lun` as LUN 1 (its LUN 0 is a controller).
    pub(crate) fn tgtd(lun: &Path, log: &Path) -> Result<Self> {
        let portal = free_portal()?;
        // The control channel's number: tgtd takes those up to 32767.
        let control = (portal.port() % 32_000 + 1).to_string();
        let mut command = Command::new("/usr/sbin/tgtd");
        command.args(["-f", "-C", &control, "--iscsi", &format!("portal={portal}")]);
        let program = HostProgram::start(&mut command, log)?;
        let admin = |args: &str| {
            let status = Command::new("/usr/sbin/tgtadm")
                .args(["-C", &control, "--lld", "iscsi", "--op"])
                .args(args.split(' '))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            status.is_ok_and(|status| status.success())
        };
        let created = format!("new --mode target --tid 1 -T {IQN}");
        ensure!(
            wait_until(Duration::from_secs(10), || admin(&created)),
            "tgtd does not answer: {}",
            last_line(log)
        );
        let lun = lun.to_str().context("a LUN with a plain path")?;
        if !admin(&format!("new --mode logicalunit --tid 1 --lun 1 -b {lun}"))
            || !admin("bind --mode target --tid 1 -I ALL")
        {
            bail!("tgtd does not take {lun}: {}", last_line(log));
        }
        Ok(Self { program, url: format!("iscsi://{portal}/{IQN}/1") })
    }

    /// The LUN's address, as libiscsi and oxsan write it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// CPU seconds of all its threads, user and system, since it started.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.program.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let ticks = ticks(&stat).with_context(|| format!("{path} holds no times"))?;
        Ok(ticks / f64::from(u32::try_from(rustix::param::clock_ticks_per_second())?))
    }
}

/// utime and stime, the 14th and 15th field; the second, the name in parentheses, may hold blanks.
fn ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn free_portal() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).context("finding a free port")
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5";
        assert_eq!(ticks(stat), Some(300.0));
    }
}
