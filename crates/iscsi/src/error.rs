//! Why a connection ends.

use crate::framer::FrameError;
use crate::pdu::{Opcode, PduError};
use crate::status::LoginStatus;
use crate::text::TextError;

/// The end of a connection and, at error recovery level 0, of its session. The engine is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The stream cannot be cut into PDUs.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A header breaks the protocol.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// Keys break the protocol, or do not agree.
    #[error("{pdu}: {source}")]
    Text {
        /// The PDU that they came in.
        pdu: Opcode,
        /// Why.
        source: TextError,
    },
    /// A PDU that cannot come now.
    #[error("{pdu} came {when}")]
    Unexpected {
        /// The PDU.
        pdu: Opcode,
        /// When.
        when: &'static str,
    },
    /// The target refuses the login (at the target: this end refused it).
    #[error("login refused: {status}")]
    Login {
        /// Class and detail.
        status: LoginStatus,
    },
    /// The target is elsewhere.
    #[error("login redirected to {}: {status}", addresses.join(", "))]
    Redirected {
        /// Class and detail.
        status: LoginStatus,
        /// TargetAddress values: `host:port` or `host:port,tag`.
        addresses: Vec<String>,
    },
    /// The target's proof of itself is wrong or missing.
    #[error("CHAP: {what}")]
    Chap {
        /// What of it.
        what: &'static str,
    },
    /// The login did not end in time.
    #[error("login is not over after {seconds} s")]
    LoginTimeout {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// The login did not end in so many steps.
    #[error("login is not over after {rounds} requests")]
    LoginRounds {
        /// The limit.
        rounds: u16,
    },
    /// No answer to a ping.
    #[error("no answer to a NOP within {millis} ms")]
    PingTimeout {
        /// The limit, in milliseconds.
        millis: u64,
    },
    /// A discovery session in which nothing happens.
    #[error("the discovery session was silent for {seconds} s")]
    Idle {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// The peer answers a logout with a refusal, or not at all.
    #[error("logout was not answered within {seconds} s")]
    LogoutTimeout {
        /// The limit, in seconds.
        seconds: u64,
    },
}

impl SessionError {
    /// What an operator may do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Frame(error) => error.hint(),
            Self::Pdu(error) => error.hint(),
            Self::Text { source, .. } => source.hint(),
            Self::Login { status } => status.hint(),
            Self::Redirected { .. } => Some("log in at the address given"),
            Self::Chap { .. } => Some("check the target's CHAP name and secret as this end has them"),
            Self::PingTimeout { .. } => {
                Some("the path or the target is down, or slower than the ping allows")
            }
            Self::LoginTimeout { .. } | Self::LoginRounds { .. } => {
                Some("something answers on this port, but it does not finish a login: is it an iSCSI target?")
            }
            _ => None,
        }
    }

    pub(crate) fn text(pdu: Opcode) -> impl Fn(TextError) -> Self {
        move |source| Self::Text { pdu, source }
    }

    pub(crate) fn field(pdu: Opcode, field: &'static str, value: u32, want: &'static str) -> Self {
        Self::Pdu(PduError::Field { pdu, field, value, want })
    }
}
