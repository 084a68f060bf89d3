//! SCSI as far as a disk needs it: CDBs, statuses, sense, INQUIRY and VPD pages, capacities, mode pages.
//!
//! Everything here is bytes to checked types and back; there is no I/O, and both sides use it: an initiator encodes
//! a [`Command`] and parses the answer, a target parses the CDB and encodes the answer. What comes in is hostile:
//! parsing never panics, and never allocates more than the input is long.
//!
//! Sources: SPC-4 (commands of every device), SBC-3 (disks), SAM-5 (statuses, LUNs). All integers are big-endian.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

mod bits;
mod capacity;
mod cdb;
mod inquiry;
mod lun;
mod mode;
mod opcodes;
mod report_luns;
mod rsoc;
mod sense;
mod status;
mod unmap;
pub mod vpd;

pub use capacity::{ReadCapacity10, ReadCapacity16};
pub use cdb::{
    ByteCheck, Cdb, CdbError, Command, DataLength, ModeSelect, ModeSense, PageControl, PersistentIn,
    PersistentOut, ReportOpcodes, ReportingOptions, Rw, RwSize, StartStop, WriteSame,
};
pub use inquiry::{DeviceType, Inquiry, Qualifier};
pub use lun::{Lun, LunError};
pub use mode::{CachingPage, ControlPage, ModeData, ModePage, PageCode};
pub use opcodes::{Opcode, service_action};
pub use report_luns::{LunList, SelectReport};
pub use rsoc::{OpcodeInfo, SUPPORTED, encode_all, encode_one, find};
pub use sense::{AdditionalSense, FieldPointer, Sense, SenseFormat, SenseKey, Specific};
pub use status::Status;
pub use unmap::{UnmapList, UnmapRange};

/// A structure that came from the other side and does not hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Fewer bytes than the structure needs.
    #[error("{what} is {have} bytes long, and needs {need}")]
    Short {
        /// The structure.
        what: &'static str,
        /// Bytes it needs.
        need: usize,
        /// Bytes that came.
        have: usize,
    },
    /// A field with a value that makes no sense.
    #[error("{what}: field {field} is {value:#x}")]
    Field {
        /// The structure.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

impl ParseError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some("the other side's SCSI implementation sent bytes that do not follow SPC or SBC")
    }
}
