//! fio on a mount of ours: what it writes carries checksums, and it reads all of it again.

use crate::{LabError, Mounted};
use std::path::Path;
use std::process::{Command, Stdio};

/// The program: Debian's.
pub const PROGRAM: &str = "/usr/bin/fio";

/// Runs `suites/verify.fio`; what it printed.
///
/// # Errors
/// With fio's words, when something read was not what was written.
pub fn verify(on: &Mounted) -> Result<String, LabError> {
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/verify.fio");
    let out = Command::new(PROGRAM)
        .arg(job)
        .env("MOUNT", on.path())
        .current_dir(on.beside())
        .stdin(Stdio::null())
        .output()
        .map_err(LabError::io("starting", PROGRAM))?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        return Err(LabError::Fault { by: "fio", said: said + &String::from_utf8_lossy(&out.stderr) });
    }
    Ok(said)
}
