//! Status of a finished command.

use std::fmt;

/// How a command ended. Source: SAM-5, 5.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done.
    Good,
    /// Look at the sense data.
    CheckCondition,
    /// PRE-FETCH: all of the blocks fit the cache.
    ConditionMet,
    /// The device cannot take the command now.
    Busy,
    /// Another initiator's reservation forbids it.
    ReservationConflict,
    /// No room for another command.
    TaskSetFull,
    /// An auto contingent allegiance is active.
    AcaActive,
    /// Another initiator's action aborted the command.
    TaskAborted,
    /// A code that SAM-5 does not name.
    Other(u8),
}

impl Status {
    /// Reads the code.
    pub const fn parse(code: u8) -> Self {
        match code {
            0x00 => Self::Good,
            0x02 => Self::CheckCondition,
            0x04 => Self::ConditionMet,
            0x08 => Self::Busy,
            0x18 => Self::ReservationConflict,
            0x28 => Self::TaskSetFull,
            0x30 => Self::AcaActive,
            0x40 => Self::TaskAborted,
            other => Self::Other(other),
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0x00,
            Self::CheckCondition => 0x02,
            Self::ConditionMet => 0x04,
            Self::Busy => 0x08,
            Self::ReservationConflict => 0x18,
            Self::TaskSetFull => 0x28,
            Self::AcaActive => 0x30,
            Self::TaskAborted => 0x40,
            Self::Other(code) => code,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "GOOD",
            Self::CheckCondition => "CHECK CONDITION",
            Self::ConditionMet => "CONDITION MET",
            Self::Busy => "BUSY",
            Self::ReservationConflict => "RESERVATION CONFLICT",
            Self::TaskSetFull => "TASK SET FULL",
            Self::AcaActive => "ACA ACTIVE",
            Self::TaskAborted => "TASK ABORTED",
            Self::Other(code) => return write!(f, "status {code:#04x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn every_code_comes_back() {
        for code in 0..=255 {
            assert_eq!(Status::parse(code).code(), code);
        }
        assert_eq!(Status::parse(0x18).to_string(), "RESERVATION CONFLICT");
        assert_eq!(Status::parse(0x99).to_string(), "status 0x99");
    }
}
