//! What a READ answers with, passed on by reference.

use std::io::IoSlice;
use std::ops::Range;

use block::Buf;
use smallvec::SmallVec;

/// A hole is answered from this.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Bytes of a file, in pieces: buffers as they came off the disk, and holes.
///
/// Nothing is copied on the way to the kernel. At most 512 pieces reach it in one answer; a reader that produces
/// more gets them joined into one, by copying.
#[derive(Debug, Default)]
pub struct Data {
    pieces: SmallVec<[Piece; 2]>,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    Disk(Buf, Range<usize>),
    Bytes(Vec<u8>),
    Zeroes(usize),
}

impl Data {
    /// No bytes: the end of the file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the bytes of `buf` in `range`; a range that reaches past its end is cut there.
    pub fn push_buf(&mut self, buf: Buf, range: Range<usize>) {
        let range = range.start.min(buf.len())..range.end.min(buf.len());
        if !range.is_empty() {
            self.len += range.len();
            self.pieces.push(Piece::Disk(buf, range));
        }
    }

    /// Appends bytes that lie in memory: inline data, say.
    pub fn push_bytes(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.pieces.push(Piece::Bytes(bytes));
        }
    }

    /// Appends `len` zero bytes: a hole, or an extent that was allocated and never written.
    pub fn push_zeroes(&mut self, len: usize) {
        if len > 0 {
            self.len += len;
            self.pieces.push(Piece::Zeroes(len));
        }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, for writev(2).
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().flat_map(Piece::slices)
    }

    /// One buffer in place of pieces that writev(2) would refuse to take at once.
    pub(crate) fn joined(self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len);
        for slice in self.slices() {
            all.extend_from_slice(slice);
        }
        all
    }

    /// Appends the pieces to a vector of slices.
    pub(crate) fn gather<'a>(&'a self, out: &mut SmallVec<[IoSlice<'a>; 20]>) {
        out.extend(self.slices().map(IoSlice::new));
    }
}

impl Piece {
    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let (bytes, zeroes) = match self {
            Self::Disk(buf, range) => (&buf[range.clone()], 0),
            Self::Bytes(bytes) => (bytes.as_slice(), 0),
            Self::Zeroes(len) => (&[][..], *len),
        };
        let one = (!bytes.is_empty()).then_some(bytes);
        let mut left = zeroes;
        let many = std::iter::from_fn(move || {
            let now = left.min(ZEROES.len());
            left -= now;
            (now > 0).then(|| &ZEROES[..now])
        });
        one.into_iter().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_in_order_and_holes_as_zeroes() {
        let mut data = Data::new();
        data.push_buf(Buf::copy_of(b"..head.."), 2..6);
        data.push_zeroes(ZEROES.len() + 3);
        data.push_bytes(b"tail".to_vec());
        data.push_zeroes(0);
        data.push_buf(Buf::copy_of(b"x"), 5..9);
        assert_eq!(data.len(), 4 + ZEROES.len() + 3 + 4);
        assert_eq!(data.slices().map(<[u8]>::len).collect::<Vec<_>>(), [4, ZEROES.len(), 3, 4]);
        let all = data.joined();
        assert_eq!(&all[..5], b"head\0");
        assert_eq!(&all[all.len() - 5..], b"\0tail");
    }
}
