//! What the target makes of the bytes that arrive.

use std::time::Instant;

use zerocopy::IntoBytes;

use crate::error::SessionError;
use crate::framer::Piece;
use crate::pdu::{
    BHS_LEN, Bhs, FINAL, IMMEDIATE, LogoutReason, NO_TAG, Opcode, Pdu, PduError, RawBhs, RawLogoutRequest,
    RawLogoutResponse, RawNopIn, RawNopOut, RawReject, RawScsiCommand, RawTaskRequest, RawTextRequest,
    RejectReason, TaskFunction, TaskResponse, parse_ahs,
};
use crate::serial::{at_or_before, before};
use crate::text::{Key, TextBuf, TextWriter, parse_pairs};
use crate::types::{Attribute, Cdb, size, wire_len};

use super::task::Flight;
use super::{Command, MAX_REQUEST_TEXT, Phase, Target, TargetEvent, TargetTask, Text};

/// Most immediate commands in flight.
const MAX_IMMEDIATE: usize = 16;

/// The PDU whose data segment is arriving.
#[derive(Debug)]
pub(super) enum Current {
    Nothing,
    /// Data of a write, with its command or behind it; `None` when it is to be dropped.
    Write {
        task: Option<TargetTask>,
        offset: u32,
    },
    /// Data of a write that is spoiled: dropped, but its end may be the end of the write.
    Spoiled(TargetTask),
    /// Anything else; its data is collected, no more than was declared to be taken.
    Control(Pdu),
    /// Nothing of it counts.
    Skip,
}

