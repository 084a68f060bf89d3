//! Reading the volume's blocks: the device below, what the journals hold on top.

use std::ops::{Deref, Range};
use std::sync::Arc;

use block::{BlockDevice, BlockDeviceExt, Buf};
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use ocfs2_format::BlockSize;

use crate::Error;
use crate::overlay::{LogCopy, Overlay};
use crate::pending::Pending;

/// Bytes that were read, in the buffer that the device filled.
#[derive(Debug)]
pub(crate) struct Chunk {
    buf: Buf,
    range: Range<usize>,
}

impl Chunk {
    /// The bytes of `buf` in `range`, cut to its length.
    fn new(buf: Buf, range: Range<usize>) -> Self {
        let end = range.end.min(buf.len());
        Self { range: range.start.min(end)..end, buf }
    }

    /// The buffer, and the part of it that counts.
    pub(crate) fn into_parts(self) -> (Buf, Range<usize>) {
        (self.buf, self.range)
    }

    /// The same bytes, to be repaired.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.range.clone()]
    }

    /// Keeps `len` bytes from `skip` on.
    fn narrow(&mut self, skip: usize, len: usize) {
        let start = self.range.start.saturating_add(skip).min(self.range.end);
        self.range = start..start.saturating_add(len).min(self.range.end);
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buf[self.range.clone()]
    }
}

/// A device seen in the volume's blocks, with the journals' copies and our own changes laid over it.
#[derive(Debug)]
pub(crate) struct Disk {
    device: Arc<dyn BlockDevice>,
    overlay: Overlay,
    pending: Arc<Pending>,
    block_size: u64,
    /// Unit that the device can read, in bytes; a power of two.
    grain: u64,
}

impl Disk {
    /// `device` seen in blocks of `block_size`, with the journals' copies on top.
    pub(crate) fn new(device: Arc<dyn BlockDevice>, block_size: BlockSize, overlay: Overlay) -> Self {
        let grain = u64::from(device.geometry().logical_block.max(1));
        Self { device, overlay, pending: Arc::default(), block_size: block_size.bytes(), grain }
    }

    /// What is laid over the device.
    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// What was changed and is not home yet.
    pub(crate) fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    /// The device below.
    pub(crate) fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.device
    }

    /// Size of a block in bytes.
    pub(crate) fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Reads `count` blocks from `block` on.
    pub(crate) async fn read_blocks(&self, block: u64, count: u64) -> Result<Chunk, Error> {
        // What is too large to be counted lies past the end of every device, which then says so.
        let len = usize::try_from(count.saturating_mul(self.block_size)).unwrap_or(usize::MAX);
        self.read(block.saturating_mul(self.block_size), len).await
    }

    /// Reads `len` bytes from byte `offset` on. The caller bounds `len`.
    pub(crate) async fn read(&self, offset: u64, len: usize) -> Result<Chunk, Error> {
        let first = offset / self.block_size;
        let end = offset.saturating_add(len as u64).div_ceil(self.block_size);
        let ticket = self.pending.read();
        let mut chunk = self.read_under(offset, len, first..end).await?;
        for (block, image) in self.pending.in_range(first..end) {
            self.patch(&mut chunk, offset, block, &image);
        }
        drop(ticket);
        Ok(chunk)
    }

    /// Reads what the device and the journals of others hold, without our own changes.
    async fn read_under(
        &self,
        offset: u64,
        len: usize,
        Range { start: first, end }: Range<u64>,
    ) -> Result<Chunk, Error> {
        if self.overlay.is_empty() {
            return self.read_device(offset, len).await;
        }
        let copies: Vec<(u64, LogCopy)> = self.overlay.in_range(first..end).collect();
        if let [(_, copy)] = copies.as_slice()
            && end - first == 1
        {
            let mut chunk = self.read_copy(*copy).await?;
            let start = usize::try_from(offset % self.block_size).unwrap_or(usize::MAX);
            chunk.narrow(start, len);
            return Ok(chunk);
        }
        let mut chunk = self.read_device(offset, len).await?;
        let mut copies: FuturesUnordered<_> = copies
            .iter()
            .map(|(block, copy)| async { Ok::<_, Error>((*block, self.read_copy(*copy).await?)) })
            .collect();
        while let Some((block, copy)) = copies.try_next().await? {
            self.patch(&mut chunk, offset, block, &copy);
        }
        Ok(chunk)
    }

    /// Writes the part of `copy`, the bytes of `block`, that lies in `chunk`, which begins at byte `offset`.
    fn patch(&self, chunk: &mut Chunk, offset: u64, block: u64, copy: &[u8]) {
        let at = block.saturating_mul(self.block_size);
        let skip = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
        let into = usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(target) = chunk.bytes_mut().get_mut(into..) else { return };
        let Some(source) = copy.get(skip..) else { return };
        let n = source.len().min(target.len());
        target[..n].copy_from_slice(&source[..n]);
    }

    /// Reads one journalled copy out of its log.
    async fn read_copy(&self, copy: LogCopy) -> Result<Chunk, Error> {
        let offset = copy.at.saturating_mul(self.block_size);
        let len = usize::try_from(self.block_size).unwrap_or(usize::MAX);
        let mut chunk = self.read_device(offset, len).await?;
        copy.restore(chunk.bytes_mut());
        Ok(chunk)
    }

    /// Reads from the device, widened to what it can read.
    async fn read_device(&self, offset: u64, len: usize) -> Result<Chunk, Error> {
        let start = offset - offset % self.grain;
        let skip = usize::try_from(offset - start).unwrap_or(usize::MAX);
        let grain = usize::try_from(self.grain).unwrap_or(usize::MAX);
        let want = skip.saturating_add(len).checked_next_multiple_of(grain).unwrap_or(usize::MAX);
        let buf = self.device.read_at(start, want).await?;
        Ok(Chunk::new(buf, skip..skip.saturating_add(len)))
    }
}
