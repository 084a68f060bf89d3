//! Text Request and Text Response.

use std::mem::offset_of;

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BHS_LEN, bhs};

/// Keys from the initiator after login.
///
/// RFC 7143, 11.10; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawTextRequest {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F, 0x40 C (keys go on in the next PDU).
    pub flags: u8,
    /// Reserved; kept as received.
    pub reserved: [u8; 2],
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Logical unit number, as SAM encodes it.
    pub lun: U64,
    /// Initiator task tag.
    pub itt: U32,
    /// Target transfer tag; 0xffffffff means none.
    pub ttt: U32,
    /// CmdSN.
    pub cmd_sn: U32,
    /// ExpStatSN: the next StatSN that the initiator awaits.
    pub exp_stat_sn: U32,
    /// Reserved; kept as received.
    pub reserved2: [u8; 16],
}
const _: () = assert!(size_of::<RawTextRequest>() == BHS_LEN);
const _: () = assert!(offset_of!(RawTextRequest, itt) == 16);
const _: () = assert!(offset_of!(RawTextRequest, ttt) == 20);
const _: () = assert!(offset_of!(RawTextRequest, cmd_sn) == 24);
const _: () = assert!(offset_of!(RawTextRequest, exp_stat_sn) == 28);

bhs!(RawTextRequest, TextRequest);

/// Keys from the target after login.
///
/// RFC 7143, 11.11; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawTextResponse {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F, 0x40 C (keys go on in the next PDU).
    pub flags: u8,
    /// Reserved; kept as received.
    pub reserved: [u8; 2],
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Logical unit number, as SAM encodes it.
    pub lun: U64,
    /// Initiator task tag.
    pub itt: U32,
    /// Target transfer tag; 0xffffffff means none.
    pub ttt: U32,
    /// StatSN.
    pub stat_sn: U32,
    /// ExpCmdSN: the next CmdSN that the target awaits.
    pub exp_cmd_sn: U32,
    /// MaxCmdSN: the last CmdSN that the target would take.
    pub max_cmd_sn: U32,
    /// Reserved; kept as received.
    pub reserved2: [u8; 12],
}
const _: () = assert!(size_of::<RawTextResponse>() == BHS_LEN);
const _: () = assert!(offset_of!(RawTextResponse, itt) == 16);
const _: () = assert!(offset_of!(RawTextResponse, ttt) == 20);
const _: () = assert!(offset_of!(RawTextResponse, stat_sn) == 24);
const _: () = assert!(offset_of!(RawTextResponse, max_cmd_sn) == 32);

bhs!(RawTextResponse, TextResponse);
