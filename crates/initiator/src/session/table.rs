//! Every request that is not answered yet, and the commands in flight for them. No socket and no clock.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use block::{BlockError, Buf};
use iscsi::{Event, Initiator, Outcome, ScsiRequest, Task};
use scsi::{AdditionalSense, Sense, SenseKey};
use slab::Slab;

use super::command;
use super::describe;
use super::request::{Action, Request, Share};
use crate::conn::{Chunk, Loan, Sink};
use crate::judge::{Judgement, is_unsupported, judge};
use crate::probe::LunInfo;
use crate::{ConnectionError, ScsiFailure};

/// Most commands in flight.
pub(super) const MAX_TASKS: usize = 1024;

/// Most tries of a command that a unit wants sent again at once.
const TRIES: u32 = 20;

/// How often a command may go unanswered before it fails.
const TIMEOUTS: u32 = 3;

/// How often the target may break the protocol with a command in flight before that command fails: what it answers
/// will be no better the next time.
const FAULTS: u32 = 3;

/// How often, and for how long, connections may die with a command in flight although logins succeed.
const LOSSES: u32 = 5;
const LOSS_TIME: Duration = Duration::from_secs(30);

/// Length of the zeroes that are written where WRITE SAME is not known, in bytes.
const ZEROES_LEN: usize = 1 << 20;

/// What the target said that is no end of a command.
#[derive(Debug, Default)]
pub(super) struct News {
    /// It wants a logout.
    pub(super) logout_wanted: bool,
    /// It answered a logout.
    pub(super) logged_out: bool,
    /// How long to stay away, in seconds, where it says so.
    pub(super) time2wait: Option<u16>,
}

/// The requests and commands of one LUN.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) info: LunInfo,
    /// How long a unit may be busy.
    patience: Duration,
    requests: Slab<Request>,
    ready: VecDeque<Ready>,
    delayed: Vec<(Instant, Share)>,
    /// By [`Task::index`].
    flights: Vec<Option<Flight>>,
    in_flight: usize,
    features: Features,
    zeroes: Option<Arc<Buf>>,
    pub(super) news: News,
    pub(super) now: Instant,
    /// Commands that the target answered.
    pub(super) ended: u64,
}

/// What the unit was found not to know.
#[derive(Clone, Copy, Debug)]
struct Features {
    write_same: bool,
    sync: bool,
    discard: bool,
}

#[derive(Clone, Copy, Debug)]
enum Ready {
    /// A request of which more is to be cut.
    Request(usize),
    /// A share that is to be sent again.
    Share(Share),
}

#[derive(Debug)]
struct Flight {
    share: Share,
    sent: Instant,
}

impl Table {
    pub(super) fn new(name: String, info: LunInfo, patience: Duration, now: Instant) -> Self {
        Self {
            name,
            info,
            patience,
            requests: Slab::new(),
            ready: VecDeque::new(),
            delayed: Vec::new(),
            flights: Vec::new(),
            in_flight: 0,
            features: Features { write_same: true, sync: true, discard: true },
            zeroes: None,
            news: News::default(),
            now,
            ended: 0,
        }
    }

    /// Whether every request was answered.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Takes a request in.
    pub(super) fn admit(&mut self, mut request: Request) {
        request.since = Some(self.now);
        request.queued = true;
        let key = self.requests.insert(request);
        self.ready.push_back(Ready::Request(key));
    }

    /// Submits as much as there is room for.
    pub(super) fn submit(&mut self, engine: &mut Initiator<Chunk>) {
        while engine.is_ready() && self.in_flight < MAX_TASKS {
            let Some((share, request)) = self.next() else { break };
            match engine.submit(request) {
                Ok(task) => self.launch(task, share),
                Err(error) => {
                    // The session is closing after all: the share waits for the next one.
                    tracing::debug!(%error, "a command was not taken");
                    self.ready.push_front(Ready::Share(share));
                    break;
                }
            }
        }
    }

    fn launch(&mut self, task: Task, share: Share) {
        if self.flights.len() <= task.index() {
            self.flights.resize_with(task.index().saturating_add(1), || None);
        }
        if let Some(slot) = self.flights.get_mut(task.index()) {
            *slot = Some(Flight { share, sent: self.now });
            self.in_flight = self.in_flight.saturating_add(1);
        }
    }

