//! What can go wrong around a machine; what goes wrong inside it is in its [`crate::Report`].

use std::io;
use std::path::PathBuf;

/// Why the lab could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Namespaces, taps and the bridge need root.
    #[error("the kernel lab needs root: it makes a network namespace with a bridge and taps")]
    NotRoot,
    /// Programs the lab calls are not there.
    #[error("the kernel lab misses {}", programs.join(", "))]
    Missing {
        /// Paths of the programs that were looked for.
        programs: Vec<String>,
    },
    /// A program that the lab calls failed.
    #[error("{program} ended with {status}: {stderr}")]
    Program {
        /// The command line's first word.
        program: String,
        /// Its exit status in words.
        status: String,
        /// The last line it wrote to standard error.
        stderr: String,
    },
    /// A program whose part it is to judge found a fault.
    #[error("{by} found a fault:\n{said}")]
    Fault {
        /// The program that says so.
        by: &'static str,
        /// What it says.
        said: String,
    },
    /// A file or directory of the lab could not be used.
    #[error("{what} {}", path.display())]
    Io {
        /// What was being done, as "reading" or "creating".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The Debian kernel package named no kernel.
    #[error("linux-image-amd64 names no kernel package: is this Debian, and does `apt-get update` work?")]
    NoKernelPackage,
    /// A node number outside the lab's taps.
    #[error("node {node}: the lab has nodes 0 to {last}")]
    NoSuchNode {
        /// The number asked for.
        node: u8,
        /// The largest there is.
        last: u8,
    },
}

impl LabError {
    /// What the user may do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotRoot => Some("run as root, or leave these tests out with `make quick`"),
            Self::Missing { .. } => Some("`./scripts/install-deps test` installs what is missing"),
            Self::NoKernelPackage => {
                Some("the lab unpacks Debian 12's kernel; it needs its package lists once")
            }
            _ => None,
        }
    }

    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
