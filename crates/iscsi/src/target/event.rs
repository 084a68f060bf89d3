//! What the target's engine is given, and what it tells.

use std::time::Duration;

use crate::chap::Credentials;
use crate::pdu::{PduError, TaskFunction};
use crate::text::{Params, Settings};
use crate::transmit::Payload;
use crate::types::{Attribute, Cdb, Isid, SessionType};

/// What a target's end of a connection needs to know before anybody has logged in.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// What to answer with.
    pub settings: Settings,
    /// TargetPortalGroupTag of the portal.
    pub portal_group: u16,
    /// Commands that may be in flight in the session, 1 to 4096. Default 128.
    pub queue_depth: u16,
    /// How long a login may take. Default 15 s.
    pub login_timeout: Duration,
    /// Silence after which the initiator is pinged; `None`: never. Default 15 s.
    pub ping_interval: Option<Duration>,
    /// How long the answer to a ping may take, counted from the last byte received. Default 5 s.
    pub ping_timeout: Duration,
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            portal_group: 1,
            queue_depth: 128,
            login_timeout: Duration::from_secs(15),
            ping_interval: Some(Duration::from_secs(15)),
            ping_timeout: Duration::from_secs(5),
        }
    }
}

/// Who wants to log in, and where. Nothing of it is proven before [`TargetEvent::LoggedIn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginInfo {
    /// InitiatorName.
    pub initiator_name: String,
    /// InitiatorAlias, if any.
    pub initiator_alias: Option<String>,
    /// TargetName; always there in a normal session.
    pub target_name: Option<String>,
    /// Normal or discovery.
    pub session_type: SessionType,
    /// Initiator's part of the session id.
    pub isid: Isid,
    /// Target's part of the session id: 0 for a new session. Anything else asks to join a session, which is to be
    /// refused: [`crate::LoginStatus::TOO_MANY_CONNECTIONS`] where it exists, else
    /// [`crate::LoginStatus::NO_SESSION`].
    pub tsih: u16,
    /// Connection id.
    pub cid: u16,
}

/// How an initiator must prove itself.
#[derive(Clone, Debug)]
pub enum TargetAuth {
    /// Not at all.
    None,
    /// By CHAP.
    Chap {
        /// Who may come in.
        users: Vec<Credentials>,
        /// How this target proves itself when it is asked to (mutual CHAP).
        own: Option<Credentials>,
    },
}

/// The driver's yes to a login.
#[derive(Clone, Debug)]
pub struct LoginGrant {
    /// The session's number, 1 or more, that no other session has.
    pub tsih: u16,
    /// How the initiator must prove itself still.
    pub auth: TargetAuth,
    /// TargetAlias, if any.
    pub target_alias: Option<String>,
}

/// A command in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetTask(pub(crate) u32);

impl TargetTask {
    /// Its place in a table: unique among the commands in flight, and below twice
    /// [`TargetConfig::queue_depth`] plus 32.
    pub fn index(self) -> usize {
        usize::try_from(self.0 & 0xffff).unwrap_or(0)
    }
}

/// A SCSI command as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Logical unit, as SAM encodes it in 8 bytes.
    pub lun: u64,
    /// The CDB: at least 16 bytes; what is behind the command's own length means nothing.
    pub cdb: Cdb,
    /// Task attribute.
    pub attribute: Attribute,
    /// Most that the initiator takes, in bytes; 0 when the command does not read for it.
    pub read_len: u32,
    /// How much the initiator has to give, in bytes; 0 when it does not write. The driver sizes its buffer by what
    /// the CDB says, up to its own limit, never by this.
    pub write_len: u32,
    /// Whether it came outside the command window.
    pub immediate: bool,
    /// Initiator task tag; for the log.
    pub itt: u32,
}

/// The end of a command.
#[derive(Clone, Debug)]
pub struct Response<B> {
    /// SCSI status.
    pub status: u8,
    /// Sense data, or empty; at most 252 bytes are sent.
    pub sense: Vec<u8>,
    /// The last of the data of a read; it goes by reference. What is beyond the initiator's room is not sent.
    pub data: Payload<B>,
    /// How many bytes the command moves by its CDB, for the residual count: of the read part where there is data to
    /// read, else of the write part. `None`: what was sent of a read; of a write all with GOOD, nothing without.
    pub total: Option<u64>,
}

