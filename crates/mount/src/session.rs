//! A mount being served: threads that read requests, tasks that wait.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use block::Buf;
use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::aftermath::{Aftermath, Nature};
use crate::calls::{Answer, Calls, Head};
use crate::channel::Channel;
use crate::inflight::{GivenUp, InFlight, Ticket};
use crate::lookups::Lookups;
use crate::negotiate::{Agreed, Step, max_write, negotiate};
use crate::receive::{Received, Receiver};
use crate::reply::{Reply, ino_of, node_of};
use crate::request::{BadRequest, Call, Dialect, Message, Request};
use crate::{Filesystem, Ino, Notifier, SessionError};

/// Threads that read requests. Two keep the kernel busy while one is in a call that computes.
const READERS: usize = 2;

/// How long a request goes on after its caller was interrupted, before the caller is told `EINTR`. Most signals do not
/// mean to end a program, and few programs expect `EINTR` of a file: only who waits on a hung SAN shall see it.
const GRACE: Duration = Duration::from_millis(200);
/// The same for one that changes something: it is done in the end, whatever its caller was told.
const GRACE_OF_CHANGE: Duration = Duration::from_secs(2);

/// What the filesystem allows the kernel to rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The kernel enforces POSIX ACLs, which it reads as `system.posix_acl_access` and `_default`.
    pub posix_acl: bool,
    /// Who changes the volume while it is mounted.
    pub changes: Changes,
}

/// Who changes a volume while it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nobody: opening a file sends no request, and the kernel keeps what it has cached of contents, listings and
    /// links.
    None,
    /// Only those who use this mount: the kernel sees every change, and keeps listings and links that it has cached.
    Here,
    /// Others, too.
    Anywhere,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The mount was unmounted.
    Unmounted,
    /// The connection was aborted (`/sys/fs/fuse/connections/N/abort`).
    Aborted,
    /// The device failed.
    Failed(Errno),
}

/// A mount that is served. It goes on until the mount is gone; dropping this does not end it.
#[derive(Debug)]
pub struct Session {
    inflight: Arc<InFlight>,
    lookups: Arc<Lookups>,
    notifier: Notifier,
    ends: mpsc::UnboundedReceiver<SessionEnd>,
    forgetting: Option<Forgetting>,
}

/// Gives back what the kernel had references to, once it is gone.
struct Forgetting(Pin<Box<dyn Future<Output = ()> + Send>>);

impl std::fmt::Debug for Forgetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forgetting")
    }
}

/// What all readers and tasks share.
struct Shared<F> {
    calls: Calls<F>,
    inflight: Arc<InFlight>,
    lookups: Arc<Lookups>,
    notifier: Notifier,
    dialect: Dialect,
    runtime: Handle,
}

impl Session {
    /// Agrees with the kernel on a version and begins to serve `device`, a `/dev/fuse` that has just been mounted.
    /// When this returns, the mount is usable.
    ///
    /// Blocks until the kernel has sent INIT, which it does at once.
    ///
    /// # Errors
    /// [`SessionError`]: the kernel is too old, or the device fails.
    pub fn start<F: Filesystem>(
        device: OwnedFd,
        fs: Arc<F>,
        config: Config,
        runtime: Handle,
    ) -> Result<Self, SessionError> {
        let channel = Arc::new(Channel::new(device));
        let agreed = handshake(&channel, &config)?;
        tracing::debug!(minor = agreed.minor, flags = ?agreed.flags, "agreed with the kernel");
        let inflight = Arc::new(InFlight::default());
        let lookups = Arc::new(Lookups::default());
        let notifier = Notifier::new(Arc::clone(&channel), fs.root());
        let shared = Arc::new(Shared {
            calls: Calls { fs, config, agreed },
            inflight: Arc::clone(&inflight),
            lookups: Arc::clone(&lookups),
            notifier: notifier.clone(),
            dialect: agreed.dialect(),
            runtime,
        });
        let (sender, ends) = mpsc::unbounded_channel();
        for number in 0..READERS {
            start_reader(number, &channel, &shared, &sender)?;
        }
        let forgetting = Some(Forgetting(Box::pin(async move {
            for ino in shared.lookups.drain() {
                shared.calls.fs.forget(ino).await;
            }
        })));
        Ok(Self { inflight, lookups, notifier, ends, forgetting })
    }

    /// Inodes that the kernel holds references to: what this mount's table of them has.
    pub fn referenced(&self) -> usize {
        self.lookups.len()
    }

    /// How to tell this mount's kernel that what it has cached is old.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Waits until the mount is gone, every request has been answered or given up, every change that was begun is
    /// done, and the filesystem has been told to forget what the kernel had references to.
    pub async fn ended(&mut self) -> SessionEnd {
        let first = self.ends.recv().await.unwrap_or(SessionEnd::Unmounted);
        // The mount is gone for all readers; what waits for the SAN need not.
        self.inflight.end();
        while self.ends.recv().await.is_some() {}
        self.inflight.idle().await;
        if let Some(forgetting) = &mut self.forgetting {
            (&mut forgetting.0).await;
        }
        self.forgetting = None;
        first
    }
}

