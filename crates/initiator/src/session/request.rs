//! One request of a device's user, and the commands it is cut into.

use std::sync::Arc;
use std::time::Instant;

use block::{BlockError, Buf, Bufs, Completion, Op, Promise};
use smallvec::SmallVec;

use crate::conn::Chunk;

/// What is to be done with a range of the device.
#[derive(Debug)]
pub(crate) enum Action {
    /// Fill the buffers.
    Read(Bufs),
    /// Write the buffers.
    Write {
        /// What to write.
        data: SmallVec<[Arc<Buf>; 1]>,
        /// It must be on stable storage in the end.
        stable: bool,
    },
    /// Put what was written on stable storage.
    Flush,
    /// Give the space back.
    Discard,
    /// Make it read as zeroes.
    Zero,
}

/// To whom the end is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// With the buffers.
    Transfer(Promise<Completion>),
    /// Without.
    Plain(Promise<Result<(), BlockError>>),
}

/// A request from its arrival to its answer. Offsets and lengths are bytes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) answer: Answer,
    /// When the session's task took it.
    pub(crate) since: Option<Instant>,
    /// It waits in line to be cut further.
    pub(crate) queued: bool,
    /// How much of it was cut into commands.
    pub(crate) cut: u64,
    /// Commands that did not end yet.
    pub(crate) open: u32,
    /// The data is written and only the flush behind it is left.
    pub(crate) syncing: bool,
    /// What the first command that failed said.
    pub(crate) error: Option<BlockError>,
}

/// One command's share of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// The request's place in the table.
    pub(crate) request: usize,
    /// Where the share begins, in bytes from the start of the request.
    pub(crate) start: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// How often it was sent again at once, for the unit asked for that.
    pub(crate) tries: u32,
    /// How often it was not answered in time.
    pub(crate) timeouts: u32,
    /// How many connections died while it was in flight.
    pub(crate) losses: u32,
    /// How many of them because the target broke the protocol.
    pub(crate) faults: u32,
    /// It writes zeroes from memory, for the unit does not know WRITE SAME.
    pub(crate) plain: bool,
}

impl Share {
    /// A share that was not sent yet.
    pub(crate) fn new(request: usize, start: u64, len: u64) -> Self {
        Self { request, start, len, tries: 0, timeouts: 0, losses: 0, faults: 0, plain: false }
    }
}

impl Request {
    /// A request that has just arrived.
    pub(crate) fn new(action: Action, offset: u64, len: u64, answer: Answer) -> Self {
        Self {
            action,
            offset,
            len,
            answer,
            since: None,
            queued: false,
            cut: 0,
            open: 0,
            syncing: false,
            error: None,
        }
    }

    /// The operation, for messages.
    pub(crate) fn op(&self) -> Op {
        match self.action {
            Action::Read(_) => Op::Read,
            Action::Write { .. } => Op::Write,
            Action::Flush => Op::Flush,
            Action::Discard => Op::Discard,
            Action::Zero => Op::WriteZeroes,
        }
    }

    /// Whether nothing is left to be sent or waited for.
    pub(crate) fn is_over(&self) -> bool {
        self.open == 0 && !self.queued
    }

    /// Copies data of a read to its place; what lies beyond the buffers is dropped (the engine lets none through).
    pub(crate) fn fill(&mut self, at: u64, mut data: &[u8]) {
        let Action::Read(bufs) = &mut self.action else { return };
        let Some((first, mut at)) = place(bufs, at) else { return };
        for buf in bufs.iter_mut().skip(first) {
            let room = buf.get_mut(at..).unwrap_or_default();
            let count = room.len().min(data.len());
            let (now, later) = data.split_at(count);
            if let Some(room) = room.get_mut(..count) {
                room.copy_from_slice(now);
            }
            data = later;
            if data.is_empty() {
                break;
            }
            at = 0;
        }
    }

    /// Lends the buffer in which the data at `at` belongs, with its number and where in it.
    pub(crate) fn lend(&mut self, at: u64) -> Option<(Buf, usize, usize)> {
        let Action::Read(bufs) = &mut self.action else { return None };
        let (number, at) = place(bufs, at)?;
        let buf = bufs.get_mut(number)?;
        Some((std::mem::replace(buf, Buf::zeroed(0)), number, at))
    }

