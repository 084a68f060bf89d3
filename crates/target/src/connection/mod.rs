//! Driver of one connection: bytes in, commands run, bytes out, all in one task.
//!
//! A turn of the loop takes what the socket has, runs every command in it that can run at once, and sends their
//! answers with few system calls. Commands that wait for the disk go into a set of futures, and their answers leave
//! as they complete.

mod command;
mod io;
mod login;
mod manage;
mod start;

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use block::Buf;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use iscsi::{Seed, SessionError, Target, TargetConfig, TargetEvent, TargetTask};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::nexus::Nexus;
use crate::server::Shared;
use crate::sessions::Session;
use crate::task_set::Place;
use crate::unit::{Admitted, Reply, SessionId, Unit};

use io::Wake;

/// Bytes of the receive buffer before login, and after.
const RECEIVE_LOGIN: usize = 16 << 10;
const RECEIVE: usize = 256 << 10;
/// So many answers, or so many bytes, are sent at once, though there is more to do: the initiator works on them
/// meanwhile. Two ends that each do all there is to do before they send work in turns.
const ANSWERS_SOON: usize = 12;
const BYTES_SOON: usize = 512 << 10;
/// Nothing more is taken in while so many bytes wait to be sent.
const SEND_HIGH: usize = 4 << 20;
/// No more is read while reads of so many bytes wait for the disk. Their commands are held, no more of them than the
/// window and the engine's limit for immediate ones let in; everything else goes on, pings and task management too.
const READS_HIGH: usize = 16 << 20;
/// No more data is called for while writes of so many bytes are under way.
const WRITES_HIGH: usize = 16 << 20;
/// How long a connection that ends may take to send what says why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Data of reads on its way to the socket.
#[derive(Clone, Debug)]
struct Shipped(Arc<Buf>);

impl AsRef<[u8]> for Shipped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A command that waits for its data.
struct Waiting<'u> {
    task: TargetTask,
    unit: &'u Unit,
    admitted: Admitted,
    turn: Place<'u>,
    /// All of its data, once it was called for: no memory follows the mere announcement of a write.
    data: Buf,
    /// What came unasked before that.
    early: Vec<u8>,
    /// Whether its data was called for, and so counts in `writing`.
    solicited: bool,
}

/// A command whose data is here.
struct Ready<'u> {
    task: TargetTask,
    /// Which of the units.
    place: usize,
    admitted: Admitted,
    data: Buf,
    turn: Place<'u>,
}

/// Something that waits for the disk, or for its turn.
type Job<'u> = Pin<Box<dyn Future<Output = Ended<'u>> + Send + 'u>>;

/// How it ended.
enum Ended<'u> {
    Command {
        number: u64,
        task: TargetTask,
        reply: Reply,
        reading: usize,
        writing: usize,
        lun: usize,
        epoch: u64,
    },
    /// The command has not run yet; now it may.
    Turn {
        number: u64,
        ready: Ready<'u>,
    },
    Managed {
        itt: u32,
        close: bool,
    },
}

/// A command under way.
struct Running {
    number: u64,
    task: TargetTask,
    /// Which of the units.
    place: usize,
    /// Keeps it from running, while its turn has not come.
    cancel: Option<Arc<Notify>>,
}

/// A task management function that waits for commands under way.
struct Managing {
    itt: u32,
    victims: BTreeSet<u64>,
}

/// A unit as this session sees it.
struct Attached<'u> {
    unit: &'u Unit,
    nexus: Arc<Nexus>,
}

struct Connection<'u> {
    shared: &'u Shared,
    peer: String,
    /// Name of the initiator, once logged in.
    initiator: String,
    /// This end's address: where a portal on all addresses was reached.
    local: Option<IpAddr>,
    engine: Target<Shipped>,
    /// Its number, and that of its session.
    id: SessionId,
    end: Arc<Notify>,
    tsih: Option<u16>,
    session: Option<Arc<Session>>,
    /// The units, once logged in, in the order of their numbers.
    units: Vec<Attached<'u>>,
    /// Writes that wait for data, by [`TargetTask::index`].
    waiting: Vec<Option<Waiting<'u>>>,
    /// Writes whose data is not called for yet.
    unsolicited: VecDeque<TargetTask>,
    /// Reads whose turn has come and that wait for room.
    held: VecDeque<Ready<'u>>,
    jobs: FuturesUnordered<Job<'u>>,
    /// Commands in `jobs`, for task management.
    running: Vec<Running>,
    managing: Vec<Managing>,
    next_number: u64,
    reading: usize,
    writing: usize,
    /// Answers since something was sent.
    unsent: usize,
    closing: bool,
}

