//! Operation codes and service actions by name.

/// The first byte of a CDB. Source: SPC-4 and SBC-3, annex "operation codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opcode(pub u8);

#[allow(missing_docs, reason = "the names are the standard's own")]
impl Opcode {
    pub const TEST_UNIT_READY: Self = Self(0x00);
    pub const REQUEST_SENSE: Self = Self(0x03);
    pub const READ_6: Self = Self(0x08);
    pub const WRITE_6: Self = Self(0x0a);
    pub const INQUIRY: Self = Self(0x12);
    pub const MODE_SELECT_6: Self = Self(0x15);
    pub const MODE_SENSE_6: Self = Self(0x1a);
    pub const START_STOP_UNIT: Self = Self(0x1b);
    pub const PREVENT_ALLOW_MEDIUM_REMOVAL: Self = Self(0x1e);
    pub const READ_CAPACITY_10: Self = Self(0x25);
    pub const READ_10: Self = Self(0x28);
    pub const WRITE_10: Self = Self(0x2a);
    pub const WRITE_AND_VERIFY_10: Self = Self(0x2e);
    pub const VERIFY_10: Self = Self(0x2f);
    pub const PRE_FETCH_10: Self = Self(0x34);
    pub const SYNCHRONIZE_CACHE_10: Self = Self(0x35);
    pub const WRITE_SAME_10: Self = Self(0x41);
    pub const UNMAP: Self = Self(0x42);
    pub const MODE_SELECT_10: Self = Self(0x55);
    pub const MODE_SENSE_10: Self = Self(0x5a);
    pub const PERSISTENT_RESERVE_IN: Self = Self(0x5e);
    pub const PERSISTENT_RESERVE_OUT: Self = Self(0x5f);
    pub const READ_16: Self = Self(0x88);
    pub const COMPARE_AND_WRITE: Self = Self(0x89);
    pub const WRITE_16: Self = Self(0x8a);
    pub const ORWRITE_16: Self = Self(0x8b);
    pub const WRITE_AND_VERIFY_16: Self = Self(0x8e);
    pub const VERIFY_16: Self = Self(0x8f);
    pub const PRE_FETCH_16: Self = Self(0x90);
    pub const SYNCHRONIZE_CACHE_16: Self = Self(0x91);
    pub const WRITE_SAME_16: Self = Self(0x93);
    /// READ CAPACITY(16), GET LBA STATUS.
    pub const SERVICE_ACTION_IN_16: Self = Self(0x9e);
    pub const REPORT_LUNS: Self = Self(0xa0);
    /// REPORT SUPPORTED OPERATION CODES and others.
    pub const MAINTENANCE_IN: Self = Self(0xa3);
    pub const READ_12: Self = Self(0xa8);
    pub const WRITE_12: Self = Self(0xaa);
    pub const WRITE_AND_VERIFY_12: Self = Self(0xae);
    pub const VERIFY_12: Self = Self(0xaf);
}

impl Opcode {
    /// Bytes of this opcode's CDB by its group, where the group has a fixed length.
    ///
    /// Source: SPC-4, 4.2.5.1. Groups 3 (variable length), 6 and 7 (vendor's) have none.
    pub const fn cdb_len(self) -> Option<usize> {
        match self.0 >> 5 {
            0 => Some(6),
            1 | 2 => Some(10),
            4 => Some(16),
            5 => Some(12),
            _ => None,
        }
    }
}

/// Service actions of the opcodes that have them.
#[allow(missing_docs, reason = "the names are the standard's own")]
pub mod service_action {
    pub const READ_CAPACITY_16: u8 = 0x10;
    pub const GET_LBA_STATUS: u8 = 0x12;
    pub const REPORT_SUPPORTED_OPERATION_CODES: u8 = 0x0c;
    pub const PR_IN_READ_KEYS: u8 = 0x00;
    pub const PR_IN_READ_RESERVATION: u8 = 0x01;
    pub const PR_IN_REPORT_CAPABILITIES: u8 = 0x02;
    pub const PR_IN_READ_FULL_STATUS: u8 = 0x03;
}