    /// Takes a lent buffer back to its place.
    pub(crate) fn give_back(&mut self, buf: Buf, number: usize) {
        if let Action::Read(bufs) = &mut self.action
            && let Some(slot) = bufs.get_mut(number)
        {
            *slot = buf;
        }
    }

    /// The data of a share of a write, by reference.
    pub(crate) fn chunks(&self, start: u64, len: u64) -> Vec<Chunk> {
        let Action::Write { data, .. } = &self.action else { return Vec::new() };
        let mut chunks = Vec::with_capacity(1);
        let (mut skip, mut left) = (to_usize(start), to_usize(len));
        for buf in data {
            let from = skip.min(buf.len());
            let count = buf.len().saturating_sub(from).min(left);
            skip = skip.saturating_sub(from);
            if count > 0 {
                chunks.push(Chunk::new(Arc::clone(buf), from..from.saturating_add(count)));
                left = left.saturating_sub(count);
            }
        }
        chunks
    }

    /// Tells the user how it ended, and gives the buffers back.
    pub(crate) fn finish(self, result: Result<(), BlockError>) {
        let bufs = match self.action {
            Action::Read(bufs) => bufs,
            Action::Write { data, .. } => data.into_iter().map(unshare).collect(),
            Action::Flush | Action::Discard | Action::Zero => Bufs::new(),
        };
        match self.answer {
            Answer::Transfer(promise) => promise.keep((bufs, result)),
            Answer::Plain(promise) => promise.keep(result),
        }
    }
}

/// The buffer itself where nobody else refers to it; else (the target answered before all of it was sent) a copy.
fn unshare(buf: Arc<Buf>) -> Buf {
    Arc::try_unwrap(buf).unwrap_or_else(|shared| Buf::copy_of(&shared))
}

/// The buffer that holds byte `at` of them all, and where in it.
fn place(bufs: &Bufs, at: u64) -> Option<(usize, usize)> {
    let mut at = to_usize(at);
    for (index, buf) in bufs.iter().enumerate() {
        if at < buf.len() {
            return Some((index, at));
        }
        at = at.saturating_sub(buf.len());
    }
    None
}

/// A length that fits the memory it is in.
fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::IoFuture;

    fn read(lens: &[usize]) -> (Request, IoFuture<'static, Completion>) {
        let bufs: Bufs = lens.iter().map(|len| Buf::zeroed(*len)).collect();
        let total = lens.iter().sum::<usize>() as u64;
        let (promise, future) = IoFuture::promised();
        (Request::new(Action::Read(bufs), 0, total, Answer::Transfer(promise)), future)
    }

    #[tokio::test]
    async fn data_goes_to_its_place_over_all_buffers() {
        let (mut request, future) = read(&[3, 0, 4, 5]);
        let bytes: Vec<u8> = (1..=12).collect();
        for (at, len) in [(0, 2), (2, 7), (9, 3)] {
            request.fill(at, &bytes[usize::try_from(at).expect("small")..][..len]);
        }
        request.fill(12, &[99]);
        request.finish(Ok(()));
        let (bufs, _) = future.await;
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        assert_eq!(all, bytes);
    }

    #[tokio::test]
    async fn a_lent_buffer_comes_back_to_its_place() {
        let (mut request, future) = read(&[4, 4]);
        let (mut buf, number, at) = request.lend(6).expect("within");
        assert_eq!((number, at), (1, 2));
        buf[at] = 7;
        request.give_back(buf, number);
        assert!(request.lend(8).is_none());
        request.finish(Ok(()));
        assert_eq!(&future.await.0[1][..], [0, 0, 7, 0]);
    }

    #[test]
    fn a_share_of_a_write_is_sent_from_the_buffers_it_spans() {
        let data = [&b"abc"[..], b"", b"defgh"].iter().map(|bytes| Arc::new(Buf::copy_of(bytes))).collect();
        let (promise, _future) = IoFuture::promised();
        let action = Action::Write { data, stable: false };
        let request = Request::new(action, 0, 8, Answer::Transfer(promise));
        let bytes = |start, len| {
            let chunks = request.chunks(start, len);
            chunks.iter().flat_map(|chunk| chunk.as_ref().to_vec()).collect::<Vec<u8>>()
        };
        assert_eq!(bytes(0, 8), b"abcdefgh");
        assert_eq!(bytes(2, 3), b"cde");
        assert_eq!(bytes(4, 4), b"efgh");
        request.finish(Ok(()));
    }
}
