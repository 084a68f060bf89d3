//! Commands: CDB bytes to a checked [`Command`], and back.

mod command;
mod encode;
mod error;
mod parse;
mod raw;
#[cfg(test)]
mod tests;

pub use command::{
    ByteCheck, Command, DataLength, ModeSelect, ModeSense, PageControl, PersistentIn, PersistentOut,
    ReportOpcodes, ReportingOptions, Rw, RwSize, StartStop, WriteSame,
};
pub use error::CdbError;

/// The bytes of one encoded command: 6, 10, 12 or 16.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cdb {
    bytes: [u8; 16],
    len: u8,
}

impl Cdb {
    /// The command's own bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    /// Padded with zeroes to 16, as an iSCSI SCSI Command PDU carries it.
    pub const fn padded(&self) -> [u8; 16] {
        self.bytes
    }

    /// From one of the layouts, all of which are 16 bytes or fewer.
    fn from_raw(raw: &[u8]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(raw) {
            *to = *from;
        }
        Self { bytes, len: crate::bits::len_u8(raw.len().min(16)) }
    }
}

impl std::fmt::Debug for Cdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cdb(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
