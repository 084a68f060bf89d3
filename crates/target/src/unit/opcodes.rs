//! REPORT SUPPORTED OPERATION CODES.

use scsi::{Opcode, OpcodeInfo, ReportOpcodes, ReportingOptions, SUPPORTED, encode_all, encode_one, find};

use super::admit::invalid_field;
use super::{Reply, Unit};

impl Unit {
    pub(super) fn report_opcodes(&self, report: &ReportOpcodes) -> Result<Vec<u8>, Reply> {
        let list = self.opcodes();
        let has_actions = |opcode| list.iter().any(|info| info.opcode.0 == opcode && info.action.is_some());
        let known = |opcode| list.iter().any(|info| info.opcode.0 == opcode);
        let one = |opcode, action| Ok(encode_one(find(&list, opcode, action), report.timeouts));
        match report.options {
            ReportingOptions::All => Ok(encode_all(&list, report.timeouts)),
            ReportingOptions::Opcode(opcode) if has_actions(opcode) => Err(invalid_field(2, 2)),
            ReportingOptions::Opcode(opcode) => one(opcode, None),
            ReportingOptions::Action(opcode, _) if known(opcode) && !has_actions(opcode) => {
                Err(invalid_field(2, 2))
            }
            ReportingOptions::Action(opcode, action) => one(opcode, Some(action)),
            ReportingOptions::Either(opcode, action) if has_actions(opcode) => one(opcode, Some(action)),
            // Without service actions, the field must be 0 for the command to count as supported.
            ReportingOptions::Either(opcode, 0) => one(opcode, None),
            ReportingOptions::Either(..) => Ok(encode_one(None, report.timeouts)),
        }
    }

    /// What this unit does.
    fn opcodes(&self) -> Vec<OpcodeInfo> {
        SUPPORTED.iter().filter(|info| self.is_thin() || info.opcode != Opcode::UNMAP).copied().collect()
    }
}
