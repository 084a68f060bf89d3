//! What can be wrong with a header.

use super::{AhsError, Opcode};

/// A header that breaks RFC 7143.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PduError {
    /// The first byte names no PDU.
    #[error("a PDU has the unknown opcode {opcode:#04x}")]
    UnknownOpcode {
        /// The low six bits of the first byte.
        opcode: u8,
    },
    /// A field holds what it must not.
    #[error("{pdu}: {field} is {value:#x}, must be {want}")]
    Field {
        /// The PDU.
        pdu: Opcode,
        /// The field, as the RFC calls it.
        field: &'static str,
        /// What it holds.
        value: u32,
        /// What it may hold.
        want: &'static str,
    },
    /// The additional header segments do not parse.
    #[error("{pdu}: bad additional header segment")]
    Ahs {
        /// The PDU.
        pdu: Opcode,
        /// Why.
        source: AhsError,
    },
}

impl PduError {
    /// What an operator may do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownOpcode { .. } => Some(
                "the peer may not speak iSCSI on this port, or the stream lost its place: use header digests",
            ),
            _ => None,
        }
    }
}