/// Serves a connection to its end. Returns when nothing of it is under way.
pub(crate) async fn serve(stream: TcpStream, peer: String, shared: &Shared, seed: Seed, now: Instant) {
    let _ = stream.set_nodelay(true);
    let config = TargetConfig {
        settings: shared.settings.clone(),
        portal_group: shared.tag,
        login_timeout: shared.login_timeout,
        ping_interval: shared.ping_interval,
        ping_timeout: shared.ping_timeout,
        ..TargetConfig::default()
    };
    let engine = match Target::new(now, config, seed) {
        Ok(engine) => engine,
        Err(error) => return tracing::error!(%error, "the session settings are out of range"),
    };
    let (id, end) = shared.sessions.connect();
    let mut connection = Connection {
        shared,
        peer,
        initiator: String::new(),
        local: stream.local_addr().ok().map(|address| address.ip().to_canonical()),
        engine,
        id,
        end: Arc::clone(&end),
        tsih: None,
        session: None,
        units: Vec::new(),
        waiting: Vec::new(),
        unsolicited: VecDeque::new(),
        held: VecDeque::new(),
        jobs: FuturesUnordered::new(),
        running: Vec::new(),
        managing: Vec::new(),
        next_number: 0,
        reading: 0,
        writing: 0,
        unsent: 0,
        closing: false,
    };
    let mut wire = io::Wire::new(stream, now);
    let result = connection.run(&mut wire, pin!(end.notified())).await;
    connection.finish(&mut wire, result).await;
}

impl<'u> Connection<'u> {
    async fn run(&mut self, wire: &mut io::Wire, mut end: Pin<&mut Notified<'_>>) -> Result<(), Stop> {
        loop {
            self.take_in(wire).await?;
            if self.closing {
                return Ok(());
            }
            self.start_held();
            wire.wake_by(self.engine.poll_timeout());
            let hungry = self.is_hungry();
            match wire.wait(&mut self.engine, &mut self.jobs, hungry, end.as_mut()).await {
                Wake::Received => {}
                Wake::Sent => self.unsent = 0,
                Wake::Job(ended) => {
                    self.end_job(ended);
                    // All others that are done too go with the same send.
                    while let Some(Some(ended)) = ready_now(&mut self.jobs) {
                        self.end_job(ended);
                    }
                }
                Wake::Time(now) => self.engine.handle_timeout(now)?,
                Wake::Closed => return Err(Stop::Closed),
                Wake::Failed(error) => return Err(Stop::Io(error)),
                Wake::Asked => return Err(Stop::Asked),
            }
        }
    }

    /// Whether more may be taken in. A disk that is slow is no reason not to: only an initiator that does not take its
    /// answers is.
    fn is_hungry(&mut self) -> bool {
        self.engine.transmit().len() < SEND_HIGH
    }

    /// Gives the engine what has arrived, and does what it tells.
    async fn take_in(&mut self, wire: &mut io::Wire) -> Result<(), Stop> {
        let now = wire.now();
        loop {
            if self.closing || !self.is_hungry() {
                return Ok(());
            }
            if self.unsent >= ANSWERS_SOON || self.engine.transmit().len() >= BYTES_SOON {
                self.unsent = 0;
                wire.send_now(&mut self.engine);
            }
            let mut bytes = wire.unread();
            let before = bytes.len();
            let event = self.engine.receive(now, &mut bytes);
            let taken = before - bytes.len();
            match event {
                Ok(Some(TargetEvent::DataOut { task, offset, data })) => {
                    self.take_data(task, offset, data);
                    wire.consume(taken);
                }
                Ok(Some(event)) => {
                    let event = command::owned(event);
                    wire.consume(taken);
                    self.handle(event, wire).await?;
                }
                Ok(None) => {
                    wire.consume(taken);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The end: what waits is sent, what is under way ends, and then the session is left.
    async fn finish(mut self, wire: &mut io::Wire, result: Result<(), Stop>) {
        match &result {
            Ok(()) => tracing::debug!(peer = %self.peer, "connection over"),
            Err(Stop::Asked) => {
                self.engine.announce_drop(0);
                tracing::info!(peer = %self.peer, "session ended by this side");
            }
            Err(Stop::Closed) => tracing::debug!(peer = %self.peer, "the initiator closed the connection"),
            Err(Stop::Io(error)) => tracing::info!(peer = %self.peer, %error, "connection lost"),
            Err(Stop::Session(error)) => {
                tracing::warn!(peer = %self.peer, %error, hint = error.hint(), "connection dropped");
            }
        }
        if !matches!(result, Err(Stop::Closed | Stop::Io(_))) {
            wire.last_words(&mut self.engine, LAST_WORDS).await;
        }
        wire.shut();
        // What has not begun does not begin any more, and nobody waits for it.
        self.waiting.clear();
        self.held.clear();
        self.running
            .iter()
            .filter_map(|running| running.cancel.as_ref())
            .for_each(|cancel| cancel.notify_one());
        // A write that was given to the disk cannot be taken back: the session is not over before it is.
        while self.jobs.next().await.is_some() {}
        if let Some(session) = self.session.take() {
            for attached in &self.units {
                attached.unit.detach(session.id);
            }
            self.shared.sessions.leave(&session);
        }
        self.shared.sessions.disconnect(self.id);
        if let Some(tsih) = self.tsih {
            self.shared.sessions.free_tsih(tsih);
        }
    }
}

/// Why a connection ends.
enum Stop {
    /// The protocol was broken, or a login refused.
    Session(Box<SessionError>),
    /// The other side closed.
    Closed,
    /// The socket failed.
    Io(std::io::Error),
    /// This side wants it.
    Asked,
}

impl From<SessionError> for Stop {
    fn from(error: SessionError) -> Self {
        Self::Session(Box::new(error))
    }
}

/// One that is done, if any is; none at all ends the stream, which is nothing to wait for either.
fn ready_now<'u>(jobs: &mut FuturesUnordered<Job<'u>>) -> Option<Option<Ended<'u>>> {
    use futures_util::FutureExt as _;
    jobs.next().now_or_never()
}
