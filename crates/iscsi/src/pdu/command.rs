//! SCSI Command and SCSI Response.

use std::mem::offset_of;

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BHS_LEN, bhs};

/// A SCSI command, with up to FirstBurstLength of its data behind it.
///
/// RFC 7143, 11.3; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawScsiCommand {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// F, R, W and the task attribute.
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
    /// Expected Data Transfer Length, in bytes; of the write part where both R and W are set.
    pub expected_len: U32,
    /// CmdSN.
    pub cmd_sn: U32,
    /// ExpStatSN: the next StatSN that the initiator awaits.
    pub exp_stat_sn: U32,
    /// The first 16 bytes of the CDB; the rest is in an AHS.
    pub cdb: [u8; 16],
}
const _: () = assert!(size_of::<RawScsiCommand>() == BHS_LEN);
const _: () = assert!(offset_of!(RawScsiCommand, itt) == 16);
const _: () = assert!(offset_of!(RawScsiCommand, cmd_sn) == 24);
const _: () = assert!(offset_of!(RawScsiCommand, exp_stat_sn) == 28);
const _: () = assert!(offset_of!(RawScsiCommand, cdb) == 32);

bhs!(RawScsiCommand, ScsiCommand);

impl RawScsiCommand {
    /// F: no unsolicited Data-Out follows.
    pub const FINAL: u8 = 0x80;
    /// R: the command reads.
    pub const READ: u8 = 0x40;
    /// W: the command writes.
    pub const WRITE: u8 = 0x20;

    /// Whether the command asks for data.
    pub fn reads(&self) -> bool {
        self.flags & Self::READ != 0
    }

    /// Whether the command brings data.
    pub fn writes(&self) -> bool {
        self.flags & Self::WRITE != 0
    }

    /// Whether no unsolicited Data-Out follows.
    pub fn is_final(&self) -> bool {
        self.flags & Self::FINAL != 0
    }

    /// ATTR: 0 untagged, 1 simple, 2 ordered, 3 head of queue, 4 ACA.
    pub fn attribute(&self) -> u8 {
        self.flags & 0x07
    }
}

/// The end of a SCSI command; sense data may follow.
///
/// RFC 7143, 11.4; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawScsiResponse {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// Residual bits: 0x10 o, 0x08 u (bidirectional read), 0x04 O, 0x02 U.
    pub flags: u8,
    /// 0: the command completed at the target; 1: target failure.
    pub response: u8,
    /// SCSI status, valid when `response` is 0.
    pub status: u8,
    /// TotalAHSLength, in words of 4 bytes.
    pub ahs_words: u8,
    /// DataSegmentLength, in bytes, without padding.
    pub data_len: [u8; 3],
    /// Reserved; kept as received.
    pub reserved: [u8; 8],
    /// Initiator task tag.
    pub itt: U32,
    /// SNACK tag; 0 at error recovery level 0.
    pub snack_tag: U32,
    /// StatSN.
    pub stat_sn: U32,
    /// ExpCmdSN: the next CmdSN that the target awaits.
    pub exp_cmd_sn: U32,
    /// MaxCmdSN: the last CmdSN that the target would take.
    pub max_cmd_sn: U32,
    /// ExpDataSN: how many R2T and Data-In PDUs the target sent for the command.
    pub exp_data_sn: U32,
    /// Residual of the read part of a bidirectional command, in bytes.
    pub bidi_residual: U32,
    /// Residual, in bytes.
    pub residual: U32,
}
const _: () = assert!(size_of::<RawScsiResponse>() == BHS_LEN);
const _: () = assert!(offset_of!(RawScsiResponse, itt) == 16);
const _: () = assert!(offset_of!(RawScsiResponse, stat_sn) == 24);
const _: () = assert!(offset_of!(RawScsiResponse, max_cmd_sn) == 32);
const _: () = assert!(offset_of!(RawScsiResponse, residual) == 44);

bhs!(RawScsiResponse, ScsiResponse);

impl RawScsiResponse {
    /// O: the device had more data than the initiator expected.
    pub const OVERFLOW: u8 = 0x04;
    /// U: the device had less data than the initiator expected.
    pub const UNDERFLOW: u8 = 0x02;
    /// o: overflow of the read part of a bidirectional command.
    pub const BIDI_OVERFLOW: u8 = 0x10;
    /// u: underflow of the read part of a bidirectional command.
    pub const BIDI_UNDERFLOW: u8 = 0x08;
}