impl<B: AsRef<[u8]> + Clone> Target<B> {
    /// Takes bytes that arrived off the front of `bytes`, until there is an event to tell.
    ///
    /// Call it until it gives `None`: all bytes are taken then, and no event waits. Data in an event lies in the
    /// caller's bytes. An empty slice gives the events that wait.
    ///
    /// # Errors
    /// [`SessionError`]: send what waits in [`Self::transmit`] (it may say why), then close.
    pub fn receive<'b>(
        &mut self,
        now: Instant,
        bytes: &mut &'b [u8],
    ) -> Result<Option<TargetEvent<'b>>, SessionError> {
        if !bytes.is_empty() {
            self.last_received = now;
        }
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if matches!(self.phase, Phase::Closed) {
                *bytes = &[];
                return Ok(None);
            }
            match self.framer.next(bytes)? {
                None => return Ok(None),
                Some(Piece::Header) => self.take_header()?,
                Some(Piece::Data(data)) => {
                    if let Some(event) = self.take_data(data) {
                        return Ok(Some(event));
                    }
                }
                Some(Piece::End) => self.take_end()?,
            }
        }
    }

    /// The write whose data the stream brings next: its task, where in its buffer, and how many bytes.
    ///
    /// A driver may read them from the socket straight into their place, and then hand that place to
    /// [`Self::receive`]: the event's data is the place itself, and no copy is needed.
    pub fn expects(&self) -> Option<(TargetTask, u32, usize)> {
        match &self.current {
            Current::Write { task: Some(task), offset } => {
                Some((*task, *offset, self.framer.data_left())).filter(|(_, _, left)| *left > 0)
            }
            _ => None,
        }
    }

    fn take_header(&mut self) -> Result<(), SessionError> {
        self.control.clear();
        let raw: &[u8; BHS_LEN] = zerocopy::transmute_ref!(self.framer.bhs());
        let login = matches!(self.phase, Phase::Login(_));
        let pdu = match Pdu::parse(raw) {
            Err(PduError::UnknownOpcode { .. }) if !login => {
                self.push_reject(RejectReason::NotSupported);
                self.current = Current::Skip;
                return Ok(());
            }
            parsed => parsed?,
        };
        if pdu.opcode().from_target() {
            return Err(SessionError::Unexpected { pdu: pdu.opcode(), when: "from an initiator" });
        }
        if login != matches!(pdu, Pdu::LoginRequest(_)) {
            let when = if login { "before login was over" } else { "after login" };
            return Err(SessionError::Unexpected { pdu: pdu.opcode(), when });
        }
        if self.discovery
            && !login
            && !matches!(pdu, Pdu::TextRequest(_) | Pdu::LogoutRequest(_) | Pdu::NopOut(_))
        {
            self.push_reject(RejectReason::Protocol);
            self.current = Current::Skip;
            return Ok(());
        }
        self.current = match pdu {
            Pdu::ScsiCommand(raw) => self.take_command(&raw)?,
            Pdu::DataOut(raw) => self.begin_data_out(&raw)?,
            Pdu::Snack(_) => {
                self.push_reject(RejectReason::Protocol);
                Current::Skip
            }
            other => Current::Control(other),
        };
        Ok(())
    }

    /// Checks the CmdSN of a request and counts it; `false` when the request is to be dropped without a word.
    fn take_cmd_sn(&mut self, pdu: Opcode, first: u8, cmd_sn: u32) -> Result<bool, SessionError> {
        if first & IMMEDIATE != 0 {
            return Ok(true);
        }
        if cmd_sn == self.exp_cmd_sn {
            if !at_or_before(cmd_sn, self.max_cmd_sn()) {
                return Ok(false);
            }
            self.exp_cmd_sn = cmd_sn.wrapping_add(1);
            return Ok(true);
        }
        if before(self.exp_cmd_sn, cmd_sn) && at_or_before(cmd_sn, self.max_cmd_sn()) {
            // There is one connection and its bytes come in order: what was left out will never come.
            return Err(SessionError::field(pdu, "CmdSN", cmd_sn, "ExpCmdSN; a command was left out"));
        }
        Ok(false)
    }

    fn take_command(&mut self, raw: &RawScsiCommand) -> Result<Current, SessionError> {
        let pdu = Opcode::ScsiCommand;
        let common: &RawBhs = zerocopy::transmute_ref!(raw);
        let (itt, arriving) = (raw.itt.get(), common.data_len());
        if itt == NO_TAG {
            return Err(SessionError::field(pdu, "Initiator Task Tag", itt, "a tag"));
        }
        if !self.take_cmd_sn(pdu, raw.opcode, raw.cmd_sn.get())? {
            if raw.writes() && !raw.is_final() {
                self.tasks.drain(itt);
            }
            return Ok(Current::Skip);
        }
        let immediate = raw.opcode & IMMEDIATE != 0;
        if immediate && self.tasks.immediate() >= MAX_IMMEDIATE {
            return Ok(self.reject_command(raw, RejectReason::TooManyImmediate));
        }
        let Some(attribute) = Attribute::of(raw.attribute()) else {
            return Ok(self.reject_command(raw, RejectReason::InvalidField));
        };
        let ahs = parse_ahs(self.framer.ahs()).map_err(|source| PduError::Ahs { pdu, source })?;
        let expected = raw.expected_len.get();
        let write_len = if raw.writes() { expected } else { 0 };
        let read_len = match (raw.reads(), raw.writes()) {
            (true, true) => ahs.bidi_read_len.unwrap_or(0),
            (true, false) => expected,
            _ => 0,
        };
        let spoiled = self.check_unsolicited(raw, arriving, write_len).err().map(Box::new);
        let is_spoiled = spoiled.is_some();
        let cdb = Cdb::received(&raw.cdb, ahs.extended_cdb);
        let flight = Flight {
            itt,
            lun: raw.lun.get(),
            immediate,
            read_len,
            write_len,
            unsolicited: arriving,
            open: !raw.is_final(),
            next_unsolicited_sn: 0,
            want: None,
            asked: 0,
            solicited: smallvec::SmallVec::new(),
            next_r2t_sn: 0,
            arriving: arriving > 0,
            ready: false,
            spoiled,
            sent: 0,
            next_data_sn: 0,
        };
        let Some(task) = self.tasks.insert(flight) else {
            return Ok(self.reject_command(raw, RejectReason::TaskInProgress));
        };
        if is_spoiled {
            return Ok(Current::Spoiled(task));
        }
        let lun = raw.lun.get();
        let command = Command { lun, cdb, attribute, read_len, write_len, immediate, itt };
        self.events.push_back(TargetEvent::Command { task, command });
        Ok(Current::Write { task: Some(task), offset: 0 })
    }

    fn reject_command(&mut self, raw: &RawScsiCommand, reason: RejectReason) -> Current {
        if !raw.is_final() {
            self.tasks.drain(raw.itt.get());
        }
        self.push_reject(reason);
        Current::Skip
    }

    fn take_data<'b>(&mut self, data: &'b [u8]) -> Option<TargetEvent<'b>> {
        match &mut self.current {
            Current::Nothing | Current::Skip | Current::Spoiled(_) => None,
            Current::Control(_) => {
                self.control.extend_from_slice(data);
                None
            }
            Current::Write { task, offset } => {
                let at = *offset;
                *offset = at.saturating_add(wire_len(data.len()));
                // A command that ended in the middle of the PDU takes no more.
                let task = task.filter(|task| self.tasks.get(*task).is_some())?;
                Some(TargetEvent::DataOut { task, offset: at, data })
            }
        }
    }

    fn take_end(&mut self) -> Result<(), SessionError> {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing | Current::Skip => {}
            Current::Write { task, .. } => {
                if let Some(task) = task
                    && let Some(flight) = self.tasks.get(task)
                {
                    flight.arriving = false;
                    self.go_on_with_write(task);
                }
            }
            Current::Spoiled(task) => self.end_spoiled(task),
            Current::Control(pdu) => self.take_control(&pdu)?,
        }
        Ok(())
    }

    fn take_control(&mut self, pdu: &Pdu) -> Result<(), SessionError> {
        match pdu {
            Pdu::LoginRequest(raw) => self.take_login(raw),
            Pdu::NopOut(raw) => self.take_nop(raw),
            Pdu::TaskRequest(raw) => self.take_task_request(raw),
            Pdu::TextRequest(raw) => self.take_text(raw),
            Pdu::LogoutRequest(raw) => self.take_logout(raw),
            // `take_header` lets nothing else through.
            other => Err(SessionError::Unexpected { pdu: other.opcode(), when: "from an initiator" }),
        }
    }

    fn take_nop(&mut self, raw: &RawNopOut) -> Result<(), SessionError> {
        let (itt, ttt) = (raw.itt.get(), raw.ttt.get());
        if !self.take_cmd_sn(Opcode::NopOut, raw.opcode, raw.cmd_sn.get())? {
            return Ok(());
        }
        if ttt != NO_TAG && self.ping.is_some_and(|(ping, _)| ping == ttt) {
            self.ping = None;
        }
        if itt != NO_TAG {
            let mut answer = RawNopIn::blank();
            answer.flags = FINAL;
            answer.lun = raw.lun;
            answer.itt = itt.into();
            answer.ttt = NO_TAG.into();
            self.stamp(&mut answer.stat_sn, &mut answer.exp_cmd_sn, &mut answer.max_cmd_sn, true);
            let len = self.control.len().min(size(self.params.max_send_data));
            self.tx.push(answer, self.control.get(..len).unwrap_or_default());
        }
        Ok(())
    }

    fn take_task_request(&mut self, raw: &RawTaskRequest) -> Result<(), SessionError> {
        let pdu = Opcode::TaskRequest;
        let itt = raw.itt.get();
        if !self.take_cmd_sn(pdu, raw.opcode, raw.cmd_sn.get())? {
            return Ok(());
        }
        let Some(function) = TaskFunction::of(raw.flags & 0x7f) else {
            self.push_task_response(itt, TaskResponse::NotSupported);
            return Ok(());
        };
        if function == TaskFunction::TaskReassign {
            self.push_task_response(itt, TaskResponse::NoReassignment);
            return Ok(());
        }
        let task =
            if function == TaskFunction::AbortTask { self.tasks.find(raw.ref_itt.get()) } else { None };
        if function == TaskFunction::AbortTask && task.is_none() {
            let response = self.abort_unknown(raw.ref_cmd_sn.get());
            self.push_task_response(itt, response);
            return Ok(());
        }
        if self.managed.len() >= MAX_IMMEDIATE {
            self.push_reject(RejectReason::TooManyImmediate);
            return Ok(());
        }
        self.managed.push(itt);
        self.events.push_back(TargetEvent::TaskManagement { itt, function, lun: raw.lun.get(), task });
        Ok(())
    }

    /// ABORT TASK of a command that is not here (RFC 7143, 11.5.5): one whose CmdSN is still awaited counts as
    /// received and aborted, any other does not exist.
    fn abort_unknown(&mut self, ref_cmd_sn: u32) -> TaskResponse {
        let awaited =
            at_or_before(self.exp_cmd_sn, ref_cmd_sn) && at_or_before(ref_cmd_sn, self.max_cmd_sn());
        if !awaited {
            return TaskResponse::NoTask;
        }
        if ref_cmd_sn == self.exp_cmd_sn {
            self.exp_cmd_sn = ref_cmd_sn.wrapping_add(1);
        }
        TaskResponse::Complete
    }

    fn take_text(&mut self, raw: &RawTextRequest) -> Result<(), SessionError> {
        let pdu = Opcode::TextRequest;
        let (itt, ttt) = (raw.itt.get(), raw.ttt.get());
        if !self.take_cmd_sn(pdu, raw.opcode, raw.cmd_sn.get())? {
            return Ok(());
        }
        if ttt == NO_TAG {
            // A new request ends one that was not finished (RFC 7143, 11.10.4).
            if self
                .text
                .as_ref()
                .is_none_or(|text| text.itt != itt || text.pending || !text.answer.is_empty())
            {
                let request = TextBuf::new(MAX_REQUEST_TEXT);
                self.text =
                    Some(Text { itt, request, answer: Vec::new(), sent: 0, ttt: NO_TAG, pending: false });
            }
        } else if self.text.as_ref().is_none_or(|text| text.itt != itt || text.ttt != ttt || text.pending) {
            self.push_reject(RejectReason::Protocol);
            return Ok(());
        }
        let Some(text) = self.text.as_mut() else { return Ok(()) };
        if !text.answer.is_empty() {
            self.push_text_answer();
            return Ok(());
        }
        text.request.extend(&self.control).map_err(SessionError::text(pdu))?;
        if raw.flags & FINAL == 0 {
            // An empty answer asks for the rest.
            self.push_text_more();
            return Ok(());
        }
        let whole = text.request.take();
        self.answer_text(&whole)
    }

    fn answer_text(&mut self, whole: &[u8]) -> Result<(), SessionError> {
        let pdu = Opcode::TextRequest;
        let pairs = parse_pairs(whole).map_err(SessionError::text(pdu))?;
        let mut out = TextWriter::default();
        let mut which = None;
        for pair in &pairs {
            match Key::of(pair.key) {
                Some(Key::SendTargets) if which.is_none() => which = Some(pair.value.to_owned()),
                Some(_) => out.push(pair.key, "Reject"),
                None => out.push(pair.key, "NotUnderstood"),
            }
        }
        // `All` is for discovery sessions alone (RFC 7143, 13.3).
        if !self.discovery && which.as_deref() == Some("All") {
            out.push("SendTargets", "Reject");
            which = None;
        }
        let Some(text) = self.text.as_mut() else { return Ok(()) };
        text.answer = out.into_bytes();
        match which {
            Some(which) => {
                text.pending = true;
                self.events.push_back(TargetEvent::SendTargets { which });
            }
            None => self.push_text_answer(),
        }
        Ok(())
    }

    fn take_logout(&mut self, raw: &RawLogoutRequest) -> Result<(), SessionError> {
        let pdu = Opcode::LogoutRequest;
        if !self.take_cmd_sn(pdu, raw.opcode, raw.cmd_sn.get())? {
            return Ok(());
        }
        let code = raw.flags & 0x7f;
        let Some(reason) = LogoutReason::of(code) else {
            return Err(SessionError::field(pdu, "Reason Code", u32::from(code), "0, 1 or 2"));
        };
        let mut answer = RawLogoutResponse::blank();
        answer.flags = FINAL;
        answer.itt = raw.itt;
        answer.response = match reason {
            LogoutReason::CloseSession => 0,
            LogoutReason::CloseConnection if raw.cid.get() == self.cid => 0,
            LogoutReason::CloseConnection => 1,
            LogoutReason::RemoveForRecovery => 2,
        };
        answer.time2wait = self.params.time2wait.into();
        self.stamp(&mut answer.stat_sn, &mut answer.exp_cmd_sn, &mut answer.max_cmd_sn, true);
        let over = answer.response == 0;
        self.tx.push(answer, &[]);
        if over {
            // Nothing may follow the response: answers of the backend that still come find no task.
            for task in self.tasks.all() {
                self.tasks.remove(task);
            }
            self.managed.clear();
            self.text = None;
            self.phase = Phase::Closed;
            self.events.push_back(TargetEvent::LoggedOut);
        }
        Ok(())
    }

    /// Refuses the PDU in hand; its header goes back with the reason.
    fn push_reject(&mut self, reason: RejectReason) {
        let mut raw = RawReject::blank();
        raw.flags = FINAL;
        raw.reason = reason.code();
        raw.itt = NO_TAG.into();
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, true);
        let mut header = self.framer.bhs().as_bytes().to_vec();
        header.extend_from_slice(self.framer.ahs());
        self.tx.push(raw, &header);
    }
}
