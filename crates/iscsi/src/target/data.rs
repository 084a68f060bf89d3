//! What the target sends for commands: R2T, Data-In, responses.

use std::ops::Range;

use crate::pdu::{Bhs, FINAL, NO_TAG, RawDataIn, RawR2t, RawScsiResponse};
use crate::transmit::Payload;
use crate::types::{Residual, size, wire_len};

use super::task::{Flight, Solicited};
use super::{Response, Target, TargetEvent, TargetTask};

/// Most sense data that is sent, in bytes (SPC's limit).
const MAX_SENSE: usize = 252;

impl<B: AsRef<[u8]> + Clone> Target<B> {
    /// Says that there is a buffer for the first `want` bytes of a write. What has not come unasked is called for;
    /// [`TargetEvent::WriteReady`] follows when all is there (from the next [`Self::receive`], even of no bytes).
    ///
    /// `want` beyond what the initiator has to give is cut to that. A second call for the same task does nothing.
    pub fn solicit(&mut self, task: TargetTask, want: u32) {
        let Some(flight) = self.tasks.get(task).filter(|flight| flight.want.is_none()) else { return };
        flight.want = Some(want.min(flight.write_len));
        self.go_on_with_write(task);
    }

    /// Sends some data of a read ahead of its end, by reference. What is beyond the initiator's room is not sent.
    pub fn data_in(&mut self, task: TargetTask, data: &Payload<B>) {
        let Some(flight) = self.tasks.get(task) else { return };
        let room = size(flight.read_len.saturating_sub(flight.sent));
        let len = data.len().min(room);
        self.push_data_in(task, data, len, None);
    }

    /// Ends a command: sends what is left of its data, and its status. The task's handle is void after that.
    /// Nothing happens when it is void already (the command was aborted).
    pub fn respond(&mut self, task: TargetTask, response: &Response<B>) {
        let Some(flight) = self.tasks.get(task) else { return };
        let room = size(flight.read_len.saturating_sub(flight.sent));
        let len = response.data.len().min(room);
        let moved =
            u64::from(flight.sent).saturating_add(u64::try_from(response.data.len()).unwrap_or(u64::MAX));
        let reads = flight.read_len > 0;
        let total = response.total.unwrap_or(match (reads, response.status) {
            (true, _) => moved,
            (false, 0) => u64::from(flight.write_len),
            (false, _) => 0,
        });
        let residual = residual_of(if reads { flight.read_len } else { flight.write_len }, total);
        let bidi = reads && flight.write_len > 0;
        let collapse = len > 0 && response.status == 0 && response.sense.is_empty() && !bidi;
        if collapse {
            self.push_data_in(task, &response.data, len, Some(residual));
            self.tasks.remove(task);
            return;
        }
        if len > 0 {
            self.push_data_in(task, &response.data, len, None);
        }
        let Some(flight) = self.tasks.remove(task) else { return };
        self.push_response(&flight, response, residual, bidi);
    }

