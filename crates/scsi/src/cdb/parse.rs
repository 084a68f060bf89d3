//! CDB bytes to [`Command`].

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::command::{
    ByteCheck, Command, ModeSelect, ModeSense, PageControl, PersistentIn, PersistentOut, ReportOpcodes,
    ReportingOptions, Rw, RwSize, StartStop, WriteSame,
};
use super::error::CdbError;
use super::raw::{
    RawCompare, RawInquiry, RawMode10, RawPrIn, RawPrOut, RawReportLuns, RawReportOpcodes, RawRw6, RawRw10,
    RawRw12, RawRw16, RawServiceIn16, RawSix, RawUnmap,
};
use crate::{Opcode, SelectReport, service_action};

/// NACA in the control byte: asks for auto contingent allegiance, which nothing here has (NORMACA is 0).
const NACA: u8 = 0x04;

impl Command {
    /// Reads a CDB. Bytes after the CDB's own length are padding and not looked at; reserved bits are ignored, as
    /// other targets do.
    ///
    /// # Errors
    /// [`CdbError`]; its `sense()` is what a target answers.
    pub fn parse(cdb: &[u8]) -> Result<Self, CdbError> {
        let opcode = match cdb.first() {
            Some(first) => Opcode(*first),
            None => return Err(CdbError::Short { opcode: 0, need: 6, have: 0 }),
        };
        let unknown = CdbError::UnknownOpcode { opcode: opcode.0 };
        let len = opcode.cdb_len().ok_or(unknown)?;
        let Some(control) = cdb.get(..len).and_then(<[u8]>::last) else {
            return Err(CdbError::Short { opcode: opcode.0, need: len, have: cdb.len() });
        };
        let command = match len {
            6 => six(opcode, cdb),
            10 => ten(opcode, cdb),
            12 => twelve(opcode, cdb),
            _ => sixteen(opcode, cdb),
        }?;
        if control & NACA != 0 {
            let byte = u16::try_from(len.saturating_sub(1)).unwrap_or(0);
            return Err(CdbError::Field { opcode: opcode.0, field: "NACA", byte, bit: 2 });
        }
        Ok(command)
    }
}

fn six(opcode: Opcode, cdb: &[u8]) -> Result<Command, CdbError> {
    let raw: RawSix = layout(cdb)?;
    Ok(match opcode {
        Opcode::READ_6 => Command::Read(rw6(layout(cdb)?)),
        Opcode::WRITE_6 => Command::Write(rw6(layout(cdb)?)),
        Opcode::TEST_UNIT_READY => Command::TestUnitReady,
        Opcode::REQUEST_SENSE => {
            Command::RequestSense { descriptor: raw.flags & 0x01 != 0, alloc_len: raw.byte4 }
        }
        Opcode::INQUIRY => inquiry(&layout(cdb)?)?,
        Opcode::MODE_SENSE_6 => Command::ModeSense(ModeSense {
            ten: false,
            long_lba: false,
            no_descriptors: raw.flags & 0x08 != 0,
            control: page_control(raw.byte2),
            page: raw.byte2 & 0x3f,
            subpage: raw.byte3,
            alloc_len: raw.byte4.into(),
        }),
        Opcode::MODE_SELECT_6 => Command::ModeSelect(ModeSelect {
            ten: false,
            page_format: raw.flags & 0x10 != 0,
            save: raw.flags & 0x01 != 0,
            param_len: raw.byte4.into(),
        }),
        Opcode::START_STOP_UNIT => Command::StartStop(StartStop {
            immediate: raw.flags & 0x01 != 0,
            power_condition: raw.byte4 >> 4,
            no_flush: raw.byte4 & 0x04 != 0,
            load_eject: raw.byte4 & 0x02 != 0,
            start: raw.byte4 & 0x01 != 0,
        }),
        Opcode::PREVENT_ALLOW_MEDIUM_REMOVAL => Command::PreventAllow { prevent: raw.byte4 & 0x03 },
        Opcode(opcode) => return Err(CdbError::UnknownOpcode { opcode }),
    })
}

