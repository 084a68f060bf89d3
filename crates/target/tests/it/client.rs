//! An initiator: the engine and a blocking socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscsi::pdu::{TaskFunction, TaskResponse};
use iscsi::{
    Attribute, Credentials, Event, Initiator, InitiatorConfig, Isid, Outcome, ScsiRequest, Seed,
    SessionError, TargetRecord, Task, Verdict,
};
use scsi::{Command, DataLength, Rw, Sense, Status};

use crate::IQN;

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) engine: Initiator<Bytes>,
}

/// Something that the target said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A command ended, with this status.
    Ended(Task, u8),
    /// A function was answered.
    Managed(u32, TaskResponse),
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) data: Vec<u8>,
}

impl Answer {
    pub(crate) fn good(self) -> Vec<u8> {
        assert_eq!(self.outcome.status, Status::Good.code(), "{:?}", self.sense());
        self.data
    }

    pub(crate) fn sense(&self) -> Option<Sense> {
        Sense::parse(&self.outcome.sense).ok()
    }
}

pub(crate) fn isid(number: u16) -> Isid {
    Isid::random([1, 2, 3], number)
}

pub(crate) fn config(number: u16) -> InitiatorConfig {
    InitiatorConfig::new("iqn.2026-01.test.oxsan:client", IQN, isid(number))
}

/// The same with a CHAP user, and one that the target must prove to be.
pub(crate) fn chap(user: (&str, &str), target: Option<(&str, &str)>) -> InitiatorConfig {
    InitiatorConfig {
        credentials: Some(Credentials::new(user.0, user.1)),
        target_credentials: target.map(|(name, secret)| Credentials::new(name, secret)),
        ..config(1)
    }
}

impl Client {
    pub(crate) fn login(portal: SocketAddr, config: InitiatorConfig) -> Result<Self, SessionError> {
        let stream = TcpStream::connect(portal).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let engine = Initiator::new(Instant::now(), config, Seed::new([7; 32])).unwrap();
        let mut client = Self { stream, engine };
        while !client.engine.is_ready() {
            client.turn(|_| ())?;
        }
        Ok(client)
    }

    /// Logs in, and takes the news that a new session gets.
    pub(crate) fn ready(portal: SocketAddr, number: u16) -> Self {
        let mut client = Self::login(portal, config(number)).unwrap();
        let news = client.run(Command::TestUnitReady, &[]);
        assert_eq!(news.outcome.status, Status::CheckCondition.code());
        client
    }

    pub(crate) fn discover(portal: SocketAddr) -> Vec<TargetRecord> {
        let config = InitiatorConfig::discovery("iqn.2026-01.test.oxsan:client", isid(9));
        let mut client = Self::login(portal, config).unwrap();
        client.engine.send_targets("All").unwrap();
        let mut targets = None;
        while targets.is_none() {
            client
                .turn(|event| {
                    if let Event::Targets(records) = event {
                        targets = Some(records);
                    }
                })
                .unwrap();
        }
        targets.unwrap_or_default()
    }

    pub(crate) fn run(&mut self, command: Command, data: &[u8]) -> Answer {
        self.try_run(command, data).unwrap()
    }

    pub(crate) fn try_run(&mut self, command: Command, data: &[u8]) -> Result<Answer, SessionError> {
        let cdb = command.encode().unwrap().padded();
        let request = match command.data_length(512) {
            DataLength::In(len) => ScsiRequest::read(0, cdb, len.try_into().unwrap()),
            DataLength::Out(_) => ScsiRequest::write(0, cdb, Bytes::copy_from_slice(data)),
            DataLength::None => ScsiRequest::new(0, cdb),
        };
        let mut buffer = vec![0; request.read_len.try_into().unwrap()];
        self.engine.submit(request).unwrap();
        let mut end = None;
        while end.is_none() {
            self.turn(|event| match event {
                Event::DataIn { offset, data, .. } => {
                    let offset: usize = offset.try_into().unwrap();
                    buffer[offset..offset + data.len()].copy_from_slice(data);
                }
                Event::Done { outcome, .. } => end = Some(outcome),
                _ => {}
            })?;
        }
        let outcome = end.expect("the loop's condition");
        buffer.truncate(outcome.received.try_into().unwrap());
        Ok(Answer { outcome, data: buffer })
    }

    /// Submits a write and sends it, without waiting for anything.
    pub(crate) fn begin_write(&mut self, lba: u64, data: &[u8], attribute: Attribute) -> Task {
        let blocks = (data.len() / 512) as u32;
        let cdb = Command::Write(Rw::shortest(lba, blocks)).encode().unwrap().padded();
        let request = ScsiRequest::write(0, cdb, Bytes::copy_from_slice(data));
        let task = self.engine.submit(ScsiRequest { attribute, ..request }).unwrap();
        self.send();
        task
    }

