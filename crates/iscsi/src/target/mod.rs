//! The target's end of one connection, which is one session (MaxConnections is 1).

mod data;
mod data_out;
mod event;
mod login;
mod receive;
mod task;

pub use event::{
    Command, DataFault, LoginGrant, LoginInfo, Response, TargetAuth, TargetConfig, TargetEvent, TargetTask,
};

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::chap::Seed;
use crate::error::SessionError;
use crate::framer::Framer;
use crate::pdu::{
    Bhs, FINAL, NO_TAG, RawAsyncMessage, RawNopIn, RawTaskResponse, RawTextResponse, TaskResponse,
};
use crate::text::{Params, TextBuf, TextError, TextWriter};
use crate::transmit::Transmit;
use crate::types::{TargetRecord, size};

use login::Login;
use receive::Current;
use task::Tasks;

/// Longest text of one request, in bytes.
const MAX_REQUEST_TEXT: usize = 64 * 1024;

/// How long a discovery session may be silent.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the connection stands.
#[derive(Debug)]
enum Phase {
    Login(Box<Login>),
    Full,
    Closed,
}

/// A text request under way: its keys as they come, then the answer as it goes.
#[derive(Debug)]
struct Text {
    itt: u32,
    request: TextBuf,
    /// What is still to be sent of the answer, and how much of it was.
    answer: Vec<u8>,
    sent: usize,
    ttt: u32,
    /// Whether the driver was asked for targets and has not answered.
    pending: bool,
}

/// The target's engine: no socket, no clock, no task of its own. See the crate's head for the loop around it.
///
/// `B` is the shared buffer that the data of reads comes in.
#[derive(Debug)]
pub struct Target<B> {
    config: TargetConfig,
    seed: Seed,
    phase: Phase,
    framer: Framer,
    tx: Transmit<B>,
    params: Params,
    discovery: bool,
    /// Connection id, as the initiator chose it.
    cid: u16,
    exp_cmd_sn: u32,
    stat_sn: u32,
    tasks: Tasks,
    text: Option<Text>,
    /// Task management functions that the driver has not answered, by ITT.
    managed: Vec<u32>,
    next_ttt: u32,
    events: VecDeque<TargetEvent<'static>>,
    current: Current,
    control: Vec<u8>,
    last_received: Instant,
    /// TTT and time of a ping without an answer.
    ping: Option<(u32, Instant)>,
}

impl<B: AsRef<[u8]> + Clone> Target<B> {
    /// Waits for a login on a connection that was just accepted.
    ///
    /// `seed` must be drawn for this connection alone.
    ///
    /// # Errors
    /// Settings out of range.
    pub fn new(now: Instant, config: TargetConfig, seed: Seed) -> Result<Self, TextError> {
        config.settings.check()?;
        let deadline = now.checked_add(config.login_timeout).unwrap_or(now);
        Ok(Self {
            phase: Phase::Login(Box::new(Login::new(deadline))),
            config,
            seed,
            framer: Framer::new(),
            tx: Transmit::default(),
            params: Params::default(),
            discovery: false,
            cid: 0,
            exp_cmd_sn: 0,
            stat_sn: 1,
            tasks: Tasks::new(),
            text: None,
            managed: Vec::new(),
            next_ttt: 0,
            events: VecDeque::new(),
            current: Current::Nothing,
            control: Vec::new(),
            last_received: now,
            ping: None,
        })
    }

    /// What waits to be sent. Look after every call that takes `&mut self`, and after an error too: send what
    /// waits, then close.
    pub fn transmit(&mut self) -> &mut Transmit<B> {
        &mut self.tx
    }

