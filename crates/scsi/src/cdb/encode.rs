//! [`Command`] to CDB bytes.

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

use super::Cdb;
use super::command::{
    ByteCheck, Command, ModeSelect, ModeSense, PageControl, ReportOpcodes, ReportingOptions, Rw, RwSize,
    StartStop, WriteSame,
};
use super::raw::{
    RawCompare, RawInquiry, RawMode10, RawPrIn, RawPrOut, RawReportLuns, RawReportOpcodes, RawRw6, RawRw10,
    RawRw12, RawRw16, RawServiceIn16, RawSix, RawUnmap,
};
use crate::bits::flag;
use crate::{Opcode, service_action};

impl Command {
    /// The bytes of the CDB, or none where a field does not fit: a block range beyond what its [`RwSize`] can name,
    /// a size that the command does not come in, a count of 0 in the (6) form, or a sub-field beyond its bits.
    pub fn encode(&self) -> Option<Cdb> {
        Some(match *self {
            Self::TestUnitReady => six(Opcode::TEST_UNIT_READY, 0, 0, 0, 0),
            Self::RequestSense { descriptor, alloc_len } => {
                six(Opcode::REQUEST_SENSE, flag(descriptor, 1), 0, 0, alloc_len)
            }
            Self::Inquiry { page, alloc_len } => inquiry(page, alloc_len),
            Self::ModeSense(sense) => return mode_sense(&sense),
            Self::ModeSelect(select) => return mode_select(&select),
            Self::StartStop(start) => return start_stop(&start),
            Self::PreventAllow { prevent } => {
                six(Opcode::PREVENT_ALLOW_MEDIUM_REMOVAL, 0, 0, 0, within(prevent, 3)?)
            }
            Self::ReadCapacity10 => {
                Cdb::from_raw(RawRw10 { opcode: Opcode::READ_CAPACITY_10.0, ..Default::default() }.as_bytes())
            }
            Self::ReadCapacity16 { alloc_len } => service_in(service_action::READ_CAPACITY_16, 0, alloc_len),
            Self::GetLbaStatus { lba, alloc_len } => {
                service_in(service_action::GET_LBA_STATUS, lba, alloc_len)
            }
            Self::Unmap { anchor, group, param_len } => unmap(anchor, within(group, 0x1f)?, param_len),
            Self::ReportLuns { select, alloc_len } => Cdb::from_raw(
                RawReportLuns {
                    opcode: Opcode::REPORT_LUNS.0,
                    select: select.code(),
                    alloc_len: U32::new(alloc_len),
                    ..Default::default()
                }
                .as_bytes(),
            ),
            Self::ReportOpcodes(report) => report_opcodes(&report),
            Self::PersistentIn(read) => Cdb::from_raw(
                RawPrIn {
                    opcode: Opcode::PERSISTENT_RESERVE_IN.0,
                    action: within(read.action, 0x1f)?,
                    alloc_len: U16::new(read.alloc_len),
                    ..Default::default()
                }
                .as_bytes(),
            ),
            Self::PersistentOut(change) => Cdb::from_raw(
                RawPrOut {
                    opcode: Opcode::PERSISTENT_RESERVE_OUT.0,
                    action: within(change.action, 0x1f)?,
                    scope_type: within(change.scope, 0x0f)? << 4 | within(change.kind, 0x0f)?,
                    param_len: U32::new(change.param_len),
                    ..Default::default()
                }
                .as_bytes(),
            ),
            Self::Read(_)
            | Self::Write(_)
            | Self::WriteAndVerify(..)
            | Self::Verify(..)
            | Self::OrWrite(_)
            | Self::CompareAndWrite(_)
            | Self::WriteSame(_)
            | Self::SynchronizeCache { .. }
            | Self::PreFetch { .. } => return self.encode_block_command(),
        })
    }

