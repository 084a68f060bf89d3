//! Operation codes (RFC 7143, 11.2.1.2).

use std::fmt;

/// What a PDU is: the low six bits of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Opcode {
    /// Initiator's ping, or its answer to the target's.
    NopOut = 0x00,
    /// A SCSI command.
    ScsiCommand = 0x01,
    /// A task management function.
    TaskRequest = 0x02,
    /// A step of login by the initiator.
    LoginRequest = 0x03,
    /// Keys from the initiator after login.
    TextRequest = 0x04,
    /// Data to the target.
    DataOut = 0x05,
    /// The initiator's wish to close.
    LogoutRequest = 0x06,
    /// A request to resend; error recovery level 1 and up.
    Snack = 0x10,
    /// Target's ping, or its answer to the initiator's.
    NopIn = 0x20,
    /// The end of a SCSI command.
    ScsiResponse = 0x21,
    /// The verdict on a task management function.
    TaskResponse = 0x22,
    /// A step of login by the target.
    LoginResponse = 0x23,
    /// Keys from the target after login.
    TextResponse = 0x24,
    /// Data to the initiator.
    DataIn = 0x25,
    /// The answer to a logout.
    LogoutResponse = 0x26,
    /// The target's call for data.
    R2t = 0x31,
    /// News that nobody asked for.
    AsyncMessage = 0x32,
    /// A PDU refused.
    Reject = 0x3f,
}

impl Opcode {
    /// Every opcode of RFC 7143, in the order of its number.
    pub const ALL: [Self; 18] = [
        Self::NopOut,
        Self::ScsiCommand,
        Self::TaskRequest,
        Self::LoginRequest,
        Self::TextRequest,
        Self::DataOut,
        Self::LogoutRequest,
        Self::Snack,
        Self::NopIn,
        Self::ScsiResponse,
        Self::TaskResponse,
        Self::LoginResponse,
        Self::TextResponse,
        Self::DataIn,
        Self::LogoutResponse,
        Self::R2t,
        Self::AsyncMessage,
        Self::Reject,
    ];

    /// The opcode in the first byte of a PDU; the I bit and the reserved bit do not matter.
    pub fn of(first: u8) -> Option<Self> {
        Some(match first & 0x3f {
            0x00 => Self::NopOut,
            0x01 => Self::ScsiCommand,
            0x02 => Self::TaskRequest,
            0x03 => Self::LoginRequest,
            0x04 => Self::TextRequest,
            0x05 => Self::DataOut,
            0x06 => Self::LogoutRequest,
            0x10 => Self::Snack,
            0x20 => Self::NopIn,
            0x21 => Self::ScsiResponse,
            0x22 => Self::TaskResponse,
            0x23 => Self::LoginResponse,
            0x24 => Self::TextResponse,
            0x25 => Self::DataIn,
            0x26 => Self::LogoutResponse,
            0x31 => Self::R2t,
            0x32 => Self::AsyncMessage,
            0x3f => Self::Reject,
            _ => return None,
        })
    }

    /// Its number.
    pub const fn code(self) -> u8 {
        match self {
            Self::NopOut => 0x00,
            Self::ScsiCommand => 0x01,
            Self::TaskRequest => 0x02,
            Self::LoginRequest => 0x03,
            Self::TextRequest => 0x04,
            Self::DataOut => 0x05,
            Self::LogoutRequest => 0x06,
            Self::Snack => 0x10,
            Self::NopIn => 0x20,
            Self::ScsiResponse => 0x21,
            Self::TaskResponse => 0x22,
            Self::LoginResponse => 0x23,
            Self::TextResponse => 0x24,
            Self::DataIn => 0x25,
            Self::LogoutResponse => 0x26,
            Self::R2t => 0x31,
            Self::AsyncMessage => 0x32,
            Self::Reject => 0x3f,
        }
    }

    /// Whether the target sends it.
    pub const fn from_target(self) -> bool {
        self.code() >= 0x20
    }

    /// Whether it may carry a data segment.
    pub const fn may_carry_data(self) -> bool {
        !matches!(
            self,
            Self::TaskRequest
                | Self::TaskResponse
                | Self::LogoutRequest
                | Self::LogoutResponse
                | Self::R2t
                | Self::Snack
        )
    }

    /// The name the RFC gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NopOut => "NOP-Out",
            Self::ScsiCommand => "SCSI Command",
            Self::TaskRequest => "Task Management Function Request",
            Self::LoginRequest => "Login Request",
            Self::TextRequest => "Text Request",
            Self::DataOut => "SCSI Data-Out",
            Self::LogoutRequest => "Logout Request",
            Self::Snack => "SNACK Request",
            Self::NopIn => "NOP-In",
            Self::ScsiResponse => "SCSI Response",
            Self::TaskResponse => "Task Management Function Response",
            Self::LoginResponse => "Login Response",
            Self::TextResponse => "Text Response",
            Self::DataIn => "SCSI Data-In",
            Self::LogoutResponse => "Logout Response",
            Self::R2t => "R2T",
            Self::AsyncMessage => "Asynchronous Message",
            Self::Reject => "Reject",
        }
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_of_agree() {
        for op in Opcode::ALL {
            assert_eq!(Opcode::of(op.code()), Some(op));
            assert_eq!(Opcode::of(op.code() | 0xc0), Some(op));
        }
        assert_eq!((0..0x40).filter_map(Opcode::of).count(), Opcode::ALL.len());
    }
}