/// Answers INIT; the kernel sends nothing else before.
fn handshake(channel: &Arc<Channel>, config: &Config) -> Result<Agreed, SessionError> {
    let mut receiver = Receiver::new(Arc::clone(channel), max_write(config));
    loop {
        let received = receiver.receive().map_err(SessionError::EndedEarly)?;
        let request = match received.parse(Dialect::default()) {
            Ok(request) => request,
            Err(bad) => {
                refuse(channel, &bad);
                continue;
            }
        };
        let Message::Init(offer) = request.message else {
            send(channel, request.unique, Err(Errno::IO));
            continue;
        };
        match negotiate(&offer, config) {
            Ok(Step::Again(answer)) => channel.send(request.unique, Ok(Reply::of(&answer))),
            Ok(Step::Done(agreed, answer)) => {
                channel.send(request.unique, Ok(Reply::of(&answer))).map_err(SessionError::Device)?;
                return Ok(agreed);
            }
            Err(error) => {
                send(channel, request.unique, Err(Errno::PROTO));
                return Err(error);
            }
        }
        .map_err(SessionError::Device)?;
    }
}

/// One thread, with a descriptor of its own where the kernel gives one.
#[allow(clippy::disallowed_methods, reason = "driver: a read of /dev/fuse blocks its thread")]
fn start_reader<F: Filesystem>(
    number: usize,
    channel: &Arc<Channel>,
    shared: &Arc<Shared<F>>,
    ends: &mpsc::UnboundedSender<SessionEnd>,
) -> Result<(), SessionError> {
    let channel = match number {
        0 => Arc::clone(channel),
        _ => channel.clone_device().map(Arc::new).unwrap_or_else(|error| {
            tracing::debug!(%error, "sharing one descriptor between readers");
            Arc::clone(channel)
        }),
    };
    let (shared, ends) = (Arc::clone(shared), ends.clone());
    thread::Builder::new()
        .name(format!("fuse-{number}"))
        .spawn(move || {
            let end = shared.read_loop(channel);
            // The session may have been dropped.
            let _ = ends.send(end);
        })
        .map(|_| ())
        .map_err(SessionError::Thread)
}

impl<F: Filesystem> Shared<F> {
    /// Reads requests until the mount is gone.
    fn read_loop(self: &Arc<Self>, channel: Arc<Channel>) -> SessionEnd {
        let _entered = self.runtime.enter();
        let mut receiver = Receiver::new(Arc::clone(&channel), max_write(&self.calls.config));
        loop {
            match receiver.receive() {
                Ok(received) => self.accept(&channel, received),
                Err(end) => return end,
            }
        }
    }

    /// Deals with one message: at once, or by handing it to a task.
    fn accept(self: &Arc<Self>, channel: &Arc<Channel>, mut received: Received<'_>) {
        let data = received.data.take();
        let data_len = data.as_ref().map_or(0, Buf::len);
        let request = match Request::parse(received.bytes, data_len, self.dialect) {
            Ok(request) => request,
            Err(bad) => return refuse(channel, &bad),
        };
        match request.message {
            Message::Call(call) => {
                let head = Head { node: request.node, uid: request.uid, gid: request.gid };
                self.serve(channel, request.unique, head, call, data);
            }
            Message::Forget { count } => self.forget(request.node, count),
            Message::BatchForget(records) => {
                for record in records {
                    self.forget(record.nodeid, record.nlookup);
                }
            }
            Message::Interrupt { unique } => self.inflight.interrupt(unique),
            Message::Destroy => send(channel, request.unique, Ok(Reply::empty())),
            Message::Init(_) => send(channel, request.unique, Err(Errno::IO)),
            Message::NotifyReply => {}
        }
    }

    /// Begins a call here, and goes on with it in a task if it has to wait.
    fn serve(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        unique: u64,
        head: Head,
        call: Call,
        data: Option<Buf>,
    ) {
        let responder =
            Responder { shared: Arc::clone(self), channel: Arc::clone(channel), unique, sent: false };
        let root = self.calls.fs.root();
        let nature = Nature::of(&call, ino_of(head.node, root), root);
        let shared = Arc::clone(self);
        let mut future = Box::pin(async move { shared.calls.call(head, call, data).await });
        // A panic must not take this thread along; the responder tells the caller.
        match catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))) {
            Ok(Poll::Ready(answer)) => {
                self.inflight.answered(unique);
                responder.send(answer);
            }
            Ok(Poll::Pending) => {
                let ticket = self.inflight.admit(unique);
                self.spawn(Waiting { future, ticket, responder, nature }.run());
            }
            Err(_) => drop(responder),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "driver: a request that waits is a task of its own")]
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// The kernel drops references to an inode.
    fn forget(self: &Arc<Self>, node: u64, count: u64) {
        let ino = ino_of(node, self.calls.fs.root());
        if self.lookups.forget(ino, count) {
            self.give_back(ino);
        }
    }

    /// Gives one hold on an inode back.
    fn give_back(self: &Arc<Self>, ino: Ino) {
        let shared = Arc::clone(self);
        let mut forgetting = Box::pin(async move { shared.calls.fs.forget(ino).await });
        if poll_once(forgetting.as_mut()).is_pending() {
            let hold = self.inflight.hold();
            self.spawn(async move {
                forgetting.await;
                drop(hold);
            });
        }
    }

    /// Counts the references that an answer is about to give. The first keeps its hold on the inode.
    fn give(self: &Arc<Self>, given: &[Ino]) {
        for &ino in given {
            if !self.lookups.give(ino) {
                self.give_back(ino);
            }
        }
    }
}

