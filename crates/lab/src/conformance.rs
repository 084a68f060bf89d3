//! libiscsi's conformance suite (`iscsi-test-cu`, Debian's libiscsi-bin) against our target, test by test, so that
//! one that hangs costs its own time only.
//!
//! It is run over one path, and over two, which makes the suite's multipath tests run. What it tries on read-only
//! disks alone runs on a LUN of that kind.

use crate::{HostProgram, LabError, tool, wait_until};
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The suite's program.
pub const PROGRAM: &str = "/usr/bin/iscsi-test-cu";

/// Long enough for any of the suite's tests on a loaded machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Families that run in one go. A test of theirs looks at a variable that another one has set, so it fails by itself
/// on any target: `LUNResetSimpleAsync` of libiscsi 1.19 takes itself for disconnected until `AbortTaskSimpleAsync`
/// has run in the same process.
const TOGETHER: &[&str] = &["ALL.iSCSITMF"];

/// A family that has something to try on a read-only disk alone.
const READ_ONLY: &str = "ALL.ReadOnly.";

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

/// A target of ours on loopback with two portals, and two LUNs of 100 MiB, the second one read-only; gone when
/// dropped.
#[derive(Debug)]
pub struct TargetOnLoopback {
    _program: HostProgram,
    _dir: tempfile::TempDir,
    portals: [SocketAddr; 2],
}

impl TargetOnLoopback {
    const IQN: &str = "iqn.2026-01.test.oxsan:conformance";

