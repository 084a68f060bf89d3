//! One connection: a socket, the engine of its session, and the loop between them.
//!
//! Everything that is sent is gathered into one `writev`, and one `recv` brings many PDUs. Data of large reads goes
//! from the socket straight into the reader's buffer; data of small ones is copied there once.

mod dial;
mod execute;
mod low_water;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use block::Buf;
use iscsi::{Event, Initiator, Task};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::ConnectionError;

pub(crate) use dial::Dialer;
use low_water::LowWater;

/// Room for what arrives, in bytes: many small PDUs. No more, so that the users whose reads these bring ask for more
/// while the target is still at the rest: two ends that each do all there is to do before they send work in turns, and
/// each sleeps half of the time.
const RECEIVE_LEN: usize = 64 << 10;

/// Data of at least so many bytes goes straight into its place: below, one more system call costs more than a copy.
const DIRECT_LEN: usize = 16 << 10;

/// What is read after a direct read: the next header, and little of its data, which is to go into its place too.
const HEADER_READ_LEN: usize = 4 << 10;

/// Slices in one `writev`.
const GATHER: usize = 64;

/// Part of a buffer that a write is sent from.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    buf: Arc<Buf>,
    range: Range<usize>,
}

impl Chunk {
    /// `range` must lie within the buffer; what does not is left out.
    pub(crate) fn new(buf: Arc<Buf>, range: Range<usize>) -> Self {
        Self { buf, range }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.buf.get(self.range.clone()).unwrap_or_default()
    }
}

/// Whoever is told what happens on a connection.
pub(crate) trait Sink {
    /// Something happened. Data of a read must be copied to its place before this returns.
    fn event(&mut self, event: Event<'_, Chunk>);

    /// Lends the buffer in which the data at `offset` of a read belongs.
    fn lend(&mut self, _task: Task, _offset: u32) -> Option<Loan> {
        None
    }

    /// Takes a lent buffer back, before the next event.
    fn give_back(&mut self, _loan: Loan) {}
}

/// A buffer lent for the data of a read.
#[derive(Debug)]
pub(crate) struct Loan {
    pub(crate) task: Task,
    pub(crate) buf: Buf,
    /// Which of the request's buffers it is.
    pub(crate) number: usize,
    /// Where in it the data begins, in bytes.
    pub(crate) at: usize,
}

/// A connection on which a login has begun.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    engine: Initiator<Chunk>,
    /// Whom we speak to, for messages.
    peer: SocketAddr,
    /// The portal group, where the target named it at login.
    portal_group: Option<u16>,
    received: Box<[u8]>,
    /// The last data went straight into its place, so the next may too.
    direct: bool,
    low_water: LowWater,
    timer: Pin<Box<Sleep>>,
    /// When the timer is set to fire; it may be earlier than what is due, never later.
    armed: Instant,
}

impl Connection {
    /// The engine, to submit commands and to begin a logout.
    pub(crate) fn engine(&mut self) -> &mut Initiator<Chunk> {
        &mut self.engine
    }

    /// Whom we speak to.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The target's portal group, where it named one.
    pub(crate) fn portal_group(&self) -> Option<u16> {
        self.portal_group
    }

    /// Drops a connection that is of no more use. What was not sent yet is not sent any more: without this the
    /// system would go on sending old writes for minutes after a network comes back.
    pub(crate) fn abandon(self) {
        if let Err(error) = self.stream.set_zero_linger() {
            tracing::debug!(%error, "the socket may go on sending");
        }
    }

    /// Sends and receives until at least one event was told.
    pub(crate) async fn pump(&mut self, sink: &mut impl Sink) -> Result<(), ConnectionError> {
        poll_fn(|cx| self.poll(cx, sink)).await
    }

