//! Images that are changed on their way to the reader.

use block::{BlockDevice, Bufs, Completion, Durability, Geometry, IoFuture};

use crate::support::device;

/// Byte offsets of the blocks that a signature marks as metadata, in the first 96 MiB.
pub(crate) fn metadata_blocks(image: &std::path::Path, block_size: usize) -> Vec<u64> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(image).expect("an image");
    let mut blocks = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    for start in (0..96 << 20).step_by(1 << 20) {
        let Ok(()) = file.read_exact_at(&mut chunk, start) else { break };
        for (n, block) in chunk.chunks(block_size).enumerate() {
            let signed = [
                &b"INODE01"[..],
                b"EXBLK01",
                b"DXDIR01",
                b"DXLEAF1",
                b"XATTR01",
                b"OCFSV2",
                b"GROUP01",
                b"REFCNT1",
            ];
            let trailer = &block[block_size - 48..];
            if signed.iter().any(|signature| block.starts_with(signature)) || trailer.starts_with(b"DIRTRL1")
            {
                blocks.push(start + (n * block_size) as u64);
            }
        }
    }
    blocks
}

/// An image with some bytes changed on the way, and perhaps cut short.
#[derive(Debug)]
pub(crate) struct Patched {
    inner: block::FileDevice,
    patches: Vec<(u64, Vec<u8>)>,
    /// Size in bytes to which the image is cut.
    limit: Option<u64>,
}

impl Patched {
    pub(crate) fn new(image: &std::path::Path, patches: Vec<(u64, Vec<u8>)>) -> Self {
        Self { inner: device(image), patches, limit: None }
    }

    /// The same, of `size` bytes only.
    pub(crate) fn cut(self, size: u64) -> Self {
        Self { limit: Some(size), ..self }
    }
}

impl BlockDevice for Patched {
    fn geometry(&self) -> Geometry {
        let geometry = self.inner.geometry();
        Geometry { size: self.limit.unwrap_or(geometry.size), ..geometry }
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn read(&self, offset: u64, bufs: Bufs) -> IoFuture<'_, Completion> {
        IoFuture::boxed(async move {
            let (mut bufs, verdict) = self.inner.read(offset, bufs).await;
            let mut start = offset;
            for buf in &mut bufs {
                let end = start + buf.len() as u64;
                for (at, bytes) in &self.patches {
                    for (at, byte) in (*at..).zip(bytes).filter(|(at, _)| (start..end).contains(at)) {
                        buf[usize::try_from(at - start).expect("within the buffer")] = *byte;
                    }
                }
                start = end;
            }
            (bufs, verdict)
        })
    }

    fn write(&self, _: u64, _: Bufs, _: Durability) -> IoFuture<'_, Completion> {
        unreachable!("nothing is ever written")
    }

    fn flush(&self) -> IoFuture<'_, Result<(), block::BlockError>> {
        unreachable!("nothing is ever written")
    }

    fn discard(&self, _: u64, _: u64) -> IoFuture<'_, Result<(), block::BlockError>> {
        unreachable!("nothing is ever written")
    }

    fn write_zeroes(&self, _: u64, _: u64) -> IoFuture<'_, Result<(), block::BlockError>> {
        unreachable!("nothing is ever written")
    }
}
