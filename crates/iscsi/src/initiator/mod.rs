//! The initiator's end of one connection, which is one session (MaxConnections is 1).

mod event;
mod login;
mod receive;
mod send;
mod task;

pub use event::{Event, InitiatorConfig, Outcome, ScsiRequest, Task, Verdict};

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::chap::Seed;
use crate::error::SessionError;
use crate::framer::Framer;
use crate::pdu::{
    Bhs, FINAL, IMMEDIATE, LogoutReason, NO_TAG, RawLogoutRequest, RawTaskRequest, RawTextRequest,
    TaskFunction,
};
use crate::text::{Params, TextBuf, TextError, TextWriter};
use crate::transmit::Transmit;
use crate::types::SessionType;

pub(crate) use login::ChapValues;
use login::Login;
use receive::Current;
use task::Tasks;

/// Longest answer to SendTargets, in bytes.
const MAX_TARGETS_TEXT: usize = 4 << 20;
/// How long a logout may take.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the connection stands.
#[derive(Debug)]
enum Phase {
    Login(Box<Login>),
    Full,
    LoggingOut { deadline: Instant },
    Closed,
}

/// A task management function that waits for its answer.
#[derive(Debug)]
struct Managed {
    itt: u32,
    function: TaskFunction,
    lun: u64,
    referenced: Option<Task>,
    /// How many commands were sent before it; later ones are not its victims.
    sent_before: u64,
}

/// Text after login that waits for its answer.
#[derive(Debug)]
struct Text {
    itt: u32,
    buf: TextBuf,
}

/// The initiator's engine: no socket, no clock, no task of its own. See the crate's head for the loop around it.
///
/// `B` is the shared buffer that writes are made of.
#[derive(Debug)]
pub struct Initiator<B> {
    config: InitiatorConfig,
    seed: Seed,
    phase: Phase,
    framer: Framer,
    tx: Transmit<B>,
    params: Params,
    /// CmdSN of the next non-immediate command.
    cmd_sn: u32,
    max_cmd_sn: u32,
    exp_stat_sn: u32,
    tasks: Tasks<B>,
    /// Commands sent so far.
    sent: u64,
    /// Commands that wait for login or for the command window.
    waiting: VecDeque<Task>,
    managed: Vec<Managed>,
    text: Option<Text>,
    next_special: u16,
    events: VecDeque<Event<'static, B>>,
    current: Current,
    /// Data segment of a PDU that is no Data-In.
    control: Vec<u8>,
    last_received: Instant,
    ping: Option<(u32, Instant)>,
}

/// A submission that was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError<B> {
    /// As many commands as [`InitiatorConfig::max_tasks`] are in flight; try again when one ended.
    #[error("{max} commands are in flight")]
    Full {
        /// The limit.
        max: usize,
        /// The request, back.
        request: Box<ScsiRequest<B>>,
    },
    /// The session is closing.
    #[error("the session is closing")]
    Closing {
        /// The request, back.
        request: Box<ScsiRequest<B>>,
    },
    /// The payload is 4 GiB or more.
    #[error("a write of {len} bytes is beyond what one command can carry")]
    TooLong {
        /// Length, in bytes.
        len: usize,
        /// The request, back.
        request: Box<ScsiRequest<B>>,
    },
}

/// Why a function other than a command was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// Login is not over, or the session is closing.
    #[error("the session is not in its full feature phase")]
    NotReady,
    /// One is under way already.
    #[error("one is under way already")]
    Busy,
    /// The task to abort is not in flight.
    #[error("the task is not in flight")]
    NoTask,
    /// Not built.
    #[error("{what} is not built")]
    NotBuilt {
        /// What.
        what: &'static str,
    },
}

impl<B: AsRef<[u8]> + Clone> Initiator<B> {
    /// Begins a login on a connection that was just made; its first bytes wait in [`Self::transmit`].
    ///
    /// `seed` must be drawn for this connection alone.
    ///
    /// # Errors
    /// Settings out of range, a name that no key can carry, or mutual CHAP without a name of one's own.
    pub fn new(now: Instant, config: InitiatorConfig, seed: Seed) -> Result<Self, TextError> {
        config.settings.check()?;
        login::check_config(&config)?;
        let login = Login::new(now, &config);
        let mut engine = Self {
            tasks: Tasks::new(config.max_tasks),
            sent: 0,
            config,
            seed,
            phase: Phase::Login(Box::new(login)),
            framer: Framer::new(),
            tx: Transmit::default(),
            params: Params::default(),
            cmd_sn: 1,
            max_cmd_sn: 0,
            exp_stat_sn: 0,
            waiting: VecDeque::new(),
            managed: Vec::new(),
            text: None,
            next_special: 0,
            events: VecDeque::new(),
            current: Current::Nothing,
            control: Vec::new(),
            last_received: now,
            ping: None,
        };
        engine.start_login();
        Ok(engine)
    }

