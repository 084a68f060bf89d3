//! Programs for nodes and for the host side: oxsan itself, small C tools, and servers that end with the test.

use crate::{LabError, tool};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Builds the `oxsan` program for release, linked statically, so that it runs in a node too (a moment when it is built
/// already), and answers with its path.
///
/// # Errors
/// When cargo fails.
pub fn build_oxsan() -> Result<PathBuf, LabError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // From the root, because CARGO_TARGET_DIR may be relative to it.
    let path = tool::output(Command::new("scripts/build-static").current_dir(&root))?;
    Ok(PathBuf::from(path.trim()))
}

/// Compiles a C program statically, so that it runs in a node.
///
/// # Errors
/// When the compiler fails.
pub fn build_c(source: &Path, program: &Path) -> Result<(), LabError> {
    tool::output(Command::new("cc").args(["-O2", "-static", "-w", "-o"]).arg(program).arg(source)).map(drop)
}

/// A program that runs beside the test and is killed with it.
#[derive(Debug)]
pub struct HostProgram {
    child: Child,
}

impl HostProgram {
    /// Starts it, its output to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self, LabError> {
        let out = std::fs::File::create(log).map_err(LabError::io("creating", log))?;
        let err = out.try_clone().map_err(LabError::io("opening", log))?;
        let name = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        Ok(Self { child: child.map_err(LabError::io("starting", name))? })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM), waits up to ten seconds, and says whether it ended with status 0.
    pub fn end(mut self) -> bool {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        wait_until(Duration::from_secs(10), || !self.running())
            && self.child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for HostProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until the answer is yes; `false` when the time is over before.
pub fn wait_until(timeout: Duration, mut yes: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + timeout;
    while !yes() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
