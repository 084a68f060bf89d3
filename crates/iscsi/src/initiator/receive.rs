//! What the initiator makes of the bytes that arrive.

use std::time::{Duration, Instant};

use crate::error::SessionError;
use crate::framer::Piece;
use crate::pdu::{
    BHS_LEN, NO_TAG, Opcode, Pdu, RawAsyncMessage, RawBhs, RawDataIn, RawLogoutResponse, RawNopIn, RawR2t,
    RawReject, RawScsiResponse, RawTaskResponse, RawTextResponse, RejectReason, TaskFunction, TaskResponse,
};
use crate::serial::{at_or_before, before};
use crate::text::{TextError, parse_pairs};
use crate::types::{Residual, TargetRecord, size};

use super::task::Flight;
use super::{Event, Initiator, Outcome, Phase, Task, Verdict};

/// The PDU whose data segment is arriving.
#[derive(Debug)]
pub(super) enum Current {
    Nothing,
    /// Data of a read; `None` when the command has ended already.
    DataIn {
        raw: RawDataIn,
        task: Option<Task>,
        offset: u32,
    },
    /// Anything else; its data is collected, no more than was declared to be taken.
    Control(Pdu),
}

impl<B: AsRef<[u8]> + Clone> Initiator<B> {
    /// Takes bytes that arrived off the front of `bytes`, until there is an event to tell.
    ///
    /// Call it until it gives `None`: all bytes are taken then, and no event waits. Data in an event lies in the
    /// caller's bytes. An empty slice gives the events that wait.
    ///
    /// # Errors
    /// [`SessionError`]: the connection is to be closed; [`Self::take_unfinished`] gives what to replay.
    pub fn receive<'b>(
        &mut self,
        now: Instant,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Event<'b, B>>, SessionError> {
        if !bytes.is_empty() {
            self.last_received = now;
        }
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
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

    /// The read whose data the stream brings next: its task, where in its buffer, and how many bytes.
    ///
    /// A driver may read them from the socket straight into their place, and then hand that place to
    /// [`Self::receive`]: the event's data is the place itself, and no copy is needed.
    pub fn expects(&self) -> Option<(Task, u32, usize)> {
        match &self.current {
            Current::DataIn { task: Some(task), offset, .. } => {
                Some((*task, *offset, self.framer.data_left())).filter(|(_, _, left)| *left > 0)
            }
            _ => None,
        }
    }

    fn take_header(&mut self) -> Result<(), SessionError> {
        let raw: &[u8; BHS_LEN] = zerocopy::transmute_ref!(self.framer.bhs());
        let pdu = Pdu::parse(raw)?;
        if !pdu.opcode().from_target() {
            return Err(SessionError::Unexpected { pdu: pdu.opcode(), when: "from a target" });
        }
        let login = matches!(self.phase, Phase::Login(_));
        if login != matches!(pdu, Pdu::LoginResponse(_)) {
            let when = if login { "before login was over" } else { "after login" };
            return Err(SessionError::Unexpected { pdu: pdu.opcode(), when });
        }
        self.control.clear();
        self.current = match pdu {
            Pdu::DataIn(raw) => self.begin_data_in(raw)?,
            other => Current::Control(other),
        };
        Ok(())
    }

