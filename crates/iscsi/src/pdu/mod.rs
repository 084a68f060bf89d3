//! PDUs: the 48-byte basic header segments, checked, and back to bytes.
//!
//! Each opcode has one `Raw*` structure that holds every bit as received, so that what was decoded encodes to the
//! same bytes. [`Pdu`] is the checked form: an opcode that exists, flags that do not contradict each other, data and
//! additional headers only where they may be.

mod ahs;
mod command;
mod data;
mod error;
mod login;
mod logout;
mod nop;
mod notice;
mod opcode;
mod task;
mod text;
mod values;

pub use ahs::{Ahs, AhsError, parse_ahs, push_bidi_read_len, push_extended_cdb};
pub use command::{RawScsiCommand, RawScsiResponse};
pub use data::{RawDataIn, RawDataOut, RawR2t};
pub use error::PduError;
pub use login::{RawLoginRequest, RawLoginResponse};
pub use logout::{RawLogoutRequest, RawLogoutResponse};
pub use nop::{RawNopIn, RawNopOut};
pub use notice::{RawAsyncMessage, RawReject, RawSnack};
pub use opcode::Opcode;
pub use task::{RawTaskRequest, RawTaskResponse};
pub use text::{RawTextRequest, RawTextResponse};
pub use values::{LogoutReason, RejectReason, Stage, TaskFunction, TaskResponse};

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a basic header segment, in bytes.
pub const BHS_LEN: usize = 48;

/// A tag that names no task.
pub const NO_TAG: u32 = 0xffff_ffff;

/// The I bit of a request's first byte: outside the command window, to be done at once.
pub const IMMEDIATE: u8 = 0x40;

/// F: the final bit that most PDUs must set.
pub const FINAL: u8 = 0x80;

/// The fields that every basic header segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawBhs {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// Flags of the opcode.
    pub flags: u8,
    /// Two more bytes of the opcode.
    pub specific: [u8; 2],
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Logical unit number where the opcode has one.
    pub lun: U64,
    /// Initiator task tag.
    pub itt: U32,
    /// The rest, by opcode.
    pub rest: [u8; 28],
}
const _: () = assert!(size_of::<RawBhs>() == BHS_LEN);

impl RawBhs {
    /// DataSegmentLength in bytes: 0 to 2²⁴ − 1.
    pub fn data_len(&self) -> u32 {
        let [a, b, c] = self.data_len;
        u32::from_be_bytes([0, a, b, c])
    }

    /// Length of the additional header segments in bytes: 0 to 1020.
    pub fn ahs_len(&self) -> usize {
        usize::from(self.ahs_words).saturating_mul(4)
    }

    /// What the PDU is, if it is anything.
    pub fn opcode(&self) -> Option<Opcode> {
        Opcode::of(self.opcode)
    }
}

/// A basic header segment of one opcode.
pub trait Bhs: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + Copy {
    /// The opcode it belongs to.
    const OPCODE: Opcode;

    /// All bits zero but the opcode.
    fn blank() -> Self;

    /// Writes DataSegmentLength. Lengths of 2²⁴ and more do not fit and are cut; callers bound them first.
    fn set_data_len(&mut self, len: u32);
}

/// Ties a header structure to its opcode.
macro_rules! bhs {
    ($raw:ident, $opcode:ident) => {
        impl $crate::pdu::Bhs for $raw {
            const OPCODE: $crate::pdu::Opcode = $crate::pdu::Opcode::$opcode;

            fn blank() -> Self {
                let mut raw: Self = zerocopy::FromZeros::new_zeroed();
                raw.opcode = Self::OPCODE.code();
                raw
            }

            fn set_data_len(&mut self, len: u32) {
                let [_, a, b, c] = len.to_be_bytes();
                self.data_len = [a, b, c];
            }
        }
    };
}
pub(crate) use bhs;

/// A checked basic header segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the opcode of its name")]
pub enum Pdu {
    NopOut(RawNopOut),
    ScsiCommand(RawScsiCommand),
    TaskRequest(RawTaskRequest),
    LoginRequest(RawLoginRequest),
    TextRequest(RawTextRequest),
    DataOut(RawDataOut),
    LogoutRequest(RawLogoutRequest),
    Snack(RawSnack),
    NopIn(RawNopIn),
    ScsiResponse(RawScsiResponse),
    TaskResponse(RawTaskResponse),
    LoginResponse(RawLoginResponse),
    TextResponse(RawTextResponse),
    DataIn(RawDataIn),
    LogoutResponse(RawLogoutResponse),
    R2t(RawR2t),
    AsyncMessage(RawAsyncMessage),
    Reject(RawReject),
}

