//! A LUN as a disk.

use std::sync::Arc;

use block::{BlockDevice, BlockError, Bufs, Completion, Durability, Geometry, IoFuture, total_len};

use crate::conn::Dialer;
use crate::probe::{self, LunInfo};
use crate::session::{Action, Answer, Queue, Request, Session};
use crate::{ConnectError, SessionOptions, VolumeUrl};

/// A LUN behind iSCSI, over one session that survives the loss of its connection.
///
/// I/O in flight when a connection dies is done again on the next; it fails when none comes about within
/// [`SessionOptions::replacement_timeout`]. Where the URL names several hosts, one is used at a time, and the others
/// when that fails. After each reconnection the LUN is looked at again: I/O goes on only to the same unit.
///
/// Dropping a device logs out in the background, if the runtime lives on; [`BlockDevice::close`] waits for it.
#[derive(Debug)]
pub struct IscsiDevice {
    queue: Arc<Queue>,
    name: String,
    info: LunInfo,
}

impl IscsiDevice {
    /// Connects to the first portal that answers, logs in, and looks at the LUN. Must be called on a tokio runtime
    /// with I/O and time enabled, which then runs one task for the session.
    ///
    /// # Errors
    /// [`ConnectError`]: this does not wait for a target that is not there.
    pub async fn open(url: &VolumeUrl, options: SessionOptions) -> Result<Self, ConnectError> {
        let read_only = options.read_only;
        let mut dialer = Dialer::normal(url, options);
        let mut connection = dialer.dial().await?;
        let mut info = match probe::probe(&mut connection, url.lun).await {
            Ok(info) => info,
            Err(error) => {
                let _ = connection.logout().await;
                return Err(error.into());
            }
        };
        info.geometry.read_only |= read_only;
        let queue = Arc::new(Queue::default());
        let name = url.to_string();
        let session = Session::new(Arc::clone(&queue), dialer, name.clone(), info.clone());
        spawn(session.run(connection));
        Ok(Self { queue, name, info })
    }

    /// What the LUN is.
    pub fn info(&self) -> &LunInfo {
        &self.info
    }

    /// A read or write, whose buffers come back in any case.
    fn transfer(&self, action: Action, offset: u64, len: usize) -> IoFuture<'static, Completion> {
        let (promise, future) = IoFuture::promised();
        self.push(Request::new(action, offset, len as u64, Answer::Transfer(promise)));
        future
    }

    fn plain(&self, action: Action, offset: u64, len: u64) -> IoFuture<'static, Result<(), BlockError>> {
        let (promise, future) = IoFuture::promised();
        self.push(Request::new(action, offset, len, Answer::Plain(promise)));
        future
    }

    fn push(&self, request: Request) {
        if let Some((request, why)) = self.queue.push(request) {
            request.finish(Err(BlockError::Unreachable { device: self.name.clone(), why }));
        }
    }

    fn check_change(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.info.geometry.check_change(&self.name, offset, len)
    }
}

impl BlockDevice for IscsiDevice {
    fn geometry(&self) -> Geometry {
        self.info.geometry
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, offset: u64, bufs: Bufs) -> IoFuture<'_, Completion> {
        let checked = self.info.geometry.check_bufs(&self.name, offset, &bufs);
        let len = total_len(&bufs);
        if checked.is_err() || len == 0 {
            return IoFuture::ready((bufs, checked));
        }
        self.transfer(Action::Read(bufs), offset, len)
    }

    fn write(&self, offset: u64, bufs: Bufs, durability: Durability) -> IoFuture<'_, Completion> {
        let checked = self.info.geometry.check_write(&self.name, offset, &bufs);
        let len = total_len(&bufs);
        if checked.is_err() || len == 0 {
            return IoFuture::ready((bufs, checked));
        }
        let data = bufs.into_iter().map(Arc::new).collect();
        self.transfer(Action::Write { data, stable: durability == Durability::Stable }, offset, len)
    }

    fn flush(&self) -> IoFuture<'_, Result<(), BlockError>> {
        if self.info.geometry.read_only {
            return IoFuture::ready(Ok(()));
        }
        self.plain(Action::Flush, 0, 0)
    }

    fn discard(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        let checked = self.check_change(offset, len);
        if checked.is_err() || len == 0 || self.info.geometry.discard_granularity == 0 {
            return IoFuture::ready(checked);
        }
        self.plain(Action::Discard, offset, len)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> IoFuture<'_, Result<(), BlockError>> {
        let checked = self.check_change(offset, len);
        if checked.is_err() || len == 0 {
            return IoFuture::ready(checked);
        }
        self.plain(Action::Zero, offset, len)
    }

    fn close(&self) -> IoFuture<'_, Result<(), BlockError>> {
        let (promise, future) = IoFuture::promised();
        self.queue.close(Some(promise));
        future
    }
}

impl Drop for IscsiDevice {
    fn drop(&mut self) {
        self.queue.close(None);
    }
}

#[allow(clippy::disallowed_methods, reason = "driver: each session has a task")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
