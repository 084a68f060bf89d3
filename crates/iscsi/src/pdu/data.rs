//! SCSI Data-Out, SCSI Data-In and R2T.

use std::mem::offset_of;

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BHS_LEN, bhs};

/// Data of a write, to the target.
///
/// RFC 7143, 11.7; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawDataOut {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F: the last of a sequence.
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
    pub reserved3: [u8; 4],
    /// DataSN: the number of the PDU within its sequence.
    pub data_sn: U32,
    /// Where the data belongs in the command's buffer, in bytes.
    pub buffer_offset: U32,
    /// Reserved; kept as received.
    pub reserved4: [u8; 4],
}
const _: () = assert!(size_of::<RawDataOut>() == BHS_LEN);
const _: () = assert!(offset_of!(RawDataOut, itt) == 16);
const _: () = assert!(offset_of!(RawDataOut, ttt) == 20);
const _: () = assert!(offset_of!(RawDataOut, exp_stat_sn) == 28);
const _: () = assert!(offset_of!(RawDataOut, data_sn) == 36);
const _: () = assert!(offset_of!(RawDataOut, buffer_offset) == 40);

bhs!(RawDataOut, DataOut);

impl RawDataOut {
    /// F: the last PDU of a sequence.
    pub const FINAL: u8 = 0x80;

    /// Whether it is the last of its sequence.
    pub fn is_final(&self) -> bool {
        self.flags & Self::FINAL != 0
    }
}

/// Data of a read, to the initiator, with the status in the last where all went well.
///
/// RFC 7143, 11.7; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawDataIn {
    /// Opcode in the low six bits; bit 6 is I (immediate) in requests.
    pub opcode: u8,
    /// 0x80 F, 0x40 A, 0x04 O, 0x02 U, 0x01 S.
    pub flags: u8,
    /// Reserved; kept as received.
    pub reserved: u8,
    /// SCSI status, valid when S is set.
    pub status: u8,
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
    /// DataSN: the number of the PDU within the command.
    pub data_sn: U32,
    /// Where the data belongs in the command's buffer, in bytes.
    pub buffer_offset: U32,
    /// Residual in bytes, valid when S is set.
    pub residual: U32,
}
const _: () = assert!(size_of::<RawDataIn>() == BHS_LEN);
const _: () = assert!(offset_of!(RawDataIn, itt) == 16);
const _: () = assert!(offset_of!(RawDataIn, ttt) == 20);
const _: () = assert!(offset_of!(RawDataIn, stat_sn) == 24);
const _: () = assert!(offset_of!(RawDataIn, max_cmd_sn) == 32);
const _: () = assert!(offset_of!(RawDataIn, data_sn) == 36);
const _: () = assert!(offset_of!(RawDataIn, buffer_offset) == 40);
const _: () = assert!(offset_of!(RawDataIn, residual) == 44);

bhs!(RawDataIn, DataIn);

impl RawDataIn {
    /// F: the last PDU of a sequence.
    pub const FINAL: u8 = 0x80;
    /// A: the target asks for a data acknowledgement (error recovery level 1 and up).
    pub const ACKNOWLEDGE: u8 = 0x40;
    /// O: the device had more data than the initiator expected.
    pub const OVERFLOW: u8 = 0x04;
    /// U: the device had less data than the initiator expected.
    pub const UNDERFLOW: u8 = 0x02;
    /// S: the PDU carries the status and ends the command.
    pub const STATUS: u8 = 0x01;

    /// Whether it ends the command.
    pub fn has_status(&self) -> bool {
        self.flags & Self::STATUS != 0
    }

    /// Whether it is the last of its sequence.
    pub fn is_final(&self) -> bool {
        self.flags & Self::FINAL != 0
    }
}

/// The target's call for data.
///
/// RFC 7143, 11.8; 48 bytes, big-endian. Every bit pattern is accepted here; [`super::Pdu::parse`] does the judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawR2t {
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
    /// R2TSN: the number of the R2T within the command.
    pub r2t_sn: U32,
    /// Where the wanted data begins in the command's buffer, in bytes.
    pub buffer_offset: U32,
    /// How much is wanted, in bytes; 1 to MaxBurstLength.
    pub desired_len: U32,
}
const _: () = assert!(size_of::<RawR2t>() == BHS_LEN);
const _: () = assert!(offset_of!(RawR2t, itt) == 16);
const _: () = assert!(offset_of!(RawR2t, ttt) == 20);
const _: () = assert!(offset_of!(RawR2t, stat_sn) == 24);
const _: () = assert!(offset_of!(RawR2t, max_cmd_sn) == 32);
const _: () = assert!(offset_of!(RawR2t, buffer_offset) == 40);
const _: () = assert!(offset_of!(RawR2t, desired_len) == 44);

bhs!(RawR2t, R2t);
