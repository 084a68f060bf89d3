//! One request on its way to where it is done.

use std::task::Waker;

use crate::ext::as_u64;
use crate::{BlockDevice, BlockError, Buf, Bufs, Completion, Durability, Op, Promise, total_len};

/// A checked request, its buffers, and whom it owes the answer.
#[derive(Debug)]
pub(crate) enum Job {
    Read { offset: u64, bufs: Bufs, promise: Promise<Completion> },
    Write { offset: u64, bufs: Bufs, durability: Durability, promise: Promise<Completion> },
    Flush { promise: Promise<Result<(), BlockError>> },
    Discard { offset: u64, len: u64, promise: Promise<Result<(), BlockError>> },
    WriteZeroes { offset: u64, len: u64, promise: Promise<Result<(), BlockError>> },
}

/// An answer that only waits for being told.
pub(crate) enum Done {
    Transfer(Promise<Completion>, Completion),
    Other(Promise<Result<(), BlockError>>, Result<(), BlockError>),
}

impl Job {
    /// Has another device do it.
    pub(crate) async fn forward(self, device: &dyn BlockDevice) -> Done {
        match self {
            Self::Read { offset, bufs, promise } => Done::Transfer(promise, device.read(offset, bufs).await),
            Self::Write { offset, bufs, durability, promise } => {
                Done::Transfer(promise, device.write(offset, bufs, durability).await)
            }
            Self::Flush { promise } => Done::Other(promise, device.flush().await),
            Self::Discard { offset, len, promise } => Done::Other(promise, device.discard(offset, len).await),
            Self::WriteZeroes { offset, len, promise } => {
                Done::Other(promise, device.write_zeroes(offset, len).await)
            }
        }
    }

    /// What it is, for an error: operation, offset and length in bytes.
    pub(crate) fn what(&self) -> (Op, u64, u64) {
        match self {
            Self::Read { offset, bufs, .. } => (Op::Read, *offset, as_u64(total_len(bufs))),
            Self::Write { offset, bufs, .. } => (Op::Write, *offset, as_u64(total_len(bufs))),
            Self::Flush { .. } => (Op::Flush, 0, 0),
            Self::Discard { offset, len, .. } => (Op::Discard, *offset, *len),
            Self::WriteZeroes { offset, len, .. } => (Op::WriteZeroes, *offset, *len),
        }
    }

    /// The buffers of a transfer.
    pub(crate) fn bufs_mut(&mut self) -> Option<&mut Bufs> {
        match self {
            Self::Read { bufs, .. } | Self::Write { bufs, .. } => Some(bufs),
            _ => None,
        }
    }

    /// Gives it back as done. The kernel has filled the buffers of a read.
    pub(crate) fn succeed(self) -> Done {
        match self {
            Self::Read { mut bufs, promise, .. } => {
                bufs.iter_mut().for_each(Buf::mark_filled);
                Done::Transfer(promise, (bufs, Ok(())))
            }
            Self::Write { bufs, promise, .. } => Done::Transfer(promise, (bufs, Ok(()))),
            Self::Flush { promise } | Self::Discard { promise, .. } | Self::WriteZeroes { promise, .. } => {
                Done::Other(promise, Ok(()))
            }
        }
    }

    /// Gives it back with an error, nothing done.
    pub(crate) fn fail(self, error: BlockError) -> Done {
        match self {
            Self::Read { bufs, promise, .. } | Self::Write { bufs, promise, .. } => {
                Done::Transfer(promise, (bufs, Err(error)))
            }
            Self::Flush { promise } | Self::Discard { promise, .. } | Self::WriteZeroes { promise, .. } => {
                Done::Other(promise, Err(error))
            }
        }
    }
}

impl Done {
    /// Tells the answer. This may wake, and so run, anything: hold no lock.
    pub(crate) fn tell(self) {
        if let Some(waker) = self.tell_quietly() {
            waker.wake();
        }
    }

    /// Tells the answer, and leaves the waking to the caller.
    pub(crate) fn tell_quietly(self) -> Option<Waker> {
        match self {
            Self::Transfer(promise, completion) => promise.keep_quietly(completion),
            Self::Other(promise, result) => promise.keep_quietly(result),
        }
    }
}
