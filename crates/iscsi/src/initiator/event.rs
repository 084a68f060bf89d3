//! What the initiator's engine is given, and what it tells.

use std::time::Duration;

use crate::chap::Credentials;
use crate::pdu::{RejectReason, TaskFunction, TaskResponse};
use crate::text::{Params, Settings};
use crate::transmit::Payload;
use crate::types::{Attribute, Cdb, Isid, Residual, SessionType, TargetRecord};

/// Who logs in where, and how.
#[derive(Clone, Debug)]
pub struct InitiatorConfig {
    /// InitiatorName: an iqn, eui or naa, at most 223 bytes.
    pub initiator_name: String,
    /// InitiatorAlias, if any.
    pub initiator_alias: Option<String>,
    /// TargetName; needed for a normal session.
    pub target_name: Option<String>,
    /// Normal or discovery.
    pub session_type: SessionType,
    /// The session's id; the same at a relogin, so that the target ends the old session.
    pub isid: Isid,
    /// What to offer.
    pub settings: Settings,
    /// How this end proves itself; `None`: not at all.
    pub credentials: Option<Credentials>,
    /// How the target must prove itself (mutual CHAP); needs `credentials`.
    pub target_credentials: Option<Credentials>,
    /// How long a login may take. Default 15 s.
    pub login_timeout: Duration,
    /// Silence after which the target is pinged; `None`: never. Default 5 s.
    pub ping_interval: Option<Duration>,
    /// How long the answer to a ping may take, counted from the last byte received. Default 5 s.
    pub ping_timeout: Duration,
    /// Most commands in flight and waiting; 1 to 32767. Default 1024.
    pub max_tasks: usize,
}

impl InitiatorConfig {
    /// A normal session with the defaults named at each field.
    pub fn new(initiator_name: impl Into<String>, target_name: impl Into<String>, isid: Isid) -> Self {
        Self { target_name: Some(target_name.into()), ..Self::discovery(initiator_name, isid).normal() }
    }

    /// A discovery session with the defaults named at each field.
    pub fn discovery(initiator_name: impl Into<String>, isid: Isid) -> Self {
        Self {
            initiator_name: initiator_name.into(),
            initiator_alias: None,
            target_name: None,
            session_type: SessionType::Discovery,
            isid,
            settings: Settings::default(),
            credentials: None,
            target_credentials: None,
            login_timeout: Duration::from_secs(15),
            ping_interval: Some(Duration::from_secs(5)),
            ping_timeout: Duration::from_secs(5),
            max_tasks: 1024,
        }
    }

    fn normal(self) -> Self {
        Self { session_type: SessionType::Normal, ..self }
    }
}

/// A command in flight. Its tag is never used again within the session as long as it could be confused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task(pub(crate) u32);

impl Task {
    /// Its place in a table of [`InitiatorConfig::max_tasks`] entries: unique among the commands in flight.
    pub fn index(self) -> usize {
        usize::try_from(self.0 & 0xffff).unwrap_or(0)
    }

    /// Initiator task tag.
    pub fn itt(self) -> u32 {
        self.0
    }
}

/// A SCSI command with its data.
#[derive(Clone, Debug)]
pub struct ScsiRequest<B> {
    /// Logical unit, as SAM encodes it in 8 bytes.
    pub lun: u64,
    /// The CDB.
    pub cdb: Cdb,
    /// Task attribute.
    pub attribute: Attribute,
    /// How much the command may read, in bytes; 0 when it does not.
    pub read_len: u32,
    /// What the command writes; empty when it does not. Less than 4 GiB.
    pub write: Payload<B>,
    /// Outside the command window, to be done before commands that wait.
    pub immediate: bool,
}

impl<B: AsRef<[u8]>> ScsiRequest<B> {
    /// A command without data.
    pub fn new(lun: u64, cdb: impl Into<Cdb>) -> Self {
        Self {
            lun,
            cdb: cdb.into(),
            attribute: Attribute::Simple,
            read_len: 0,
            write: Payload::default(),
            immediate: false,
        }
    }

