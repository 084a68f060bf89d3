//! Task Management Function Request and Response.

use std::mem::offset_of;

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BHS_LEN, bhs};

/// A task management function.
///
/// RFC 7143, 11.5; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawTaskRequest {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F; the function in the low seven bits.
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
    /// Tag of the task to abort or reassign; 0xffffffff where the function names none.
    pub ref_itt: U32,
    /// CmdSN.
    pub cmd_sn: U32,
    /// ExpStatSN: the next StatSN that the initiator awaits.
    pub exp_stat_sn: U32,
    /// CmdSN of the task to abort.
    pub ref_cmd_sn: U32,
    /// For TASK REASSIGN: the next DataSN or R2TSN awaited.
    pub exp_data_sn: U32,
    /// Reserved; kept as received.
    pub reserved2: [u8; 8],
}
const _: () = assert!(size_of::<RawTaskRequest>() == BHS_LEN);
const _: () = assert!(offset_of!(RawTaskRequest, itt) == 16);
const _: () = assert!(offset_of!(RawTaskRequest, cmd_sn) == 24);
const _: () = assert!(offset_of!(RawTaskRequest, exp_stat_sn) == 28);

bhs!(RawTaskRequest, TaskRequest);

/// The verdict on a task management function.
///
/// RFC 7143, 11.6; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawTaskResponse {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F, always set.
    pub flags: u8,
    /// 0 complete, 1 no such task, 2 no such LUN, 3 task still allegiant, 4 no reassignment, 5 not supported, 6 not authorized, 255 rejected.
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
    pub reserved4: [u8; 12],
}
const _: () = assert!(size_of::<RawTaskResponse>() == BHS_LEN);
const _: () = assert!(offset_of!(RawTaskResponse, itt) == 16);
const _: () = assert!(offset_of!(RawTaskResponse, stat_sn) == 24);
const _: () = assert!(offset_of!(RawTaskResponse, max_cmd_sn) == 32);

bhs!(RawTaskResponse, TaskResponse);