    /// What waits to be sent. Look after every call that takes `&mut self`.
    pub fn transmit(&mut self) -> &mut Transmit<B> {
        &mut self.tx
    }

    /// What is in force; the RFC's defaults until login is over.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Whether login is over and no logout has begun.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Full)
    }

    /// Whether the bytes received so far end with a whole PDU.
    pub fn at_boundary(&self) -> bool {
        self.framer.at_boundary()
    }

    /// Whether a ping was sent that is not answered yet.
    pub fn is_pinging(&self) -> bool {
        self.ping.is_some()
    }

    /// Commands in flight and waiting.
    pub fn in_flight(&self) -> usize {
        self.tasks.len()
    }

    /// Submits a command. It may come before login is over, and beyond the command window: it waits then.
    ///
    /// # Errors
    /// [`SubmitError`] gives the request back.
    pub fn submit(&mut self, request: ScsiRequest<B>) -> Result<Task, SubmitError<B>> {
        if matches!(self.phase, Phase::LoggingOut { .. } | Phase::Closed) {
            return Err(SubmitError::Closing { request: Box::new(request) });
        }
        let len = request.write.len();
        if u32::try_from(len).is_err() {
            return Err(SubmitError::TooLong { len, request: Box::new(request) });
        }
        let immediate = request.immediate;
        let task = self.tasks.insert(request).map_err(|request| SubmitError::Full {
            max: self.config.max_tasks,
            request: Box::new(request),
        })?;
        if self.is_ready() && (immediate || (self.waiting.is_empty() && self.window_open())) {
            self.send_command(task);
        } else {
            self.waiting.push_back(task);
        }
        Ok(task)
    }

    /// Sends a task management function, ahead of what waits. `task` is the command to abort, for ABORT TASK alone.
    ///
    /// A command that still waits for the window is aborted here, without the target. Returns the tag that the
    /// answer's [`Event::TaskManagement`] bears.
    ///
    /// # Errors
    /// [`UseError`].
    pub fn manage(&mut self, function: TaskFunction, lun: u64, task: Option<Task>) -> Result<u32, UseError> {
        if !self.is_ready() {
            return Err(UseError::NotReady);
        }
        if function == TaskFunction::TaskReassign {
            return Err(UseError::NotBuilt { what: "TASK REASSIGN (error recovery level 2)" });
        }
        let mut raw = RawTaskRequest::blank();
        raw.opcode |= IMMEDIATE;
        raw.flags = FINAL | function.code();
        raw.ref_itt = NO_TAG.into();
        if function.has_lun() {
            raw.lun = lun.into();
        }
        let itt = self.special_itt();
        raw.itt = itt.into();
        raw.cmd_sn = self.cmd_sn.into();
        raw.exp_stat_sn = self.exp_stat_sn.into();
        let referenced = if function == TaskFunction::AbortTask {
            let task = task.ok_or(UseError::NoTask)?;
            let flight =
                self.tasks.get(task).filter(|flight| flight.sent.is_some()).ok_or(UseError::NoTask)?;
            raw.lun = flight.request.lun.into();
            raw.ref_itt = task.0.into();
            raw.ref_cmd_sn = flight.cmd_sn.into();
            Some(task)
        } else {
            None
        };
        self.managed.push(Managed { itt, function, lun, referenced, sent_before: self.sent });
        self.tx.push(raw, &[]);
        Ok(itt)
    }

    /// Takes back a command that was not sent yet. `None` when it was, or is not in flight.
    pub fn take_back(&mut self, task: Task) -> Option<ScsiRequest<B>> {
        self.tasks.get(task).filter(|flight| flight.sent.is_none())?;
        self.waiting.retain(|waiting| *waiting != task);
        self.tasks.remove(task).map(|flight| flight.request)
    }

    /// Asks for targets: `All`, or a target's name. The answer is [`Event::Targets`].
    ///
    /// # Errors
    /// [`UseError`].
    pub fn send_targets(&mut self, which: &str) -> Result<(), UseError> {
        if !self.is_ready() {
            return Err(UseError::NotReady);
        }
        if self.text.is_some() {
            return Err(UseError::Busy);
        }
        let itt = self.special_itt();
        let mut writer = TextWriter::default();
        writer.push("SendTargets", which);
        self.text = Some(Text { itt, buf: TextBuf::new(MAX_TARGETS_TEXT) });
        self.push_text_request(itt, NO_TAG, 0, writer.as_bytes());
        Ok(())
    }

    /// Begins a logout of the session. Commands in flight may end before its answer; what is left then comes back
    /// from [`Self::take_unfinished`].
    ///
    /// # Errors
    /// [`UseError::NotReady`].
    pub fn logout(&mut self, now: Instant) -> Result<(), UseError> {
        if !self.is_ready() {
            return Err(UseError::NotReady);
        }
        let mut raw = RawLogoutRequest::blank();
        raw.opcode |= IMMEDIATE;
        raw.flags = FINAL | LogoutReason::CloseSession.code();
        raw.itt = self.special_itt().into();
        raw.cmd_sn = self.cmd_sn.into();
        raw.exp_stat_sn = self.exp_stat_sn.into();
        self.tx.push(raw, &[]);
        let deadline = now.checked_add(LOGOUT_TIMEOUT).unwrap_or(now);
        self.phase = Phase::LoggingOut { deadline };
        Ok(())
    }

    /// When [`Self::handle_timeout`] must be called next; ask again after every other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Login(login) => Some(login.deadline),
            Phase::LoggingOut { deadline } => Some(*deadline),
            Phase::Closed => None,
            Phase::Full => self.ping_due(),
        }
    }

    /// Lets time pass: sends a ping, or finds that login, ping or logout took too long.
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
            Phase::LoggingOut { .. } => {
                Err(SessionError::LogoutTimeout { seconds: LOGOUT_TIMEOUT.as_secs() })
            }
            Phase::Closed => Ok(()),
            Phase::Full if self.ping.is_some() => {
                let millis = u64::try_from(self.config.ping_timeout.as_millis()).unwrap_or(u64::MAX);
                Err(SessionError::PingTimeout { millis })
            }
            Phase::Full => {
                self.send_ping(now);
                Ok(())
            }
        }
    }

    /// Gives up: every command that did not end, in the order of submission, for replay on a new session.
    ///
    /// Whether a command was done at the target is not known when it was sent.
    pub fn take_unfinished(&mut self) -> Vec<(Task, ScsiRequest<B>)> {
        self.phase = Phase::Closed;
        self.waiting.clear();
        let tasks = self.tasks.pick(|_| true);
        tasks
            .into_iter()
            .filter_map(|task| self.tasks.remove(task).map(|flight| (task, flight.request)))
            .collect()
    }

    fn ping_due(&self) -> Option<Instant> {
        // A discovery session knows text and logout alone (RFC 7143, 4.3).
        if self.config.session_type == SessionType::Discovery {
            return None;
        }
        match self.ping {
            Some((_, sent)) => sent.max(self.last_received).checked_add(self.config.ping_timeout),
            None => self.last_received.checked_add(self.config.ping_interval?),
        }
    }

    fn window_open(&self) -> bool {
        crate::serial::at_or_before(self.cmd_sn, self.max_cmd_sn)
    }

    /// A tag for what is no SCSI command; apart from every [`Task`].
    fn special_itt(&mut self) -> u32 {
        self.next_special = self.next_special.wrapping_add(1);
        u32::from(self.next_special) << 16 | 0x8000
    }

    fn push_text_request(&mut self, itt: u32, ttt: u32, lun: u64, text: &[u8]) {
        let mut raw = RawTextRequest::blank();
        raw.opcode |= IMMEDIATE;
        raw.flags = FINAL;
        raw.lun = lun.into();
        raw.itt = itt.into();
        raw.ttt = ttt.into();
        raw.cmd_sn = self.cmd_sn.into();
        raw.exp_stat_sn = self.exp_stat_sn.into();
        self.tx.push(raw, text);
    }

    fn enter_full_feature(&mut self, params: Params) {
        self.framer.set_digests(params.header_digest, params.data_digest);
        self.framer.set_max_data(params.max_recv_data);
        self.tx.set_digests(params.header_digest, params.data_digest);
        self.params = params;
        self.phase = Phase::Full;
        self.send_waiting();
    }
}
