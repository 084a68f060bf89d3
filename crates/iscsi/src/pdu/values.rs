//! Enumerated fields: task functions, reasons, login stages.

use std::fmt;

/// Task management functions (RFC 7143, 11.5.1; 12 to 15 by RFC 7144).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskFunction {
    /// Abort one task.
    AbortTask,
    /// Abort all tasks of this session on one LUN.
    AbortTaskSet,
    /// End an auto contingent allegiance.
    ClearAca,
    /// Abort the tasks of all sessions on one LUN.
    ClearTaskSet,
    /// Reset one LUN.
    LogicalUnitReset,
    /// Reset all LUNs.
    TargetWarmReset,
    /// Reset all LUNs and close all sessions.
    TargetColdReset,
    /// Move a task to this connection; error recovery level 2.
    TaskReassign,
}

impl TaskFunction {
    /// The function of a number, if it is one that RFC 7143 knows.
    pub fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::AbortTask,
            2 => Self::AbortTaskSet,
            3 => Self::ClearAca,
            4 => Self::ClearTaskSet,
            5 => Self::LogicalUnitReset,
            6 => Self::TargetWarmReset,
            7 => Self::TargetColdReset,
            8 => Self::TaskReassign,
            _ => return None,
        })
    }

    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::AbortTask => 1,
            Self::AbortTaskSet => 2,
            Self::ClearAca => 3,
            Self::ClearTaskSet => 4,
            Self::LogicalUnitReset => 5,
            Self::TargetWarmReset => 6,
            Self::TargetColdReset => 7,
            Self::TaskReassign => 8,
        }
    }

    /// Whether it is about one LUN.
    pub fn has_lun(self) -> bool {
        !matches!(self, Self::TargetWarmReset | Self::TargetColdReset)
    }
}

/// The verdict on a task management function (RFC 7143, 11.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskResponse {
    /// Done.
    Complete,
    /// No such task (it may have ended already).
    NoTask,
    /// No such LUN.
    NoLun,
    /// The task still belongs to another connection.
    StillAllegiant,
    /// Tasks cannot be reassigned.
    NoReassignment,
    /// The function is not built.
    NotSupported,
    /// The initiator may not do this.
    NotAuthorized,
    /// Refused, without more.
    Rejected,
    /// A number that the RFC does not know.
    Other(u8),
}

impl TaskResponse {
    /// The verdict of a number.
    pub fn of(code: u8) -> Self {
        match code {
            0 => Self::Complete,
            1 => Self::NoTask,
            2 => Self::NoLun,
            3 => Self::StillAllegiant,
            4 => Self::NoReassignment,
            5 => Self::NotSupported,
            6 => Self::NotAuthorized,
            255 => Self::Rejected,
            other => Self::Other(other),
        }
    }

    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::NoTask => 1,
            Self::NoLun => 2,
            Self::StillAllegiant => 3,
            Self::NoReassignment => 4,
            Self::NotSupported => 5,
            Self::NotAuthorized => 6,
            Self::Rejected => 255,
            Self::Other(code) => code,
        }
    }
}

/// Why the initiator closes (RFC 7143, 11.14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutReason {
    /// The whole session goes.
    CloseSession,
    /// One connection goes.
    CloseConnection,
    /// One connection is given up for recovery.
    RemoveForRecovery,
}

impl LogoutReason {
    /// The reason of a number.
    pub fn of(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::CloseSession,
            1 => Self::CloseConnection,
            2 => Self::RemoveForRecovery,
            _ => return None,
        })
    }

    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::CloseSession => 0,
            Self::CloseConnection => 1,
            Self::RemoveForRecovery => 2,
        }
    }
}

/// Why a PDU was refused (RFC 7143, 11.17.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// Data digest error.
    DataDigest,
    /// SNACK refused.
    Snack,
    /// Protocol error.
    Protocol,
    /// Command not supported.
    NotSupported,
    /// Too many immediate commands.
    TooManyImmediate,
    /// Task in progress.
    TaskInProgress,
    /// Invalid data acknowledgement.
    InvalidAck,
    /// A field of the PDU is invalid.
    InvalidField,
    /// Out of resources for a long operation.
    LongOperation,
    /// Negotiation was reset.
    NegotiationReset,
    /// Waiting for logout.
    WaitingForLogout,
    /// A number that the RFC does not know.
    Other(u8),
}

impl RejectReason {
    /// The reason of a number.
    pub fn of(code: u8) -> Self {
        match code {
            0x02 => Self::DataDigest,
            0x03 => Self::Snack,
            0x04 => Self::Protocol,
            0x05 => Self::NotSupported,
            0x06 => Self::TooManyImmediate,
            0x07 => Self::TaskInProgress,
            0x08 => Self::InvalidAck,
            0x09 => Self::InvalidField,
            0x0a => Self::LongOperation,
            0x0b => Self::NegotiationReset,
            0x0c => Self::WaitingForLogout,
            other => Self::Other(other),
        }
    }

    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::DataDigest => 0x02,
            Self::Snack => 0x03,
            Self::Protocol => 0x04,
            Self::NotSupported => 0x05,
            Self::TooManyImmediate => 0x06,
            Self::TaskInProgress => 0x07,
            Self::InvalidAck => 0x08,
            Self::InvalidField => 0x09,
            Self::LongOperation => 0x0a,
            Self::NegotiationReset => 0x0b,
            Self::WaitingForLogout => 0x0c,
            Self::Other(code) => code,
        }
    }
}

/// Login stages (RFC 7143, 11.12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Who is who.
    Security,
    /// What both can do.
    Operational,
    /// Login is over.
    FullFeature,
}

impl Stage {
    /// The stage of a two-bit number; 2 is none.
    pub fn of(code: u8) -> Option<Self> {
        match code & 0x03 {
            0 => Some(Self::Security),
            1 => Some(Self::Operational),
            3 => Some(Self::FullFeature),
            _ => None,
        }
    }

    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Security => 0,
            Self::Operational => 1,
            Self::FullFeature => 3,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security => "security negotiation",
            Self::Operational => "operational negotiation",
            Self::FullFeature => "full feature phase",
        })
    }
}
