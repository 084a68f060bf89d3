//! One command at a time: how a LUN is looked at before I/O begins, and a session left.

use std::time::Duration;

use iscsi::pdu::{TaskFunction, TaskResponse};
use iscsi::{Attribute, Event, Outcome, Payload, ScsiRequest, SubmitError, Task};
use scsi::{Command, DataLength, Lun};
use tokio::time::timeout;

use super::{Chunk, Connection, Sink, now};
use crate::ConnectionError;

/// How long such a command may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The answer to one command.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What it brought; at most the command's allocation length.
    pub(crate) data: Vec<u8>,
}

impl Connection {
    /// Sends one command without data to the device, and waits for its end. Nothing else may be in flight.
    pub(crate) async fn execute(&mut self, lun: Lun, command: &Command) -> Result<Answer, ConnectionError> {
        let request = request(lun, command);
        let late = || ConnectionError::CommandTimeout { seconds: LIMIT.as_secs() };
        let len = usize::try_from(request.read_len).unwrap_or_default();
        let task = self.engine().submit(request).map_err(|error| match error {
            // Nothing is in flight, so the target must have asked for a logout meanwhile.
            SubmitError::Full { .. } | SubmitError::Closing { .. } => ConnectionError::LogoutWanted,
            _ => ConnectionError::Closed,
        })?;
        let mut one = One { task, data: vec![0; len], outcome: None };
        let whole = async {
            loop {
                self.pump(&mut one).await?;
                if let Some(outcome) = one.outcome.take() {
                    return Ok::<_, ConnectionError>(outcome);
                }
            }
        };
        let outcome = timeout(LIMIT, whole).await.map_err(|_| late())??;
        let received = usize::try_from(outcome.received).unwrap_or_default();
        one.data.truncate(received);
        Ok(Answer { outcome, data: one.data })
    }

    /// Resets the unit (LOGICAL UNIT RESET), which ends the commands of every session with it (SAM-5, 7.7). Nothing
    /// may be in flight here.
    pub(crate) async fn reset_unit(&mut self, lun: Lun) -> Result<(), ConnectionError> {
        let lun = u64::from_be_bytes(lun.encode());
        let function = TaskFunction::LogicalUnitReset;
        let itt = self.engine().manage(function, lun, None).map_err(|_| ConnectionError::LogoutWanted)?;
        let mut answer = Managed { itt, response: None };
        let whole = async {
            loop {
                self.pump(&mut answer).await?;
                if let Some(response) = answer.response {
                    return Ok::<_, ConnectionError>(response);
                }
            }
        };
        let late = |_| ConnectionError::CommandTimeout { seconds: LIMIT.as_secs() };
        match timeout(LIMIT, whole).await.map_err(late)?? {
            TaskResponse::Complete => Ok(()),
            response => Err(ConnectionError::ResetRefused { response }),
        }
    }

    /// Asks a discovery session for all targets.
    pub(crate) async fn send_targets(&mut self) -> Result<Vec<iscsi::TargetRecord>, ConnectionError> {
        self.engine().send_targets("All").map_err(|_| ConnectionError::LogoutWanted)?;
        let mut answer = Targets(None);
        let whole = async {
            loop {
                self.pump(&mut answer).await?;
                if let Some(targets) = answer.0.take() {
                    return Ok(targets);
                }
            }
        };
        timeout(LIMIT, whole)
            .await
            .map_err(|_| ConnectionError::CommandTimeout { seconds: LIMIT.as_secs() })?
    }

    /// Logs out, and waits for the answer; the engine limits the time.
    pub(crate) async fn logout(mut self) -> Result<(), ConnectionError> {
        if self.engine().logout(now()).is_err() {
            return Ok(());
        }
        let mut answer = LogoutAnswer(None);
        loop {
            match self.pump(&mut answer).await {
                // Some targets just close: the session is over either way.
                Err(ConnectionError::Closed | ConnectionError::Socket(_)) => return Ok(()),
                other => other?,
            }
            match answer.0 {
                Some(0) => return Ok(()),
                Some(response) => return Err(ConnectionError::LogoutRefused { response }),
                None => {}
            }
        }
    }
}

/// Commands of the first look bring data or nothing.
fn request(lun: Lun, command: &Command) -> ScsiRequest<Chunk> {
    let read_len = match command.data_length(512) {
        DataLength::In(len) => u32::try_from(len).unwrap_or(u32::MAX),
        DataLength::None | DataLength::Out(_) => 0,
    };
    let cdb = command.encode().expect("commands of the first look have fields in range");
    ScsiRequest {
        lun: u64::from_be_bytes(lun.encode()),
        cdb: cdb.padded().into(),
        attribute: Attribute::Simple,
        read_len,
        write: Payload::default(),
        immediate: false,
    }
}

struct One {
    task: Task,
    data: Vec<u8>,
    outcome: Option<Outcome>,
}

impl Sink for One {
    fn event(&mut self, event: Event<'_, Chunk>) {
        match event {
            Event::DataIn { task, offset, data } if task == self.task => {
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                if let Some(place) = self.data.get_mut(at..).and_then(|rest| rest.get_mut(..data.len())) {
                    place.copy_from_slice(data);
                }
            }
            Event::Done { task, outcome, .. } if task == self.task => self.outcome = Some(outcome),
            _ => {}
        }
    }
}

struct Targets(Option<Vec<iscsi::TargetRecord>>);

impl Sink for Targets {
    fn event(&mut self, event: Event<'_, Chunk>) {
        if let Event::Targets(targets) = event {
            self.0 = Some(targets);
        }
    }
}

struct Managed {
    itt: u32,
    response: Option<TaskResponse>,
}

impl Sink for Managed {
    fn event(&mut self, event: Event<'_, Chunk>) {
        if let Event::TaskManagement { itt, response, .. } = event
            && itt == self.itt
        {
            self.response = Some(response);
        }
    }
}

struct LogoutAnswer(Option<u8>);

impl Sink for LogoutAnswer {
    fn event(&mut self, event: Event<'_, Chunk>) {
        if let Event::LoggedOut { response, .. } = event {
            self.0 = Some(response);
        }
    }
}
