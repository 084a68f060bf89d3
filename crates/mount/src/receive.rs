//! Requests as they are read: the head apart from a WRITE's data, which arrives in memory that a disk takes as it is.

use std::io::IoSliceMut;
use std::sync::Arc;

use block::Buf;
use rustix::io::Errno;
use zerocopy::FromBytes;

use crate::SessionEnd;
use crate::abi::{MIN_READ_BUFFER, Opcode, RawInHeader, RawWriteIn};
use crate::channel::Channel;
use crate::request::{BadRequest, Dialect, Request};

/// What comes before a WRITE's data.
const HEAD: usize = size_of::<RawInHeader>() + size_of::<RawWriteIn>();
/// Data of a WRITE that is copied to a buffer of its size: to keep a large buffer for it would cost more than the copy.
const COPIED_MAX: usize = 16 << 10;

/// Reads requests, one after the other, into memory of its own.
///
/// The kernel writes each request to two pieces at once: 80 bytes, and what is longer than that. So the data of a
/// WRITE begins a page-aligned buffer, which goes to the disk without being copied.
#[derive(Debug)]
pub(crate) struct Receiver {
    channel: Arc<Channel>,
    capacity: usize,
    head: Head,
    rest: Buf,
    joined: Buf,
}

/// As aligned as the structures in it.
#[derive(Debug)]
#[repr(align(8))]
struct Head([u8; HEAD]);

/// One request.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    /// All of it but a WRITE's data.
    pub(crate) bytes: &'a [u8],
    /// That data, at the beginning of a page.
    pub(crate) data: Option<Buf>,
}

impl Receiver {
    /// A receiver of requests whose WRITEs have up to `max_write` bytes.
    pub(crate) fn new(channel: Arc<Channel>, max_write: u32) -> Self {
        let capacity = usize::try_from(max_write).expect("a request fits in memory").max(MIN_READ_BUFFER);
        let (rest, joined) = (Buf::for_read(capacity), Buf::zeroed(0));
        Self { channel, capacity, head: Head([0; HEAD]), rest, joined }
    }

    /// Waits for the next request.
    ///
    /// # Errors
    /// The end of the session.
    pub(crate) fn receive(&mut self) -> Result<Received<'_>, SessionEnd> {
        let len = self.read()?;
        let Some(beyond) = len.checked_sub(HEAD).filter(|beyond| *beyond > 0) else {
            return Ok(Received { bytes: &self.head.0[..len], data: None });
        };
        let write = RawInHeader::read_from_prefix(&self.head.0)
            .is_ok_and(|(head, _)| Opcode::parse(head.opcode) == Some(Opcode::Write));
        if write {
            let data = self.take(beyond);
            return Ok(Received { bytes: &self.head.0, data: Some(data) });
        }
        self.joined = Buf::for_read(len);
        let (head, rest) = self.joined.split_at_mut(HEAD);
        head.copy_from_slice(&self.head.0);
        rest.copy_from_slice(&self.rest[..beyond]);
        Ok(Received { bytes: &self.joined, data: None })
    }

    fn read(&mut self) -> Result<usize, SessionEnd> {
        loop {
            let mut pieces = [IoSliceMut::new(&mut self.head.0), IoSliceMut::new(&mut self.rest)];
            match rustix::io::readv(self.channel.fd(), &mut pieces) {
                Ok(0) | Err(Errno::NODEV) => return Err(SessionEnd::Unmounted),
                Ok(len) => return Ok(len),
                // NOENT: the request was taken back while it was read.
                Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::CONNABORTED) => return Err(SessionEnd::Aborted),
                Err(errno) => return Err(SessionEnd::Failed(errno)),
            }
        }
    }

    /// The data that was read: the buffer itself, in whose place comes a new one, or a small one's copy.
    fn take(&mut self, len: usize) -> Buf {
        if len <= COPIED_MAX {
            return Buf::copy_of(&self.rest[..len]);
        }
        let mut data = std::mem::replace(&mut self.rest, Buf::for_read(self.capacity));
        data.truncate(len);
        data
    }
}

impl Received<'_> {
    /// What it says.
    ///
    /// # Errors
    /// [`BadRequest`]
    pub(crate) fn parse(&self, dialect: Dialect) -> Result<Request<'_>, BadRequest> {
        Request::parse(self.bytes, self.data.as_ref().map_or(0, Buf::len), dialect)
    }
}

/// The two parts of a request that lies in one piece.
pub(crate) fn parts(bytes: &[u8]) -> (&[u8], &[u8]) {
    match RawInHeader::read_from_prefix(bytes) {
        Ok((head, _)) if Opcode::parse(head.opcode) == Some(Opcode::Write) => {
            bytes.split_at(HEAD.min(bytes.len()))
        }
        _ => (bytes, &[]),
    }
}
