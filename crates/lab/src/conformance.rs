//! libiscsi's conformance suite (`iscsi-test-cu`, Debian's libiscsi-bin) against our target, test by test, so that
//! one that hangs costs its own time only.

use crate::{HostProgram, LabError, tool, wait_until};
use std::fmt;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The suite's program.
pub const PROGRAM: &str = "/usr/bin/iscsi-test-cu";

/// Long enough for any of the suite's tests on a loaded machine.
const LIMIT: Duration = Duration::from_secs(30);

/// What a run of the suite came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that were not done in time.
    pub hung: usize,
    /// Tests that the suite skipped itself: what they try is optional and the target has it not.
    pub skipped: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.passed + self.failed + self.hung + self.skipped;
        let Self { passed, failed, hung, skipped } = self;
        write!(f, "conformance: {passed} passed, {failed} failed, {hung} hung, {skipped} skipped of {total}")
    }
}

/// A target of ours on loopback with one LUN of 100 MiB, gone when dropped.
#[derive(Debug)]
pub struct TargetOnLoopback {
    _program: HostProgram,
    _dir: tempfile::TempDir,
    url: String,
}

impl TargetOnLoopback {
    /// Starts `oxsan target serve` on a free port and waits until it listens.
    ///
    /// # Errors
    /// When it does not start, or does not listen within ten seconds.
    pub fn start(oxsan: &Path) -> Result<Self, LabError> {
        const IQN: &str = "iqn.2026-01.test.oxsan:conformance";
        let dir = tempfile::tempdir().map_err(LabError::io("creating in", std::env::temp_dir()))?;
        let lun = dir.path().join("lun");
        std::fs::File::create(&lun)
            .and_then(|file| file.set_len(100 << 20))
            .map_err(LabError::io("creating", &lun))?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let portal = free.map_err(LabError::io("binding", "127.0.0.1"))?;
        let log = dir.path().join("log");
        let mut command = Command::new(oxsan);
        command.args(["target", "serve", "--iqn", IQN, "--portal", &portal.to_string(), "--lun"]).arg(&lun);
        let mut program = HostProgram::start(&mut command, &log)?;
        let listens = || TcpStream::connect(portal).is_ok();
        if !wait_until(Duration::from_secs(10), || listens() || !program.running()) || !program.running() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(LabError::Program {
                program: format!("{} target serve", oxsan.display()),
                status: "no listening portal".into(),
                stderr: said.lines().last().unwrap_or("no message").to_owned(),
            });
        }
        Ok(Self { _program: program, _dir: dir, url: format!("iscsi://{portal}/{IQN}/0") })
    }

    /// The LUN's address, as libiscsi writes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The suite's tests whose name holds one of the words of `only`; all of them when there is none.
///
/// # Errors
/// When the suite's program does not run.
pub fn tests(only: &[String]) -> Result<Vec<String>, LabError> {
    let list = tool::output(Command::new(PROGRAM).arg("--list"))?;
    let single = |name: &&str| name.starts_with("ALL.") && name.matches('.').count() == 2;
    let wanted = |name: &&str| only.is_empty() || only.iter().any(|word| name.contains(word.as_str()));
    Ok(list.lines().map(str::trim).filter(single).filter(wanted).map(str::to_owned).collect())
}

/// Runs the tests that `only` names (all when empty), each told to `say` with its outcome in a line.
///
/// # Errors
/// When target or suite cannot be started.
pub fn run(oxsan: &Path, only: &[String], say: &mut dyn FnMut(&str)) -> Result<Outcome, LabError> {
    let target = TargetOnLoopback::start(oxsan)?;
    let mut outcome = Outcome::default();
    for test in tests(only)? {
        match one(&test, target.url())? {
            Verdict::Pass => {
                outcome.passed += 1;
                say(&format!("pass {test}"));
            }
            Verdict::Skip => {
                outcome.skipped += 1;
                say(&format!("skip {test}"));
            }
            Verdict::Hung => {
                outcome.hung += 1;
                say(&format!("HUNG {test}"));
            }
            Verdict::Fail(why) => {
                outcome.failed += 1;
                say(&format!("FAIL {test}: {why}"));
            }
        }
    }
    Ok(outcome)
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Skip,
    Hung,
    Fail(String),
}

fn one(test: &str, url: &str) -> Result<Verdict, LabError> {
    let out = Command::new("timeout")
        .arg(LIMIT.as_secs().to_string())
        .arg(PROGRAM)
        .args(["--dataloss", "--allow-sanitize", "--fail", &format!("--test={test}"), url])
        .stdin(Stdio::null())
        .output()
        .map_err(LabError::io("starting", PROGRAM))?;
    let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
    text += &String::from_utf8_lossy(&out.stderr);
    Ok(judge(out.status.code(), &text))
}

/// The suite's own exit status says little: its words decide.
fn judge(code: Option<i32>, text: &str) -> Verdict {
    let line = |word: &str| text.lines().find(|line| line.contains(word)).map(|line| line.trim().to_owned());
    if code == Some(124) {
        return Verdict::Hung;
    }
    if let Some(why) = line("FAILED") {
        return Verdict::Fail(why);
    }
    if line("SKIPPED").is_some() {
        return Verdict::Skip;
    }
    let counted = text.lines().any(|line| line.split_whitespace().take(5).eq(["tests", "1", "1", "1", "0"]));
    if code == Some(0) && counted {
        return Verdict::Pass;
    }
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output").trim();
    Verdict::Fail(format!("exit {code:?}: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_decide() {
        let ran = "Run Summary: Type Total Ran Passed Failed Inactive\n  tests  1  1  1  0  0\n";
        assert_eq!(judge(Some(0), ran), Verdict::Pass);
        assert_eq!(judge(Some(124), ran), Verdict::Hung);
        assert_eq!(judge(Some(0), &format!("[SKIPPED] no such command\n{ran}")), Verdict::Skip);
        assert_eq!(judge(Some(0), "[FAILED] lba 7"), Verdict::Fail("[FAILED] lba 7".into()));
        assert_eq!(judge(Some(1), "\nlogin failed\n"), Verdict::Fail("exit Some(1): login failed".into()));
    }
}
