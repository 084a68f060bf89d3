//! Raw aligned memory, and the pool that keeps freed pieces for the next request.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Alignment of every chunk: enough for O_DIRECT on any device in use.
const ALIGN: usize = 4096;
/// The smallest pooled size, in bytes; each class is twice the one before.
const SMALLEST: usize = 512;
/// 512 bytes to 1 MiB.
const CLASSES: usize = 12;
/// What the pool holds on to at most, over all classes, in bytes.
const KEPT_MAX: usize = 48 << 20;
/// What one class holds on to at most, so that none crowds out the others, in bytes.
const KEPT_OF_ONE_CLASS: usize = 16 << 20;

static POOL: [Mutex<Vec<Chunk>>; CLASSES] = [const { Mutex::new(Vec::new()) }; CLASSES];
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Owned memory at a 4096-byte boundary whose every byte is initialised.
pub(super) struct Chunk {
    ptr: NonNull<u8>,
    size: usize,
}

// SAFETY: a Chunk is the only owner of its bytes, like a Box<[u8]>; nothing in it is tied to a thread.
#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
unsafe impl Send for Chunk {}
// SAFETY: a shared Chunk gives out only &[u8].
#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
unsafe impl Sync for Chunk {}

impl Chunk {
    /// No memory at all.
    pub(super) const fn empty() -> Self {
        Self { ptr: NonNull::dangling(), size: 0 }
    }

    /// At least `len` bytes, and whether they are known to be zero: a piece that served before still holds what it
    /// held then.
    pub(super) fn take(len: usize) -> (Self, bool) {
        if len == 0 {
            return (Self::empty(), true);
        }
        let Some((class, size)) = class_for(len) else { return (Self::zeroed(len), true) };
        let kept = lock(class).pop();
        match kept {
            Some(chunk) => {
                KEPT.fetch_sub(size, Ordering::Relaxed);
                (chunk, false)
            }
            None => (Self::zeroed(size), true),
        }
    }

    /// Gives a chunk to the pool, or frees it where the pool has enough.
    pub(super) fn give(self) {
        let Some((class, size)) = class_for(self.size) else { return };
        if size != self.size {
            return;
        }
        if KEPT.fetch_add(size, Ordering::Relaxed) + size > KEPT_MAX {
            KEPT.fetch_sub(size, Ordering::Relaxed);
            return;
        }
        let mut kept = lock(class);
        if (kept.len() + 1) * size <= KEPT_OF_ONE_CLASS {
            kept.push(self);
        } else {
            drop(kept);
            KEPT.fetch_sub(size, Ordering::Relaxed);
        }
    }

    #[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
    fn zeroed(size: usize) -> Self {
        let layout = Self::layout(size);
        // SAFETY: the layout's size is not 0: `take` answers 0 itself.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(raw) else { handle_alloc_error(layout) };
        Self { ptr, size }
    }

    #[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: ptr is valid for `size` initialised bytes (dangling only when that is 0) that this Chunk owns.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.size) }
    }

    #[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.size) }
    }

    /// Where the bytes are, for a kernel that reads or writes them behind the compiler's back.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, ALIGN)
            .expect("ALIGN is a power of two, and a length beyond isize::MAX is a caller's bug")
    }
}

#[allow(unsafe_code, reason = "aligned memory needs the raw allocator")]
impl Drop for Chunk {
    fn drop(&mut self) {
        if self.size > 0 {
            // SAFETY: allocated in `zeroed` with this very layout, and freed only here.
            unsafe { dealloc(self.ptr.as_ptr(), Self::layout(self.size)) }
        }
    }
}

/// The size class that holds `len` bytes, and its size; `None` for what is too long to keep.
fn class_for(len: usize) -> Option<(usize, usize)> {
    let size = len.max(SMALLEST).checked_next_power_of_two()?;
    let class = usize::try_from((size / SMALLEST).trailing_zeros()).ok()?;
    (class < CLASSES).then_some((class, size))
}

fn lock(class: usize) -> std::sync::MutexGuard<'static, Vec<Chunk>> {
    // A list of free chunks is whole at every point where a holder could have panicked.
    POOL[class].lock().unwrap_or_else(PoisonError::into_inner)
}