/// A request that has to wait.
struct Waiting<F: Filesystem> {
    future: Pin<Box<dyn Future<Output = Answer> + Send>>,
    ticket: Ticket,
    responder: Responder<F>,
    nature: Nature,
}

impl<F: Filesystem> Waiting<F> {
    async fn run(self) {
        let Self { mut future, mut ticket, responder, nature } = self;
        let why = tokio::select! {
            biased;
            why = ticket.given_up() => why,
            answer = &mut future => {
                // The call's own buffers and locks go before its caller runs on.
                drop(future);
                return responder.send(answer);
            }
        };
        if why == GivenUp::Interrupted {
            let grace = if matches!(nature, Nature::Changes(_)) { GRACE_OF_CHANGE } else { GRACE };
            if let Some(answer) = within(grace, &mut future).await {
                drop(future);
                return responder.send(answer);
            }
        }
        if matches!(nature, Nature::Looks) {
            drop(future);
            return responder.send(given_up(why));
        }
        let shared = Arc::clone(&responder.shared);
        responder.send(given_up(why));
        // What it has begun it ends, and what the kernel has not learned of it does not hold.
        let answer = match nature {
            Nature::Changes(_) => Some(future.await),
            _ => tokio::select! {
                biased;
                () = shared.inflight.ended() => None,
                answer = future => Some(answer),
            },
        };
        for ino in answer.iter().flat_map(|answer| &answer.given) {
            shared.give_back(*ino);
        }
        if let (Nature::Changes(aftermath), GivenUp::Interrupted) = (nature, why) {
            shared.tell(aftermath).await;
        }
        drop(ticket);
    }
}

/// What `future` gives, if that is soon.
#[allow(clippy::disallowed_methods, reason = "driver: the time between an interrupt and its answer")]
async fn within<T>(time: Duration, future: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
    tokio::time::timeout(time, future).await.ok()
}

impl<F: Filesystem> Shared<F> {
    /// Tells the kernel of a change that it does not know of.
    #[allow(
        clippy::disallowed_methods,
        reason = "driver: a notification may block, and so has a thread of its own"
    )]
    async fn tell(&self, aftermath: Aftermath) {
        let notifier = self.notifier.clone();
        let told = self.runtime.spawn_blocking(move || aftermath.tell(&notifier));
        if let Err(error) = told.await {
            tracing::error!(%error, "telling the kernel of a change");
        }
    }
}

/// The duty to answer one request: whatever happens, its caller hears something.
struct Responder<F: Filesystem> {
    shared: Arc<Shared<F>>,
    channel: Arc<Channel>,
    unique: u64,
    sent: bool,
}

impl<F: Filesystem> Responder<F> {
    fn send(mut self, answer: Answer) {
        self.sent = true;
        self.shared.give(&answer.given);
        if let Err(errno) = self.channel.send(self.unique, answer.outcome) {
            undelivered(self.unique, errno);
            let root = self.shared.calls.fs.root();
            for ino in &answer.given {
                self.shared.forget(node_of(*ino, root), 1);
            }
        }
    }
}

impl<F: Filesystem> Drop for Responder<F> {
    fn drop(&mut self) {
        if !self.sent {
            tracing::error!(unique = self.unique, "a request was dropped without an answer");
            send(&self.channel, self.unique, Err(Errno::IO));
        }
    }
}

fn given_up(why: GivenUp) -> Answer {
    Err(match why {
        GivenUp::Interrupted => Errno::INTR,
        GivenUp::Ended => Errno::NODEV,
    })
    .into()
}

/// Sends an answer that carries no references.
fn send(channel: &Channel, unique: u64, outcome: Result<Reply, Errno>) {
    if let Err(errno) = channel.send(unique, outcome) {
        undelivered(unique, errno);
    }
}

/// Bytes that are no request: their sender, if it can be told, gets EINVAL.
fn refuse(channel: &Channel, bad: &BadRequest) {
    tracing::warn!(error = %bad, "not a FUSE request");
    if let Some(unique) = bad.unique() {
        send(channel, unique, Err(Errno::INVAL));
    }
}

fn undelivered(unique: u64, errno: Errno) {
    match errno {
        // Its caller was killed, or the mount is gone.
        Errno::NOENT | Errno::NODEV | Errno::CONNABORTED | Errno::PIPE => {
            tracing::debug!(unique, %errno, "nobody waits for the answer");
        }
        _ => tracing::error!(unique, %errno, "the kernel refused an answer"),
    }
}

/// Lets a future run until it would wait. Its waker is lost: it must be polled again elsewhere.
pub(crate) fn poll_once<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
