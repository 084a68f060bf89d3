//! Calling other programs and saying what they said when they fail.

use crate::LabError;
use std::process::{Command, Stdio};

/// Runs a program to its end; its standard output, or an error with its last words.
pub(crate) fn output(command: &mut Command) -> Result<String, LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output().map_err(LabError::io("starting", &program))?;
    if !out.status.success() {
        return Err(LabError::Program {
            program,
            status: out.status.to_string(),
            stderr: String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or("no message").to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// `program args…`, split at blanks: for fixed command lines without quoting.
pub(crate) fn words(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("false"));
    command.args(words);
    command.env("PATH", PATH);
    command
}

/// Debian keeps half of what the lab calls where a user's PATH does not look.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
