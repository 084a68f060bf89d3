//! Two engines back to back, with virtual time, a small disk behind the target, and a wire that cuts the stream as
//! it likes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscsi::pdu::TaskResponse;
use iscsi::{
    Command, Credentials, DataFault, Event, Initiator, InitiatorConfig, Isid, LoginGrant, LoginStatus,
    Outcome, Response, ScsiRequest, Seed, SessionError, Target, TargetAuth, TargetConfig, TargetEvent,
    TargetRecord, TargetTask, Task,
};

pub(crate) const INITIATOR: &str = "iqn.2026-01.test.oxsan:node0";
pub(crate) const TARGET: &str = "iqn.2026-01.test.oxsan:tgt1";
pub(crate) const BLOCK: usize = 512;

/// A start of time. The engines never read a clock, so any will do.
#[allow(clippy::disallowed_methods, reason = "driver: the virtual clock needs a beginning")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// What a test saw at the initiator.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) logged_in: usize,
    pub(crate) done: BTreeMap<Task, (Outcome, Vec<u8>)>,
    pub(crate) targets: Vec<TargetRecord>,
    pub(crate) logged_out: bool,
    pub(crate) managed: Vec<TaskResponse>,
    pub(crate) other: Vec<String>,
}

/// A write whose data arrives.
#[derive(Debug)]
struct Write {
    lba: usize,
    buf: Vec<u8>,
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) initiator: Initiator<Bytes>,
    pub(crate) target: Target<Bytes>,
    /// Bytes on their way, by direction.
    to_target: Vec<u8>,
    to_initiator: Vec<u8>,
    pub(crate) disk: Vec<u8>,
    writes: BTreeMap<TargetTask, Write>,
    reads: BTreeMap<Task, Vec<u8>>,
    pub(crate) auth: TargetAuth,
    pub(crate) refuse: Option<LoginStatus>,
    pub(crate) seen: Seen,
    /// Cuts the stream: the length of each next piece.
    pub(crate) cut: Box<dyn FnMut() -> usize>,
    /// Commands that the target holds back.
    pub(crate) hold: bool,
    pub(crate) held: Vec<(TargetTask, Command)>,
    pub(crate) records: Vec<TargetRecord>,
    /// What the target found wrong with data, in its own words.
    pub(crate) bad_data: Vec<(DataFault, String)>,
}

pub(crate) fn config() -> InitiatorConfig {
    InitiatorConfig::new(INITIATOR, TARGET, Isid::random([1, 2, 3], 0))
}

pub(crate) fn read10(lba: usize, blocks: usize) -> [u8; 10] {
    let [a, b, c, d] = (lba as u32).to_be_bytes();
    let [e, f] = (blocks as u16).to_be_bytes();
    [0x28, 0, a, b, c, d, 0, e, f, 0]
}

pub(crate) fn write10(lba: usize, blocks: usize) -> [u8; 10] {
    let mut cdb = read10(lba, blocks);
    cdb[0] = 0x2a;
    cdb
}

impl Pair {
    pub(crate) fn new(initiator: InitiatorConfig, target: TargetConfig) -> Self {
        let now = start();
        Self {
            now,
            initiator: Initiator::new(now, initiator, Seed::new([1; 32])).unwrap(),
            target: Target::new(now, target, Seed::new([2; 32])).unwrap(),
            to_target: Vec::new(),
            to_initiator: Vec::new(),
            disk: vec![0; 1 << 20],
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            auth: TargetAuth::None,
            refuse: None,
            seen: Seen::default(),
            cut: Box::new(|| usize::MAX),
            hold: false,
            held: Vec::new(),
            records: vec![TargetRecord { name: TARGET.into(), addresses: vec!["10.0.0.1:3260,1".into()] }],
            bad_data: Vec::new(),
        }
    }

    pub(crate) fn read(&mut self, lba: usize, blocks: usize) -> Task {
        let len = (blocks * BLOCK) as u32;
        self.submit(ScsiRequest::read(0, read10(lba, blocks), len))
    }

    pub(crate) fn write(&mut self, lba: usize, data: &[u8]) -> Task {
        let data = Bytes::copy_from_slice(data);
        self.submit(ScsiRequest::write(0, write10(lba, data.len() / BLOCK), data))
    }

    pub(crate) fn submit(&mut self, request: ScsiRequest<Bytes>) -> Task {
        let len = request.read_len as usize;
        let task = self.initiator.submit(request).unwrap();
        self.reads.insert(task, vec![0; len]);
        task
    }

    /// Moves bytes and handles events until nothing moves.
    pub(crate) fn run(&mut self) -> Result<(), SessionError> {
        loop {
            self.initiator.transmit().drain_into(&mut self.to_target);
            self.target.transmit().drain_into(&mut self.to_initiator);
            if self.to_target.is_empty() && self.to_initiator.is_empty() {
                return Ok(());
            }
            let bytes = std::mem::take(&mut self.to_target);
            let result = self.feed_target(&bytes);
            self.target.transmit().drain_into(&mut self.to_initiator);
            let bytes = std::mem::take(&mut self.to_initiator);
            self.feed_initiator(&bytes)?;
            result?;
        }
    }

