//! A session that survives: the task that owns the connection, does the requests, and finds a new connection when
//! the old one dies.
//!
//! At error recovery level 0 the end of the connection is the end of the session. The next login bears the same
//! ISID, by which the target ends what is left of the old session before it answers (RFC 7143, 6.3.5); then every
//! command that was not answered is sent again. So an old write cannot land after a new one, as long as both
//! sessions are with one portal group. Portals of different groups are different nexuses: what is done there is in
//! [`handover`].

mod command;
mod handover;
mod queue;
mod request;
mod table;

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use block::BlockError;
use tokio::time::{Sleep, sleep_until};

use crate::conn::{Connection, Dialer, now};
use crate::probe::{self, LunInfo};
use crate::{ConnectError, ConnectionError};

use handover::Handover;
pub(crate) use queue::Queue;
pub(crate) use request::{Action, Answer, Request};
use table::Table;

/// How often commands are looked over for one that is not answered.
const TICK: Duration = Duration::from_secs(1);

/// Time between two tries to connect, at first and at most.
const BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Longest time that a target may ask us to stay away.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The task of one LUN.
#[derive(Debug)]
pub(crate) struct Session {
    queue: Arc<Queue>,
    dialer: Dialer,
    table: Table,
    incoming: Vec<Request>,
    timer: Pin<Box<Sleep>>,
    armed: Instant,
    tick: Instant,
    /// Connections in a row that died before they brought one answer.
    barren: u32,
    /// Answers when the last connection died.
    ended: u64,
    /// What a session with another portal group must see to before I/O goes on.
    handover: Option<Handover>,
}

/// Why [`Session::serve`] came back.
enum End {
    /// Nobody wants the device any more, and nothing is in flight.
    Closed,
    /// The connection is gone.
    Lost(ConnectionError),
}

impl Session {
    /// A session on a connection that was just made, with a LUN that was just looked at.
    pub(crate) fn new(queue: Arc<Queue>, dialer: Dialer, name: String, info: LunInfo) -> Self {
        let now = now();
        let patience = dialer.options().replacement_timeout;
        Self {
            queue,
            dialer,
            table: Table::new(name, info, patience, now),
            incoming: Vec::new(),
            timer: Box::pin(sleep_until(now.into())),
            armed: now,
            tick: now + TICK,
            barren: 0,
            ended: 0,
            handover: None,
        }
    }

    /// Does requests until the device is closed.
    pub(crate) async fn run(mut self, mut connection: Connection) {
        let left = loop {
            match self.serve(&mut connection).await {
                End::Closed => break connection.logout().await,
                End::Lost(error) => {
                    self.lost(connection, &error);
                    match self.reconnect(&error).await {
                        Some(next) => connection = next,
                        None => break Err(error),
                    }
                }
            }
        };
        self.end(left);
    }

    /// Takes the commands back that a connection leaves behind.
    fn lost(&mut self, mut connection: Connection, error: &ConnectionError) {
        let changes = self.table.lost(connection.engine().take_unfinished(), error);
        if changes {
            let wait = self.dialer.options().group_wait;
            self.handover = Some(Handover::new(&connection, wait, now()));
        }
        let wait = connection.engine().params().time2wait;
        self.table.news.time2wait.get_or_insert(wait);
        connection.abandon();
    }

    /// Tells everybody that it is over.
    fn end(mut self, left: Result<(), ConnectionError>) {
        let (late, closers) = self.queue.end();
        for request in late {
            self.table.admit(request);
        }
        self.table.fail_all("it was closed");
        for closer in closers {
            closer.keep(match &left {
                Ok(()) => Ok(()),
                Err(error) => {
                    Err(BlockError::Unreachable { device: self.table.name.clone(), why: describe(error) })
                }
            });
        }
    }

    async fn serve(&mut self, connection: &mut Connection) -> End {
        poll_fn(|cx| self.poll_serve(cx, connection)).await
    }