impl<B: AsRef<[u8]>> Response<B> {
    /// GOOD without data: the end of a write, or of a command without data.
    pub fn good() -> Self {
        Self { status: 0, sense: Vec::new(), data: Payload::default(), total: None }
    }

    /// GOOD with the data of a read, or the last of it.
    pub fn read(data: impl Into<Payload<B>>) -> Self {
        Self { data: data.into(), ..Self::good() }
    }

    /// Another status, with sense data (or none).
    pub fn status(status: u8, sense: Vec<u8>) -> Self {
        Self { status, sense, ..Self::good() }
    }

    /// CHECK CONDITION with sense data.
    pub fn check_condition(sense: Vec<u8>) -> Self {
        Self::status(2, sense)
    }
}

/// What is wrong with the data of a write, as the initiator is told (RFC 7143, 11.4.7.2: iSCSI conditions). The sense
/// key is ABORTED COMMAND (0x0b) for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataFault {
    /// A PDU of a sequence is missing or out of its place, as when one was lost to a digest error (7.8).
    OutOfSequence,
    /// Data came that nobody called for and that was not agreed to come unasked.
    Unexpected,
    /// More or less came than was called for, or than may come unasked.
    WrongAmount,
}

impl DataFault {
    /// Additional sense code and its qualifier.
    pub fn additional_sense(self) -> (u8, u8) {
        match self {
            // "Protocol service CRC error", "unexpected unsolicited data", "not enough unsolicited data".
            Self::OutOfSequence => (0x47, 0x05),
            Self::Unexpected => (0x0c, 0x0c),
            Self::WrongAmount => (0x0c, 0x0d),
        }
    }
}

/// What the engine tells the driver. Data is borrowed from the bytes given to [`crate::Target::receive`].
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetEvent<'b> {
    /// Somebody wants in: answer with [`crate::Target::grant`] or [`crate::Target::refuse`] at once.
    Login(LoginInfo),
    /// Login is over and proven. An older session of the same initiator name, ISID and portal group ends now (the
    /// driver's doing).
    LoggedIn {
        /// Who.
        info: LoginInfo,
        /// What was agreed.
        params: Params,
    },
    /// A command. Answer a write with [`crate::Target::solicit`] as soon as there is a buffer, and any command with
    /// [`crate::Target::respond`] in the end.
    Command {
        /// The command's handle.
        task: TargetTask,
        /// The command.
        command: Command,
    },
    /// Data of a write: copy it to `offset` of the task's buffer, before the bytes given to `receive` are reused.
    /// It may come before `solicit`, and what came unasked may reach beyond what was solicited: drop that part.
    DataOut {
        /// The command.
        task: TargetTask,
        /// Where, in bytes; in order without gaps unless more than one R2T is in flight.
        offset: u32,
        /// The bytes.
        data: &'b [u8],
    },
    /// All that was solicited is here.
    WriteReady {
        /// The command.
        task: TargetTask,
    },
    /// The data of a write came wrong, or data came that none was to come for; no more of it is due. What is in the
    /// task's buffer must not be used. End the command with CHECK CONDITION, ABORTED COMMAND and
    /// [`DataFault::additional_sense`]. It comes without [`TargetEvent::Command`] before it where the command itself
    /// brought the data.
    BadData {
        /// The command.
        task: TargetTask,
        /// What to tell the initiator.
        fault: DataFault,
        /// PDU and field; for the log.
        error: PduError,
    },
    /// A task management function: do it, call [`crate::Target::abort`] for each of its victims, and answer with
    /// [`crate::Target::manage_done`].
    TaskManagement {
        /// For the answer.
        itt: u32,
        /// The function.
        function: TaskFunction,
        /// Logical unit, where the function has one.
        lun: u64,
        /// The task of an ABORT TASK. (When that is not in flight the engine answers by itself.)
        task: Option<TargetTask>,
    },
    /// The initiator asks for targets: answer with [`crate::Target::targets`].
    SendTargets {
        /// `All` (in a discovery session alone), a target's name, or empty for the target of this session.
        which: String,
    },
    /// The initiator logs out: send what waits, and close. Commands in flight are over.
    LoggedOut,
}