    fn encode_block_command(&self) -> Option<Cdb> {
        type O = Opcode;
        match *self {
            Self::Read(rw) => {
                block([Some(O::READ_6), Some(O::READ_10), Some(O::READ_12), Some(O::READ_16)], &rw, 0)
            }
            Self::Write(rw) => {
                block([Some(O::WRITE_6), Some(O::WRITE_10), Some(O::WRITE_12), Some(O::WRITE_16)], &rw, 0)
            }
            Self::WriteAndVerify(rw, check) => {
                let opcodes =
                    [O::WRITE_AND_VERIFY_10, O::WRITE_AND_VERIFY_12, O::WRITE_AND_VERIFY_16].map(Some);
                let [ten, twelve, sixteen] = opcodes;
                block([None, ten, twelve, sixteen], &Rw { fua: false, ..rw }, byte_check(check))
            }
            Self::Verify(rw, check) => {
                let opcodes = [None, Some(O::VERIFY_10), Some(O::VERIFY_12), Some(O::VERIFY_16)];
                block(opcodes, &Rw { fua: false, ..rw }, byte_check(check))
            }
            Self::OrWrite(rw) => block([None, None, None, Some(O::ORWRITE_16)], &rw, 0),
            Self::CompareAndWrite(rw) => compare(&rw),
            Self::WriteSame(same) => write_same(&same),
            Self::SynchronizeCache { range, immediate } => {
                let opcodes = [None, Some(O::SYNCHRONIZE_CACHE_10), None, Some(O::SYNCHRONIZE_CACHE_16)];
                block(opcodes, &unflagged(range), flag(immediate, 0x02))
            }
            Self::PreFetch { range, immediate } => {
                let opcodes = [None, Some(O::PRE_FETCH_10), None, Some(O::PRE_FETCH_16)];
                block(opcodes, &unflagged(range), flag(immediate, 0x02))
            }
            _ => None,
        }
    }
}

/// One of the (6), (10), (12), (16) opcodes, as the range's size says, with extra bits for byte 1.
fn block(opcodes: [Option<Opcode>; 4], rw: &Rw, extra: u8) -> Option<Cdb> {
    let [six, ten, twelve, sixteen] = opcodes;
    let flags = within(rw.protect, 7)? << 5 | flag(rw.dpo, 0x10) | flag(rw.fua, 0x08) | extra;
    let group = within(rw.group, 0x1f)?;
    let lba32 = u32::try_from(rw.lba).map(U32::new);
    Some(match rw.size {
        RwSize::Six => return rw6(six?.0, rw, flags),
        RwSize::Ten => Cdb::from_raw(
            RawRw10 {
                opcode: ten?.0,
                flags,
                lba: lba32.ok()?,
                group,
                blocks: U16::new(u16::try_from(rw.blocks).ok()?),
                control: 0,
            }
            .as_bytes(),
        ),
        RwSize::Twelve => Cdb::from_raw(
            RawRw12 {
                opcode: twelve?.0,
                flags,
                lba: lba32.ok()?,
                blocks: U32::new(rw.blocks),
                group,
                control: 0,
            }
            .as_bytes(),
        ),
        RwSize::Sixteen => Cdb::from_raw(
            RawRw16 {
                opcode: sixteen?.0,
                flags,
                lba: U64::new(rw.lba),
                blocks: U32::new(rw.blocks),
                group,
                control: 0,
            }
            .as_bytes(),
        ),
    })
}

fn rw6(opcode: u8, rw: &Rw, flags: u8) -> Option<Cdb> {
    let blocks = match rw.blocks {
        1..=255 => u8::try_from(rw.blocks).ok()?,
        256 => 0,
        _ => return None,
    };
    let lba_high = within(u8::try_from(rw.lba >> 16).ok()?, 0x1f)?;
    let lba = U16::new(u16::try_from(rw.lba & 0xffff).ok()?);
    (flags == 0 && rw.group == 0)
        .then(|| Cdb::from_raw(RawRw6 { opcode, lba_high, lba, blocks, control: 0 }.as_bytes()))
}

fn compare(rw: &Rw) -> Option<Cdb> {
    let raw = RawCompare {
        opcode: Opcode::COMPARE_AND_WRITE.0,
        flags: within(rw.protect, 7)? << 5 | flag(rw.dpo, 0x10) | flag(rw.fua, 0x08),
        lba: U64::new(rw.lba),
        blocks: u8::try_from(rw.blocks).ok()?,
        group: within(rw.group, 0x1f)?,
        ..Default::default()
    };
    (rw.size == RwSize::Sixteen).then(|| Cdb::from_raw(raw.as_bytes()))
}

fn write_same(same: &WriteSame) -> Option<Cdb> {
    if same.no_data && same.range.size != RwSize::Sixteen {
        return None;
    }
    let extra = flag(same.anchor, 0x10) | flag(same.unmap, 0x08) | flag(same.no_data, 0x01);
    let range = Rw { protect: same.range.protect, ..unflagged(same.range) };
    block([None, Some(Opcode::WRITE_SAME_10), None, Some(Opcode::WRITE_SAME_16)], &range, extra)
}

