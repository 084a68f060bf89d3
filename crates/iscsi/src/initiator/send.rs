//! What the initiator sends after login: commands, data, pings.

use std::ops::Range;
use std::time::Instant;

use crate::pdu::{
    Bhs, FINAL, IMMEDIATE, NO_TAG, RawDataOut, RawNopOut, RawScsiCommand, push_bidi_read_len,
    push_extended_cdb,
};
use crate::transmit::{Payload, Transmit};
use crate::types::{size, wire_len};

use super::{Initiator, Task};

impl<B: AsRef<[u8]> + Clone> Initiator<B> {
    /// Sends what waited, as far as the command window allows.
    pub(super) fn send_waiting(&mut self) {
        while self.is_ready() && !self.waiting.is_empty() && self.window_open() {
            if let Some(task) = self.waiting.pop_front() {
                self.send_command(task);
            }
        }
    }

    /// Sends a command, with as much of its data as may go unasked.
    pub(super) fn send_command(&mut self, task: Task) {
        let cmd_sn = self.cmd_sn;
        let Some(flight) = self.tasks.get(task) else { return };
        flight.sent = Some(self.sent);
        self.sent = self.sent.wrapping_add(1);
        flight.cmd_sn = cmd_sn;
        let request = &flight.request;
        let write_len = wire_len(request.write.len());
        let immediate = self.params.immediate_len(write_len);
        let unsolicited = self.params.unsolicited_len(write_len, immediate);

        let mut raw = RawScsiCommand::blank();
        raw.flags = request.attribute.code();
        if unsolicited == immediate {
            raw.flags |= RawScsiCommand::FINAL;
        }
        if request.read_len > 0 {
            raw.flags |= RawScsiCommand::READ;
        }
        if write_len > 0 {
            raw.flags |= RawScsiCommand::WRITE;
        }
        raw.expected_len = if write_len > 0 { write_len } else { request.read_len }.into();
        raw.lun = request.lun.into();
        raw.itt = task.0.into();
        raw.cmd_sn = cmd_sn.into();
        raw.exp_stat_sn = self.exp_stat_sn.into();
        let (head, rest) = request.cdb.split();
        raw.cdb = head;
        let mut ahs = Vec::new();
        if !rest.is_empty() {
            push_extended_cdb(&mut ahs, rest);
        }
        if write_len > 0 && request.read_len > 0 {
            push_bidi_read_len(&mut ahs, request.read_len);
        }
        raw.ahs_words = u8::try_from(ahs.len() / 4).unwrap_or(u8::MAX);
        if request.immediate {
            raw.opcode |= IMMEDIATE;
        } else {
            self.cmd_sn = cmd_sn.wrapping_add(1);
        }
        self.tx.push_data(raw, &ahs, &request.write, 0..size(immediate));
        if unsolicited > immediate {
            let burst = Burst {
                lun: request.lun,
                itt: task.0,
                ttt: NO_TAG,
                exp_stat_sn: self.exp_stat_sn,
                max: self.params.max_send_data,
            };
            burst.push(&mut self.tx, &request.write, size(immediate)..size(unsolicited));
        }
    }

    /// Answers an R2T that was checked.
    pub(super) fn send_burst(&mut self, task: Task, ttt: u32, range: Range<usize>) {
        let Some(flight) = self.tasks.get(task) else { return };
        let burst = Burst {
            lun: flight.request.lun,
            itt: task.0,
            ttt,
            exp_stat_sn: self.exp_stat_sn,
            max: self.params.max_send_data,
        };
        burst.push(&mut self.tx, &flight.request.write, range);
    }

    pub(super) fn send_ping(&mut self, now: Instant) {
        let itt = self.special_itt();
        let mut raw = self.nop();
        raw.itt = itt.into();
        raw.ttt = NO_TAG.into();
        self.tx.push(raw, &[]);
        self.ping = Some((itt, now));
    }

    /// A NOP-Out without tags.
    pub(super) fn nop(&self) -> RawNopOut {
        let mut raw = RawNopOut::blank();
        raw.opcode |= IMMEDIATE;
        raw.flags = FINAL;
        raw.cmd_sn = self.cmd_sn.into();
        raw.exp_stat_sn = self.exp_stat_sn.into();
        raw
    }
}

/// One sequence of Data-Out PDUs.
struct Burst {
    lun: u64,
    itt: u32,
    ttt: u32,
    exp_stat_sn: u32,
    /// Longest data segment, in bytes.
    max: u32,
}

impl Burst {
    fn push<B: AsRef<[u8]> + Clone>(&self, tx: &mut Transmit<B>, data: &Payload<B>, range: Range<usize>) {
        let mut start = range.start;
        let mut data_sn = 0_u32;
        while start < range.end {
            let end = start.saturating_add(size(self.max)).min(range.end);
            let mut raw = RawDataOut::blank();
            raw.flags = if end == range.end { FINAL } else { 0 };
            raw.lun = self.lun.into();
            raw.itt = self.itt.into();
            raw.ttt = self.ttt.into();
            raw.exp_stat_sn = self.exp_stat_sn.into();
            raw.data_sn = data_sn.into();
            raw.buffer_offset = wire_len(start).into();
            tx.push_data(raw, &[], data, start..end);
            data_sn = data_sn.wrapping_add(1);
            start = end;
        }
    }
}