    /// A command that reads up to `len` bytes.
    pub fn read(lun: u64, cdb: impl Into<Cdb>, len: u32) -> Self {
        Self { read_len: len, ..Self::new(lun, cdb) }
    }

    /// A command that writes.
    pub fn write(lun: u64, cdb: impl Into<Cdb>, data: impl Into<Payload<B>>) -> Self {
        Self { write: data.into(), ..Self::new(lun, cdb) }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the iSCSI layer says of it.
    pub verdict: Verdict,
    /// SCSI status, valid when the verdict is [`Verdict::Completed`]: 0 GOOD, 2 CHECK CONDITION, 8 BUSY …
    pub status: u8,
    /// Sense data, or empty.
    pub sense: Vec<u8>,
    /// How far the target's count is from what was expected; of the write part where a command does both. A read
    /// that brought less than asked for always has [`Residual::Underflow`], whether the target said so or not.
    pub residual: Residual,
    /// The read part's residual where a command does both.
    pub read_residual: Residual,
    /// Bytes received, from offset 0 on without a gap.
    pub received: u32,
}

/// What the iSCSI layer says of a command's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The command completed at the target; look at the status.
    Completed,
    /// The target failed inside (response code 1 and up); the status means nothing.
    TargetFailure(u8),
    /// The target refused the command's PDU.
    Rejected(RejectReason),
    /// A task management function ended it.
    Aborted,
}

/// What the engine tells the driver. Data is borrowed from the bytes given to [`crate::Initiator::receive`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'b, B> {
    /// Login is over; commands flow.
    LoggedIn {
        /// What was agreed.
        params: Params,
        /// The target's part of the session id.
        tsih: u16,
        /// The portal group, where the target names it.
        portal_group: Option<u16>,
        /// TargetAlias, where the target has one.
        target_alias: Option<String>,
    },
    /// Data of a read: copy it to `offset` of the task's buffer, before the bytes given to `receive` are reused.
    DataIn {
        /// The command.
        task: Task,
        /// Where, in bytes. `offset` + length is within `read_len`; pieces come in order without gaps.
        offset: u32,
        /// The bytes.
        data: &'b [u8],
    },
    /// A command ended; its task is free again.
    Done {
        /// The command.
        task: Task,
        /// How.
        outcome: Outcome,
        /// As it was submitted, with its payload.
        request: ScsiRequest<B>,
    },
    /// A task management function was answered. The tasks it ended came as [`Event::Done`] before, aborted.
    TaskManagement {
        /// As returned by [`crate::Initiator::manage`].
        itt: u32,
        /// The function.
        function: TaskFunction,
        /// The verdict.
        response: TaskResponse,
    },
    /// The answer to [`crate::Initiator::send_targets`].
    Targets(Vec<TargetRecord>),
    /// The target answers a logout: close the connection.
    LoggedOut {
        /// 0: all is well.
        response: u8,
        /// Seconds to wait before coming back.
        time2wait: u16,
    },
    /// The target wants a logout within this time; it will drop the connection otherwise. Log out and in again.
    LogoutWanted {
        /// The time given.
        within: Duration,
    },
    /// The target is about to drop this connection or the whole session.
    GoingDown {
        /// Seconds to wait before coming back.
        time2wait: u16,
    },
    /// News of a logical unit, as sense data.
    UnitNews {
        /// Logical unit.
        lun: u64,
        /// Sense data.
        sense: Vec<u8>,
    },
    /// An asynchronous message of another kind; for the log.
    OtherNews {
        /// AsyncEvent.
        event: u8,
        /// AsyncVCode.
        vendor: u8,
    },
    /// The target refused a PDU that was no command; for the log.
    Rejected {
        /// Why.
        reason: RejectReason,
        /// First byte of what was refused.
        opcode: u8,
    },
}
