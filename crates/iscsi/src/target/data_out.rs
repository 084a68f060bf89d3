//! Data of writes: what may come, and what a write comes to whose data came wrong.
//!
//! A wrong Data-Out of a known write ends that write and nothing else: the session is sound, the stream is cut well.
//! The answer waits until all that is due has come (RFC 7143, 7.7: it must), so that no data of the old command can
//! be taken for that of a new one with its tag.

use crate::error::SessionError;
use crate::pdu::{NO_TAG, Opcode, PduError, RawBhs, RawDataOut, RawScsiCommand};

use super::receive::Current;
use super::task::Flight;
use super::{DataFault, Target, TargetEvent, TargetTask};

/// Why nothing of a write counts.
#[derive(Debug)]
pub(super) struct Spoiled {
    fault: DataFault,
    error: PduError,
}

impl Spoiled {
    fn new(pdu: Opcode, fault: DataFault, field: &'static str, value: u32, want: &'static str) -> Self {
        Self { fault, error: PduError::Field { pdu, field, value, want } }
    }
}

impl<B: AsRef<[u8]> + Clone> Target<B> {
    /// Data with a command, and the promise of more, must keep to what was agreed.
    pub(super) fn check_unsolicited(
        &self,
        raw: &RawScsiCommand,
        arriving: u32,
        write_len: u32,
    ) -> Result<(), Spoiled> {
        let spoiled =
            |fault, field, value, want| Err(Spoiled::new(Opcode::ScsiCommand, fault, field, value, want));
        let length = "DataSegmentLength";
        if arriving > 0 && write_len == 0 {
            return spoiled(DataFault::Unexpected, length, arriving, "0, since the command writes nothing");
        }
        if arriving > 0 && !self.params.immediate_data {
            return spoiled(DataFault::Unexpected, length, arriving, "0, since ImmediateData is No");
        }
        if arriving > self.params.first_burst {
            return spoiled(DataFault::WrongAmount, length, arriving, "up to FirstBurstLength");
        }
        if arriving > write_len {
            return spoiled(DataFault::WrongAmount, length, arriving, "up to Expected Data Transfer Length");
        }
        if !raw.is_final() && raw.writes() && self.params.initial_r2t {
            return spoiled(DataFault::Unexpected, "F", 0, "1, since InitialR2T is Yes");
        }
        Ok(())
    }

    /// The header of a Data-Out.
    ///
    /// # Errors
    /// Data for a command that has no use for any: what the initiator means is not known then, and its command may
    /// be at the disk already.
    pub(super) fn begin_data_out(&mut self, raw: &RawDataOut) -> Result<Current, SessionError> {
        let common: &RawBhs = zerocopy::transmute_ref!(raw);
        let (itt, len, offset) = (raw.itt.get(), common.data_len(), raw.buffer_offset.get());
        let error = |want| Err(SessionError::field(Opcode::DataOut, "Initiator Task Tag", itt, want));
        let dropped = Current::Write { task: None, offset };
        let Some(task) = self.tasks.find(itt) else {
            if self.tasks.is_drained(itt) {
                return Ok(dropped);
            }
            return error("that of a command in flight");
        };
        let first_burst = self.params.first_burst;
        let Some(flight) = self.tasks.get(task) else { return Ok(dropped) };
        if flight.ready || flight.write_len == 0 && flight.spoiled.is_none() {
            return error("that of a write that waits for data");
        }
        let judged = flight.take_data_out(raw, len, first_burst);
        if let Err(spoiled) = judged
            && flight.spoiled.is_none()
        {
            flight.spoiled = Some(Box::new(spoiled));
        }
        if flight.spoiled.is_some() {
            return Ok(Current::Spoiled(task));
        }
        flight.arriving = true;
        Ok(Current::Write { task: Some(task), offset })
    }

