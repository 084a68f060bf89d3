//! What keeps an initiator from a target or a LUN.

use std::io;
use std::net::SocketAddr;

use iscsi::SessionError;
use iscsi::pdu::TaskResponse;
use iscsi::text::TextError;
use scsi::{Lun, ParseError, Sense, Status};

use crate::{PortalError, ResolveError};

/// The end of one connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The socket failed.
    #[error("the connection broke: {0}")]
    Socket(#[from] io::Error),
    /// The target closed it.
    #[error("the target closed the connection")]
    Closed,
    /// The target closed it within a PDU.
    #[error("the target closed the connection in the middle of a pdu")]
    ClosedInPdu,
    /// The protocol ended it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A command was not answered.
    #[error("a command was not answered within {seconds} s")]
    CommandTimeout {
        /// The limit.
        seconds: u64,
    },
    /// The target asked for a logout, and got it.
    #[error("the target asked for a logout")]
    LogoutWanted,
    /// A logout that was refused.
    #[error("the target refused the logout with response {response}")]
    LogoutRefused {
        /// RFC 7143, 11.15.1.
        response: u8,
    },
    /// A reset of the unit that was refused.
    #[error("the target refused to reset the unit: {response:?}")]
    ResetRefused {
        /// RFC 7143, 11.6.1.
        response: TaskResponse,
    },
}

impl ConnectionError {
    /// Whether the target broke the protocol, rather than the network the connection.
    pub(crate) fn is_fault(&self) -> bool {
        use SessionError::{Frame, Pdu, Text, Unexpected};
        matches!(self, Self::Session(Frame(_) | Pdu(_) | Text { .. } | Unexpected { .. }))
    }

    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Session(error) => error.hint(),
            Self::Socket(_) | Self::Closed | Self::ClosedInPdu => {
                Some("is this the port of an iscsi target, and may this host use it?")
            }
            _ => None,
        }
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A host has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// No connection to an address.
    #[error("cannot connect to {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// No connection within the time.
    #[error("{address} does not answer within {seconds} s")]
    TcpTimeout {
        /// The address.
        address: SocketAddr,
        /// The limit.
        seconds: u64,
    },
    /// What we would have to say at login cannot be said.
    #[error("login")]
    Config(#[from] TextError),
    /// The login did not succeed.
    #[error("login at {address}")]
    Login {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: ConnectionError,
    },
    /// A redirection to something that is no portal.
    #[error("{address} redirects the login to `{to}`")]
    Redirect {
        /// The address.
        address: SocketAddr,
        /// Where it points.
        to: String,
        /// What is wrong with it.
        source: PortalError,
    },
    /// One redirection after the other.
    #[error("the login was redirected {count} times")]
    Redirects {
        /// How often.
        count: usize,
    },
    /// A session with another portal group than the one where changes were in flight, too early.
    #[error(
        "{address} is of another portal group than {old}, where writes may still be under way; it is left alone for \
         {seconds} s"
    )]
    OtherGroup {
        /// The new session's portal.
        address: SocketAddr,
        /// The portal whose connection died.
        old: SocketAddr,
        /// The limit.
        seconds: u64,
    },
    /// Changes may be in flight at another portal group, and the unit cannot be reset to end them.
    #[error("{address} does not end what may still be under way at {old}")]
    Unfenced {
        /// The new session's portal.
        address: SocketAddr,
        /// The portal whose connection died.
        old: SocketAddr,
        /// Why.
        source: Box<ConnectionError>,
    },
    /// The session is there, but not the LUN.
    #[error(transparent)]
    Lun(#[from] LunError),
}

