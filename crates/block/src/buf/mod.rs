//! Owned, aligned memory for I/O.

mod chunk;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use smallvec::SmallVec;

use chunk::Chunk;

/// The buffers of one request; a single one needs no allocation.
pub type Bufs = SmallVec<[Buf; 1]>;

/// Owned bytes at a 4096-byte boundary.
///
/// It moves into a request and comes back with the answer, so that no cancelled future leaves the kernel writing
/// into memory that somebody else owns by then. Sizes up to 1 MiB come from a pool (at most 48 MiB are kept), so
/// that a request usually allocates nothing for them.
///
/// The bytes are initialised memory at all times. A buffer made [`for_read`](Self::for_read) may hold what an
/// earlier request left there; it is *stale* until a read fills it or somebody takes it mutably, and no device
/// accepts a stale buffer for a write: what one volume held never leaks onto another.
///
/// A stale buffer takes its memory when it is first touched. So a reader with many requests in flight holds no more
/// than what has arrived, and what arrives goes into the memory that was given back last, which is still in the
/// processor's cache.
pub struct Buf {
    chunk: OnceLock<Chunk>,
    len: usize,
    stale: bool,
}

impl Buf {
    /// A buffer of `len` zero bytes. `len` may be 0.
    ///
    /// # Panics
    /// When `len` is beyond `isize::MAX`. Callers bound lengths that come from outside before they get here.
    pub fn zeroed(len: usize) -> Self {
        let (mut chunk, zero) = Chunk::take(len);
        if !zero {
            chunk.bytes_mut()[..len].fill(0);
        }
        Self { chunk: chunk.into(), len, stale: false }
    }

    /// A buffer of `len` bytes that are about to be overwritten by a read: whatever it holds is of no use, and
    /// nobody has spent time on zeroing it. `len` may be 0.
    ///
    /// # Panics
    /// As [`zeroed`](Self::zeroed).
    pub fn for_read(len: usize) -> Self {
        Self { chunk: OnceLock::new(), len, stale: len > 0 }
    }

    /// A buffer that holds a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buf = Self::for_read(bytes.len());
        buf.copy_from_slice(bytes);
        buf
    }

    /// This one buffer as the whole of a request.
    pub fn into_bufs(self) -> Bufs {
        SmallVec::from_buf([self])
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps the first `len` bytes. Does nothing where it is not longer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Whether nobody has filled this buffer since it was made [`for_read`](Self::for_read).
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The address that goes to the kernel. Taking it says nothing about the contents: the buffer stays stale.
    pub(crate) fn as_io_ptr(&mut self) -> *mut u8 {
        self.chunk_mut().as_ptr()
    }

    /// Says that the kernel has filled the buffer.
    pub(crate) fn mark_filled(&mut self) {
        self.stale = false;
    }

    /// Its memory, taken from the pool now if it was not yet.
    fn chunk(&self) -> &Chunk {
        self.chunk.get_or_init(|| Chunk::take(self.len).0)
    }

    /// The same, to be written to.
    fn chunk_mut(&mut self) -> &mut Chunk {
        self.chunk();
        self.chunk.get_mut().expect("set in the line above")
    }
}

/// The bytes of a request, over all its buffers.
pub fn total_len(bufs: &Bufs) -> usize {
    bufs.iter().map(|buf| buf.len).sum()
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            chunk.give();
        }
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.chunk().bytes()[..self.len]
    }
}

impl DerefMut for Buf {
    /// Whoever takes the bytes mutably answers for what is in them: the buffer is no longer stale.
    fn deref_mut(&mut self) -> &mut [u8] {
        self.stale = false;
        let len = self.len;
        &mut self.chunk_mut().bytes_mut()[..len]
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_is_zero_even_when_the_memory_served_before() {
        for len in [1, 512, 4096, 5000, 1 << 20, (1 << 20) + 1] {
            for _ in 0..4 {
                let mut buf = Buf::zeroed(len);
                assert!(buf.iter().all(|b| *b == 0), "{len} bytes");
                assert_eq!(buf.as_ptr().addr() % 4096, 0);
                buf.fill(0xa5);
            }
        }
    }

    #[test]
    fn a_buffer_for_reading_is_stale_until_it_is_filled() {
        let mut buf = Buf::for_read(512);
        assert!(buf.is_stale());
        buf.fill(1);
        assert!(!buf.is_stale());
        assert!(!Buf::zeroed(512).is_stale());
        assert!(!Buf::copy_of(b"abc").is_stale());
        assert!(!Buf::for_read(0).is_stale());
    }

    #[test]
    fn truncate_keeps_the_head() {
        let mut buf = Buf::copy_of(b"hello");
        buf.truncate(2);
        assert_eq!(&buf[..], b"he");
        buf.truncate(9);
        assert_eq!(buf.len(), 2);
    }
}