    /// What is in force; the RFC's defaults until login is over.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Whether login is over and the session is not closing.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Full)
    }

    /// Handles of all commands in flight.
    pub fn tasks(&self) -> Vec<TargetTask> {
        self.tasks.all()
    }

    /// When [`Self::handle_timeout`] must be called next; ask again after every other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Login(login) => Some(login.deadline),
            Phase::Closed => None,
            // A discovery session knows no pings of the target, and ends when nothing comes.
            Phase::Full if self.discovery => self.last_received.checked_add(DISCOVERY_TIMEOUT),
            Phase::Full => match self.ping {
                Some((_, sent)) => sent.max(self.last_received).checked_add(self.config.ping_timeout),
                None => self.last_received.checked_add(self.config.ping_interval?),
            },
        }
    }

    /// Lets time pass: sends a ping, or finds that login or ping took too long.
    ///
    /// # Errors
    /// [`SessionError`]: the connection is to be closed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Ok(());
        }
        match &self.phase {
            Phase::Login(_) => {
                Err(SessionError::LoginTimeout { seconds: self.config.login_timeout.as_secs() })
            }
            Phase::Closed => Ok(()),
            Phase::Full if self.discovery => Err(SessionError::Idle { seconds: DISCOVERY_TIMEOUT.as_secs() }),
            Phase::Full if self.ping.is_some() => {
                let millis = u64::try_from(self.config.ping_timeout.as_millis()).unwrap_or(u64::MAX);
                Err(SessionError::PingTimeout { millis })
            }
            Phase::Full => {
                let ttt = self.new_ttt();
                let mut raw = RawNopIn::blank();
                raw.flags = FINAL;
                raw.itt = NO_TAG.into();
                raw.ttt = ttt.into();
                self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, false);
                self.tx.push(raw, &[]);
                self.ping = Some((ttt, now));
                Ok(())
            }
        }
    }

    /// Answers [`TargetEvent::TaskManagement`]. Nothing happens when `itt` waits for no answer.
    pub fn manage_done(&mut self, itt: u32, response: TaskResponse) {
        let Some(at) = self.managed.iter().position(|managed| *managed == itt) else { return };
        self.managed.remove(at);
        self.push_task_response(itt, response);
    }

    /// Ends a command without a response, as a task management function wants it. Data that still comes for it is
    /// dropped. Whether it was in flight.
    pub fn abort(&mut self, task: TargetTask) -> bool {
        self.tasks.remove(task).is_some()
    }

    /// Answers [`TargetEvent::SendTargets`].
    pub fn targets(&mut self, targets: &[TargetRecord]) {
        let mut writer = TextWriter::default();
        for target in targets {
            writer.push("TargetName", &target.name);
            for address in &target.addresses {
                writer.push("TargetAddress", address);
            }
        }
        let Some(text) = self.text.as_mut().filter(|text| text.pending) else { return };
        text.pending = false;
        text.answer.extend_from_slice(writer.as_bytes());
        self.push_text_answer();
    }

    /// Asks the initiator to log out within so many seconds (asynchronous message 1).
    pub fn ask_logout(&mut self, within_seconds: u16) {
        self.push_news(1, 0, within_seconds);
    }

    /// Tells the initiator that the session is about to be dropped, and how long to stay away (asynchronous
    /// message 3). Send what waits and close.
    pub fn announce_drop(&mut self, time2wait_seconds: u16) {
        self.push_news(3, time2wait_seconds, 0);
    }

    /// Sends news of a logical unit as sense data (asynchronous message 0).
    pub fn unit_news(&mut self, lun: u64, sense: &[u8]) {
        if !self.is_ready() {
            return;
        }
        let mut raw = RawAsyncMessage::blank();
        raw.flags = FINAL;
        raw.lun = lun.into();
        raw.itt = NO_TAG.into();
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, true);
        self.tx.push(raw, &data::sense_segment(sense));
    }

    fn push_news(&mut self, event: u8, param2: u16, param3: u16) {
        if !self.is_ready() {
            return;
        }
        let mut raw = RawAsyncMessage::blank();
        raw.flags = FINAL;
        raw.itt = NO_TAG.into();
        raw.event = event;
        raw.param2 = param2.into();
        raw.param3 = param3.into();
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, true);
        self.tx.push(raw, &[]);
    }

    fn push_task_response(&mut self, itt: u32, response: TaskResponse) {
        let mut raw = RawTaskResponse::blank();
        raw.flags = FINAL;
        raw.response = response.code();
        raw.itt = itt.into();
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, true);
        self.tx.push(raw, &[]);
    }

    /// Sends as much of a text answer as one PDU holds.
    fn push_text_answer(&mut self) {
        let Some(text) = self.text.as_ref() else { return };
        let (itt, sent) = (text.itt, text.sent);
        let rest = text.answer.len().saturating_sub(sent);
        let part = rest.min(size(self.params.max_send_data));
        let last = part == rest;
        let ttt = if last { NO_TAG } else { self.new_ttt() };
        let mut raw = RawTextResponse::blank();
        // C: the text goes on; F may not be set then.
        raw.flags = if last { FINAL } else { 0x40 };
        raw.itt = itt.into();
        raw.ttt = ttt.into();
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, true);
        let Some(text) = self.text.as_mut() else { return };
        let end = sent.saturating_add(part);
        self.tx.push(raw, text.answer.get(sent..end).unwrap_or_default());
        text.sent = end;
        text.ttt = ttt;
        if last {
            self.text = None;
        }
    }

    /// Asks for the rest of a text request.
    fn push_text_more(&mut self) {
        let ttt = self.new_ttt();
        let mut raw = RawTextResponse::blank();
        raw.ttt = ttt.into();
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, true);
        let Some(text) = self.text.as_mut() else { return };
        raw.itt = text.itt.into();
        text.ttt = ttt;
        self.tx.push(raw, &[]);
    }

    /// A target transfer tag: any but the one that means none.
    fn new_ttt(&mut self) -> u32 {
        self.next_ttt = self.next_ttt.wrapping_add(1);
        if self.next_ttt == NO_TAG {
            self.next_ttt = 0;
        }
        self.next_ttt
    }

    /// The last CmdSN that would be taken now. It never goes back: what fills the window has moved ExpCmdSN on.
    fn max_cmd_sn(&self) -> u32 {
        let depth = usize::from(self.config.queue_depth.clamp(1, 4096));
        let room = u32::try_from(depth.saturating_sub(self.tasks.windowed())).unwrap_or(0);
        self.exp_cmd_sn.wrapping_add(room).wrapping_sub(1)
    }

    /// Sets the three numbers of a PDU; `status` when it bears a status and so takes up a StatSN.
    fn stamp(
        &mut self,
        stat_sn: &mut zerocopy::byteorder::big_endian::U32,
        exp_cmd_sn: &mut zerocopy::byteorder::big_endian::U32,
        max_cmd_sn: &mut zerocopy::byteorder::big_endian::U32,
        status: bool,
    ) {
        *stat_sn = self.stat_sn.into();
        *exp_cmd_sn = self.exp_cmd_sn.into();
        *max_cmd_sn = self.max_cmd_sn().into();
        if status {
            self.stat_sn = self.stat_sn.wrapping_add(1);
        }
    }
}