    /// Submits a read and sends it, without waiting for anything.
    pub(crate) fn begin_read(&mut self, lun: u64, lba: u64, blocks: u32) -> Task {
        let cdb = Command::Read(Rw::shortest(lba, blocks)).encode().unwrap().padded();
        let task = self.engine.submit(ScsiRequest::read(lun, cdb, blocks * 512)).unwrap();
        self.send();
        task
    }

    /// Begins a write and stops in mid-PDU: `sent` bytes after the command's own beginning, or with `solicited` after
    /// that of the first data that the target called for.
    pub(crate) fn half_a_write(&mut self, data: &[u8], solicited: bool, sent: usize) {
        let blocks = (data.len() / 512) as u32;
        let cdb = Command::Write(Rw::shortest(0, blocks)).encode().unwrap().padded();
        let request = ScsiRequest::write(0, cdb, Bytes::copy_from_slice(data));
        self.engine.submit(ScsiRequest { attribute: Attribute::Ordered, ..request }).unwrap();
        let mut wire = Vec::new();
        self.engine.transmit().drain_into(&mut wire);
        if solicited {
            self.stream.write_all(&wire).unwrap();
            wire.clear();
            while wire.is_empty() {
                self.turn(|_| ()).unwrap();
                self.engine.transmit().drain_into(&mut wire);
            }
        }
        self.stream.write_all(&wire[..sent]).unwrap();
    }

    /// Sends a task management function, without waiting for its answer.
    pub(crate) fn begin_manage(&mut self, function: TaskFunction, task: Option<Task>) -> u32 {
        self.begin_manage_on(0, function, task)
    }

    pub(crate) fn begin_manage_on(&mut self, lun: u64, function: TaskFunction, task: Option<Task>) -> u32 {
        let itt = self.engine.manage(function, lun, task).unwrap();
        self.send();
        itt
    }

    pub(crate) fn send(&mut self) {
        let mut wire = Vec::new();
        self.engine.transmit().drain_into(&mut wire);
        self.stream.write_all(&wire).unwrap();
    }

    /// What comes within so long: ends of commands by status, and answers to functions, in their order.
    pub(crate) fn listen(&mut self, limit: Duration) -> Vec<Heard> {
        self.hear(usize::MAX, limit)
    }

    /// The same until so many came.
    pub(crate) fn hear(&mut self, count: usize, limit: Duration) -> Vec<Heard> {
        let mut heard = Vec::new();
        self.watch(limit, |event| {
            match event {
                Event::Done { task, outcome, .. } if outcome.verdict == Verdict::Completed => {
                    heard.push(Heard::Ended(task, outcome.status));
                }
                Event::TaskManagement { itt, response, .. } => heard.push(Heard::Managed(itt, response)),
                _ => {}
            }
            heard.len() < count
        });
        heard
    }

    /// Takes what comes within so long, and answers it, until `each` wants no more. Whether the target is still there.
    pub(crate) fn watch(&mut self, limit: Duration, mut each: impl FnMut(Event<'_, Bytes>) -> bool) -> bool {
        let end = Instant::now() + limit;
        let (mut more, mut there) = (true, true);
        let mut bytes = vec![0; 1 << 20];
        while let Some(left) =
            end.checked_duration_since(Instant::now()).filter(|left| more && !left.is_zero())
        {
            self.stream.set_read_timeout(Some(left)).unwrap();
            let len = match self.stream.read(&mut bytes) {
                Ok(0) => {
                    there = false;
                    break;
                }
                Ok(len) => len,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            };
            let mut rest = &bytes[..len];
            while let Some(event) = self.engine.receive(Instant::now(), &mut rest).unwrap() {
                more &= each(event);
            }
            self.send();
        }
        self.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        there
    }

    /// Sends what waits and takes what comes, once.
    fn turn(&mut self, mut each: impl FnMut(Event<'_, Bytes>)) -> Result<(), SessionError> {
        let mut wire = Vec::new();
        self.engine.transmit().drain_into(&mut wire);
        let gone = |error: std::io::Error| {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "the target does not answer");
            SessionError::LoginTimeout { seconds: 0 }
        };
        self.stream.write_all(&wire).map_err(gone)?;
        let mut bytes = vec![0; 1 << 20];
        let len = self.stream.read(&mut bytes).map_err(gone)?;
        if len == 0 {
            return Err(gone(ErrorKind::UnexpectedEof.into()));
        }
        let mut rest = &bytes[..len];
        while let Some(event) = self.engine.receive(Instant::now(), &mut rest)? {
            each(event);
        }
        Ok(())
    }
}