fn ten(opcode: Opcode, cdb: &[u8]) -> Result<Command, CdbError> {
    let raw: RawRw10 = layout(cdb)?;
    let rw = Rw {
        size: RwSize::Ten,
        lba: raw.lba.get().into(),
        blocks: raw.blocks.get().into(),
        protect: raw.flags >> 5,
        dpo: raw.flags & 0x10 != 0,
        fua: raw.flags & 0x08 != 0,
        group: raw.group & 0x1f,
    };
    Ok(match opcode {
        Opcode::READ_CAPACITY_10 => Command::ReadCapacity10,
        Opcode::MODE_SENSE_10 => mode_sense_10(&layout(cdb)?),
        Opcode::MODE_SELECT_10 => {
            let raw: RawMode10 = layout(cdb)?;
            Command::ModeSelect(ModeSelect {
                ten: true,
                page_format: raw.flags & 0x10 != 0,
                save: raw.flags & 0x01 != 0,
                param_len: raw.len.get(),
            })
        }
        Opcode::UNMAP => {
            let raw: RawUnmap = layout(cdb)?;
            let anchor = raw.flags & 0x01 != 0;
            Command::Unmap { anchor, group: raw.group & 0x1f, param_len: raw.param_len.get() }
        }
        Opcode::PERSISTENT_RESERVE_IN => {
            let raw: RawPrIn = layout(cdb)?;
            let action = raw.action & 0x1f;
            Command::PersistentIn(PersistentIn { action, alloc_len: raw.alloc_len.get() })
        }
        Opcode::PERSISTENT_RESERVE_OUT => {
            let raw: RawPrOut = layout(cdb)?;
            Command::PersistentOut(PersistentOut {
                action: raw.action & 0x1f,
                scope: raw.scope_type >> 4,
                kind: raw.scope_type & 0x0f,
                param_len: raw.param_len.get(),
            })
        }
        opcode => return block_command(opcode, rw, raw.flags),
    })
}

fn twelve(opcode: Opcode, cdb: &[u8]) -> Result<Command, CdbError> {
    let raw: RawRw12 = layout(cdb)?;
    let rw = Rw {
        size: RwSize::Twelve,
        lba: raw.lba.get().into(),
        blocks: raw.blocks.get(),
        protect: raw.flags >> 5,
        dpo: raw.flags & 0x10 != 0,
        fua: raw.flags & 0x08 != 0,
        group: raw.group & 0x1f,
    };
    match opcode {
        Opcode::REPORT_LUNS => {
            let raw: RawReportLuns = layout(cdb)?;
            let select = SelectReport::parse(raw.select).ok_or(CdbError::Field {
                opcode: opcode.0,
                field: "SELECT REPORT",
                byte: 2,
                bit: 7,
            })?;
            Ok(Command::ReportLuns { select, alloc_len: raw.alloc_len.get() })
        }
        Opcode::MAINTENANCE_IN => report_opcodes(&layout(cdb)?),
        opcode => block_command(opcode, rw, raw.flags),
    }
}

fn sixteen(opcode: Opcode, cdb: &[u8]) -> Result<Command, CdbError> {
    let raw: RawRw16 = layout(cdb)?;
    let mut rw = Rw {
        size: RwSize::Sixteen,
        lba: raw.lba.get(),
        blocks: raw.blocks.get(),
        protect: raw.flags >> 5,
        dpo: raw.flags & 0x10 != 0,
        fua: raw.flags & 0x08 != 0,
        group: raw.group & 0x1f,
    };
    match opcode {
        Opcode::COMPARE_AND_WRITE => {
            let raw: RawCompare = layout(cdb)?;
            rw.blocks = raw.blocks.into();
            Ok(Command::CompareAndWrite(rw))
        }
        Opcode::ORWRITE_16 => Ok(Command::OrWrite(rw)),
        Opcode::SERVICE_ACTION_IN_16 => {
            let raw: RawServiceIn16 = layout(cdb)?;
            let alloc_len = raw.alloc_len.get();
            match raw.action & 0x1f {
                service_action::READ_CAPACITY_16 => Ok(Command::ReadCapacity16 { alloc_len }),
                service_action::GET_LBA_STATUS => Ok(Command::GetLbaStatus { lba: raw.lba.get(), alloc_len }),
                action => Err(CdbError::UnknownServiceAction { opcode: opcode.0, action }),
            }
        }
        opcode => block_command(opcode, rw, raw.flags),
    }
}