    /// Starts `oxsan target serve` on free ports and waits until it listens.
    ///
    /// # Errors
    /// When it does not start, or does not listen within ten seconds.
    pub fn start(oxsan: &Path) -> Result<Self, LabError> {
        let dir = tempfile::tempdir().map_err(LabError::io("creating in", std::env::temp_dir()))?;
        let mut command = Command::new(oxsan);
        command.args(["target", "serve", "--iqn", Self::IQN]);
        // Both are bound before either is let go: they differ.
        let free = || TcpListener::bind("127.0.0.1:0").map_err(LabError::io("binding", "127.0.0.1"));
        let sockets = [free()?, free()?];
        let address =
            |socket: &TcpListener| socket.local_addr().map_err(LabError::io("binding", "127.0.0.1"));
        let portals = [address(&sockets[0])?, address(&sockets[1])?];
        drop(sockets);
        for portal in portals {
            command.args(["--portal", &portal.to_string()]);
        }
        for (name, options) in [("lun", ""), ("read-only", ",ro")] {
            let lun = dir.path().join(name);
            std::fs::File::create(&lun)
                .and_then(|file| file.set_len(100 << 20))
                .map_err(LabError::io("creating", &lun))?;
            command.args(["--lun", &format!("{}{options}", lun.display())]);
        }
        let log = dir.path().join("log");
        let mut program = HostProgram::start(&mut command, &log)?;
        let listens = || portals.iter().all(|portal| TcpStream::connect(portal).is_ok());
        if !wait_until(Duration::from_secs(10), || listens() || !program.running()) || !program.running() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(LabError::Program {
                program: format!("{} target serve", oxsan.display()),
                status: "no listening portal".into(),
                stderr: said.lines().last().unwrap_or("no message").to_owned(),
            });
        }
        Ok(Self { _program: program, _dir: dir, portals })
    }

    /// The addresses of a LUN over its first `paths` paths, as libiscsi writes them.
    #[must_use]
    pub fn urls(&self, lun: u8, paths: usize) -> Vec<String> {
        let url = |portal| format!("iscsi://{portal}/{}/{lun}", Self::IQN);
        self.portals.iter().take(paths).map(url).collect()
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

/// Runs the tests that `only` names (all when empty) over so many paths (1 or 2), each told to `say` with its outcome
/// in a line.
///
/// # Errors
/// When target or suite cannot be started.
pub fn run(
    oxsan: &Path,
    only: &[String],
    paths: usize,
    say: &mut dyn FnMut(&str),
) -> Result<Outcome, LabError> {
    let target = TargetOnLoopback::start(oxsan)?;
    let mut outcome = Outcome::default();
    for batch in batches(tests(only)?) {
        let lun = u8::from(batch.what.starts_with(READ_ONLY));
        let (code, text) = execute(&batch.what, &target.urls(lun, paths))?;
        for test in &batch.tests {
            match judge(test, code, &text) {
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
    }
    Ok(outcome)
}

/// Tests that one run of the program does.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    /// A test or a whole family, as the program is told.
    what: String,
    tests: Vec<String>,
}

/// One test each, but for the families that go together.
fn batches(tests: Vec<String>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for test in tests {
        let family = test.rsplit_once('.').map_or("", |(family, _)| family);
        if TOGETHER.contains(&family) {
            if let Some(batch) = batches.iter_mut().find(|batch| batch.what == family) {
                batch.tests.push(test);
                continue;
            }
            batches.push(Batch { what: family.to_owned(), tests: vec![test] });
        } else {
            batches.push(Batch { what: test.clone(), tests: vec![test] });
        }
    }
    batches
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Skip,
    Hung,
    Fail(String),
}

/// Exit status and output of the suite's program.
fn execute(what: &str, urls: &[String]) -> Result<(Option<i32>, String), LabError> {
    let out = Command::new("timeout")
        .arg(LIMIT.as_secs().to_string())
        .arg(PROGRAM)
        .args(["--dataloss", "--allow-sanitize", "--fail", &format!("--test={what}")])
        .args(urls)
        .stdin(Stdio::null())
        .output()
        .map_err(LabError::io("starting", PROGRAM))?;
    let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
    text += &String::from_utf8_lossy(&out.stderr);
    Ok((out.status.code(), text))
}

/// The verdict on one test of a run. The program's exit status says little: the words behind the test's name decide.
/// What it logs as `[FAILED]` is a command that failed, which may be just what the test wants; its own last word is
/// `passed` or `FAILED`.
fn judge(test: &str, code: Option<i32>, text: &str) -> Verdict {
    let name = test.rsplit('.').next().unwrap_or(test);
    let begin = format!("Test: {name} ...");
    let section = text.split_once(&begin).map_or("", |(_, rest)| rest);
    let section = section.split("  Test: ").next().unwrap_or_default();
    let section = section.split("Run Summary:").next().unwrap_or_default();
    let mut lines = section.lines().map(str::trim);
    let failed = |line: &str| line == "FAILED";
    let line = |word: &str| section.lines().find(|line| line.contains(word)).map(str::trim);
    match lines.rfind(|line| *line == "passed" || failed(line)) {
        Some("passed") if line("SKIPPED").is_some() => Verdict::Skip,
        Some("passed") => Verdict::Pass,
        Some(word) => Verdict::Fail(line("  - ").or_else(|| line("[FAILED]")).unwrap_or(word).to_owned()),
        None if code == Some(124) => Verdict::Hung,
        None => {
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output").trim();
            Verdict::Fail(format!("exit {code:?}: {last}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_decide() {
        let verdict = |body: &str| {
            let text = format!(
                "Suite: S\n  Test: A ...passed\n  Test: B ...{body}\n  Test: C ...FAILED\n\nRun Summary:\n"
            );
            judge("ALL.S.B", Some(0), &text)
        };
        let fail = |why: &str| Verdict::Fail(why.into());
        assert_eq!(verdict("passed"), Verdict::Pass);
        assert_eq!(verdict("    [FAILED] WRITE10 failed, as it should\npassed"), Verdict::Pass);
        assert_eq!(verdict("    [SKIPPED] no such command\npassed"), Verdict::Skip);
        assert_eq!(
            verdict("FAILED\n    1. test.c:157  - CU_ASSERT(x)"),
            fail("1. test.c:157  - CU_ASSERT(x)")
        );
        assert_eq!(verdict("    [FAILED] lba 7\nFAILED"), fail("[FAILED] lba 7"));
        assert_eq!(judge("ALL.S.C", Some(0), "  Test: C ...FAILED\n\nRun Summary:"), fail("FAILED"));
        assert_eq!(judge("ALL.S.B", Some(124), "  Test: B ...    [FAILED] so far\n"), Verdict::Hung);
        assert_eq!(judge("ALL.S.B", Some(1), "\nlogin failed\n"), fail("exit Some(1): login failed"));
    }

    #[test]
    fn families_that_belong_together_stay_together() {
        let tests = ["ALL.Read10.Simple", "ALL.iSCSITMF.A", "ALL.iSCSITMF.B", "ALL.Read10.Last"];
        let all = batches(tests.map(str::to_owned).to_vec());
        let whats: Vec<&str> = all.iter().map(|batch| batch.what.as_str()).collect();
        assert_eq!(whats, ["ALL.Read10.Simple", "ALL.iSCSITMF", "ALL.Read10.Last"]);
        assert_eq!(all[1].tests, ["ALL.iSCSITMF.A", "ALL.iSCSITMF.B"]);
    }
}
