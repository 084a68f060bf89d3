//! Logout Request and Logout Response.

use std::mem::offset_of;

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BHS_LEN, bhs};

/// The initiator's wish to close.
///
/// RFC 7143, 11.14; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawLogoutRequest {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F; the reason in the low seven bits: 0 session, 1 connection, 2 connection for recovery.
    pub flags: u8,
    /// Reserved; kept as received.
    pub reserved: [u8; 2],
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Reserved; kept as received.
    pub reserved2: [u8; 8],
    /// Initiator task tag.
    pub itt: U32,
    /// The connection to close, for reasons 1 and 2.
    pub cid: U16,
    /// Reserved; kept as received.
    pub reserved3: [u8; 2],
    /// CmdSN.
    pub cmd_sn: U32,
    /// ExpStatSN: the next StatSN that the initiator awaits.
    pub exp_stat_sn: U32,
    /// Reserved; kept as received.
    pub reserved4: [u8; 16],
}
const _: () = assert!(size_of::<RawLogoutRequest>() == BHS_LEN);
const _: () = assert!(offset_of!(RawLogoutRequest, itt) == 16);
const _: () = assert!(offset_of!(RawLogoutRequest, cid) == 20);
const _: () = assert!(offset_of!(RawLogoutRequest, cmd_sn) == 24);
const _: () = assert!(offset_of!(RawLogoutRequest, exp_stat_sn) == 28);

bhs!(RawLogoutRequest, LogoutRequest);

/// The answer to a logout.
///
/// RFC 7143, 11.15; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawLogoutResponse {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F, always set.
    pub flags: u8,
    /// 0 closed, 1 no such connection, 2 recovery not supported, 3 cleanup failed.
    pub response: u8,
    /// Reserved; kept as received.
    pub reserved: u8,
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Reserved; kept as received.
    pub reserved2: [u8; 8],
    /// Initiator task tag.
    pub itt: U32,
    /// Reserved; kept as received.
    pub reserved3: [u8; 4],
    /// StatSN.
    pub stat_sn: U32,
    /// ExpCmdSN: the next CmdSN that the target awaits.
    pub exp_cmd_sn: U32,
    /// MaxCmdSN: the last CmdSN that the target would take.
    pub max_cmd_sn: U32,
    /// Reserved; kept as received.
    pub reserved4: [u8; 4],
    /// Seconds to wait before the initiator may come back.
    pub time2wait: U16,
    /// Seconds that the target keeps the tasks for reassignment after that.
    pub time2retain: U16,
    /// Reserved; kept as received.
    pub reserved5: [u8; 4],
}
const _: () = assert!(size_of::<RawLogoutResponse>() == BHS_LEN);
const _: () = assert!(offset_of!(RawLogoutResponse, itt) == 16);
const _: () = assert!(offset_of!(RawLogoutResponse, stat_sn) == 24);
const _: () = assert!(offset_of!(RawLogoutResponse, max_cmd_sn) == 32);
const _: () = assert!(offset_of!(RawLogoutResponse, time2wait) == 40);

bhs!(RawLogoutResponse, LogoutResponse);