    /// Lets time pass on both ends, without a word between them where `mute`.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<(), SessionError> {
        self.now += time;
        self.initiator.handle_timeout(self.now)?;
        self.target.handle_timeout(self.now)
    }

    pub(crate) fn feed_target(&mut self, mut bytes: &[u8]) -> Result<(), SessionError> {
        loop {
            let at = (self.cut)().clamp(1, bytes.len().max(1)).min(bytes.len());
            let (mut piece, rest) = bytes.split_at(at);
            bytes = rest;
            while let Some(event) = self.target.receive(self.now, &mut piece)? {
                self.serve(event)?;
            }
            assert!(piece.is_empty());
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    fn serve(&mut self, event: TargetEvent<'_>) -> Result<(), SessionError> {
        match event {
            TargetEvent::Login(_) => match self.refuse {
                Some(status) => self.target.refuse(status, None),
                None => {
                    let grant = LoginGrant { tsih: 7, auth: self.auth.clone(), target_alias: None };
                    self.target.grant(grant)?;
                }
            },
            TargetEvent::Command { task, command } if self.hold => self.held.push((task, command)),
            TargetEvent::Command { task, command } => self.command(task, &command),
            TargetEvent::DataOut { task, offset, data } => {
                // What came unasked may be more than the CDB asks for.
                let write = self.writes.get_mut(&task);
                let place = write.and_then(|write| write.buf.get_mut(offset as usize..));
                for (to, from) in place.into_iter().flatten().zip(data) {
                    *to = *from;
                }
            }
            TargetEvent::WriteReady { task } => {
                let Some(write) = self.writes.remove(&task) else { return Ok(()) };
                self.disk[write.lba * BLOCK..][..write.buf.len()].copy_from_slice(&write.buf);
                self.target.respond(task, &Response::good());
            }
            TargetEvent::BadData { task, fault, error } => {
                self.writes.remove(&task);
                let (asc, ascq) = fault.additional_sense();
                let sense = vec![0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0];
                self.target.respond(task, &Response::check_condition(sense));
                self.bad_data.push((fault, error.to_string()));
            }
            TargetEvent::TaskManagement { itt, task, .. } => {
                for task in task.into_iter().chain(if task.is_none() { self.target.tasks() } else { vec![] })
                {
                    self.target.abort(task);
                    self.writes.remove(&task);
                }
                self.target.manage_done(itt, TaskResponse::Complete);
            }
            TargetEvent::SendTargets { .. } => {
                let records = self.records.clone();
                self.target.targets(&records);
            }
            TargetEvent::LoggedIn { .. } | TargetEvent::LoggedOut => {}
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    pub(crate) fn command(&mut self, task: TargetTask, command: &Command) {
        let cdb = command.cdb.as_bytes();
        let lba = u32::from_be_bytes(cdb[2..6].try_into().unwrap()) as usize;
        let len = usize::from(u16::from_be_bytes(cdb[7..9].try_into().unwrap())) * BLOCK;
        let fits = lba * BLOCK + len <= self.disk.len();
        match cdb[0] {
            0x28 | 0x2a if !fits => {
                self.target.respond(task, &Response::check_condition(vec![0x70, 0, 5, 0, 0, 0, 0, 0]));
            }
            0x00 => self.target.respond(task, &Response::good()),
            0x28 => {
                let data = Bytes::copy_from_slice(&self.disk[lba * BLOCK..][..len]);
                self.target.respond(task, &Response::read(data));
            }
            0x2a => {
                self.writes.insert(task, Write { lba, buf: vec![0; len] });
                self.target.solicit(task, len as u32);
            }
            _ => self.target.respond(task, &Response::check_condition(vec![0x70, 0, 5, 0, 0, 0, 0, 0])),
        }
    }

    pub(crate) fn feed_initiator(&mut self, mut bytes: &[u8]) -> Result<(), SessionError> {
        loop {
            let at = (self.cut)().clamp(1, bytes.len().max(1)).min(bytes.len());
            let (mut piece, rest) = bytes.split_at(at);
            bytes = rest;
            while let Some(event) = self.initiator.receive(self.now, &mut piece)? {
                match event {
                    Event::LoggedIn { .. } => self.seen.logged_in += 1,
                    Event::DataIn { task, offset, data } => {
                        self.reads.get_mut(&task).unwrap()[offset as usize..][..data.len()]
                            .copy_from_slice(data);
                    }
                    Event::Done { task, outcome, .. } => {
                        let data = self.reads.remove(&task).unwrap();
                        self.seen.done.insert(task, (outcome, data));
                    }
                    Event::Targets(targets) => self.seen.targets = targets,
                    Event::LoggedOut { .. } => self.seen.logged_out = true,
                    Event::TaskManagement { response, .. } => self.seen.managed.push(response),
                    other => self.seen.other.push(format!("{other:?}")),
                }
            }
            assert!(piece.is_empty());
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// The outcome of a command that must have ended.
    pub(crate) fn outcome(&mut self, task: Task) -> (Outcome, Vec<u8>) {
        self.seen.done.remove(&task).unwrap_or_else(|| panic!("{task:?} did not end"))
    }
}

pub(crate) fn chap(name: &str, secret: &str) -> Credentials {
    Credentials::new(name, secret.as_bytes())
}