impl Pdu {
    /// Checks a header that was received.
    ///
    /// Reserved bits are kept and not judged (RFC 7143, 11.2: ignored on receipt).
    ///
    /// # Errors
    /// [`PduError`] names the opcode, the field and its value.
    pub fn parse(bytes: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        let common: &RawBhs = zerocopy::transmute_ref!(bytes);
        let opcode = common.opcode().ok_or(PduError::UnknownOpcode { opcode: common.opcode & 0x3f })?;
        check_common(opcode, common)?;
        let bytes = *bytes;
        Ok(match opcode {
            Opcode::NopOut => Self::NopOut(check_final(opcode, zerocopy::transmute!(bytes), common)?),
            Opcode::ScsiCommand => Self::ScsiCommand(check_command(zerocopy::transmute!(bytes))?),
            Opcode::TaskRequest => {
                Self::TaskRequest(check_final(opcode, zerocopy::transmute!(bytes), common)?)
            }
            Opcode::LoginRequest => {
                check_stages(opcode, common.flags)?;
                Self::LoginRequest(zerocopy::transmute!(bytes))
            }
            Opcode::TextRequest => {
                check_text(opcode, common.flags)?;
                Self::TextRequest(zerocopy::transmute!(bytes))
            }
            Opcode::DataOut => Self::DataOut(zerocopy::transmute!(bytes)),
            Opcode::LogoutRequest => {
                Self::LogoutRequest(check_final(opcode, zerocopy::transmute!(bytes), common)?)
            }
            Opcode::Snack => Self::Snack(check_final(opcode, zerocopy::transmute!(bytes), common)?),
            Opcode::NopIn => Self::NopIn(check_final(opcode, zerocopy::transmute!(bytes), common)?),
            Opcode::ScsiResponse => Self::ScsiResponse(check_response(zerocopy::transmute!(bytes), common)?),
            Opcode::TaskResponse => {
                Self::TaskResponse(check_final(opcode, zerocopy::transmute!(bytes), common)?)
            }
            Opcode::LoginResponse => {
                check_stages(opcode, common.flags)?;
                Self::LoginResponse(zerocopy::transmute!(bytes))
            }
            Opcode::TextResponse => {
                check_text(opcode, common.flags)?;
                Self::TextResponse(zerocopy::transmute!(bytes))
            }
            Opcode::DataIn => Self::DataIn(check_data_in(zerocopy::transmute!(bytes))?),
            Opcode::LogoutResponse => {
                Self::LogoutResponse(check_final(opcode, zerocopy::transmute!(bytes), common)?)
            }
            Opcode::R2t => Self::R2t(check_r2t(zerocopy::transmute!(bytes), common)?),
            Opcode::AsyncMessage => {
                Self::AsyncMessage(check_final(opcode, zerocopy::transmute!(bytes), common)?)
            }
            Opcode::Reject => Self::Reject(check_final(opcode, zerocopy::transmute!(bytes), common)?),
        })
    }

    /// The bytes as they go on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::NopOut(raw) => raw.as_bytes(),
            Self::ScsiCommand(raw) => raw.as_bytes(),
            Self::TaskRequest(raw) => raw.as_bytes(),
            Self::LoginRequest(raw) => raw.as_bytes(),
            Self::TextRequest(raw) => raw.as_bytes(),
            Self::DataOut(raw) => raw.as_bytes(),
            Self::LogoutRequest(raw) => raw.as_bytes(),
            Self::Snack(raw) => raw.as_bytes(),
            Self::NopIn(raw) => raw.as_bytes(),
            Self::ScsiResponse(raw) => raw.as_bytes(),
            Self::TaskResponse(raw) => raw.as_bytes(),
            Self::LoginResponse(raw) => raw.as_bytes(),
            Self::TextResponse(raw) => raw.as_bytes(),
            Self::DataIn(raw) => raw.as_bytes(),
            Self::LogoutResponse(raw) => raw.as_bytes(),
            Self::R2t(raw) => raw.as_bytes(),
            Self::AsyncMessage(raw) => raw.as_bytes(),
            Self::Reject(raw) => raw.as_bytes(),
        }
    }

    /// What it is.
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::NopOut(_) => Opcode::NopOut,
            Self::ScsiCommand(_) => Opcode::ScsiCommand,
            Self::TaskRequest(_) => Opcode::TaskRequest,
            Self::LoginRequest(_) => Opcode::LoginRequest,
            Self::TextRequest(_) => Opcode::TextRequest,
            Self::DataOut(_) => Opcode::DataOut,
            Self::LogoutRequest(_) => Opcode::LogoutRequest,
            Self::Snack(_) => Opcode::Snack,
            Self::NopIn(_) => Opcode::NopIn,
            Self::ScsiResponse(_) => Opcode::ScsiResponse,
            Self::TaskResponse(_) => Opcode::TaskResponse,
            Self::LoginResponse(_) => Opcode::LoginResponse,
            Self::TextResponse(_) => Opcode::TextResponse,
            Self::DataIn(_) => Opcode::DataIn,
            Self::LogoutResponse(_) => Opcode::LogoutResponse,
            Self::R2t(_) => Opcode::R2t,
            Self::AsyncMessage(_) => Opcode::AsyncMessage,
            Self::Reject(_) => Opcode::Reject,
        }
    }
}

