//! The sending side of the byte stream: headers in one reusable buffer, data by reference, gathered by the driver.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use smallvec::SmallVec;

use crate::digest::Crc;
use crate::framer::pad_len;
use crate::pdu::Bhs;

/// The bytes of one command, in one or more shared buffers; never copied on their way to the socket.
///
/// `B` is whatever the driver likes to share: `bytes::Bytes`, or an `Arc` of its own aligned buffer.
#[derive(Clone, Debug)]
pub struct Payload<B> {
    parts: SmallVec<[B; 1]>,
    len: usize,
}

impl<B> Default for Payload<B> {
    fn default() -> Self {
        Self { parts: SmallVec::new(), len: 0 }
    }
}

impl<B: AsRef<[u8]>> Payload<B> {
    /// One buffer, all of it.
    pub fn new(buf: B) -> Self {
        let len = buf.as_ref().len();
        Self { parts: SmallVec::from_buf([buf]), len }
    }

    /// Several buffers, one after the other.
    pub fn from_parts(parts: impl IntoIterator<Item = B>) -> Self {
        let parts: SmallVec<[B; 1]> = parts.into_iter().collect();
        let len = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.as_ref().len()));
        Self { parts, len }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The buffers.
    pub fn parts(&self) -> &[B] {
        &self.parts
    }

    /// Gives the buffers back.
    pub fn into_parts(self) -> SmallVec<[B; 1]> {
        self.parts
    }

    /// Visits what lies in a range of the whole: each buffer with its own range.
    fn visit(&self, range: Range<usize>, mut each: impl FnMut(&B, Range<usize>)) {
        let mut start = 0_usize;
        for part in &self.parts {
            let end = start.saturating_add(part.as_ref().len());
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                each(part, from.saturating_sub(start)..to.saturating_sub(start));
            }
            start = end;
        }
    }
}

impl<B: AsRef<[u8]>> From<B> for Payload<B> {
    fn from(buf: B) -> Self {
        Self::new(buf)
    }
}

/// Data of this length or less is copied in with its header: cheaper than one more slice in the gather list.
const COPY_BELOW: usize = 512;
/// Sent headers are dropped from the front of the buffer once there are this many bytes of them.
const COMPACT_AT: usize = 64 * 1024;

#[derive(Debug)]
enum Chunk<B> {
    /// The next so many bytes of the header buffer.
    Small(usize),
    /// A range of a data buffer.
    Shared(B, Range<usize>),
}

/// Bytes that wait to be sent.
///
/// The driver gathers them with [`Self::fill`] into one `writev` and tells with [`Self::advance`] how many went out.
#[derive(Debug)]
pub struct Transmit<B> {
    small: Vec<u8>,
    /// Bytes at the front of `small` that were sent.
    sent: usize,
    chunks: VecDeque<Chunk<B>>,
    len: usize,
    header_digest: bool,
    data_digest: bool,
}

impl<B> Default for Transmit<B> {
    fn default() -> Self {
        Self {
            small: Vec::new(),
            sent: 0,
            chunks: VecDeque::new(),
            len: 0,
            header_digest: false,
            data_digest: false,
        }
    }
}

