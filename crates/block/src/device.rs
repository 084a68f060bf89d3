//! The trait every disk implements.

use std::fmt::Debug;
use std::sync::Arc;

use crate::ext::as_u64;
use crate::{BlockError, Buf, Bufs, IoFuture, total_len};

/// Size and grain of a device. Fixed while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size in bytes; a multiple of `logical_block`.
    pub size: u64,
    /// Smallest unit of a read or write, in bytes: a power of two, 512 or more. A regular file has 512.
    pub logical_block: u32,
    /// Unit below which the medium itself must read, change and write back, in bytes; a hint.
    pub physical_block: u32,
    /// Preferred size of large transfers, in bytes; 0 where the device names none.
    pub optimal_io: u32,
    /// Whether every write is refused.
    pub read_only: bool,
    /// Grain of [`BlockDevice::discard`] in bytes; 0 where discard does nothing.
    pub discard_granularity: u32,
}

/// What a completed write promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The device has the data; a later [`BlockDevice::flush`] makes it stable.
    Cached,
    /// The data is on stable storage when the write completes (FUA).
    Stable,
}

/// The end of a read or write: its buffers come back with the verdict.
pub type Completion = (Bufs, Result<(), BlockError>);

/// A disk.
///
/// Offsets and lengths are bytes and must be multiples of [`Geometry::logical_block`]; anything else is
/// [`BlockError::Misaligned`], never rounded. That holds for a request as a whole: its single buffers may have any
/// length. Requests may be issued at any time and complete in any order; two that overlap have no defined order
/// unless the first has completed. A request is whole: there are no short reads or writes, and a range that reaches
/// past the end is [`BlockError::OutOfRange`] with nothing done. A request of no bytes is done at once.
///
/// A device may start the work when it is called or when the future is first polled. A future that is dropped
/// before it is done gives up the answer only: a write may still happen, at any later time.
pub trait BlockDevice: Debug + Send + Sync {
    /// Size, block size, and what the device can do.
    fn geometry(&self) -> Geometry;

    /// What to call the device in messages: a path, or an iSCSI URL without its secret.
    fn name(&self) -> &str;

    /// Fills `bufs`, one after the other, from `offset` on.
    fn read(&self, offset: u64, bufs: Bufs) -> IoFuture<'_, Completion>;

    /// Writes `bufs`, one after the other, from `offset` on.
    ///
    /// A buffer that is still [stale](crate::Buf::is_stale) is [`BlockError::StaleBuffer`], with nothing written.
    /// When a write fails, any part of its range may have been written.
    fn write(&self, offset: u64, bufs: Bufs, durability: Durability) -> IoFuture<'_, Completion>;

    /// Returns when every write that completed before the call is on stable storage.
    fn flush(&self) -> IoFuture<'_, Result<(), BlockError>>;

    /// Tells the device that a range is no longer used. Its contents are undefined afterwards.
    fn discard(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>>;

    /// Makes a range read as zeroes, giving its space back where the device can.
    fn write_zeroes(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>>;

    /// Ends the use of the device: waits for what is in flight and takes leave of the other side (an iSCSI session
    /// logs out). Requests that come later fail. It does not flush. Dropping a device without it harms nothing here,
    /// but the other side may keep the session for a while.
    ///
    /// # Errors
    /// What kept it from leaving in good order; the device is of no more use all the same.
    fn close(&self) -> IoFuture<'_, Result<(), BlockError>> {
        IoFuture::ready(Ok(()))
    }
}

impl<D: BlockDevice + ?Sized> BlockDevice for Arc<D> {
    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }

    fn name(&self) -> &str {
        (**self).name()
    }

    fn read(&self, offset: u64, bufs: Bufs) -> IoFuture<'_, Completion> {
        (**self).read(offset, bufs)
    }

    fn write(&self, offset: u64, bufs: Bufs, durability: Durability) -> IoFuture<'_, Completion> {
        (**self).write(offset, bufs, durability)
    }

    fn flush(&self) -> IoFuture<'_, Result<(), BlockError>> {
        (**self).flush()
    }

    fn discard(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        (**self).discard(offset, len)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        (**self).write_zeroes(offset, len)
    }

    fn close(&self) -> IoFuture<'_, Result<(), BlockError>> {
        (**self).close()
    }
}

impl Geometry {
    /// Checks a read into `bufs` against size and grain.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_bufs(&self, device: &str, offset: u64, bufs: &Bufs) -> Result<(), BlockError> {
        self.check(device, offset, as_u64(total_len(bufs)))
    }

    /// Checks a write: the device takes writes, the range lies within it, no buffer is stale.
    ///
    /// # Errors
    /// [`BlockError::ReadOnly`], [`BlockError::StaleBuffer`], and those of [`check`](Self::check).
    pub fn check_write(&self, device: &str, offset: u64, bufs: &Bufs) -> Result<(), BlockError> {
        self.check_change(device, offset, as_u64(total_len(bufs)))?;
        if bufs.iter().any(Buf::is_stale) {
            return Err(BlockError::StaleBuffer { device: device.into(), offset });
        }
        Ok(())
    }

    /// Checks a discard or a write of zeroes: the device takes writes, and the range lies within it.
    ///
    /// # Errors
    /// [`BlockError::ReadOnly`], and those of [`check`](Self::check).
    pub fn check_change(&self, device: &str, offset: u64, len: u64) -> Result<(), BlockError> {
        if self.read_only {
            return Err(BlockError::ReadOnly { device: device.into() });
        }
        self.check(device, offset, len)
    }

    /// Checks a range against size and grain.
    ///
    /// # Errors
    /// [`BlockError::Misaligned`] or [`BlockError::OutOfRange`], naming `device`.
    pub fn check(&self, device: &str, offset: u64, len: u64) -> Result<(), BlockError> {
        let grain = u64::from(self.logical_block);
        if !offset.is_multiple_of(grain) || !len.is_multiple_of(grain) {
            return Err(BlockError::Misaligned {
                device: device.into(),
                offset,
                len,
                grain: self.logical_block,
            });
        }
        match offset.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(BlockError::OutOfRange { device: device.into(), offset, len, size: self.size }),
        }
    }
}