    /// Sends what waits, takes what arrived until there are events to tell, and minds the time. Ready when an event
    /// was told, though more may be there to receive; pending, all wakers are set.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut impl Sink,
    ) -> Poll<Result<(), ConnectionError>> {
        let now = now();
        let mut told = self.drain(now, sink)?;
        while !told {
            // Whether all of it went out or not: what arrives is taken either way, or both ends could wait.
            let _ = self.poll_send(cx)?;
            match self.poll_receive(cx, now, sink)? {
                Poll::Ready(events) => told = events,
                Poll::Pending => break,
            }
        }
        // What was received may have called for an answer: a burst of data, a ping's echo.
        let _ = self.poll_send(cx)?;
        if told {
            return Poll::Ready(Ok(()));
        }
        self.poll_time(cx, now)?;
        Poll::Pending
    }

    /// Sends what waits. Pending when the socket takes no more for now.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, ConnectionError> {
        loop {
            let waiting = self.engine.transmit();
            if waiting.is_empty() {
                return Ok(Poll::Ready(()));
            }
            let mut slices = [IoSlice::new(&[]); GATHER];
            let count = waiting.fill(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write_vectored(cx, slices)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(sent) => waiting.advance(sent),
            }
        }
    }

    /// One read of the socket; whether an event was told.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<Poll<bool>, ConnectionError> {
        if let Some((task, offset, left)) = self.engine.expects().filter(|(_, _, left)| *left >= DIRECT_LEN)
            && let Some(mut loan) = sink.lend(task, offset)
        {
            let taken = self.poll_direct(cx, now, &mut loan, offset, left);
            sink.give_back(loan);
            return match taken? {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(()) => Ok(Poll::Ready(self.drain(now, sink)?)),
            };
        }
        self.low_water.reset(&self.stream);
        let room = if std::mem::take(&mut self.direct) { HEADER_READ_LEN } else { RECEIVE_LEN };
        let mut room = ReadBuf::new(self.received.get_mut(..room).unwrap_or_default());
        match Pin::new(&mut self.stream).poll_read(cx, &mut room)? {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(()) if room.filled().is_empty() => Err(self.closed()),
            Poll::Ready(()) => {
                let mut bytes = room.filled();
                let mut told = false;
                while let Some(event) = self.engine.receive(now, &mut bytes)? {
                    sink.event(event);
                    told = true;
                }
                Ok(Poll::Ready(told))
            }
        }
    }

    fn closed(&self) -> ConnectionError {
        if self.engine.at_boundary() { ConnectionError::Closed } else { ConnectionError::ClosedInPdu }
    }

    /// Reads data of a large PDU into its place and lets the engine account for it.
    fn poll_direct(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        loan: &mut Loan,
        offset: u32,
        left: usize,
    ) -> Result<Poll<()>, ConnectionError> {
        let expected = (loan.task, offset);
        let end = loan.at.saturating_add(left).min(loan.buf.len());
        // A ping is in flight when all has been silent for long: what trickles in is to be seen then.
        if self.engine.is_pinging() {
            self.low_water.reset(&self.stream);
        } else {
            self.low_water.expect(&self.stream, end.saturating_sub(loan.at));
        }
        let mut room = ReadBuf::new(loan.buf.get_mut(loan.at..end).unwrap_or_default());
        if Pin::new(&mut self.stream).poll_read(cx, &mut room)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let mut bytes = room.filled();
        if bytes.is_empty() {
            return Err(ConnectionError::ClosedInPdu);
        }
        self.direct = true;
        let event = self.engine.receive(now, &mut bytes)?;
        // `expects` says what comes next, and every event was told before it was asked.
        debug_assert!(
            matches!(event, Some(Event::DataIn { task, offset, .. }) if (task, offset) == expected),
            "{event:?} in place of data for {expected:?}"
        );
        Ok(Poll::Ready(()))
    }

    /// Tells the events that wait without new bytes.
    fn drain(&mut self, now: Instant, sink: &mut impl Sink) -> Result<bool, ConnectionError> {
        let mut told = false;
        while let Some(event) = self.engine.receive(now, &mut &[][..])? {
            sink.event(event);
            told = true;
        }
        Ok(told)
    }

    /// Sees to the engine's time limits, and sets the timer for the next.
    fn poll_time(&mut self, cx: &mut Context<'_>, mut now: Instant) -> Result<(), ConnectionError> {
        while let Some(due) = self.engine.poll_timeout() {
            if due <= now {
                self.low_water.reset(&self.stream);
                self.engine.handle_timeout(now)?;
                // A ping waits now. Where the socket takes nothing, its own deadline follows.
                let _ = self.poll_send(cx)?;
                continue;
            }
            // Every PDU moves the ping's time on: a timer that fires too early is cheaper than one set anew each time.
            if due < self.armed || self.armed <= now {
                self.armed = due;
                self.timer.as_mut().reset(due.into());
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                break;
            }
            now = self::now();
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "driver: the clock of the engine")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