    fn begin_data_in(&mut self, raw: RawDataIn) -> Result<Current, SessionError> {
        let pdu = Opcode::DataIn;
        self.take_sequence(pdu, raw.stat_sn.get(), raw.has_status())?;
        self.take_window(raw.exp_cmd_sn.get(), raw.max_cmd_sn.get());
        let (itt, offset) = (raw.itt.get(), raw.buffer_offset.get());
        let common: &RawBhs = zerocopy::transmute_ref!(&raw);
        let len = common.data_len();
        let Some(flight) = self.tasks.named(pdu, itt)? else {
            return Ok(Current::DataIn { raw, task: None, offset });
        };
        if raw.data_sn.get() != flight.next_data_sn {
            return Err(SessionError::field(pdu, "DataSN", raw.data_sn.get(), "the next of its command"));
        }
        if len > 0 && offset != flight.received {
            return Err(SessionError::field(pdu, "Buffer Offset", offset, "where the data before it ended"));
        }
        if len > flight.request.read_len.saturating_sub(flight.received) {
            return Err(SessionError::field(
                pdu,
                "DataSegmentLength",
                len,
                "within what the command asked for",
            ));
        }
        flight.next_data_sn = flight.next_data_sn.wrapping_add(1);
        flight.received = flight.received.saturating_add(len);
        Ok(Current::DataIn { raw, task: Some(Task(itt)), offset })
    }

