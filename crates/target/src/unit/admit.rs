//! Takes a command in: everything that can be judged before its data is here.

use scsi::{
    AdditionalSense, ByteCheck, Command, DataLength, FieldPointer, Rw, RwSize, Sense, SenseKey, WriteSame,
};

use super::reply::as_usize;
use super::{MAX_TRANSFER, MAX_WRITE_SAME, Reply, Unit};
use crate::nexus::Nexus;

/// What the initiator says of the data, beside the CDB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// It has room for so many bytes, in.
    pub(crate) read: u32,
    /// It has so many bytes to send, out.
    pub(crate) write: u32,
}

/// A command that may run once its data is here.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(super) command: Command,
    /// Bytes that the CDB is about.
    pub(super) full_len: u64,
    pub(super) expected: Expected,
    /// Bytes of data out to wait for.
    pub(super) data_out: usize,
    /// Resets of the unit when it came: after another one it must not run.
    pub(super) epoch: u64,
}

impl Admitted {
    /// Bytes of data that must come from the initiator before the command can run, at most [`MAX_TRANSFER`]; the
    /// initiator may have more to send, which is of no use.
    pub(crate) fn data_out(&self) -> usize {
        self.data_out
    }

    /// Resets of the unit when it came; see [`Unit::epoch`].
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes that the command will have in memory for the initiator, at most [`MAX_TRANSFER`].
    pub(crate) fn data_in(&self) -> usize {
        match self.command {
            Command::Read(_) => as_usize(self.full_len.min(self.expected.read.into())),
            _ => 0,
        }
    }
}

impl Unit {
    /// Judges a command.
    ///
    /// # Errors
    /// The answer, where it must not run. Data that the initiator sends for it is of no use then.
    pub(crate) fn admit(&self, nexus: &Nexus, cdb: &[u8], expected: Expected) -> Result<Admitted, Reply> {
        let epoch = self.epoch();
        let parsed = Command::parse(cdb);
        if !matches!(
            parsed,
            Ok(Command::Inquiry { .. } | Command::ReportLuns { .. } | Command::RequestSense { .. })
        ) && let Some(news) = nexus.take()
        {
            return Err(Reply::check(Sense::attention(news)));
        }
        let command = parsed.map_err(|error| Reply::check(error.sense()))?;
        self.check(&command)?;
        let (full_len, data_out) = match command.data_length(self.block) {
            DataLength::None => (0, 0),
            DataLength::In(len) => (len, 0),
            DataLength::Out(len) => (len, self.data_out(&command, len, expected)?),
        };
        Ok(Admitted { command, full_len, expected, data_out, epoch })
    }

    /// Everything about the command itself.
    fn check(&self, command: &Command) -> Result<(), Reply> {
        match command {
            Command::Read(rw) => {
                self.check_range(rw)?;
                self.check_transfer(rw, 1)
            }
            Command::Verify(rw, check) => {
                self.check_range(rw)?;
                if *check == ByteCheck::Data { self.check_transfer(rw, 1) } else { Ok(()) }
            }
            Command::PreFetch { range, .. } | Command::SynchronizeCache { range, .. } => {
                self.check_range(range)
            }
            Command::Write(rw) | Command::WriteAndVerify(rw, _) | Command::OrWrite(rw) => {
                self.check_range(rw)?;
                self.check_writable()?;
                self.check_transfer(rw, 1)
            }
            Command::CompareAndWrite(rw) => {
                self.check_range(rw)?;
                self.check_writable()?;
                self.check_transfer(rw, 2)
            }
            Command::WriteSame(same) => {
                self.check_range(&same.range)?;
                self.check_writable()?;
                self.check_write_same(same)
            }
            Command::Unmap { anchor, .. } => {
                if !self.is_thin() {
                    return Err(Reply::illegal(AdditionalSense::INVALID_OPERATION_CODE));
                }
                if *anchor {
                    return Err(invalid_field(1, 0));
                }
                self.check_writable()
            }
            _ => Ok(()),
        }
    }

    /// The range lies on the unit, and asks for no protection information.
    fn check_range(&self, rw: &Rw) -> Result<(), Reply> {
        if rw.protect != 0 {
            return Err(invalid_field(1, 7));
        }
        match rw.lba.checked_add(rw.blocks.into()) {
            Some(end) if rw.lba < self.blocks && end <= self.blocks => Ok(()),
            // Nothing at the very end is nothing wrong.
            Some(end) if rw.blocks == 0 && end == self.blocks => Ok(()),
            _ => Err(Reply::illegal(AdditionalSense::LBA_OUT_OF_RANGE)),
        }
    }

    /// `times` the range is no more than one command may move.
    fn check_transfer(&self, rw: &Rw, times: u64) -> Result<(), Reply> {
        let bytes = u64::from(rw.blocks) * u64::from(self.block) * times;
        if bytes <= u64::from(MAX_TRANSFER) {
            return Ok(());
        }
        Err(match rw.size {
            RwSize::Six | RwSize::Ten => invalid_field(7, 7),
            RwSize::Twelve => invalid_field(6, 7),
            RwSize::Sixteen => invalid_field(10, 7),
        })
    }

    fn check_writable(&self) -> Result<(), Reply> {
        if self.read_only || self.mode().write_protect {
            return Err(Reply::check(Sense::new(SenseKey::DataProtect, AdditionalSense::WRITE_PROTECTED)));
        }
        Ok(())
    }

    fn check_write_same(&self, same: &WriteSame) -> Result<(), Reply> {
        if same.anchor {
            return Err(invalid_field(1, 4));
        }
        if same.unmap && !self.is_thin() {
            return Err(invalid_field(1, 3));
        }
        let blocks = match same.range.blocks {
            0 => self.blocks - same.range.lba,
            blocks => blocks.into(),
        };
        if blocks > MAX_WRITE_SAME {
            return Err(invalid_field(if same.range.size == RwSize::Ten { 7 } else { 10 }, 7));
        }
        Ok(())
    }

    /// Bytes to wait for, of a command whose CDB speaks of `len`.
    ///
    /// An initiator that has less to send than a WRITE's CDB says gets its whole blocks written and a residual;
    /// where that would cut a block, or the command makes no sense in part, it is refused with nothing done.
    fn data_out(&self, command: &Command, len: u64, expected: Expected) -> Result<usize, Reply> {
        let has = u64::from(expected.write);
        let exact = matches!(command, Command::CompareAndWrite(_) | Command::WriteSame(_));
        let cut = has < len;
        let partial = !has.is_multiple_of(u64::from(self.block));
        let divisible = matches!(command, Command::Write(_) | Command::WriteAndVerify(..));
        if exact && has != len {
            // As LIO: the CDB's count is what does not fit.
            return Err(Reply::illegal(AdditionalSense::INVALID_FIELD_IN_CDB).about(len));
        }
        if cut && (partial || !divisible) {
            return Err(Reply::illegal(AdditionalSense::INVALID_FIELD_IN_COMMAND_IU).about(len));
        }
        Ok(as_usize(len.min(has)))
    }

    /// Whether the disk gives space back.
    pub(super) fn is_thin(&self) -> bool {
        self.geometry.discard_granularity > 0
    }
}

/// INVALID FIELD IN CDB, pointing at it.
pub(crate) fn invalid_field(byte: u16, bit: u8) -> Reply {
    let field = FieldPointer { in_cdb: true, byte, bit: Some(bit) };
    Reply::check(Sense::illegal(AdditionalSense::INVALID_FIELD_IN_CDB).with_field(field))
}