    /// One round: new requests, submission, socket, time. Pending, all wakers are set.
    fn poll_serve(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<End> {
        loop {
            self.table.now = now();
            let closing = self.take_requests(cx);
            self.table.release();
            self.table.submit(connection.engine());
            match connection.poll(cx, &mut self.table) {
                Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
                Poll::Ready(Ok(())) => {
                    if let Some(end) = self.heed_news(connection) {
                        return Poll::Ready(end);
                    }
                    // Whose requests just ended may have the next at hand: they come first.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
            if closing && self.table.is_idle() {
                return Poll::Ready(End::Closed);
            }
            if self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
            let limit = self.dialer.options().command_timeout;
            if self.table.is_overdue(limit) {
                return Poll::Ready(End::Lost(ConnectionError::CommandTimeout { seconds: limit.as_secs() }));
            }
        }
    }

    /// Takes new requests in; whether no more will come.
    fn take_requests(&mut self, cx: &mut Context<'_>) -> bool {
        let found = self.queue.take(cx, &mut self.incoming);
        for request in self.incoming.drain(..) {
            self.table.admit(request);
        }
        found.closing
    }

    /// Does what the target asked for.
    fn heed_news(&mut self, connection: &mut Connection) -> Option<End> {
        if self.table.news.logged_out {
            return Some(End::Lost(ConnectionError::LogoutWanted));
        }
        if std::mem::take(&mut self.table.news.logout_wanted) {
            tracing::info!(device = self.table.name, "the target asks for a logout");
            // Refused where a logout is under way already.
            let _ = connection.engine().logout(self.table.now);
        }
        None
    }

    /// Ready when commands are to be looked over, or a share's pause is over.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.table.now >= self.tick {
            self.tick = self.table.now + TICK;
            return Poll::Ready(());
        }
        let due = self.table.next_release().map_or(self.tick, |release| release.min(self.tick));
        if due != self.armed {
            self.armed = due;
            self.timer.as_mut().reset(due.into());
        }
        self.timer.as_mut().poll(cx)
    }

    /// How long to stay away after the loss of a connection: as long as the target asked for then, or at login
    /// (DefaultTime2Wait), and longer where connections die as soon as they are made.
    fn wait(&mut self) -> Duration {
        self.barren = if self.table.ended == self.ended { self.barren.saturating_add(1) } else { 0 };
        self.ended = self.table.ended;
        let asked = self.table.news.time2wait.take().unwrap_or_default();
        let asked = Duration::from_secs(asked.into()).min(MAX_WAIT);
        let backoff = match self.barren {
            0 | 1 => Duration::ZERO,
            barren => BACKOFF.saturating_mul(1 << (barren - 2).min(5)).min(MAX_BACKOFF),
        };
        asked.max(backoff)
    }

    /// Finds a new connection. None when the device was closed meanwhile.
    async fn reconnect(&mut self, error: &ConnectionError) -> Option<Connection> {
        let lost = now();
        let why = describe(error);
        tracing::warn!(device = self.table.name, why, "the connection is lost; looking for a new one");
        self.dialer.advance();
        let wait = self.wait();
        let limit = self.dialer.options().replacement_timeout;
        let info = self.table.info.clone();
        let last = Mutex::new(why);
        let handover = self.handover.clone();
        let Self { queue, dialer, table, incoming, .. } = self;
        let attempts = attempts(dialer, &info, wait, handover.as_ref(), &last);
        let expiry = sleep_until((lost + limit).into());
        tokio::pin!(attempts, expiry);
        let mut failed = false;
        let connection = loop {
            tokio::select! {
                biased;
                connection = &mut attempts => break connection,
                () = &mut expiry, if !failed => {
                    failed = true;
                    let last = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let why = format!("no session for {} s: {last}", limit.as_secs());
                    tracing::error!(device = table.name, why, "failing all I/O until it is back");
                    for request in queue.refuse(why.clone()) {
                        table.admit(request);
                    }
                    table.fail_all(&why);
                }
                () = closed(queue, table, incoming) => return None,
            }
        };
        self.handover = None;
        queue.accept();
        table.now = now();
        let seconds = (table.now - lost).as_secs_f32();
        tracing::info!(device = table.name, peer = %connection.peer(), seconds, "a new session");
        Some(connection)
    }
}

/// Ends when nobody wants the device any more and nothing waits for an answer. Takes requests in meanwhile.
async fn closed(queue: &Queue, table: &mut Table, incoming: &mut Vec<Request>) {
    poll_fn(|cx| {
        let found = queue.take(cx, incoming);
        for request in incoming.drain(..) {
            table.admit(request);
        }
        if found.closing && table.is_idle() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Tries to connect, for as long as it takes. What went wrong last is left in `last`.
async fn attempts(
    dialer: &mut Dialer,
    info: &LunInfo,
    wait: Duration,
    handover: Option<&Handover>,
    last: &Mutex<String>,
) -> Connection {
    sleep_until((now() + wait).into()).await;
    let mut backoff = BACKOFF;
    loop {
        match attempt(dialer, info, handover).await {
            Ok(connection) => return connection,
            Err(error) => {
                let why = describe(&error);
                tracing::debug!(why, "no new session yet");
                *last.lock().unwrap_or_else(PoisonError::into_inner) = why;
            }
        }
        dialer.advance();
        sleep_until((now() + backoff).into()).await;
        backoff = backoff.saturating_mul(2).min(MAX_BACKOFF);
    }
}

async fn attempt(
    dialer: &mut Dialer,
    info: &LunInfo,
    handover: Option<&Handover>,
) -> Result<Connection, ConnectError> {
    let mut connection = dialer.dial().await?;
    if let Some(error) = handover.and_then(|handover| handover.is_too_early(&connection, now())) {
        // The session is left in good order: it may be wanted soon.
        let _ = connection.logout().await;
        return Err(error);
    }
    probe::verify(&mut connection, info).await?;
    if let Some(handover) = handover {
        handover.settle(&mut connection, info.lun).await?;
    }
    Ok(connection)
}

/// An error with its causes, in one line.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