fn check_common(opcode: Opcode, common: &RawBhs) -> Result<(), PduError> {
    if common.ahs_words != 0 && opcode != Opcode::ScsiCommand {
        return Err(PduError::Field {
            pdu: opcode,
            field: "TotalAHSLength",
            value: u32::from(common.ahs_words),
            want: "0",
        });
    }
    if common.data_len() != 0 && !opcode.may_carry_data() {
        return Err(PduError::Field {
            pdu: opcode,
            field: "DataSegmentLength",
            value: common.data_len(),
            want: "0",
        });
    }
    Ok(())
}

fn check_final<T>(opcode: Opcode, raw: T, common: &RawBhs) -> Result<T, PduError> {
    if common.flags & FINAL == 0 {
        return Err(PduError::Field { pdu: opcode, field: "F", value: 0, want: "1" });
    }
    Ok(raw)
}

fn check_command(raw: RawScsiCommand) -> Result<RawScsiCommand, PduError> {
    let pdu = Opcode::ScsiCommand;
    let common: &RawBhs = zerocopy::transmute_ref!(&raw);
    if !raw.writes() && common.data_len() != 0 {
        let value = common.data_len();
        return Err(PduError::Field { pdu, field: "DataSegmentLength", value, want: "0 where W is not set" });
    }
    if !raw.writes() && !raw.is_final() {
        return Err(PduError::Field { pdu, field: "F", value: 0, want: "1 where W is not set" });
    }
    Ok(raw)
}

fn check_response(raw: RawScsiResponse, common: &RawBhs) -> Result<RawScsiResponse, PduError> {
    let pdu = Opcode::ScsiResponse;
    let raw = check_final(pdu, raw, common)?;
    let over_and_under = RawScsiResponse::OVERFLOW | RawScsiResponse::UNDERFLOW;
    if raw.flags & over_and_under == over_and_under {
        return Err(PduError::Field {
            pdu,
            field: "flags",
            value: u32::from(raw.flags),
            want: "not both O and U",
        });
    }
    let both = RawScsiResponse::BIDI_OVERFLOW | RawScsiResponse::BIDI_UNDERFLOW;
    if raw.flags & both == both {
        return Err(PduError::Field {
            pdu,
            field: "flags",
            value: u32::from(raw.flags),
            want: "not both o and u",
        });
    }
    Ok(raw)
}

fn check_data_in(raw: RawDataIn) -> Result<RawDataIn, PduError> {
    let pdu = Opcode::DataIn;
    let value = u32::from(raw.flags);
    if raw.has_status() && !raw.is_final() {
        return Err(PduError::Field { pdu, field: "flags", value, want: "F where S is set" });
    }
    let both = RawDataIn::OVERFLOW | RawDataIn::UNDERFLOW;
    if raw.has_status() && raw.flags & both == both {
        return Err(PduError::Field { pdu, field: "flags", value, want: "not both O and U" });
    }
    Ok(raw)
}

fn check_r2t(raw: RawR2t, common: &RawBhs) -> Result<RawR2t, PduError> {
    let raw = check_final(Opcode::R2t, raw, common)?;
    if raw.desired_len.get() == 0 {
        return Err(PduError::Field {
            pdu: Opcode::R2t,
            field: "Desired Data Transfer Length",
            value: 0,
            want: "1 or more",
        });
    }
    Ok(raw)
}

fn check_text(pdu: Opcode, flags: u8) -> Result<(), PduError> {
    if flags & 0xc0 == 0xc0 {
        return Err(PduError::Field {
            pdu,
            field: "flags",
            value: u32::from(flags),
            want: "not both F and C",
        });
    }
    Ok(())
}

fn check_stages(pdu: Opcode, flags: u8) -> Result<(), PduError> {
    let value = u32::from(flags);
    if flags & 0xc0 == 0xc0 {
        return Err(PduError::Field { pdu, field: "flags", value, want: "not both T and C" });
    }
    let current = flags >> 2 & 0x03;
    if current > 1 {
        return Err(PduError::Field { pdu, field: "CSG", value: u32::from(current), want: "0 or 1" });
    }
    let next = flags & 0x03;
    if flags & 0x80 != 0 && (next == 2 || next <= current) {
        return Err(PduError::Field { pdu, field: "NSG", value: u32::from(next), want: "1 or 3, above CSG" });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