/// What is wrong with a LUN.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LunError {
    /// The target has no such LUN.
    #[error("the target has no lun {lun}; it has {}", show_luns(luns))]
    Missing {
        /// The LUN.
        lun: Lun,
        /// Those that it has.
        luns: Vec<Lun>,
    },
    /// The LUN is no disk.
    #[error("lun {lun} is no disk: its device type is {kind:#04x}")]
    NotADisk {
        /// The LUN.
        lun: Lun,
        /// Peripheral device type.
        kind: u8,
    },
    /// A command of the first look failed.
    #[error("lun {lun}: {command}: {failure}")]
    Command {
        /// The LUN.
        lun: Lun,
        /// The command.
        command: &'static str,
        /// How it failed.
        failure: ScsiFailure,
    },
    /// An answer that makes no sense.
    #[error("lun {lun}: {command}")]
    Answer {
        /// The LUN.
        lun: Lun,
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The connection ended.
    #[error("lun {lun}: {command}")]
    Connection {
        /// The LUN.
        lun: Lun,
        /// The command.
        command: &'static str,
        /// Why.
        source: ConnectionError,
    },
    /// Protection information, which we would have to send.
    #[error("lun {lun} is formatted with protection information of type {kind}, which is not supported")]
    Protection {
        /// The LUN.
        lun: Lun,
        /// 1 to 3.
        kind: u8,
    },
    /// After a reconnection, another unit stands behind the LUN.
    #[error("lun {lun} is another unit now: {was} before, {is} now")]
    Changed {
        /// The LUN.
        lun: Lun,
        /// Its name and size at first.
        was: String,
        /// Its name and size now.
        is: String,
    },
}

/// How a SCSI command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScsiFailure {
    /// CHECK CONDITION.
    #[error("{0}")]
    Check(Sense),
    /// CHECK CONDITION with sense data that cannot be read.
    #[error("check condition without readable sense data")]
    NoSense,
    /// The medium has a bad block.
    #[error("{sense}, at block {block}")]
    Block {
        /// What the unit said.
        sense: Sense,
        /// The logical block.
        block: u64,
    },
    /// Another status.
    #[error("the unit answers {0}")]
    Status(Status),
    /// The unit was busy for too long.
    #[error("the unit answers {status} for {seconds} s")]
    Busy {
        /// What it said last.
        status: Status,
        /// For how long.
        seconds: u64,
    },
    /// It kept answering with something that calls for another try.
    #[error("given up after {tries} tries: {last}")]
    Tries {
        /// How many.
        tries: u32,
        /// The last answer.
        last: Box<ScsiFailure>,
    },
    /// No answer, over several connections.
    #[error("the target did not answer the command, {times} times")]
    NoAnswer {
        /// How often it was sent.
        times: u32,
    },
    /// Less data than asked for.
    #[error("the unit moved {missing} bytes less than asked for")]
    Short {
        /// How many are missing.
        missing: u32,
    },
    /// The target failed inside.
    #[error("the target failed inside (iscsi response {0:#04x})")]
    Target(u8),
    /// The target refused the PDU.
    #[error("the target rejects the command: {0}")]
    Rejected(String),
    /// Task management of somebody ended it.
    #[error("the command was aborted")]
    Aborted,
}

impl ConnectError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Resolve(error) => error.hint(),
            Self::Tcp { .. } | Self::TcpTimeout { .. } => {
                Some("check the address and port, the route, and that the target listens there")
            }
            Self::Login { source, .. } => source.hint(),
            Self::Config(error) => error.hint(),
            Self::Lun(error) => error.hint(),
            Self::Redirect { .. } | Self::Redirects { .. } => Some("the target's portals are set up wrongly"),
            Self::OtherGroup { .. } => Some("it is taken when that time is over; nothing needs to be done"),
            Self::Unfenced { .. } => Some(
                "bring the old portal back, or let the target do logical unit resets: writes are not done twice \
                 over two portal groups without",
            ),
        }
    }
}

impl LunError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => {
                Some("check the number, and that the target maps it to this initiator name")
            }
            Self::Changed { .. } => {
                Some("the target was set up anew: nothing was written to the new unit; open the volume again")
            }
            Self::Connection { source, .. } => source.hint(),
            Self::Answer { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// A list for a message; a target with many is cut short.
fn show_luns(luns: &[Lun]) -> String {
    const SHOWN: usize = 16;
    if luns.is_empty() {
        return "none".into();
    }
    let mut list: Vec<String> = luns.iter().take(SHOWN).map(ToString::to_string).collect();
    if luns.len() > SHOWN {
        list.push("…".into());
    }
    list.join(", ")
}