const fn unflagged(rw: Rw) -> Rw {
    Rw { dpo: false, fua: false, protect: 0, ..rw }
}

const fn byte_check(check: ByteCheck) -> u8 {
    match check {
        ByteCheck::Medium => 0,
        ByteCheck::Data => 0x02,
        ByteCheck::OneBlock => 0x06,
    }
}

fn inquiry(page: Option<u8>, alloc_len: u16) -> Cdb {
    Cdb::from_raw(
        RawInquiry {
            opcode: Opcode::INQUIRY.0,
            flags: flag(page.is_some(), 1),
            page: page.unwrap_or(0),
            alloc_len: U16::new(alloc_len),
            control: 0,
        }
        .as_bytes(),
    )
}

fn mode_sense(sense: &ModeSense) -> Option<Cdb> {
    let control = match sense.control {
        PageControl::Current => 0,
        PageControl::Changeable => 0x40,
        PageControl::Default => 0x80,
        PageControl::Saved => 0xc0,
    };
    let page = control | within(sense.page, 0x3f)?;
    let flags = flag(sense.no_descriptors, 0x08) | flag(sense.long_lba, 0x10);
    if sense.ten {
        return Some(mode10(Opcode::MODE_SENSE_10, flags, page, sense.subpage, sense.alloc_len));
    }
    let alloc_len = u8::try_from(sense.alloc_len).ok()?;
    (!sense.long_lba).then(|| six(Opcode::MODE_SENSE_6, flags, page, sense.subpage, alloc_len))
}

fn mode_select(select: &ModeSelect) -> Option<Cdb> {
    let flags = flag(select.page_format, 0x10) | flag(select.save, 0x01);
    if select.ten {
        return Some(mode10(Opcode::MODE_SELECT_10, flags, 0, 0, select.param_len));
    }
    Some(six(Opcode::MODE_SELECT_6, flags, 0, 0, u8::try_from(select.param_len).ok()?))
}

fn mode10(opcode: Opcode, flags: u8, page: u8, subpage: u8, len: u16) -> Cdb {
    let raw = RawMode10 { opcode: opcode.0, flags, page, subpage, len: U16::new(len), ..Default::default() };
    Cdb::from_raw(raw.as_bytes())
}

fn start_stop(start: &StartStop) -> Option<Cdb> {
    let byte4 = within(start.power_condition, 0x0f)? << 4
        | flag(start.no_flush, 0x04)
        | flag(start.load_eject, 0x02)
        | flag(start.start, 0x01);
    Some(six(Opcode::START_STOP_UNIT, flag(start.immediate, 1), 0, 0, byte4))
}

fn unmap(anchor: bool, group: u8, param_len: u16) -> Cdb {
    let raw = RawUnmap {
        opcode: Opcode::UNMAP.0,
        flags: flag(anchor, 1),
        group,
        param_len: U16::new(param_len),
        ..Default::default()
    };
    Cdb::from_raw(raw.as_bytes())
}

fn report_opcodes(report: &ReportOpcodes) -> Cdb {
    let (options, requested, action) = match report.options {
        ReportingOptions::All => (0, 0, 0),
        ReportingOptions::Opcode(opcode) => (1, opcode, 0),
        ReportingOptions::Action(opcode, action) => (2, opcode, action),
        ReportingOptions::Either(opcode, action) => (3, opcode, action),
    };
    let raw = RawReportOpcodes {
        opcode: Opcode::MAINTENANCE_IN.0,
        action: service_action::REPORT_SUPPORTED_OPERATION_CODES,
        options: options | flag(report.timeouts, 0x80),
        requested,
        requested_action: U16::new(action),
        alloc_len: U32::new(report.alloc_len),
        ..Default::default()
    };
    Cdb::from_raw(raw.as_bytes())
}

fn service_in(action: u8, lba: u64, alloc_len: u32) -> Cdb {
    let raw = RawServiceIn16 {
        opcode: Opcode::SERVICE_ACTION_IN_16.0,
        action,
        lba: U64::new(lba),
        alloc_len: U32::new(alloc_len),
        ..Default::default()
    };
    Cdb::from_raw(raw.as_bytes())
}

fn six(opcode: Opcode, flags: u8, byte2: u8, byte3: u8, byte4: u8) -> Cdb {
    Cdb::from_raw(RawSix { opcode: opcode.0, flags, byte2, byte3, byte4, control: 0 }.as_bytes())
}

/// The value where it fits below `max`, else none.
fn within(value: u8, max: u8) -> Option<u8> {
    (value <= max).then_some(value)
}
