//! CDBs that are refused, and the sense to refuse them with.

use crate::{AdditionalSense, FieldPointer, Sense};

/// Why a CDB is no command of ours. Byte numbers count from 0, bit 7 is the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CdbError {
    /// Shorter than its operation code says.
    #[error("the CDB of operation code {opcode:#04x} is {have} bytes long, and needs {need}")]
    Short {
        /// Operation code; 0 where there was not even that.
        opcode: u8,
        /// Bytes it needs.
        need: usize,
        /// Bytes that came.
        have: usize,
    },
    /// An operation code nobody here knows.
    #[error("operation code {opcode:#04x} is not supported")]
    UnknownOpcode {
        /// Operation code.
        opcode: u8,
    },
    /// A known operation code with an unknown service action.
    #[error("service action {action:#04x} of operation code {opcode:#04x} is not supported")]
    UnknownServiceAction {
        /// Operation code.
        opcode: u8,
        /// Service action.
        action: u8,
    },
    /// A field with a value that cannot be.
    #[error("operation code {opcode:#04x}: {field} (byte {byte}, bit {bit}) is not allowed")]
    Field {
        /// Operation code.
        opcode: u8,
        /// The field's name.
        field: &'static str,
        /// Byte of the CDB where it begins.
        byte: u16,
        /// Its highest bit in that byte.
        bit: u8,
    },
}

impl CdbError {
    /// The sense data that a target answers with.
    pub fn sense(&self) -> Sense {
        match *self {
            Self::Short { .. } => Sense::illegal(AdditionalSense::INVALID_FIELD_IN_CDB),
            Self::UnknownOpcode { .. } => Sense::illegal(AdditionalSense::INVALID_OPERATION_CODE)
                .with_field(FieldPointer { in_cdb: true, byte: 0, bit: Some(7) }),
            Self::UnknownServiceAction { .. } => Sense::illegal(AdditionalSense::INVALID_FIELD_IN_CDB)
                .with_field(FieldPointer { in_cdb: true, byte: 1, bit: Some(4) }),
            Self::Field { byte, bit, .. } => Sense::illegal(AdditionalSense::INVALID_FIELD_IN_CDB)
                .with_field(FieldPointer { in_cdb: true, byte, bit: Some(bit) }),
        }
    }

    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownOpcode { .. } | Self::UnknownServiceAction { .. } => {
                Some("the initiator can ask for the list with REPORT SUPPORTED OPERATION CODES")
            }
            _ => None,
        }
    }
}
