//! A mount being served: threads that read requests, tasks that wait.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::calls::{Answer, Caller, Calls};
use crate::channel::{Channel, RequestBuf};
use crate::inflight::{GivenUp, InFlight};
use crate::lookups::Lookups;
use crate::negotiate::{Agreed, Step, negotiate};
use crate::reply::{Reply, ino_of};
use crate::request::{BadRequest, Call, Message, Request};
use crate::{Filesystem, SessionError};

/// Threads that read requests. Two keep the kernel busy while one is in a call that computes.
const READERS: usize = 2;

/// What the filesystem allows the kernel to rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The kernel enforces POSIX ACLs, which it reads as `system.posix_acl_access` and `_default`.
    pub posix_acl: bool,
    /// Nothing changes the volume while it is mounted: opening a file sends no request, and the kernel keeps what it
    /// has cached of contents, listings and links.
    pub unchanging: bool,
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
    ends: mpsc::UnboundedReceiver<SessionEnd>,
}

/// What all readers and tasks share.
struct Shared<F> {
    calls: Calls<F>,
    inflight: Arc<InFlight>,
    lookups: Arc<Lookups>,
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
        let shared = Arc::new(Shared {
            calls: Calls { fs, config, agreed },
            inflight: Arc::clone(&inflight),
            lookups: Arc::clone(&lookups),
            runtime,
        });
        let (sender, ends) = mpsc::unbounded_channel();
        for number in 0..READERS {
            start_reader(number, &channel, &shared, &sender)?;
        }
        Ok(Self { inflight, lookups, ends })
    }

    /// Inodes that the kernel holds references to: what this mount's table of them has.
    pub fn referenced(&self) -> usize {
        self.lookups.len()
    }

    /// Waits until the mount is gone and every request has been answered or given up.
    pub async fn ended(&mut self) -> SessionEnd {
        let first = self.ends.recv().await.unwrap_or(SessionEnd::Unmounted);
        // The mount is gone for all readers; what waits for the SAN need not.
        self.inflight.end();
        while self.ends.recv().await.is_some() {}
        self.inflight.idle().await;
        first
    }
}

/// Answers INIT; the kernel sends nothing else before.
fn handshake(channel: &Arc<Channel>, config: &Config) -> Result<Agreed, SessionError> {
    loop {
        let buf = channel.receive().map_err(SessionError::EndedEarly)?;
        let request = match Request::parse(buf.bytes()) {
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
            let end = shared.read_loop(&channel);
            // The session may have been dropped.
            let _ = ends.send(end);
        })
        .map(|_| ())
        .map_err(SessionError::Thread)
}

impl<F: Filesystem> Shared<F> {
    /// Reads requests until the mount is gone.
    fn read_loop(self: &Arc<Self>, channel: &Arc<Channel>) -> SessionEnd {
        let _entered = self.runtime.enter();
        loop {
            match channel.receive() {
                Ok(buf) => self.accept(channel, &buf),
                Err(end) => return end,
            }
        }
    }

    /// Deals with one message: at once, or by handing it to a task.
    fn accept(self: &Arc<Self>, channel: &Arc<Channel>, buf: &RequestBuf) {
        let request = match Request::parse(buf.bytes()) {
            Ok(request) => request,
            Err(bad) => return refuse(channel, &bad),
        };
        match request.message {
            Message::Call(call) => {
                self.serve(channel, request.unique, Caller { node: request.node, uid: request.uid }, call)
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
    fn serve(self: &Arc<Self>, channel: &Arc<Channel>, unique: u64, caller: Caller, call: Call) {
        let responder =
            Responder { shared: Arc::clone(self), channel: Arc::clone(channel), unique, sent: false };
        let shared = Arc::clone(self);
        let mut future = Box::pin(async move { shared.calls.call(caller, call).await });
        // A panic must not take this thread along; the responder tells the caller.
        match catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))) {
            Ok(Poll::Ready(answer)) => {
                self.inflight.answered(unique);
                responder.send(answer);
            }
            Ok(Poll::Pending) => self.wait_for(future, responder),
            Err(_) => drop(responder),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "driver: a request that waits is a task of its own")]
    fn wait_for(&self, mut future: Pin<Box<dyn Future<Output = Answer> + Send>>, responder: Responder<F>) {
        let mut ticket = match self.inflight.admit(responder.unique) {
            Ok(ticket) => ticket,
            Err(why) => {
                drop(future);
                return responder.send(given_up(why));
            }
        };
        self.runtime.spawn(async move {
            let answer = tokio::select! {
                biased;
                why = ticket.given_up() => given_up(why),
                answer = &mut future => answer,
            };
            // The call's own buffers and locks go before its caller runs on.
            drop(future);
            responder.send(answer);
            drop(ticket);
        });
    }

    /// The kernel drops references to an inode.
    fn forget(&self, node: u64, count: u64) {
        let ino = ino_of(node, self.calls.fs.root());
        if self.lookups.forget(ino, count) {
            self.calls.fs.forget(ino);
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
        for ino in &answer.given {
            self.shared.lookups.give(*ino);
        }
        if let Err(errno) = self.channel.send(self.unique, answer.outcome) {
            undelivered(self.unique, errno);
            for ino in &answer.given {
                if self.shared.lookups.forget(*ino, 1) {
                    self.shared.calls.fs.forget(*ino);
                }
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
