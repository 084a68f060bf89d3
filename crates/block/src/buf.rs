//! Owned, aligned memory for I/O.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use smallvec::SmallVec;

/// The buffers of one request; a single one needs no allocation.
pub type Bufs = SmallVec<[Buf; 1]>;

/// Alignment of every [`Buf`]: enough for O_DIRECT on any device in use.
const ALIGN: usize = 4096;

/// Owned bytes at a 4096-byte boundary, zeroed when made.
///
/// It moves into a request and comes back with the answer, so that no cancelled future leaves the kernel writing
/// into memory that somebody else owns by then.
pub struct Buf {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: a Buf is the only owner of its bytes, like a Box<[u8]>; nothing in it is tied to a thread.
#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
unsafe impl Send for Buf {}
// SAFETY: a shared Buf gives out only &[u8].
#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
unsafe impl Sync for Buf {}

#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
impl Buf {
    /// A buffer of `len` zero bytes. `len` may be 0.
    ///
    /// # Panics
    /// When `len` is beyond `isize::MAX`. Callers bound lengths that come from outside before they get here.
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self { ptr: NonNull::dangling(), len };
        }
        let layout = Self::layout(len);
        // SAFETY: the layout's size is not 0.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(raw) else { handle_alloc_error(layout) };
        Self { ptr, len }
    }

    /// A buffer that holds a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buf = Self::zeroed(bytes.len());
        buf.copy_from_slice(bytes);
        buf
    }

    /// This one buffer as the whole of a request.
    pub fn into_bufs(self) -> Bufs {
        SmallVec::from_buf([self])
    }

    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len, ALIGN)
            .expect("ALIGN is a power of two, and a length beyond isize::MAX is a caller's bug")
    }
}

#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
impl Drop for Buf {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeroed` with this very layout, and freed only here.
            unsafe { dealloc(self.ptr.as_ptr(), Self::layout(self.len)) }
        }
    }
}

#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: ptr is valid for len initialised bytes (dangling only when len is 0) that this Buf owns.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
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
