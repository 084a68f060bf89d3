//! Short forms of the calls that most readers make.

use std::future::Future;

use crate::{BlockDevice, BlockError, Buf, Durability};

/// Calls with one buffer, for every [`BlockDevice`].
pub trait BlockDeviceExt: BlockDevice {
    /// Reads `len` bytes at `offset`.
    ///
    /// The range is checked before any memory is taken, so a length that came from outside costs nothing when it
    /// reaches past the end.
    ///
    /// # Errors
    /// As [`BlockDevice::read`].
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = Result<Buf, BlockError>> + Send {
        async move {
            self.geometry().check(self.name(), offset, as_u64(len))?;
            let (mut bufs, result) = self.read(offset, Buf::for_read(len).into_bufs()).await;
            result?;
            Ok(bufs.pop().unwrap_or_else(|| Buf::zeroed(0)))
        }
    }

    /// Writes the whole of `buf` at `offset`.
    ///
    /// # Errors
    /// As [`BlockDevice::write`].
    fn write_at(
        &self,
        offset: u64,
        buf: Buf,
        durability: Durability,
    ) -> impl Future<Output = Result<(), BlockError>> + Send {
        async move { self.write(offset, buf.into_bufs(), durability).await.1 }
    }
}

impl<D: BlockDevice + ?Sized> BlockDeviceExt for D {}

/// A length in memory as a length on a disk.
pub(crate) fn as_u64(len: usize) -> u64 {
    u64::try_from(len).expect("no machine has addresses of more than 64 bits")
}
