//! A target in memory that misbehaves as a script says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscsi::pdu::TaskResponse;
use iscsi::{
    LoginGrant, LoginStatus, Payload, Response, Seed, Target, TargetAuth, TargetConfig, TargetEvent,
    TargetRecord, TargetTask,
};
use scsi::vpd::{
    self, BlockLimits, CodeSet, Designator, DesignatorKind, DeviceId, Provisioning, ProvisioningType,
};
use scsi::{AdditionalSense, Command, Inquiry, Lun, LunList, ModeData, ReadCapacity16, Sense, SenseFormat};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const NAME: &str = "iqn.2026-11.org.oxsan.test:mock";
pub(crate) const BLOCKS: u64 = 64 << 10;

/// What the script is asked about: a command other than those of the first look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Connections so far, from 1.
    pub(crate) connection: usize,
    /// Such commands on this connection, from 1.
    pub(crate) count: usize,
    pub(crate) opcode: u8,
}

/// What to do with it.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// What it asks for.
    Serve,
    /// Close the connection without doing it.
    Close,
    /// Do it, and close the connection without an answer.
    ServeAndClose,
    /// Say nothing more, and do not close.
    Stall,
    /// Answer with a status and sense.
    Fail(u8, Option<Sense>),
    /// Do it, send the first so many bytes of what waits, and close.
    Cut(usize),
    /// Do it, send the first so many bytes of what waits, and nothing any more.
    Choke(usize),
    /// Do it, and send what waits in pieces of so many bytes, with a pause after each.
    Dribble(usize, Duration),
    /// Do it, and change the last byte of what waits.
    Damage,
    /// Send these bytes instead.
    Raw(Vec<u8>),
    /// Do it, and ask for a logout.
    AskLogout,
    /// Keep a write in a queue, and close the connection.
    Hold,
}

/// How logins are met.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    Grant(TargetAuth),
    Silence,
    Refuse(LoginStatus),
    Redirect(SocketAddr),
    /// Answer each request without ever going on.
    Endless,
}

type Script = Box<dyn Fn(Seen) -> Act + Send + Sync>;

pub(crate) struct Mock {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

pub(crate) struct State {
    script: Script,
    pub(crate) meet: Mutex<Meet>,
    pub(crate) medium: Arc<Medium>,
    pub(crate) serial: Mutex<Vec<u8>>,
    pub(crate) settings: Mutex<iscsi::text::Settings>,
    pub(crate) connections: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    pub(crate) logouts: AtomicUsize,
    pub(crate) write_protected: AtomicBool,
    pub(crate) without_write_same: AtomicBool,
    pub(crate) opcodes: Mutex<Vec<u8>>,
    /// Tag of the portal group.
    pub(crate) group: AtomicU16,
    /// Whether the unit can be reset.
    pub(crate) can_reset: AtomicBool,
    pub(crate) resets: AtomicUsize,
}

/// What two portals have in common: the disk, and writes that wait in the target, as offset and data.
#[derive(Default)]
pub(crate) struct Medium {
    disk: Mutex<Vec<u8>>,
    held: Mutex<Vec<(usize, Vec<u8>)>>,
}

impl Medium {
    /// The target comes to its old writes.
    pub(crate) fn land_held(&self) -> usize {
        let held = std::mem::take(&mut *self.held.lock().expect("held"));
        let mut disk = self.disk.lock().expect("disk");
        for (at, data) in &held {
            disk[*at..*at + data.len()].copy_from_slice(data);
        }
        held.len()
    }

    pub(crate) fn held(&self) -> usize {
        self.held.lock().expect("held").len()
    }
}

impl State {
    pub(crate) fn disk(&self) -> MutexGuard<'_, Vec<u8>> {
        self.medium.disk.lock().expect("disk")
    }

    pub(crate) fn count(&self, opcode: u8) -> usize {
        self.opcodes.lock().expect("opcodes").iter().filter(|seen| **seen == opcode).count()
    }
}

impl Mock {
    pub(crate) async fn start(script: impl Fn(Seen) -> Act + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", script).await
    }

    pub(crate) async fn at(address: &str, script: impl Fn(Seen) -> Act + Send + Sync + 'static) -> Self {
        let disk = Mutex::new(vec![0; (BLOCKS * 512) as usize]);
        Self::on(Arc::new(Medium { disk, ..Medium::default() }), address, script).await
    }