    fn take_data<'b>(&mut self, data: &'b [u8]) -> Option<Event<'b, B>> {
        match &mut self.current {
            Current::Nothing => None,
            Current::Control(_) => {
                self.control.extend_from_slice(data);
                None
            }
            Current::DataIn { task, offset, .. } => {
                let at = *offset;
                *offset = at.saturating_add(crate::types::wire_len(data.len()));
                task.map(|task| Event::DataIn { task, offset: at, data })
            }
        }
    }

    fn take_end(&mut self) -> Result<(), SessionError> {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => Ok(()),
            Current::DataIn { raw, task, .. } => {
                if let Some(task) = task.filter(|_| raw.has_status()) {
                    let residual =
                        residual(raw.flags, RawDataIn::OVERFLOW, RawDataIn::UNDERFLOW, raw.residual.get());
                    self.finish(task, Verdict::Completed, raw.status, Vec::new(), residual, Residual::None);
                }
                self.send_waiting();
                Ok(())
            }
            Current::Control(pdu) => self.take_control(&pdu),
        }
    }

    fn take_control(&mut self, pdu: &Pdu) -> Result<(), SessionError> {
        match pdu {
            Pdu::LoginResponse(raw) => return self.take_login(raw),
            Pdu::ScsiResponse(raw) => self.take_response(raw)?,
            Pdu::R2t(raw) => self.take_r2t(raw)?,
            Pdu::NopIn(raw) => self.take_nop(raw)?,
            Pdu::TaskResponse(raw) => self.take_task_response(raw)?,
            Pdu::TextResponse(raw) => self.take_text(raw)?,
            Pdu::LogoutResponse(raw) => self.take_logout(raw)?,
            Pdu::AsyncMessage(raw) => self.take_async(raw)?,
            Pdu::Reject(raw) => self.take_reject(raw)?,
            // `take_header` lets nothing else through.
            other => return Err(SessionError::Unexpected { pdu: other.opcode(), when: "from a target" }),
        }
        self.send_waiting();
        Ok(())
    }

    fn take_response(&mut self, raw: &RawScsiResponse) -> Result<(), SessionError> {
        let pdu = Opcode::ScsiResponse;
        self.take_sequence(pdu, raw.stat_sn.get(), true)?;
        self.take_window(raw.exp_cmd_sn.get(), raw.max_cmd_sn.get());
        let task = Task(raw.itt.get());
        if self.tasks.named(pdu, task.0)?.is_none() {
            return Ok(());
        }
        let sense = self.sense(pdu)?;
        let residual =
            residual(raw.flags, RawScsiResponse::OVERFLOW, RawScsiResponse::UNDERFLOW, raw.residual.get());
        let (over, under) = (RawScsiResponse::BIDI_OVERFLOW, RawScsiResponse::BIDI_UNDERFLOW);
        let bidi = self::residual(raw.flags, over, under, raw.bidi_residual.get());
        let verdict = match raw.response {
            0 => Verdict::Completed,
            other => Verdict::TargetFailure(other),
        };
        self.finish(task, verdict, raw.status, sense, residual, bidi);
        Ok(())
    }

    /// The sense data of a response or message: a length in two bytes, and so many bytes.
    fn sense(&self, pdu: Opcode) -> Result<Vec<u8>, SessionError> {
        let [hi, lo, rest @ ..] = self.control.as_slice() else { return Ok(Vec::new()) };
        let len = u16::from_be_bytes([*hi, *lo]);
        match rest.get(..usize::from(len)) {
            Some(sense) => Ok(sense.to_vec()),
            None => Err(SessionError::field(pdu, "SenseLength", u32::from(len), "within the data segment")),
        }
    }

    /// Ends a command and tells the driver.
    fn finish(
        &mut self,
        task: Task,
        verdict: Verdict,
        status: u8,
        sense: Vec<u8>,
        residual: Residual,
        bidi: Residual,
    ) {
        let Some(Flight { request, received, .. }) = self.tasks.remove(task) else { return };
        let both = !request.write.is_empty() && request.read_len > 0;
        let mut outcome = Outcome { verdict, status, sense, residual, read_residual: bidi, received };
        // Whatever the target says: bytes that did not come are missing.
        let short = request.read_len.saturating_sub(received);
        if short > 0 {
            let slot = if both { &mut outcome.read_residual } else { &mut outcome.residual };
            if !matches!(slot, Residual::Underflow(said) if *said >= short) {
                *slot = Residual::Underflow(short);
            }
        }
        self.events.push_back(Event::Done { task, outcome, request });
    }

    fn take_r2t(&mut self, raw: &RawR2t) -> Result<(), SessionError> {
        let pdu = Opcode::R2t;
        self.take_sequence(pdu, raw.stat_sn.get(), false)?;
        self.take_window(raw.exp_cmd_sn.get(), raw.max_cmd_sn.get());
        let (itt, offset, len) = (raw.itt.get(), raw.buffer_offset.get(), raw.desired_len.get());
        let Some(flight) = self.tasks.named(pdu, itt)? else { return Ok(()) };
        if raw.ttt.get() == NO_TAG {
            return Err(SessionError::field(pdu, "Target Transfer Tag", NO_TAG, "a tag"));
        }
        if raw.r2t_sn.get() != flight.next_r2t_sn {
            return Err(SessionError::field(pdu, "R2TSN", raw.r2t_sn.get(), "the next of its command"));
        }
        let (start, end) = (size(offset), size(offset).saturating_add(size(len)));
        if end > flight.request.write.len() {
            return Err(SessionError::field(pdu, "Buffer Offset", offset, "within what the command writes"));
        }
        if len > self.params.max_burst {
            let field = "Desired Data Transfer Length";
            return Err(SessionError::field(pdu, field, len, "up to MaxBurstLength"));
        }
        flight.next_r2t_sn = flight.next_r2t_sn.wrapping_add(1);
        // Nothing may follow a logout request (RFC 7143, 11.14).
        if !self.is_ready() {
            return Ok(());
        }
        self.send_burst(Task(itt), raw.ttt.get(), start..end);
        Ok(())
    }

    fn take_nop(&mut self, raw: &RawNopIn) -> Result<(), SessionError> {
        let pdu = Opcode::NopIn;
        let (itt, ttt) = (raw.itt.get(), raw.ttt.get());
        self.take_sequence(pdu, raw.stat_sn.get(), itt != NO_TAG)?;
        self.take_window(raw.exp_cmd_sn.get(), raw.max_cmd_sn.get());
        if itt != NO_TAG {
            if self.ping.is_some_and(|(ping, _)| ping == itt) {
                self.ping = None;
                return Ok(());
            }
            return Err(SessionError::field(pdu, "Initiator Task Tag", itt, "that of a ping in flight"));
        }
        if ttt != NO_TAG && self.is_ready() {
            let mut answer = self.nop();
            answer.itt = NO_TAG.into();
            answer.ttt = ttt.into();
            answer.lun = raw.lun;
            let len = self.control.len().min(size(self.params.max_send_data));
            self.tx.push(answer, self.control.get(..len).unwrap_or_default());
        }
        Ok(())
    }

    fn take_task_response(&mut self, raw: &RawTaskResponse) -> Result<(), SessionError> {
        let pdu = Opcode::TaskResponse;
        self.take_sequence(pdu, raw.stat_sn.get(), true)?;
        self.take_window(raw.exp_cmd_sn.get(), raw.max_cmd_sn.get());
        let itt = raw.itt.get();
        let Some(at) = self.managed.iter().position(|managed| managed.itt == itt) else {
            return Err(SessionError::field(pdu, "Initiator Task Tag", itt, "that of a function in flight"));
        };
        let managed = self.managed.remove(at);
        let response = TaskResponse::of(raw.response);
        let victims = match (response, managed.function) {
            (TaskResponse::Complete | TaskResponse::NoTask, TaskFunction::AbortTask) => {
                managed.referenced.into_iter().collect()
            }
            (TaskResponse::Complete, function) => {
                let all = !function.has_lun();
                let aborts = !matches!(function, TaskFunction::ClearAca | TaskFunction::TaskReassign);
                self.tasks.pick(|flight| {
                    aborts
                        && flight.sent.is_some_and(|sent| sent < managed.sent_before)
                        && (all || flight.request.lun == managed.lun)
                })
            }
            _ => Vec::new(),
        };
        for task in victims {
            self.finish(task, Verdict::Aborted, 0, Vec::new(), Residual::None, Residual::None);
        }
        self.events.push_back(Event::TaskManagement { itt, function: managed.function, response });
        Ok(())
    }

    fn take_text(&mut self, raw: &RawTextResponse) -> Result<(), SessionError> {
        let pdu = Opcode::TextResponse;
        self.take_sequence(pdu, raw.stat_sn.get(), true)?;
        self.take_window(raw.exp_cmd_sn.get(), raw.max_cmd_sn.get());
        let (itt, ttt, lun) = (raw.itt.get(), raw.ttt.get(), raw.lun.get());
        let Some(text) = self.text.as_mut().filter(|text| text.itt == itt) else {
            return Err(SessionError::field(pdu, "Initiator Task Tag", itt, "that of a request in flight"));
        };
        text.buf.extend(&self.control).map_err(SessionError::text(pdu))?;
        if raw.flags & crate::pdu::FINAL == 0 {
            if ttt == NO_TAG {
                return Err(SessionError::field(pdu, "Target Transfer Tag", ttt, "a tag where F is not set"));
            }
            self.push_text_request(itt, ttt, lun, &[]);
            return Ok(());
        }
        let whole = text.buf.take();
        self.text = None;
        let targets = parse_targets(&whole).map_err(SessionError::text(pdu))?;
        self.events.push_back(Event::Targets(targets));
        Ok(())
    }

    fn take_logout(&mut self, raw: &RawLogoutResponse) -> Result<(), SessionError> {
        let pdu = Opcode::LogoutResponse;
        if !matches!(self.phase, Phase::LoggingOut { .. }) {
            return Err(SessionError::Unexpected { pdu, when: "without a request" });
        }
        self.take_sequence(pdu, raw.stat_sn.get(), true)?;
        self.phase = Phase::Closed;
        self.events.push_back(Event::LoggedOut { response: raw.response, time2wait: raw.time2wait.get() });
        Ok(())
    }

    fn take_async(&mut self, raw: &RawAsyncMessage) -> Result<(), SessionError> {
        let pdu = Opcode::AsyncMessage;
        self.take_sequence(pdu, raw.stat_sn.get(), true)?;
        self.take_window(raw.exp_cmd_sn.get(), raw.max_cmd_sn.get());
        let event = match raw.event {
            0 => Event::UnitNews { lun: raw.lun.get(), sense: self.sense(pdu)? },
            1 => Event::LogoutWanted { within: Duration::from_secs(raw.param3.get().into()) },
            2 | 3 => Event::GoingDown { time2wait: raw.param2.get() },
            event => Event::OtherNews { event, vendor: raw.vendor },
        };
        self.events.push_back(event);
        Ok(())
    }

    fn take_reject(&mut self, raw: &RawReject) -> Result<(), SessionError> {
        self.take_sequence(Opcode::Reject, raw.stat_sn.get(), true)?;
        self.take_window(raw.exp_cmd_sn.get(), raw.max_cmd_sn.get());
        let reason = RejectReason::of(raw.reason);
        let Some((refused, _)) = self.control.split_first_chunk::<BHS_LEN>() else {
            return Err(SessionError::Unexpected { pdu: Opcode::Reject, when: "without the refused header" });
        };
        let refused: &RawBhs = zerocopy::transmute_ref!(refused);
        let (opcode, itt) = (refused.opcode, refused.itt.get());
        let managed = self.managed.iter().position(|managed| managed.itt == itt);
        match (refused.opcode(), managed) {
            (Some(Opcode::ScsiCommand), _) if self.tasks.get(Task(itt)).is_some() => {
                let verdict = Verdict::Rejected(reason);
                self.finish(Task(itt), verdict, 0, Vec::new(), Residual::None, Residual::None);
                return Ok(());
            }
            (Some(Opcode::TaskRequest), Some(at)) => {
                let function = self.managed.remove(at).function;
                let response = TaskResponse::Rejected;
                self.events.push_back(Event::TaskManagement { itt, function, response });
                return Ok(());
            }
            (Some(Opcode::TextRequest), _) => self.text = None,
            // A target that answers at all is alive.
            (Some(Opcode::NopOut), _) => self.ping = None,
            _ => {}
        }
        self.events.push_back(Event::Rejected { reason, opcode });
        Ok(())
    }

    /// Checks StatSN, and counts it where the PDU bears a status.
    fn take_sequence(&mut self, pdu: Opcode, stat_sn: u32, status: bool) -> Result<(), SessionError> {
        if !status {
            return Ok(());
        }
        if stat_sn != self.exp_stat_sn {
            // At error recovery level 0 a lost response is the end of the session (RFC 7143, 7.6.4).
            return Err(SessionError::field(
                pdu,
                "StatSN",
                stat_sn,
                "ExpStatSN; a response was lost or repeated",
            ));
        }
        self.exp_stat_sn = stat_sn.wrapping_add(1);
        Ok(())
    }

    /// Takes in the command window (RFC 7143, 4.2.2.1): it never shrinks.
    fn take_window(&mut self, exp_cmd_sn: u32, max_cmd_sn: u32) {
        if at_or_before(exp_cmd_sn, max_cmd_sn.wrapping_add(1)) && before(self.max_cmd_sn, max_cmd_sn) {
            self.max_cmd_sn = max_cmd_sn;
        }
    }
}

fn residual(flags: u8, overflow: u8, underflow: u8, count: u32) -> Residual {
    match (flags & overflow != 0, flags & underflow != 0) {
        (true, _) => Residual::Overflow(count),
        (_, true) => Residual::Underflow(count),
        _ => Residual::None,
    }
}

/// Reads the answer to SendTargets: each TargetName is followed by its addresses.
fn parse_targets(text: &[u8]) -> Result<Vec<TargetRecord>, TextError> {
    let mut targets: Vec<TargetRecord> = Vec::new();
    for pair in parse_pairs(text)? {
        match (pair.key, targets.last_mut()) {
            ("TargetName", _) => {
                targets.push(TargetRecord { name: pair.value.into(), addresses: Vec::new() });
            }
            ("TargetAddress", Some(target)) => target.addresses.push(pair.value.into()),
            ("TargetAddress", None) => return Err(TextError::Missing { key: "TargetName" }),
            // SendTargets=NotUnderstood or Reject, aliases and what else there may be.
            _ => {}
        }
    }
    Ok(targets)
}