    fn land(&mut self, task: Task) -> Option<Flight> {
        let flight = self.flights.get_mut(task.index())?.take()?;
        self.in_flight = self.in_flight.saturating_sub(1);
        Some(flight)
    }

    /// The next command.
    fn next(&mut self) -> Option<(Share, ScsiRequest<Chunk>)> {
        loop {
            let share = match self.ready.pop_front()? {
                Ready::Share(share) => share,
                Ready::Request(key) => match self.cut(key) {
                    Some(share) => share,
                    None => continue,
                },
            };
            let failed = self.requests.get(share.request).is_none_or(|request| request.error.is_some());
            if failed {
                self.close_share(share.request);
                continue;
            }
            if let Some(next) = self.command(share) {
                return Some(next);
            }
        }
    }

    /// Cuts the next share off a request; puts the request back in line if more is left.
    fn cut(&mut self, key: usize) -> Option<Share> {
        let request = self.requests.get_mut(key)?;
        request.queued = false;
        let most = match &request.action {
            _ if request.error.is_some() => 0,
            Action::Read(_) | Action::Write { .. } => self.info.limits.transfer,
            Action::Flush => 0,
            Action::Discard => self.info.limits.discard.map_or(0, |(_, most)| most),
            Action::Zero if self.features.write_same => self.info.limits.write_same,
            Action::Zero => self.info.limits.transfer.min(ZEROES_LEN as u64),
        };
        let start = request.cut;
        let len = request.len.saturating_sub(start).min(most);
        request.cut = start.saturating_add(len);
        request.open = request.open.saturating_add(1);
        if len > 0 && request.cut < request.len {
            request.queued = true;
            self.ready.push_front(Ready::Request(key));
        }
        Some(Share::new(key, start, len))
    }

    /// The command of a share; none where there is nothing to send, and the share is done.
    fn command(&mut self, share: Share) -> Option<(Share, ScsiRequest<Chunk>)> {
        let request = self.requests.get(share.request)?;
        let sync = request.syncing || matches!(request.action, Action::Flush);
        let skip = match request.action {
            _ if sync => !self.features.sync,
            Action::Discard => !self.features.discard || self.info.limits.discard.is_none(),
            _ => false,
        };
        if skip {
            self.close_share(share.request);
            return None;
        }
        if matches!(request.action, Action::Zero) && !self.features.write_same {
            return self.zeroes_command(share);
        }
        Some((share, command::build(request, share, &self.info)))
    }

    /// Zeroes written the long way. A share that was cut for WRITE SAME is cut again.
    fn zeroes_command(&mut self, mut share: Share) -> Option<(Share, ScsiRequest<Chunk>)> {
        let most = self.info.limits.transfer.min(ZEROES_LEN as u64);
        let request = self.requests.get_mut(share.request)?;
        if share.len > most {
            let start = share.start.saturating_add(most);
            let rest = Share { start, len: share.len.saturating_sub(most), ..share };
            request.open = request.open.saturating_add(1);
            self.ready.push_front(Ready::Share(rest));
            share.len = most;
        }
        share.plain = true;
        let zeroes = self.zeroes.get_or_insert_with(|| Arc::new(Buf::zeroed(ZEROES_LEN)));
        Some((share, command::write_zeroes(request, share, &self.info, zeroes)))
    }

    fn take_end(&mut self, task: Task, outcome: &Outcome) {
        self.ended = self.ended.wrapping_add(1);
        let Some(Flight { share, .. }) = self.land(task) else { return };
        let Some(request) = self.requests.get(share.request) else { return };
        match judge(outcome, true) {
            Judgement::Done => self.close_share(share.request),
            Judgement::Failed(failure) => self.take_failure(share, failure),
            Judgement::Again { pause, failure } if pause.is_zero() => {
                if share.tries >= TRIES {
                    let failure = ScsiFailure::Tries { tries: share.tries, last: Box::new(failure) };
                    return self.fail(share, failure);
                }
                let tries = share.tries.saturating_add(1);
                self.ready.push_back(Ready::Share(Share { tries, ..share }));
            }
            Judgement::Again { pause, failure } => {
                let waited = request.since.map_or(Duration::ZERO, |since| self.now.duration_since(since));
                if waited >= self.patience {
                    let failure = match failure {
                        ScsiFailure::Status(status) => {
                            ScsiFailure::Busy { status, seconds: waited.as_secs() }
                        }
                        other => other,
                    };
                    return self.fail(share, failure);
                }
                self.delayed.push((self.now + pause, share));
            }
        }
    }

