//! Asynchronous Message, Reject and SNACK Request.

use std::mem::offset_of;

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BHS_LEN, bhs};

/// News from the target that nobody asked for.
///
/// RFC 7143, 11.9; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawAsyncMessage {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F, always set.
    pub flags: u8,
    /// Reserved; kept as received.
    pub reserved: [u8; 2],
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Logical unit number, as SAM encodes it.
    pub lun: U64,
    /// Always 0xffffffff.
    pub itt: U32,
    /// Reserved; kept as received.
    pub reserved2: [u8; 4],
    /// StatSN.
    pub stat_sn: U32,
    /// ExpCmdSN: the next CmdSN that the target awaits.
    pub exp_cmd_sn: U32,
    /// MaxCmdSN: the last CmdSN that the target would take.
    pub max_cmd_sn: U32,
    /// 0 SCSI event (sense follows), 1 logout wanted, 2 connection goes, 3 session goes, 4 renegotiate, 5 task termination.
    pub event: u8,
    /// AsyncVCode, for event 255.
    pub vendor: u8,
    /// Parameter1: connection id for events 1 and 2.
    pub param1: U16,
    /// Parameter2: Time2Wait in seconds for events 2 and 3.
    pub param2: U16,
    /// Parameter3: Time2Retain, or the time limit of a logout, in seconds.
    pub param3: U16,
    /// Reserved; kept as received.
    pub reserved3: [u8; 4],
}
const _: () = assert!(size_of::<RawAsyncMessage>() == BHS_LEN);
const _: () = assert!(offset_of!(RawAsyncMessage, itt) == 16);
const _: () = assert!(offset_of!(RawAsyncMessage, stat_sn) == 24);
const _: () = assert!(offset_of!(RawAsyncMessage, max_cmd_sn) == 32);
const _: () = assert!(offset_of!(RawAsyncMessage, event) == 36);

bhs!(RawAsyncMessage, AsyncMessage);

/// A PDU refused; its header follows as data.
///
/// RFC 7143, 11.17; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawReject {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F, always set.
    pub flags: u8,
    /// Why; see [`super::RejectReason`].
    pub reason: u8,
    /// Reserved; kept as received.
    pub reserved: u8,
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Reserved; kept as received.
    pub reserved2: [u8; 8],
    /// Always 0xffffffff.
    pub itt: U32,
    /// Reserved; kept as received.
    pub reserved3: [u8; 4],
    /// StatSN.
    pub stat_sn: U32,
    /// ExpCmdSN: the next CmdSN that the target awaits.
    pub exp_cmd_sn: U32,
    /// MaxCmdSN: the last CmdSN that the target would take.
    pub max_cmd_sn: U32,
    /// DataSN or R2TSN where the reason is a protocol error in data.
    pub data_sn: U32,
    /// Reserved; kept as received.
    pub reserved4: [u8; 8],
}
const _: () = assert!(size_of::<RawReject>() == BHS_LEN);
const _: () = assert!(offset_of!(RawReject, itt) == 16);
const _: () = assert!(offset_of!(RawReject, stat_sn) == 24);
const _: () = assert!(offset_of!(RawReject, max_cmd_sn) == 32);
const _: () = assert!(offset_of!(RawReject, data_sn) == 36);

bhs!(RawReject, Reject);

/// A request to resend; error recovery level 1 and up.
///
/// RFC 7143, 11.16; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawSnack {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F; the type in the low four bits.
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
    /// Reserved; kept as received.
    pub reserved2: [u8; 4],
    /// ExpStatSN: the next StatSN that the initiator awaits.
    pub exp_stat_sn: U32,
    /// Reserved; kept as received.
    pub reserved3: [u8; 8],
    /// First number wanted.
    pub begin_run: U32,
    /// How many; 0 means all from `begin_run`.
    pub run_len: U32,
}
const _: () = assert!(size_of::<RawSnack>() == BHS_LEN);
const _: () = assert!(offset_of!(RawSnack, itt) == 16);
const _: () = assert!(offset_of!(RawSnack, ttt) == 20);
const _: () = assert!(offset_of!(RawSnack, exp_stat_sn) == 28);
const _: () = assert!(offset_of!(RawSnack, run_len) == 44);

bhs!(RawSnack, Snack);