    /// The end of a PDU with data that does not count: the write is over when nothing more of it is due.
    pub(super) fn end_spoiled(&mut self, task: TargetTask) {
        let Some(flight) = self.tasks.get(task) else { return };
        if flight.open || !flight.solicited.is_empty() || flight.ready {
            return;
        }
        let Some(Spoiled { fault, error }) = flight.spoiled.as_deref() else { return };
        let (fault, error) = (*fault, error.clone());
        flight.ready = true;
        self.events.push_back(TargetEvent::BadData { task, fault, error });
    }
}

impl Flight {
    /// Judges a Data-Out of this write, and moves its sequence on, whatever the verdict.
    fn take_data_out(&mut self, raw: &RawDataOut, len: u32, first_burst: u32) -> Result<(), Spoiled> {
        let ttt = raw.ttt.get();
        if ttt == NO_TAG {
            return self.take_unsolicited(raw, len, first_burst);
        }
        let pdu = Opcode::DataOut;
        let Some(at) = self.solicited.iter().position(|solicited| solicited.ttt == ttt) else {
            let (fault, want) = (DataFault::Unexpected, "that of an R2T in flight");
            return Err(Spoiled::new(pdu, fault, "Target Transfer Tag", ttt, want));
        };
        let Some(solicited) = self.solicited.get_mut(at) else { return Ok(()) };
        let judged = check_place(raw, len, solicited.next_data_sn, solicited.at, solicited.end);
        solicited.next_data_sn = solicited.next_data_sn.wrapping_add(1);
        solicited.at = solicited.at.saturating_add(len);
        let complete = solicited.at >= solicited.end;
        if complete || raw.is_final() {
            self.solicited.remove(at);
        }
        judged?;
        if complete != raw.is_final() {
            let want = "set in the PDU that brings the last of what was called for, and there alone";
            let (fault, value) = (DataFault::WrongAmount, u32::from(raw.is_final()));
            return Err(Spoiled::new(pdu, fault, "F", value, want));
        }
        Ok(())
    }

    fn take_unsolicited(&mut self, raw: &RawDataOut, len: u32, first_burst: u32) -> Result<(), Spoiled> {
        let pdu = Opcode::DataOut;
        if !self.open {
            let (fault, want) = (DataFault::Unexpected, "that of an R2T");
            return Err(Spoiled::new(pdu, fault, "Target Transfer Tag", NO_TAG, want));
        }
        let limit = first_burst.min(self.write_len);
        let judged = check_place(raw, len, self.next_unsolicited_sn, self.unsolicited, limit);
        self.next_unsolicited_sn = self.next_unsolicited_sn.wrapping_add(1);
        self.unsolicited = self.unsolicited.saturating_add(len);
        let complete = self.unsolicited >= limit;
        self.open = !raw.is_final() && !complete;
        judged?;
        let wrong = |want| {
            let value = u32::from(raw.is_final());
            Err(Spoiled::new(pdu, DataFault::WrongAmount, "F", value, want))
        };
        if complete && !raw.is_final() {
            return wrong("1 in the PDU that brings the last of what may come unasked");
        }
        // A write no longer than the first burst may send less, and be asked for the rest (RFC 7143, 11.4.7.2).
        if !complete && raw.is_final() && self.write_len > first_burst {
            return wrong("0 before FirstBurstLength bytes came unasked");
        }
        Ok(())
    }
}

/// Checks DataSN and place of a Data-Out.
fn check_place(raw: &RawDataOut, len: u32, data_sn: u32, at: u32, end: u32) -> Result<(), Spoiled> {
    let spoiled = |fault, field, value, want| Err(Spoiled::new(Opcode::DataOut, fault, field, value, want));
    if raw.data_sn.get() != data_sn {
        let value = raw.data_sn.get();
        return spoiled(DataFault::OutOfSequence, "DataSN", value, "the next of its sequence");
    }
    if raw.buffer_offset.get() != at {
        let value = raw.buffer_offset.get();
        return spoiled(DataFault::OutOfSequence, "Buffer Offset", value, "where the data before it ended");
    }
    if len > end.saturating_sub(at) {
        return spoiled(DataFault::WrongAmount, "DataSegmentLength", len, "within what may come");
    }
    Ok(())
}