/// The commands that exist in several lengths and differ in nothing else.
fn block_command(opcode: Opcode, rw: Rw, flags: u8) -> Result<Command, CdbError> {
    let plain = Rw { dpo: false, fua: false, protect: 0, ..rw };
    let immediate = flags & 0x02 != 0;
    Ok(match opcode {
        Opcode::READ_10 | Opcode::READ_12 | Opcode::READ_16 => Command::Read(rw),
        Opcode::WRITE_10 | Opcode::WRITE_12 | Opcode::WRITE_16 => Command::Write(rw),
        Opcode::WRITE_AND_VERIFY_10 | Opcode::WRITE_AND_VERIFY_12 | Opcode::WRITE_AND_VERIFY_16 => {
            Command::WriteAndVerify(Rw { fua: false, ..rw }, byte_check(opcode, flags)?)
        }
        Opcode::VERIFY_10 | Opcode::VERIFY_12 | Opcode::VERIFY_16 => {
            Command::Verify(Rw { fua: false, ..rw }, byte_check(opcode, flags)?)
        }
        Opcode::PRE_FETCH_10 | Opcode::PRE_FETCH_16 => Command::PreFetch { range: plain, immediate },
        Opcode::SYNCHRONIZE_CACHE_10 | Opcode::SYNCHRONIZE_CACHE_16 => {
            Command::SynchronizeCache { range: plain, immediate }
        }
        Opcode::WRITE_SAME_10 | Opcode::WRITE_SAME_16 => Command::WriteSame(WriteSame {
            range: Rw { dpo: false, fua: false, ..rw },
            anchor: flags & 0x10 != 0,
            unmap: flags & 0x08 != 0,
            no_data: opcode == Opcode::WRITE_SAME_16 && flags & 0x01 != 0,
        }),
        Opcode(opcode) => return Err(CdbError::UnknownOpcode { opcode }),
    })
}

fn rw6(raw: RawRw6) -> Rw {
    let high = u64::from(raw.lba_high & 0x1f) << 16;
    let blocks = if raw.blocks == 0 { 256 } else { raw.blocks.into() };
    Rw::new(RwSize::Six, high | u64::from(raw.lba.get()), blocks)
}

fn inquiry(raw: &RawInquiry) -> Result<Command, CdbError> {
    let evpd = raw.flags & 0x01 != 0;
    if raw.flags & 0x02 != 0 {
        return Err(CdbError::Field { opcode: raw.opcode, field: "CMDDT", byte: 1, bit: 1 });
    }
    if !evpd && raw.page != 0 {
        return Err(CdbError::Field { opcode: raw.opcode, field: "PAGE CODE", byte: 2, bit: 7 });
    }
    Ok(Command::Inquiry { page: evpd.then_some(raw.page), alloc_len: raw.alloc_len.get() })
}

fn mode_sense_10(raw: &RawMode10) -> Command {
    Command::ModeSense(ModeSense {
        ten: true,
        long_lba: raw.flags & 0x10 != 0,
        no_descriptors: raw.flags & 0x08 != 0,
        control: page_control(raw.page),
        page: raw.page & 0x3f,
        subpage: raw.subpage,
        alloc_len: raw.len.get(),
    })
}

const fn page_control(byte: u8) -> PageControl {
    match byte >> 6 {
        0 => PageControl::Current,
        1 => PageControl::Changeable,
        2 => PageControl::Default,
        _ => PageControl::Saved,
    }
}

fn byte_check(opcode: Opcode, flags: u8) -> Result<ByteCheck, CdbError> {
    match (flags >> 1) & 0x03 {
        0 => Ok(ByteCheck::Medium),
        1 => Ok(ByteCheck::Data),
        // SBC-3 has the one-block form for VERIFY alone.
        3 if matches!(opcode, Opcode::VERIFY_10 | Opcode::VERIFY_12 | Opcode::VERIFY_16) => {
            Ok(ByteCheck::OneBlock)
        }
        _ => Err(CdbError::Field { opcode: opcode.0, field: "BYTCHK", byte: 1, bit: 2 }),
    }
}

fn report_opcodes(raw: &RawReportOpcodes) -> Result<Command, CdbError> {
    let action = raw.action & 0x1f;
    if action != service_action::REPORT_SUPPORTED_OPERATION_CODES {
        return Err(CdbError::UnknownServiceAction { opcode: raw.opcode, action });
    }
    let options = match raw.options & 0x07 {
        0 => ReportingOptions::All,
        1 => ReportingOptions::Opcode(raw.requested),
        2 => ReportingOptions::Action(raw.requested, raw.requested_action.get()),
        3 => ReportingOptions::Either(raw.requested, raw.requested_action.get()),
        _ => {
            return Err(CdbError::Field { opcode: raw.opcode, field: "REPORTING OPTIONS", byte: 2, bit: 2 });
        }
    };
    let timeouts = raw.options & 0x80 != 0;
    Ok(Command::ReportOpcodes(ReportOpcodes { timeouts, options, alloc_len: raw.alloc_len.get() }))
}

/// The layout at the head of the CDB, whose length was checked against its group before.
fn layout<T: FromBytes + KnownLayout + Immutable>(cdb: &[u8]) -> Result<T, CdbError> {
    T::read_from_prefix(cdb).map(|(raw, _)| raw).map_err(|_| CdbError::Short {
        opcode: cdb.first().copied().unwrap_or(0),
        need: size_of::<T>(),
        have: cdb.len(),
    })
}
