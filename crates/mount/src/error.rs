//! What can go wrong with a mount.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::SessionEnd;

/// An error while a session begins.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The kernel's FUSE is before 7.31.
    #[error("the kernel speaks FUSE {major}.{minor}; 7.31 (Linux 5.4) or later is needed")]
    OldKernel {
        /// Its major version.
        major: u32,
        /// Its minor version.
        minor: u32,
    },
    /// The mount went away before it was usable.
    #[error("the mount was gone before the kernel had introduced itself ({0:?})")]
    EndedEarly(SessionEnd),
    /// The device failed.
    #[error("writing to /dev/fuse")]
    Device(#[source] Errno),
    /// No thread to read requests with.
    #[error("starting a thread to read requests with")]
    Thread(#[source] io::Error),
}

/// An error of mounting or unmounting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The mount point cannot be used.
    #[error("mount point {}", dir.display())]
    MountPoint {
        /// The directory as it was given.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The mount point is no directory.
    #[error("mount point {} is not a directory", dir.display())]
    NotADirectory {
        /// The path as it was given.
        dir: PathBuf,
    },
    /// The FUSE device cannot be opened.
    #[error("opening /dev/fuse")]
    Device(#[source] io::Error),
    /// mount(2) refused.
    #[error("mounting on {}", dir.display())]
    Mount {
        /// The mount point.
        dir: PathBuf,
        /// The kernel's word.
        source: Errno,
    },
    /// fusermount3 cannot be run.
    #[error("running fusermount3")]
    NoFusermount(#[source] io::Error),
    /// fusermount3 refused; its own words are on the terminal.
    #[error("fusermount3 did not mount on {} (exit status {status})", dir.display())]
    Fusermount {
        /// The mount point.
        dir: PathBuf,
        /// Its exit status; -1 when it was killed.
        status: i32,
    },
    /// fusermount3 ended without handing the device over.
    #[error("fusermount3 handed no device over for {}", dir.display())]
    NoDescriptor {
        /// The mount point.
        dir: PathBuf,
    },
    /// The mount cannot be found in the kernel's table.
    #[error("reading /proc/self/mountinfo")]
    MountInfo(#[source] io::Error),
    /// Unmounting was refused.
    #[error("unmounting {}", dir.display())]
    Unmount {
        /// The mount point.
        dir: PathBuf,
        /// Why.
        source: Errno,
    },
}

impl SessionError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OldKernel { .. } => Some("oxsan ls, cat and cp read the volume without a mount"),
            _ => None,
        }
    }
}

impl MountError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::MountPoint { source, .. } if source.kind() == io::ErrorKind::NotConnected => {
                Some("a mount whose daemon died is in the way: umount it first")
            }
            Self::MountPoint { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("make the directory first")
            }
            Self::Device(source) if source.kind() == io::ErrorKind::NotFound => {
                Some("load the kernel's fuse module: modprobe fuse")
            }
            Self::NoFusermount(_) => Some("install fuse3, or run as root"),
            Self::Unmount { source: Errno::BUSY, .. } => {
                Some("a process works below it: see lsof or fuser -m")
            }
            _ => None,
        }
    }
}