    /// A command failed; where the unit just does not know it, there is another way.
    fn take_failure(&mut self, share: Share, failure: ScsiFailure) {
        let Some(request) = self.requests.get(share.request) else { return };
        if !is_unsupported(&failure) {
            return self.fail(share, failure);
        }
        match request.action {
            // SBC-3, 5.18: a unit with a volatile cache knows SYNCHRONIZE CACHE.
            Action::Flush => self.features.sync = false,
            Action::Write { .. } if request.syncing => self.features.sync = false,
            Action::Discard => self.features.discard = false,
            // Several may be in flight when the first is refused.
            Action::Zero if !share.plain => self.features.write_same = false,
            _ => return self.fail(share, failure),
        }
        tracing::debug!(device = self.name, op = %request.op(), %failure, "going without");
        self.ready.push_front(Ready::Share(share));
    }

    fn fail(&mut self, share: Share, failure: ScsiFailure) {
        if let Some(request) = self.requests.get(share.request) {
            let error = block_error(&self.name, request, share, failure);
            self.fail_with(share, error);
        }
    }

    fn fail_with(&mut self, share: Share, error: BlockError) {
        tracing::debug!(%error, "a command failed");
        if let Some(request) = self.requests.get_mut(share.request) {
            request.error.get_or_insert(error);
        }
        self.close_share(share.request);
    }

    /// One share less; the last one ends the request, or begins its flush.
    fn close_share(&mut self, key: usize) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.open = request.open.saturating_sub(1);
        if !request.is_over() {
            return;
        }
        let stable = matches!(request.action, Action::Write { stable: true, .. });
        if stable && !self.info.limits.fua && !request.syncing && request.error.is_none() {
            request.syncing = true;
            request.open = 1;
            let share = Share::new(key, request.len, 0);
            return self.ready.push_back(Ready::Share(share));
        }
        let mut request = self.requests.remove(key);
        let result = request.error.take().map_or(Ok(()), Err);
        request.finish(result);
    }

    /// Puts back in line what the unit was too busy for, where its time has come.
    pub(super) fn release(&mut self) {
        let mut index = 0;
        while let Some((due, share)) = self.delayed.get(index).copied() {
            if due <= self.now {
                self.delayed.swap_remove(index);
                self.ready.push_back(Ready::Share(share));
            } else {
                index += 1;
            }
        }
    }

    /// When [`Self::release`] has something to do next.
    pub(super) fn next_release(&self) -> Option<Instant> {
        self.delayed.iter().map(|(due, _)| *due).min()
    }

    /// Whether a command has been in flight for longer than `limit`.
    pub(super) fn is_overdue(&mut self, limit: Duration) -> bool {
        let mut overdue = false;
        for flight in self.flights.iter_mut().flatten() {
            if self.now.saturating_duration_since(flight.sent) >= limit {
                flight.share.timeouts = flight.share.timeouts.saturating_add(1);
                overdue = true;
            }
        }
        overdue
    }

    /// The connection is gone: every command that did not end goes back to the head of the line, in the order in
    /// which they were submitted. Reads and writes of ranges may be done twice without harm. A command with which
    /// connection after connection dies fails in the end.
    ///
    /// Whether one of them changes the medium: the target may still be at it.
    pub(super) fn lost(
        &mut self,
        unfinished: Vec<(Task, ScsiRequest<Chunk>)>,
        error: &ConnectionError,
    ) -> bool {
        let fault = error.is_fault();
        let mut changes = false;
        for (task, request) in unfinished.into_iter().rev() {
            drop(request);
            let Some(Flight { mut share, .. }) = self.land(task) else { continue };
            let request = self.requests.get(share.request);
            changes |=
                request.is_none_or(|request| !matches!(request.action, Action::Read(_) | Action::Flush));
            share.losses = share.losses.saturating_add(1);
            share.faults = share.faults.saturating_add(fault.into());
            if share.timeouts >= TIMEOUTS {
                self.fail(share, ScsiFailure::NoAnswer { times: share.timeouts });
            } else if self.is_hopeless(share) {
                let why = format!("{} connections died of it: {}", share.losses, describe(error));
                let error = BlockError::Unreachable { device: self.name.clone(), why };
                self.fail_with(share, error);
            } else {
                self.ready.push_front(Ready::Share(share));
            }
        }
        debug_assert_eq!(self.in_flight, 0, "the engine gives back every command");
        self.news = News { time2wait: self.news.time2wait, ..News::default() };
        changes
    }

    fn is_hopeless(&self, share: Share) -> bool {
        let since = self.requests.get(share.request).and_then(|request| request.since);
        let waited = since.map_or(Duration::ZERO, |since| self.now.saturating_duration_since(since));
        share.faults >= FAULTS || (share.losses >= LOSSES && waited >= LOSS_TIME.min(self.patience))
    }

    /// Fails every request. Nothing may be in flight.
    pub(super) fn fail_all(&mut self, why: &str) {
        self.ready.clear();
        self.delayed.clear();
        for request in self.requests.drain() {
            request.finish(Err(BlockError::Unreachable { device: self.name.clone(), why: why.into() }));
        }
    }
}

