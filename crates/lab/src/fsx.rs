//! fsx on a mount of ours: random operations on one file, and after each one the file is what it must be.

use crate::{LabError, Mounted, tool};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the file is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the page cache.
    Buffered,
    /// Past it, a page at a time and more.
    Direct,
    /// Through shared mappings too.
    Mapped,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Buffered, Self::Direct, Self::Mapped];

    /// Relative frequencies. Every way cuts, lengthens, allocates and punches, and reopens the file.
    fn config(self) -> String {
        let (map, align, allocate) = match self {
            Self::Buffered => (0, 1, 2),
            // Aligned, fsx 0.3.2 allocates ranges of no bytes too, which is an error everywhere.
            Self::Direct => (0, 4096, 0),
            Self::Mapped => (10, 1, 2),
        };
        format!(
            "flen = 3145728\n[opsize]\nmax = 262144\nalign = {align}\n[weights]\nclose_open = 1\nread = 10\nwrite = 10\n\
             mapread = {map}\nmapwrite = {map}\ninvalidate = {}\ntruncate = 4\nfsync = 0.2\nfdatasync = 0.2\n\
             posix_fallocate = {allocate}\npunch_hole = 4\nsendfile = 1\nposix_fadvise = 1\ncopy_file_range = 2\n",
            u8::from(map > 0)
        )
    }
}

/// Runs `operations` operations of the sequence `seed`.
///
/// # Errors
/// With fsx's last words, when the file was not what it must be.
pub fn run(fsx: &Path, on: &Mounted, way: Way, seed: u64, operations: u64) -> Result<(), LabError> {
    let name = format!("fsx-{way:?}-{seed}");
    let config = on.beside().join(&name);
    std::fs::write(&config, way.config()).map_err(LabError::io("writing", &config))?;
    let mut command = Command::new(fsx);
    command.arg("-S").arg(seed.to_string()).arg("-N").arg(operations.to_string());
    command.arg("-f").arg(&config).arg("-P").arg(on.beside()).arg(on.path().join(&name));
    if way == Way::Direct {
        command.env("LD_PRELOAD", direct(on.beside())?).env("DIRECT", on.path());
    }
    let out = command.stdin(Stdio::null()).output().map_err(LabError::io("starting", fsx))?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n");
    Err(LabError::Fault { by: "fsx", said: last })
}

/// Last lines of what fsx says when it fails: the operations before.
const LINES: usize = 60;

/// The library that makes a program's files direct.
fn direct(dir: &Path) -> Result<PathBuf, LabError> {
    let (source, library) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/direct.c"), dir.join("direct.so"));
    if !library.exists() {
        tool::output(Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source))?;
    }
    Ok(library)
}
