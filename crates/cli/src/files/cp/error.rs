//! Why something was not copied.

use std::io;
use std::path::{Path, PathBuf};

use block::BlockError;
use rustix::io::Errno;

/// Why a file was not copied. The copy goes on with the next one, unless [`CopyError::ends_all`].
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// It cannot be read.
    #[error("{0}")]
    Volume(#[from] ocfs2::Error),
    /// It cannot be written.
    #[error("{what} {}", path.display())]
    Here {
        /// What was done: "writing" …
        what: &'static str,
        /// To what on this host.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A directory is in the way.
    #[error("{} is a directory: what is none is not copied over it", .0.display())]
    OverDirectory(PathBuf),
    /// Something else is where a directory should be.
    #[error("{} is there and is no directory: a directory is not copied over it", .0.display())]
    OverFile(PathBuf),
    /// Two sources of one command have the same name.
    #[error("{} was just copied from another source of the same name", .0.display())]
    Twice(PathBuf),
    /// Another process copies the same file to the same place.
    #[error("another oxsan cp is at work on {}", .0.display())]
    Locked(PathBuf),
    /// The volume is in use elsewhere.
    #[error("it changed on the volume while it was copied: the same command copies it anew")]
    Changed,
    /// The file was copied, but for this.
    #[error("copied without its attribute {name}: the destination has no room for its {len} bytes")]
    Misfit {
        /// Its name.
        name: String,
        /// Length of its value, in bytes.
        len: usize,
    },
    /// A directory without -r.
    #[error("it is a directory: -r copies it with all that is in it")]
    NeedsRecursive,
}

impl CopyError {
    /// Whether every other file would fail in the same way.
    pub(super) fn ends_all(&self) -> bool {
        match self {
            Self::Volume(ocfs2::Error::Device(error)) => matches!(**error, BlockError::Unreachable { .. }),
            Self::Here { source, .. } => {
                use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
                matches!(source.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
            }
            _ => false,
        }
    }

    /// What an operator can do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Volume(error) => error.hint(),
            Self::Here { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("make room there; the same command goes on from here")
                }
                io::ErrorKind::PermissionDenied => Some("copy to a directory of your own, or run as root"),
                _ => None,
            },
            Self::Changed => Some("copy while no other host writes to the volume"),
            _ => None,
        }
    }
}

/// Says what was done to which path when it fails.
pub(super) trait At<T> {
    /// Names both.
    fn at(self, what: &'static str, path: &Path) -> Result<T, CopyError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, CopyError> {
        self.map_err(|source| CopyError::Here { what, path: path.into(), source })
    }
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, CopyError> {
        self.map_err(io::Error::from).at(what, path)
    }
}