impl Sink for Table {
    fn event(&mut self, event: Event<'_, Chunk>) {
        match event {
            Event::DataIn { task, offset, data } => {
                let flight = self.flights.get(task.index()).and_then(Option::as_ref);
                let Some(share) = flight.map(|flight| flight.share) else { return };
                if let Some(request) = self.requests.get_mut(share.request) {
                    request.fill(share.start.saturating_add(offset.into()), data);
                }
            }
            Event::Done { task, outcome, request } => {
                // Its references to the user's buffers go first: those are given back whole.
                drop(request);
                self.take_end(task, &outcome);
            }
            Event::LogoutWanted { .. } => self.news.logout_wanted = true,
            Event::LoggedOut { time2wait, .. } => {
                self.news.logged_out = true;
                self.news.time2wait = Some(time2wait);
            }
            Event::GoingDown { time2wait } => self.news.time2wait = Some(time2wait),
            Event::UnitNews { sense, .. } => match Sense::parse(&sense) {
                Ok(sense) => tracing::info!(device = self.name, "the target says: {sense}"),
                Err(error) => tracing::info!(device = self.name, %error, "the target says something"),
            },
            other => tracing::debug!(device = self.name, ?other, "the target says"),
        }
    }

    fn lend(&mut self, task: Task, offset: u32) -> Option<Loan> {
        let share = self.flights.get(task.index())?.as_ref()?.share;
        let request = self.requests.get_mut(share.request)?;
        let (buf, number, at) = request.lend(share.start.saturating_add(offset.into()))?;
        Some(Loan { task, buf, number, at })
    }

    fn give_back(&mut self, loan: Loan) {
        let flight = self.flights.get(loan.task.index()).and_then(Option::as_ref);
        let Some(share) = flight.map(|flight| flight.share) else { return };
        if let Some(request) = self.requests.get_mut(share.request) {
            request.give_back(loan.buf, loan.number);
        }
    }
}

/// How a failure is told to the user of a device.
fn block_error(device: &str, request: &Request, share: Share, failure: ScsiFailure) -> BlockError {
    let device = device.to_owned();
    if let ScsiFailure::Check(Sense {
        key: SenseKey::DataProtect,
        code: AdditionalSense::WRITE_PROTECTED,
        ..
    }) = failure
    {
        return BlockError::ReadOnly { device };
    }
    let kind = match &failure {
        ScsiFailure::NoAnswer { .. } => io::ErrorKind::TimedOut,
        ScsiFailure::Short { .. } => io::ErrorKind::UnexpectedEof,
        ScsiFailure::Busy { .. } => io::ErrorKind::ResourceBusy,
        ScsiFailure::Check(Sense { code: AdditionalSense::SPACE_ALLOCATION_FAILED, .. }) => {
            io::ErrorKind::StorageFull
        }
        _ => io::ErrorKind::Other,
    };
    BlockError::Io {
        device,
        op: request.op(),
        offset: request.offset.saturating_add(share.start),
        len: share.len,
        source: io::Error::new(kind, failure),
    }
}

#[cfg(test)]
mod tests;
