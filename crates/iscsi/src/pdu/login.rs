//! Login Request and Login Response.

use std::mem::offset_of;

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BHS_LEN, bhs};

/// A step of login by the initiator, with keys behind it.
///
/// RFC 7143, 11.12; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawLoginRequest {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 T (wants to move on), 0x40 C (keys go on in the next PDU), CSG in bits 3-2, NSG in bits 1-0.
    pub flags: u8,
    /// Highest version spoken; 0.
    pub version_max: u8,
    /// Lowest version spoken; 0.
    pub version_min: u8,
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Initiator part of the session id.
    pub isid: [u8; 6],
    /// Target part of the session id; 0 asks for a new session.
    pub tsih: U16,
    /// Initiator task tag.
    pub itt: U32,
    /// Connection id.
    pub cid: U16,
    /// Reserved; kept as received.
    pub reserved: [u8; 2],
    /// CmdSN.
    pub cmd_sn: U32,
    /// ExpStatSN: the next StatSN that the initiator awaits.
    pub exp_stat_sn: U32,
    /// Reserved; kept as received.
    pub reserved2: [u8; 16],
}
const _: () = assert!(size_of::<RawLoginRequest>() == BHS_LEN);
const _: () = assert!(offset_of!(RawLoginRequest, itt) == 16);
const _: () = assert!(offset_of!(RawLoginRequest, cid) == 20);
const _: () = assert!(offset_of!(RawLoginRequest, cmd_sn) == 24);
const _: () = assert!(offset_of!(RawLoginRequest, exp_stat_sn) == 28);

bhs!(RawLoginRequest, LoginRequest);

/// A step of login by the target, with keys behind it.
///
/// RFC 7143, 11.13; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawLoginResponse {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 T, 0x40 C, CSG in bits 3-2, NSG in bits 1-0.
    pub flags: u8,
    /// Highest version spoken; 0.
    pub version_max: u8,
    /// The version in force; 0.
    pub version_active: u8,
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Initiator part of the session id, as sent.
    pub isid: [u8; 6],
    /// Target part of the session id; set in the last response.
    pub tsih: U16,
    /// Initiator task tag.
    pub itt: U32,
    /// Reserved; kept as received.
    pub reserved: [u8; 4],
    /// StatSN.
    pub stat_sn: U32,
    /// ExpCmdSN: the next CmdSN that the target awaits.
    pub exp_cmd_sn: U32,
    /// MaxCmdSN: the last CmdSN that the target would take.
    pub max_cmd_sn: U32,
    /// 0 success, 1 redirection, 2 initiator error, 3 target error.
    pub status_class: u8,
    /// What of that class.
    pub status_detail: u8,
    /// Reserved; kept as received.
    pub reserved2: [u8; 10],
}
const _: () = assert!(size_of::<RawLoginResponse>() == BHS_LEN);
const _: () = assert!(offset_of!(RawLoginResponse, itt) == 16);
const _: () = assert!(offset_of!(RawLoginResponse, stat_sn) == 24);
const _: () = assert!(offset_of!(RawLoginResponse, max_cmd_sn) == 32);
const _: () = assert!(offset_of!(RawLoginResponse, status_class) == 36);

bhs!(RawLoginResponse, LoginResponse);