    fn push_response(&mut self, flight: &Flight, response: &Response<B>, residual: Residual, bidi: bool) {
        let mut raw = RawScsiResponse::blank();
        raw.flags = FINAL;
        raw.status = response.status;
        raw.itt = flight.itt.into();
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, true);
        raw.exp_data_sn = flight.next_data_sn.wrapping_add(flight.next_r2t_sn).into();
        let (over, under, slot) = if bidi {
            let slot = &mut raw.bidi_residual;
            (RawScsiResponse::BIDI_OVERFLOW, RawScsiResponse::BIDI_UNDERFLOW, slot)
        } else {
            (RawScsiResponse::OVERFLOW, RawScsiResponse::UNDERFLOW, &mut raw.residual)
        };
        match residual {
            Residual::None => {}
            Residual::Overflow(count) => {
                raw.flags |= over;
                *slot = count.into();
            }
            Residual::Underflow(count) => {
                raw.flags |= under;
                *slot = count.into();
            }
        }
        let segment = if response.sense.is_empty() { Vec::new() } else { sense_segment(&response.sense) };
        self.tx.push(raw, &segment);
    }

    /// Sends the first `len` bytes of `data` as Data-In PDUs; with the status in the last where one is given.
    fn push_data_in(&mut self, task: TargetTask, data: &Payload<B>, len: usize, status: Option<Residual>) {
        let max_cmd_sn = if status.is_some() { self.max_cmd_sn_without(task) } else { self.max_cmd_sn() };
        let Some(flight) = self.tasks.get(task) else { return };
        let mut start = 0_usize;
        while start < len {
            let burst_left = burst_left(flight.sent, self.params.max_burst);
            let part = len.saturating_sub(start).min(size(self.params.max_send_data)).min(size(burst_left));
            let end = start.saturating_add(part);
            let mut raw = RawDataIn::blank();
            if end == len || part == size(burst_left) {
                raw.flags |= FINAL;
            }
            raw.itt = flight.itt.into();
            raw.ttt = NO_TAG.into();
            raw.exp_cmd_sn = self.exp_cmd_sn.into();
            raw.max_cmd_sn = max_cmd_sn.into();
            raw.data_sn = flight.next_data_sn.into();
            raw.buffer_offset = flight.sent.into();
            if let Some(residual) = status.filter(|_| end == len) {
                raw.flags |= RawDataIn::STATUS;
                raw.stat_sn = self.stat_sn.into();
                self.stat_sn = self.stat_sn.wrapping_add(1);
                match residual {
                    Residual::None => {}
                    Residual::Overflow(count) => {
                        raw.flags |= RawDataIn::OVERFLOW;
                        raw.residual = count.into();
                    }
                    Residual::Underflow(count) => {
                        raw.flags |= RawDataIn::UNDERFLOW;
                        raw.residual = count.into();
                    }
                }
            }
            flight.next_data_sn = flight.next_data_sn.wrapping_add(1);
            flight.sent = flight.sent.saturating_add(wire_len(part));
            self.tx.push_data(raw, &[], data, Range { start, end });
            start = end;
        }
    }

    /// MaxCmdSN as it is once a task has ended.
    fn max_cmd_sn_without(&mut self, task: TargetTask) -> u32 {
        let windowed = self.tasks.get(task).is_some_and(|flight| !flight.immediate);
        self.max_cmd_sn().wrapping_add(u32::from(windowed))
    }

    /// Calls for data that is wanted and was not asked for yet, or finds that all is there.
    pub(super) fn go_on_with_write(&mut self, task: TargetTask) {
        let limit = usize::from(self.params.max_outstanding_r2t);
        let max_burst = self.params.max_burst;
        loop {
            let Some(flight) = self.tasks.get(task) else { return };
            let Some(want) = flight.want else { return };
            if flight.open || flight.arriving || flight.ready || flight.spoiled.is_some() {
                return;
            }
            let from = flight.asked.max(flight.unsolicited);
            if from >= want {
                if flight.solicited.is_empty() {
                    flight.ready = true;
                    self.events.push_back(TargetEvent::WriteReady { task });
                }
                return;
            }
            if flight.solicited.len() >= limit {
                return;
            }
            let len = want.saturating_sub(from).min(max_burst);
            self.push_r2t(task, from, len);
        }
    }

    fn push_r2t(&mut self, task: TargetTask, from: u32, len: u32) {
        let ttt = self.new_ttt();
        let mut raw = RawR2t::blank();
        raw.flags = FINAL;
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, false);
        let Some(flight) = self.tasks.get(task) else { return };
        let end = from.saturating_add(len);
        raw.lun = flight.lun.into();
        raw.itt = flight.itt.into();
        raw.ttt = ttt.into();
        raw.r2t_sn = flight.next_r2t_sn.into();
        raw.buffer_offset = from.into();
        raw.desired_len = len.into();
        flight.next_r2t_sn = flight.next_r2t_sn.wrapping_add(1);
        flight.asked = end;
        flight.solicited.push(Solicited { ttt, at: from, end, next_data_sn: 0 });
        self.tx.push(raw, &[]);
    }
}

/// How far what was moved is from what the initiator expected.
fn residual_of(expected: u32, total: u64) -> Residual {
    let expected = u64::from(expected);
    let count = |long: u64, short: u64| u32::try_from(long.saturating_sub(short)).unwrap_or(u32::MAX);
    if total > expected {
        Residual::Overflow(count(total, expected))
    } else if total < expected {
        Residual::Underflow(count(expected, total))
    } else {
        Residual::None
    }
}

/// Bytes up to the next end of a sequence.
fn burst_left(sent: u32, max_burst: u32) -> u32 {
    max_burst.saturating_sub(sent.checked_rem(max_burst).unwrap_or(0))
}

/// Sense data as a data segment: its length in two bytes, and itself.
pub(super) fn sense_segment(sense: &[u8]) -> Vec<u8> {
    let sense = sense.get(..sense.len().min(MAX_SENSE)).unwrap_or_default();
    let len = u16::try_from(sense.len()).unwrap_or(0);
    let mut segment = Vec::with_capacity(sense.len().saturating_add(2));
    segment.extend_from_slice(&len.to_be_bytes());
    segment.extend_from_slice(sense);
    segment
}
