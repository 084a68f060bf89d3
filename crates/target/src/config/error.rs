//! What can be wrong with what is to be served.

use std::io;
use std::path::PathBuf;

use block::BlockError;

use crate::error::TargetError;

/// Something in the command line or the file that cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A LUN that cannot be read.
    #[error("`{text}`: {what}")]
    Lun {
        /// As given.
        text: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A portal that is no address.
    #[error("`{text}` is no address with a port")]
    Portal {
        /// As given.
        text: String,
    },
    /// A CHAP user that cannot be read; what was given is not shown, for it may hold a secret.
    #[error("a CHAP user is `NAME:FILE` or `NAME%SECRET`")]
    Chap,
    /// A file that others can read.
    #[error("{} holds a secret, and others can read it (mode {mode:03o})", path.display())]
    SecretMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that is not what it should be.
    #[error("{what} {} failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A file to be served that is not there.
    #[error("there is no file {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Whether it was to be served read-only, and so cannot be made.
        read_only: bool,
    },
    /// The size given is more than a file has that cannot grow.
    #[error("{} has {have} bytes, less than size={want}, and ro keeps it from growing", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// Its size.
        have: u64,
        /// The size given.
        want: u64,
    },
    /// The size given is not the one a file or device has.
    #[error("{} has {have} bytes, which is more than size={want}", path.display())]
    Shrink {
        /// The file.
        path: PathBuf,
        /// Its size.
        have: u64,
        /// The size given.
        want: u64,
    },
    /// A size that is no whole number of blocks.
    #[error("{}: a size of {size} bytes is no multiple of the {block}-byte block", path.display())]
    SizeGrain {
        /// The file.
        path: PathBuf,
        /// The size given.
        size: u64,
        /// Bytes of a block.
        block: u32,
    },
    /// A disk that cannot be opened.
    #[error("{} cannot be served", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BlockError,
    },
    /// A configuration file that is no TOML, or has keys that mean nothing.
    #[error("{}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What the parser says: line and key.
        message: String,
    },
    /// What was read cannot be served.
    #[error(transparent)]
    Target(Box<TargetError>),
}

impl ConfigError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lun { .. } => Some("a LUN is FILE[,ro][,size=100G][,bs=4096][,serial=TEXT][,lun=N]"),
            Self::Portal { .. } => Some("a portal is ADDRESS:PORT, like 127.0.0.1:3260 or [::1]:3260"),
            Self::Chap => Some("keep the secret in a file that only you can read: --chap NAME:FILE"),
            Self::SecretMode { .. } => Some("chmod 600 the file"),
            Self::Missing { read_only: true, .. } => {
                Some("check the path: a read-only LUN serves a file that is there")
            }
            Self::Missing { read_only: false, .. } => {
                Some("check the path, or add size= to have the file made")
            }
            Self::Short { .. } => Some("leave size= out to serve the file as it is, or leave ro out"),
            Self::Shrink { .. } => {
                Some("leave size= out to serve the file as it is; files are never shortened")
            }
            Self::SizeGrain { .. } => Some("choose a multiple of the block size"),
            Self::Disk { source, .. } => source.hint(),
            Self::Target(error) => error.hint(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Some("check the path"),
            Self::Io { .. } | Self::Toml { .. } => None,
        }
    }
}
