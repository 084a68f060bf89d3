//! What can go wrong with a disk.

use std::fmt;
use std::io;

/// The operation an error belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Opening the device.
    Open,
    /// A read.
    Read,
    /// A write.
    Write,
    /// A flush.
    Flush,
    /// A discard.
    Discard,
    /// Writing zeroes.
    WriteZeroes,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Discard => "discard",
            Self::WriteZeroes => "write-zeroes",
        })
    }
}

/// A range in a message; nothing for what has none, such as a flush.
struct Range(u64, u64);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(_, 0) => Ok(()),
            Self(offset, len) => write!(f, " of {len} bytes at byte {offset}"),
        }
    }
}

/// An error of a [`BlockDevice`](crate::BlockDevice). Offsets, lengths and sizes are bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Offset or length is no multiple of the logical block.
    #[error("{device}: {len} bytes at byte {offset} is not a multiple of the {grain}-byte block")]
    Misaligned {
        /// The device.
        device: String,
        /// Start of the request.
        offset: u64,
        /// Length of the request.
        len: u64,
        /// The grain it missed.
        grain: u32,
    },
    /// The range reaches past the end.
    #[error("{device}: {len} bytes at byte {offset} reach past its end at byte {size}")]
    OutOfRange {
        /// The device.
        device: String,
        /// Start of the request.
        offset: u64,
        /// Length of the request.
        len: u64,
        /// Size of the device.
        size: u64,
    },
    /// A write to a device that was opened for reading.
    #[error("{device} is read-only")]
    ReadOnly {
        /// The device.
        device: String,
    },
    /// The write could only be done by reading, changing and writing back a larger piece.
    #[error("{device}: writing {len} bytes at byte {offset} would rewrite the {grain}-byte block around it")]
    WouldReadModifyWrite {
        /// The device.
        device: String,
        /// Start of the request.
        offset: u64,
        /// Length of the request.
        len: u64,
        /// What the file system below can write directly.
        grain: u32,
    },
    /// The device could not be opened.
    #[error("{device}: cannot open it")]
    Open {
        /// The device.
        device: String,
        /// The system's word.
        source: io::Error,
    },
    /// The path names something that is no disk.
    #[error("{device} is {what}, not a regular file or a block device")]
    NotADisk {
        /// The path.
        device: String,
        /// What it is: "a directory", "a socket" …
        what: &'static str,
    },
    /// Somebody else has the device, and it was to be opened for one holder alone.
    #[error("{device} is in use")]
    Busy {
        /// The device.
        device: String,
    },
    /// A write of memory that nobody has filled since an earlier request used it: a bug of the caller, and what
    /// is in that memory may belong to another volume.
    #[error("{device}: the buffer to write at byte {offset} was never filled")]
    StaleBuffer {
        /// The device.
        device: String,
        /// Start of the request.
        offset: u64,
    },
    /// The device cannot do this.
    #[error("{device}: {op} is not supported: {why}")]
    Unsupported {
        /// The device.
        device: String,
        /// What was asked.
        op: Op,
        /// Why not.
        why: &'static str,
    },
    /// The connection to the device is gone and was not back in time.
    #[error("{device} is not reachable: {why}")]
    Unreachable {
        /// The device.
        device: String,
        /// What happened.
        why: String,
    },
    /// The device, or the system below it, failed the request.
    #[error("{device}: {op}{} failed", Range(*offset, *len))]
    Io {
        /// The device.
        device: String,
        /// What was asked.
        op: Op,
        /// Start of the request.
        offset: u64,
        /// Length of the request.
        len: u64,
        /// The system's word.
        source: io::Error,
    },
}

impl BlockError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ReadOnly { .. } => Some("open the device for writing, or mount with -o ro"),
            Self::WouldReadModifyWrite { .. } => {
                Some("put the volume on storage with a smaller block, or format it with a larger one")
            }
            Self::Unreachable { .. } => {
                Some("check the network to the target and that the target serves the LUN")
            }
            Self::OutOfRange { .. } => {
                Some("the device is smaller than what was made on it: was it truncated?")
            }
            Self::Busy { .. } => {
                Some("it is mounted, served or opened elsewhere: lsof or fuser name the holder")
            }
            Self::Open { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some("check the path"),
                io::ErrorKind::PermissionDenied => Some("run as root, or give this user access to the file"),
                io::ErrorKind::ReadOnlyFilesystem => Some("open it read-only"),
                _ => None,
            },
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => {
                    Some("the filesystem that holds the file is full: make room there")
                }
                io::ErrorKind::UnexpectedEof => {
                    Some("the file is shorter than it was: restore it from a copy")
                }
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_a_range_only_where_there_is_one() {
        let error = |op, len| BlockError::Io {
            device: "/dev/sda".into(),
            op,
            offset: 512,
            len,
            source: io::ErrorKind::StorageFull.into(),
        };
        assert_eq!(error(Op::Write, 4096).to_string(), "/dev/sda: write of 4096 bytes at byte 512 failed");
        assert_eq!(error(Op::Flush, 0).to_string(), "/dev/sda: flush failed");
        assert!(error(Op::Write, 512).hint().is_some_and(|hint| hint.contains("full")));
    }
}
