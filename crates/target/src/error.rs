//! What can go wrong when a target is set up or served.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use block::BlockError;
use scsi::Lun;

/// A disk that cannot be a unit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// A block size that units do not have.
    #[error("LUN {lun}: blocks of {block} bytes are not served")]
    BlockSize {
        /// The unit.
        lun: Lun,
        /// Bytes of a block asked for.
        block: u32,
    },
    /// The disk's own blocks are larger.
    #[error("LUN {lun}: {device} has blocks of {needs} bytes, so it cannot serve blocks of {block}")]
    DeviceBlock {
        /// The unit.
        lun: Lun,
        /// The disk.
        device: String,
        /// Bytes of a block asked for.
        block: u32,
        /// Bytes of the disk's block.
        needs: u32,
    },
    /// There is not one block.
    #[error("LUN {lun}: {device} has {size} bytes, less than one block of {block}")]
    TooSmall {
        /// The unit.
        lun: Lun,
        /// The disk.
        device: String,
        /// Its size in bytes.
        size: u64,
        /// Bytes of a block.
        block: u32,
    },
}

impl UnitError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BlockSize { .. } => Some("use bs=512 or bs=4096"),
            Self::DeviceBlock { .. } => Some("add bs=4096 to the LUN"),
            Self::TooSmall { .. } => Some("give the file a size with size=, e.g. size=10G"),
        }
    }
}

/// A target that cannot be set up or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The disk of a LUN cannot be opened.
    #[error("LUN {lun} cannot be opened")]
    Open {
        /// The unit.
        lun: Lun,
        /// Why.
        source: BlockError,
    },
    /// The disk of a LUN cannot be a unit.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// Two LUNs of one number.
    #[error("LUN {lun} is given twice")]
    LunTwice {
        /// The number.
        lun: Lun,
    },
    /// Two LUNs on one file or device, of which one may write.
    #[error("LUN {first} and LUN {second} are both {}", path.display())]
    PathTwice {
        /// One unit.
        first: Lun,
        /// The other.
        second: Lun,
        /// What both would serve.
        path: PathBuf,
    },
    /// More LUNs than can be served.
    #[error("{count} LUNs are too many; at most {most} can be served")]
    TooManyLuns {
        /// How many were asked for.
        count: usize,
        /// How many there can be.
        most: usize,
    },
    /// No LUN at all.
    #[error("there is no LUN to serve")]
    NoLun,
    /// A name that is no iSCSI name.
    #[error("`{name}` is no iSCSI name")]
    Name {
        /// As given.
        name: String,
    },
    /// A portal that anybody could use.
    #[error("portal {portal} would be open to everybody who can reach it")]
    OpenPortal {
        /// The address.
        portal: SocketAddr,
    },
    /// A portal cannot be opened.
    #[error("portal {portal} cannot be opened")]
    Bind {
        /// The address.
        portal: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A CHAP secret of a wrong length.
    #[error("the CHAP secret of `{user}` has {len} bytes; it must have 12 to 256")]
    SecretLength {
        /// The CHAP name.
        user: String,
        /// Bytes of the secret.
        len: usize,
    },
    /// Both sides would prove themselves with one secret, which lets an attacker play one against the other.
    #[error("the CHAP secrets of `{user}` and `{target}` are the same")]
    SameSecret {
        /// Name that initiators use.
        user: String,
        /// Name that the target uses.
        target: String,
    },
    /// A mutual secret without a one-way one.
    #[error("mutual CHAP for `{target}` needs a CHAP user for the initiators as well")]
    MutualAlone {
        /// Name that the target uses.
        target: String,
    },
}

impl TargetError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { source, .. } => source.hint(),
            Self::Unit(error) => error.hint(),
            Self::LunTwice { .. } => Some("number the LUNs with lun=N, or leave the numbers out"),
            Self::PathTwice { .. } => {
                Some("serve one file under one LUN, or make all of them read-only with ro")
            }
            Self::NoLun => Some("add --lun FILE"),
            Self::Name { .. } => Some("use a name like iqn.2026-01.com.example:disk1"),
            Self::OpenPortal { .. } => {
                Some("ask for CHAP (--chap), allow initiators by name (--allow), or say --insecure")
            }
            Self::Bind { .. } => Some("is the address this machine's, and is nothing else listening there?"),
            Self::SecretLength { .. } => Some("RFC 7143 asks for secrets of at least 96 bits"),
            Self::SameSecret { .. } => Some("choose another secret for one of the two"),
            Self::MutualAlone { .. } => Some("add --chap"),
            Self::TooManyLuns { .. } => None,
        }
    }
}