impl<B: AsRef<[u8]>> Transmit<B> {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills a gather list from the front of what waits; returns how many slices were set.
    pub fn fill<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut at = self.sent;
        let mut count = 0_usize;
        for (chunk, slot) in self.chunks.iter().zip(out) {
            let bytes = match chunk {
                Chunk::Small(len) => {
                    let end = at.saturating_add(*len);
                    let bytes = self.small.get(at..end).unwrap_or_default();
                    at = end;
                    bytes
                }
                Chunk::Shared(buf, range) => buf.as_ref().get(range.clone()).unwrap_or_default(),
            };
            *slot = IoSlice::new(bytes);
            count = count.saturating_add(1);
        }
        count
    }

    /// Drops `count` bytes from the front: they were sent.
    pub fn advance(&mut self, mut count: usize) {
        self.len = self.len.saturating_sub(count);
        while count > 0 {
            let Some(chunk) = self.chunks.front_mut() else { break };
            let gone = match chunk {
                Chunk::Small(len) => {
                    let gone = count.min(*len);
                    *len = len.saturating_sub(gone);
                    self.sent = self.sent.saturating_add(gone);
                    (gone, *len == 0)
                }
                Chunk::Shared(_, range) => {
                    let gone = count.min(range.len());
                    range.start = range.start.saturating_add(gone);
                    (gone, range.start >= range.end)
                }
            };
            count = count.saturating_sub(gone.0);
            if gone.1 {
                self.chunks.pop_front();
            }
        }
        if self.sent == self.small.len() {
            self.small.clear();
            self.sent = 0;
        } else if self.sent >= COMPACT_AT {
            self.small.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Moves everything that waits to the end of `out`. For tests and for drivers without `writev`.
    pub fn drain_into(&mut self, out: &mut Vec<u8>) {
        let mut at = self.sent;
        for chunk in &self.chunks {
            match chunk {
                Chunk::Small(len) => {
                    let end = at.saturating_add(*len);
                    out.extend_from_slice(self.small.get(at..end).unwrap_or_default());
                    at = end;
                }
                Chunk::Shared(buf, range) => {
                    out.extend_from_slice(buf.as_ref().get(range.clone()).unwrap_or_default());
                }
            }
        }
        self.advance(self.len);
    }

    /// Switches digests, from the next PDU queued on.
    pub fn set_digests(&mut self, header: bool, data: bool) {
        self.header_digest = header;
        self.data_digest = data;
    }

    /// Queues a PDU with data that is copied: text, sense, pings. Its data length is set here.
    pub fn push(&mut self, mut bhs: impl Bhs, data: &[u8]) {
        bhs.set_data_len(u32::try_from(data.len()).unwrap_or(u32::MAX));
        self.push_header(&bhs, &[]);
        if !data.is_empty() {
            let mut crc = Crc::default();
            if self.data_digest {
                crc.update(data);
            }
            self.push_small(data);
            self.finish_data(crc, data.len(), [0; 3]);
        }
    }

    /// Bytes of the small buffer, as one chunk with what is there already.
    fn push_small(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
        self.len = self.len.saturating_add(bytes.len());
        match self.chunks.back_mut() {
            Some(Chunk::Small(len)) => *len = len.saturating_add(bytes.len()),
            _ => self.chunks.push_back(Chunk::Small(bytes.len())),
        }
    }

    fn push_header(&mut self, bhs: &impl Bhs, ahs: &[u8]) {
        self.push_small(bhs.as_bytes());
        if !ahs.is_empty() {
            self.push_small(ahs);
        }
        if self.header_digest {
            let mut crc = Crc::default();
            crc.update(bhs.as_bytes());
            crc.update(ahs);
            self.push_small(&crc.wire());
        }
    }

    /// Padding and digest behind a data segment of `len` bytes.
    fn finish_data(&mut self, mut crc: Crc, len: usize, pad: [u8; 3]) {
        let pad = pad.get(..pad_len(len)).unwrap_or_default();
        if !pad.is_empty() {
            self.push_small(pad);
        }
        if self.data_digest {
            crc.update(pad);
            self.push_small(&crc.wire());
        }
    }
}

impl<B: AsRef<[u8]> + Clone> Transmit<B> {
    /// Queues a PDU with a range of a payload, by reference. Its data length is set here.
    ///
    /// The range must lie within the payload; callers check what a peer asks for first.
    pub fn push_data(&mut self, bhs: impl Bhs, ahs: &[u8], data: &Payload<B>, range: Range<usize>) {
        self.push_padded(bhs, ahs, data, range, [0; 3]);
    }

    /// As [`Self::push_data`], with padding as received: for what repeats a PDU byte by byte.
    pub fn push_padded(
        &mut self,
        mut bhs: impl Bhs,
        ahs: &[u8],
        data: &Payload<B>,
        range: Range<usize>,
        pad: [u8; 3],
    ) {
        let len = range.end.min(data.len()).saturating_sub(range.start);
        bhs.set_data_len(u32::try_from(len).unwrap_or(u32::MAX));
        self.push_header(&bhs, ahs);
        if len == 0 {
            return;
        }
        let mut crc = Crc::default();
        data.visit(range, |buf, part| {
            let bytes = buf.as_ref().get(part.clone()).unwrap_or_default();
            if self.data_digest {
                crc.update(bytes);
            }
            if bytes.len() <= COPY_BELOW {
                self.push_small(bytes);
            } else {
                self.len = self.len.saturating_add(bytes.len());
                self.chunks.push_back(Chunk::Shared(buf.clone(), part));
            }
        });
        self.finish_data(crc, len, pad);
    }
}

#[cfg(test)]
mod tests;
