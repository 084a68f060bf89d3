//! A device that answers late and out of order.

use std::sync::atomic::{AtomicU64, Ordering};

use block::{BlockDevice, BlockError, Bufs, Completion, Durability, Geometry, IoFuture, MemoryDevice};

/// A disk whose requests take some turns each, so that others overtake them.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) inner: MemoryDevice,
    calls: AtomicU64,
    writes: AtomicU64,
    /// Most writes that were on their way at once.
    pub(super) most: AtomicU64,
}

impl Late {
    pub(super) fn new(inner: MemoryDevice) -> Self {
        Self { inner, calls: AtomicU64::new(0), writes: AtomicU64::new(0), most: AtomicU64::new(0) }
    }

    /// Lets others go on some times.
    async fn wait(&self) {
        let turns = self.calls.fetch_add(7, Ordering::Relaxed) % 13;
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}

impl BlockDevice for Late {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn read(&self, offset: u64, bufs: Bufs) -> IoFuture<'_, Completion> {
        IoFuture::boxed(async move {
            self.wait().await;
            self.inner.read(offset, bufs).await
        })
    }

    fn write(&self, offset: u64, bufs: Bufs, durability: Durability) -> IoFuture<'_, Completion> {
        IoFuture::boxed(async move {
            let now = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(now, Ordering::Relaxed);
            self.wait().await;
            let done = self.inner.write(offset, bufs, durability).await;
            self.writes.fetch_sub(1, Ordering::Relaxed);
            done
        })
    }

    fn flush(&self) -> IoFuture<'_, Result<(), BlockError>> {
        IoFuture::boxed(async move {
            self.wait().await;
            self.inner.flush().await
        })
    }

    fn discard(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        self.inner.discard(offset, len)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        IoFuture::boxed(async move {
            self.wait().await;
            self.inner.write_zeroes(offset, len).await
        })
    }
}
