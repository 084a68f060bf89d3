//! Programs of others that try a mounted filesystem, each of a version that is known: installed from crates.io, once.

use crate::{LabError, tool};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of crates.io.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// POSIX, system call by system call.
    Pjdfstest,
    /// Random operations on one file, each read compared with what must be there.
    Fsx,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Pjdfstest, Self::Fsx];

    fn name(self) -> &'static str {
        match self {
            Self::Pjdfstest => "pjdfstest",
            Self::Fsx => "fsx",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Pjdfstest => "0.2.2",
            Self::Fsx => "0.3.2",
        }
    }

    /// The program in the build directory `target`, compiled where it is not there yet: some minutes, once.
    ///
    /// # Errors
    /// When cargo fails: without a network, say.
    pub fn ready(self, target: &Path) -> Result<PathBuf, LabError> {
        let root = target.join("suites").join(format!("{}-{}", self.name(), self.version()));
        let program = root.join("bin").join(self.name());
        if !program.exists() {
            let package = format!("{}@{}", self.name(), self.version());
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["install", "--locked", "--quiet", "--root"]).arg(&root).arg(package);
            // In a build directory of its own: other features of the same packages would build ours again.
            tool::output(cargo.env("CARGO_TARGET_DIR", target.join("suites/build")))?;
        }
        Ok(program)
    }
}
