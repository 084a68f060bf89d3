//! The bytes of one write, taken off in order.

use std::collections::VecDeque;

use block::{Buf, Bufs, total_len};

use super::device::Piece;

/// Buffers that go to the device as they came where a request takes them whole, and are copied where it is cut.
#[derive(Debug)]
pub(super) struct Source {
    bufs: VecDeque<Buf>,
    /// Bytes of the first that have been taken.
    taken: usize,
    left: usize,
}

impl Source {
    pub(super) fn new(bufs: Bufs) -> Self {
        let left = total_len(&bufs);
        Self { bufs: bufs.into_iter().collect(), taken: 0, left }
    }

    /// A copy of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self::new(Buf::copy_of(bytes).into_bufs())
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.left as u64
    }

    /// Takes the next `len` bytes, of which there are so many, and adds them to `to`.
    pub(super) fn take(&mut self, len: u64, to: &mut Bufs) {
        let mut len = usize::try_from(len).unwrap_or(usize::MAX).min(self.left);
        self.left -= len;
        while len > 0
            && let Some(first) = self.bufs.front()
        {
            let here = (first.len() - self.taken).min(len);
            if self.taken == 0 && here == first.len() {
                to.extend(self.bufs.pop_front());
            } else {
                to.push(Buf::copy_of(&first[self.taken..self.taken + here]));
                self.taken += here;
                if self.taken == first.len() {
                    self.bufs.pop_front();
                    self.taken = 0;
                }
            }
            len -= here;
        }
    }

    /// Puts bytes that were taken last back.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        if let Some(first) = self.bufs.front_mut().filter(|_| self.taken > 0) {
            *first = Buf::copy_of(&first[self.taken..]);
            self.taken = 0;
        }
        if !bytes.is_empty() {
            self.bufs.push_front(Buf::copy_of(bytes));
            self.left += bytes.len();
        }
    }

    /// The same, of what these pieces were made of, in order.
    pub(super) fn put_back_all(&mut self, pieces: &[Piece]) {
        for piece in pieces.iter().rev() {
            self.put_back(&piece.copy_of_data());
        }
    }

    /// The same as [`Self::take`], as bytes. What it takes is never longer than one write.
    pub(super) fn take_bytes(&mut self, len: u64) -> Vec<u8> {
        let mut bufs = Bufs::new();
        self.take(len, &mut bufs);
        bufs.iter().flat_map(|buf| buf.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_order_and_whole_buffers_as_they_are() {
        let bufs: Bufs = [&b"abc"[..], b"defgh", b"ij"].map(Buf::copy_of).into_iter().collect();
        let places: Vec<*const u8> = bufs.iter().map(|buf| buf.as_ptr()).collect();
        let mut source = Source::new(bufs);
        let mut out = Bufs::new();
        source.take(3, &mut out);
        assert_eq!((out[0].as_ptr(), &out[0][..]), (places[0], &b"abc"[..]));
        out.clear();
        source.take(2, &mut out);
        let last = source.take_bytes(1);
        source.put_back(&last);
        source.take(5, &mut out);
        let all: Vec<u8> = out.iter().flat_map(|buf| buf.iter().copied()).collect();
        assert_eq!((&all[..], out.last().unwrap().as_ptr()), (&b"defghij"[..], places[2]));
        assert_eq!(source.left(), 0);
    }
}
