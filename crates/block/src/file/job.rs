//! One request on its way to a thread.

use crate::ext::as_u64;
use crate::{BlockError, Buf, Bufs, Completion, Durability, Op, Promise, total_len};

use super::disk::Disk;

/// A checked request, its buffers, and whom it owes the answer.
#[derive(Debug)]
pub(super) enum Job {
    Read { offset: u64, bufs: Bufs, promise: Promise<Completion> },
    Write { offset: u64, bufs: Bufs, durability: Durability, promise: Promise<Completion> },
    Flush { promise: Promise<Result<(), BlockError>> },
    Discard { offset: u64, len: u64, promise: Promise<Result<(), BlockError>> },
    WriteZeroes { offset: u64, len: u64, promise: Promise<Result<(), BlockError>> },
}

/// An answer that only waits for being told.
pub(super) enum Done {
    Transfer(Promise<Completion>, Completion),
    Other(Promise<Result<(), BlockError>>, Result<(), BlockError>),
}

impl Job {
    /// Does the work with blocking calls.
    pub(super) fn run(self, disk: &Disk) -> Done {
        match self {
            Self::Read { offset, mut bufs, promise } => {
                let result = disk.read(offset, &mut bufs);
                Done::Transfer(promise, (bufs, result))
            }
            Self::Write { offset, bufs, durability, promise } => {
                let result = disk.write(offset, &bufs, durability);
                Done::Transfer(promise, (bufs, result))
            }
            Self::Flush { promise } => Done::Other(promise, disk.flush()),
            Self::Discard { offset, len, promise } => Done::Other(promise, disk.discard(offset, len)),
            Self::WriteZeroes { offset, len, promise } => {
                Done::Other(promise, disk.write_zeroes(offset, len))
            }
        }
    }

    /// What it is, for an error: operation, offset and length in bytes.
    pub(super) fn what(&self) -> (Op, u64, u64) {
        match self {
            Self::Read { offset, bufs, .. } => (Op::Read, *offset, as_u64(total_len(bufs))),
            Self::Write { offset, bufs, .. } => (Op::Write, *offset, as_u64(total_len(bufs))),
            Self::Flush { .. } => (Op::Flush, 0, 0),
            Self::Discard { offset, len, .. } => (Op::Discard, *offset, *len),
            Self::WriteZeroes { offset, len, .. } => (Op::WriteZeroes, *offset, *len),
        }
    }

    /// The buffers of a transfer.
    pub(super) fn bufs_mut(&mut self) -> Option<&mut Bufs> {
        match self {
            Self::Read { bufs, .. } | Self::Write { bufs, .. } => Some(bufs),
            _ => None,
        }
    }

    /// Gives it back as done. The kernel has filled the buffers of a read.
    pub(super) fn succeed(self) -> Done {
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
    pub(super) fn fail(self, error: BlockError) -> Done {
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
    pub(super) fn tell(self) {
        match self {
            Self::Transfer(promise, completion) => promise.keep(completion),
            Self::Other(promise, result) => promise.keep(result),
        }
    }
}
