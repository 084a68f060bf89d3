//! The socket, the clock, and the wait for whichever comes first.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;
use iscsi::Target;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use tokio::time::Sleep;

use super::{Ended, Job, RECEIVE, RECEIVE_LOGIN, Shipped};

/// Slices of one `writev`.
const SLICES: usize = 128;

/// What ended a wait.
pub(super) enum Wake<'u> {
    /// Bytes arrived.
    Received,
    /// Something was sent, and there may be room again.
    Sent,
    /// A job is done.
    Job(Ended<'u>),
    /// It is time.
    Time(Instant),
    /// The other side has closed.
    Closed,
    /// The socket failed.
    Failed(io::Error),
    /// The session or the whole target is to end.
    Asked,
}

/// The socket with its receive buffer, and the timer.
pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` ends.
    due: Option<Instant>,
    now: Instant,
}

impl Wire {
    #[allow(clippy::disallowed_methods, reason = "driver: the connection's timer")]
    pub(super) fn new(stream: TcpStream, now: Instant) -> Self {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { stream, buffer: vec![0; RECEIVE_LOGIN], start: 0, end: 0, sleep, due: None, now }
    }

    /// Makes room for the traffic of a session.
    pub(super) fn grow(&mut self) {
        if self.buffer.len() < RECEIVE {
            self.buffer.resize(RECEIVE, 0);
        }
    }

    /// The time of the last wake.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Bytes that arrived and were not taken.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// So many of them were taken.
    pub(super) fn consume(&mut self, taken: usize) {
        self.start += taken;
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Sets the timer. It is only moved forward when it must be: a timer that fires early is set again then.
    pub(super) fn wake_by(&mut self, when: Option<Instant>) {
        let Some(when) = when else {
            self.due = None;
            return;
        };
        if self.due.is_none_or(|due| when < due) {
            self.due = Some(when);
            self.sleep.as_mut().reset(when.into());
        }
    }

    /// Sends what waits, and waits for whichever comes first.
    pub(super) async fn wait<'u>(
        &mut self,
        engine: &mut Target<Shipped>,
        jobs: &mut FuturesUnordered<Job<'u>>,
        hungry: bool,
        mut end: Pin<&mut Notified<'_>>,
    ) -> Wake<'u> {
        let wake = poll_fn(|cx| {
            if !engine.transmit().is_empty()
                && let Poll::Ready(result) = self.poll_send(cx, engine)
            {
                return Poll::Ready(match result {
                    Ok(()) => Wake::Sent,
                    Err(error) => Wake::Failed(error),
                });
            }
            if end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Asked);
            }
            if !jobs.is_empty()
                && let Poll::Ready(Some(ended)) = Pin::new(&mut *jobs).poll_next(cx)
            {
                return Poll::Ready(Wake::Job(ended));
            }
            if hungry
                && self.start == self.end
                && let Poll::Ready(result) = self.poll_receive(cx)
            {
                return Poll::Ready(match result {
                    Ok(0) => Wake::Closed,
                    Ok(_) => Wake::Received,
                    Err(error) => Wake::Failed(error),
                });
            }
            if self.due.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
                self.due = None;
                return Poll::Ready(Wake::Time(clock()));
            }
            Poll::Pending
        })
        .await;
        self.now = clock();
        wake
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(&mut self.buffer);
        let result = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let filled = room.filled().len();
        result.map_ok(|()| {
            (self.start, self.end) = (0, filled);
            filled
        })
    }

    /// Sends until nothing waits; not ready while the socket is full.
    fn poll_send(&mut self, cx: &mut Context<'_>, engine: &mut Target<Shipped>) -> Poll<io::Result<()>> {
        send(engine, |slices| Pin::new(&mut self.stream).poll_write_vectored(cx, slices))
    }

    /// Sends what the socket takes at once. What goes wrong here goes wrong again in [`Self::wait`], and is told there.
    pub(super) fn send_now(&self, engine: &mut Target<Shipped>) {
        let _ = send(engine, |slices| match self.stream.try_write_vectored(slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            result => Poll::Ready(result),
        });
    }

    /// Sends what waits, for so long at most.
    pub(super) async fn last_words(&mut self, engine: &mut Target<Shipped>, limit: Duration) {
        let _ = tokio::time::timeout(limit, poll_fn(|cx| self.poll_send(cx, engine))).await;
    }

    /// Closes the sending side; the rest closes when this is dropped.
    pub(super) fn shut(&mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut cx);
    }
}

/// Sends until nothing waits, or `write` takes no more.
fn send(
    engine: &mut Target<Shipped>,
    mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    let transmit = engine.transmit();
    while !transmit.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = transmit.fill(&mut slices);
        match ready!(write(&slices[..count])) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(sent) => transmit.advance(sent),
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

#[allow(clippy::disallowed_methods, reason = "driver: the connection's clock")]
fn clock() -> Instant {
    Instant::now()
}