    /// Another portal of a target, in a portal group of its own.
    pub(crate) async fn beside(other: &Self) -> Self {
        let mock = Self::on(Arc::clone(&other.state.medium), "127.0.0.1:0", |_| Act::Serve).await;
        mock.state.group.store(2, Ordering::SeqCst);
        mock
    }

    async fn on(
        medium: Arc<Medium>,
        address: &str,
        script: impl Fn(Seen) -> Act + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(State {
            script: Box::new(script),
            meet: Mutex::new(Meet::Grant(TargetAuth::None)),
            medium: Arc::clone(&medium),
            serial: Mutex::new(b"one".to_vec()),
            settings: Mutex::new(iscsi::text::Settings { time2wait: 0, ..Default::default() }),
            connections: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            logouts: AtomicUsize::new(0),
            write_protected: AtomicBool::new(false),
            without_write_same: AtomicBool::new(false),
            opcodes: Mutex::default(),
            group: AtomicU16::new(1),
            can_reset: AtomicBool::new(true),
            resets: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind(address).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let task = tokio::spawn(serve(listener, state.clone()));
        Self { address, state, task }
    }

    /// Stops listening, and drops every connection.
    pub(crate) async fn stop(self) -> (SocketAddr, Arc<State>) {
        self.task.abort();
        let _ = self.task.await;
        (self.address, self.state)
    }

    /// Listens again, with the disk as it was.
    pub(crate) async fn restart(address: SocketAddr, state: Arc<State>) -> Self {
        let listener = TcpListener::bind(address).await.expect("bind again");
        let task = tokio::spawn(serve(listener, state.clone()));
        Self { address, state, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("iscsi://{}/{NAME}/0", self.address)
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut sessions = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
        sessions.spawn(session(stream, state.clone(), number));
    }
}

/// One connection, until it is closed by either side.
async fn session(mut stream: TcpStream, state: Arc<State>, number: usize) {
    let config = TargetConfig {
        settings: state.settings.lock().expect("settings").clone(),
        portal_group: state.group.load(Ordering::SeqCst),
        ..TargetConfig::default()
    };
    let engine = Target::new(Instant::now(), config, Seed::new([7; 32])).expect("config");
    let mut session = Session { state, engine, number, count: 0, writes: Vec::new(), lun: 0 };
    if matches!(*session.state.meet.lock().expect("meet"), Meet::Silence) {
        return std::future::pending().await;
    }
    let mut room = vec![0; 256 << 10];
    while let Ok(len @ 1..) = stream.read(&mut room).await {
        if matches!(*session.state.meet.lock().expect("meet"), Meet::Endless) {
            stream.write_all(&endless(&room[..len])).await.expect("write");
            continue;
        }
        let (mut acts, open) = session.take(&room[..len]);
        let mut out = Vec::new();
        session.engine.transmit().drain_into(&mut out);
        // The worst that any of the commands asked for decides.
        let act = acts.pop();
        match act {
            Some(Act::Close | Act::ServeAndClose | Act::Hold) => return,
            Some(Act::Stall) => return std::future::pending().await,
            Some(Act::Cut(len)) => {
                let _ = stream.write_all(&out[..len.min(out.len())]).await;
                return;
            }
            Some(Act::Choke(len)) => {
                let _ = stream.write_all(&out[..len.min(out.len())]).await;
                return std::future::pending().await;
            }
            Some(Act::Dribble(len, pause)) => {
                for piece in out.chunks(len) {
                    stream.write_all(piece).await.expect("write");
                    tokio::time::sleep(pause).await;
                }
                continue;
            }
            Some(Act::Damage) => {
                if let Some(last) = out.last_mut() {
                    *last ^= 0x40;
                }
            }
            Some(Act::Raw(bytes)) => out = bytes,
            _ => {}
        }
        if stream.write_all(&out).await.is_err() || !open {
            return;
        }
    }
}

/// A login response that neither ends nor goes on: the request's tags, no T bit.
fn endless(request: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; 48];
    answer[0] = 0x23;
    answer[1] = request[1] & 0x0c;
    answer[8..14].copy_from_slice(&request[8..14]);
    answer[16..20].copy_from_slice(&request[16..20]);
    let stat_sn = u32::from_be_bytes(request[28..32].try_into().expect("four bytes"));
    answer[24..28].copy_from_slice(&stat_sn.to_be_bytes());
    answer[28..32].copy_from_slice(&request[24..28]);
    answer[32..36].copy_from_slice(&request[24..28]);
    answer
}

struct Session {
    state: Arc<State>,
    engine: Target<Bytes>,
    number: usize,
    count: usize,
    writes: Vec<Option<Write>>,
    /// Of the present command; there is a unit behind 0 alone.
    lun: u64,
}

struct Write {
    command: Command,
    data: Vec<u8>,
    act: Act,
}

impl Session {
    /// Takes bytes; gives the acts that are more than serving, and whether the connection stays open.
    fn take(&mut self, mut bytes: &[u8]) -> (Vec<Act>, bool) {
        let mut acts = Vec::new();
        let state = self.state.clone();
        while let Ok(Some(event)) = self.engine.receive(Instant::now(), &mut bytes) {
            match event {
                TargetEvent::Login(_) => match state.meet.lock().expect("meet").clone() {
                    Meet::Grant(auth) => {
                        let grant = LoginGrant { tsih: 1, auth, target_alias: None };
                        let _ = self.engine.grant(grant);
                    }
                    Meet::Refuse(status) => self.engine.refuse(status, None),
                    Meet::Redirect(to) => {
                        self.engine.refuse(LoginStatus::MOVED_TEMPORARILY, Some(&format!("{to},1")));
                    }
                    Meet::Silence | Meet::Endless => {}
                },
                TargetEvent::Command { task, command } => {
                    let parsed = Command::parse(command.cdb.as_bytes());
                    let act = self.judge(command.cdb.as_bytes()[0]);
                    if !matches!(act, Act::Serve | Act::Fail(..)) {
                        acts.push(act.clone());
                    }
                    match parsed {
                        Ok(parsed) => {
                            self.lun = command.lun;
                            self.begin(task, parsed, command.write_len, act);
                        }
                        Err(error) => self.fail(task, error.sense()),
                    }
                }
                TargetEvent::DataOut { task, offset, data } => {
                    if let Some(Some(write)) = self.writes.get_mut(task.index()) {
                        write.data[offset as usize..offset as usize + data.len()].copy_from_slice(data);
                    }
                }
                TargetEvent::WriteReady { task } => self.write(task),
                TargetEvent::SendTargets { .. } => {
                    let record =
                        TargetRecord { name: NAME.into(), addresses: vec!["127.0.0.1:3260,1".into()] };
                    self.engine.targets(&[record]);
                }
                TargetEvent::TaskManagement { itt, .. } => {
                    let response = if state.can_reset.load(Ordering::SeqCst) {
                        state.resets.fetch_add(1, Ordering::SeqCst);
                        state.medium.held.lock().expect("held").clear();
                        TaskResponse::Complete
                    } else {
                        TaskResponse::NotSupported
                    };
                    self.engine.manage_done(itt, response);
                }
                TargetEvent::LoggedOut => {
                    state.logouts.fetch_add(1, Ordering::SeqCst);
                    return (acts, false);
                }
                _ => {}
            }
        }
        (acts, true)
    }

    /// Asks the script, for commands that are not of the first look.
    fn judge(&mut self, opcode: u8) -> Act {
        self.state.opcodes.lock().expect("opcodes").push(opcode);
        if matches!(opcode, 0x00 | 0x12 | 0x1a | 0x9e | 0xa0) {
            return Act::Serve;
        }
        self.count += 1;
        (self.state.script)(Seen { connection: self.number, count: self.count, opcode })
    }

    fn begin(&mut self, task: TargetTask, command: Command, write_len: u32, act: Act) {
        if let Act::Fail(status, sense) = &act {
            let sense = sense.map(|sense| sense.encode(SenseFormat::Fixed)).unwrap_or_default();
            return self.engine.respond(task, &Response::status(*status, sense));
        }
        if matches!(act, Act::Close | Act::Stall | Act::Raw(_)) {
            return;
        }
        if matches!(act, Act::AskLogout) {
            self.engine.ask_logout(5);
        }
        if write_len == 0 {
            return self.answer(task, &command);
        }
        if self.writes.len() <= task.index() {
            self.writes.resize_with(task.index() + 1, || None);
        }
        let data = vec![0; write_len as usize];
        self.writes[task.index()] = Some(Write { command, data, act });
        self.engine.solicit(task, write_len);
    }

    fn write(&mut self, task: TargetTask) {
        let Some(Write { command, data, act }) = self.writes[task.index()].take() else { return };
        let mut disk = self.state.disk();
        match &command {
            Command::Write(rw) => {
                let at = rw.lba as usize * 512;
                if matches!(act, Act::Hold) {
                    return self.state.medium.held.lock().expect("held").push((at, data));
                }
                self.state.writes.fetch_add(1, Ordering::SeqCst);
                disk[at..at + data.len()].copy_from_slice(&data);
            }
            Command::WriteSame(same) if !self.state.without_write_same.load(Ordering::SeqCst) => {
                let at = same.range.lba as usize * 512;
                disk[at..at + same.range.blocks as usize * 512].fill(0);
            }
            Command::Unmap { .. } => {
                for range in scsi::UnmapList::parse(&data).expect("list").ranges() {
                    let at = range.lba as usize * 512;
                    disk[at..at + range.blocks as usize * 512].fill(0xee);
                }
            }
            _ => {
                drop(disk);
                return self.fail(task, Sense::illegal(AdditionalSense::INVALID_OPERATION_CODE));
            }
        }
        drop(disk);
        if !matches!(act, Act::ServeAndClose) {
            self.engine.respond(task, &Response::good());
        }
    }

    fn fail(&mut self, task: TargetTask, sense: Sense) {
        self.engine.respond(task, &Response::check_condition(sense.encode(SenseFormat::Fixed)));
    }

    fn answer(&mut self, task: TargetTask, command: &Command) {
        let data = match command {
            Command::TestUnitReady | Command::SynchronizeCache { .. } => Vec::new(),
            Command::Inquiry { page: None, .. } => self.inquiry(),
            Command::Inquiry { page: Some(page), .. } => match self.page(*page) {
                Some(page) => page,
                None => return self.fail(task, Sense::illegal(AdditionalSense::INVALID_FIELD_IN_CDB)),
            },
            Command::ReadCapacity16 { .. } => ReadCapacity16 {
                last_lba: BLOCKS - 1,
                block_len: 512,
                protection: None,
                physical_exponent: 3,
                lowest_aligned: 0,
                provisioned: true,
                unmapped_zeroes: false,
            }
            .encode()
            .to_vec(),
            Command::ModeSense(_) => {
                let write_protected = self.state.write_protected.load(Ordering::SeqCst);
                let data = ModeData { write_protected, dpo_fua: false, descriptor: None, pages: Vec::new() };
                data.encode(false, false)
            }
            Command::ReportLuns { .. } => LunList::encode([Lun::ZERO].into_iter()),
            Command::Read(rw) => {
                let at = rw.lba as usize * 512;
                self.state.disk()[at..at + rw.blocks as usize * 512].to_vec()
            }
            _ => return self.fail(task, Sense::illegal(AdditionalSense::INVALID_OPERATION_CODE)),
        };
        self.engine.respond(task, &Response::read(Payload::new(Bytes::from(data))));
    }

    fn inquiry(&self) -> Vec<u8> {
        let inquiry = Inquiry {
            qualifier: if self.lun == 0 { scsi::Qualifier::Connected } else { scsi::Qualifier::NotSupported },
            device_type: if self.lun == 0 { scsi::DeviceType::Disk } else { scsi::DeviceType::Unknown },
            removable: false,
            version: 6,
            hierarchical: false,
            tpgs: 0,
            third_party_copy: false,
            protect: false,
            multi_port: false,
            queueing: true,
            vendor: "OXSAN".into(),
            product: "MOCK".into(),
            revision: "1".into(),
            versions: [0; 8],
        };
        inquiry.encode().to_vec()
    }

    fn page(&self, page: u8) -> Option<Vec<u8>> {
        let pages = [vpd::SUPPORTED_PAGES, vpd::DEVICE_ID, vpd::BLOCK_LIMITS, vpd::PROVISIONING];
        Some(match page {
            vpd::SUPPORTED_PAGES => scsi::vpd::SupportedPages::encode(&pages),
            vpd::DEVICE_ID => {
                let serial = self.state.serial.lock().expect("serial").clone();
                DeviceId(vec![Designator::unit(DesignatorKind::T10, CodeSet::Ascii, serial)]).encode()
            }
            vpd::BLOCK_LIMITS => BlockLimits {
                max_transfer: 4096,
                max_unmap_blocks: 1000,
                max_unmap_ranges: 1,
                max_write_same: 3000,
                ..BlockLimits::default()
            }
            .encode(),
            vpd::PROVISIONING => Provisioning {
                unmap: true,
                write_same_16: false,
                write_same_10: false,
                unmapped_zeroes: false,
                anchor: false,
                kind: ProvisioningType::Thin,
            }
            .encode(),
            _ => return None,
        })
    }
}
