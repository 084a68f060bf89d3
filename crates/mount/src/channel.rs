//! One open `/dev/fuse`: requests in, answers out.

use std::fs::OpenOptions;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use block::Buf;
use rustix::io::Errno;
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use crate::SessionEnd;
use crate::abi::{MIN_READ_BUFFER, RawInHeader, RawOutHeader, RawWriteIn};
use crate::reply::Reply;

/// Requests are read to here, so that the data of a WRITE, which follows two headers, starts on a page.
const START: usize = 4096 - size_of::<RawInHeader>() - size_of::<RawWriteIn>();
/// Request buffers kept for reuse.
const POOLED: usize = 16;
/// Pieces that one writev(2) takes, less the header, and by a wide margin.
const SLICES_MAX: usize = 512;

/// A file descriptor of the FUSE device, or whatever plays the kernel in a test.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
    free: Mutex<Vec<Buf>>,
}

/// One request as it was read. The memory is its own until it is dropped.
#[derive(Debug)]
pub(crate) struct RequestBuf {
    channel: Arc<Channel>,
    buf: Buf,
    len: usize,
}

impl Channel {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, free: Mutex::new(Vec::new()) }
    }

    /// Another descriptor of the same mount. Each has its own queue of requests in progress, so that several threads
    /// do not contend; an answer goes to the one its request was read from.
    pub(crate) fn clone_device(&self) -> std::io::Result<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let mut source = self.fd.as_raw_fd().cast_unsigned();
        clone_from(&device, &mut source)?;
        Ok(Self::new(device.into()))
    }

    /// Waits for the next request.
    ///
    /// # Errors
    /// The end of the session.
    pub(crate) fn receive(self: &Arc<Self>) -> Result<RequestBuf, SessionEnd> {
        let mut buf = self.free().pop().unwrap_or_else(|| Buf::zeroed(START + MIN_READ_BUFFER));
        loop {
            match rustix::io::read(&self.fd, &mut buf[START..]) {
                Ok(0) | Err(Errno::NODEV) => return Err(SessionEnd::Unmounted),
                Ok(len) => return Ok(RequestBuf { channel: Arc::clone(self), buf, len }),
                // NOENT: the request was taken back while it was read.
                Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::CONNABORTED) => return Err(SessionEnd::Aborted),
                Err(errno) => return Err(SessionEnd::Failed(errno)),
            }
        }
    }

    /// Sends an answer.
    ///
    /// # Errors
    /// `ENOENT` when nobody waits for it any more; what else the device says.
    pub(crate) fn send(&self, unique: u64, outcome: Result<Reply, Errno>) -> Result<(), Errno> {
        match outcome {
            Err(errno) => self.write(unique, -errno.raw_os_error(), &[]),
            Ok(Reply::Small(bytes)) => self.write(unique, 0, &[IoSlice::new(&bytes)]),
            Ok(Reply::Bytes(bytes)) => self.write(unique, 0, &[IoSlice::new(&bytes)]),
            Ok(Reply::Data(data)) if data.slices().count() > SLICES_MAX => {
                self.write(unique, 0, &[IoSlice::new(&data.joined())])
            }
            Ok(Reply::Data(data)) => {
                let mut slices = SmallVec::new();
                data.gather(&mut slices);
                self.write(unique, 0, &slices)
            }
        }
    }

    fn write(&self, unique: u64, error: i32, body: &[IoSlice<'_>]) -> Result<(), Errno> {
        let len: usize = size_of::<RawOutHeader>() + body.iter().map(|slice| slice.len()).sum::<usize>();
        let head = RawOutHeader { len: u32::try_from(len).map_err(|_| Errno::TOOBIG)?, error, unique };
        let mut all: SmallVec<[IoSlice<'_>; 20]> = SmallVec::new();
        all.push(IoSlice::new(head.as_bytes()));
        all.extend_from_slice(body);
        rustix::io::retry_on_intr(|| rustix::io::writev(&self.fd, &all)).map(|_| ())
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Buf>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestBuf {
    /// The bytes of the request.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf[START..START + self.len]
    }
}

impl Drop for RequestBuf {
    fn drop(&mut self) {
        let mut free = self.channel.free();
        if free.len() < POOLED {
            free.push(std::mem::replace(&mut self.buf, Buf::zeroed(0)));
        }
    }
}

/// `FUSE_DEV_IOC_CLONE`: makes a fresh descriptor one of the mount behind `source`.
#[allow(unsafe_code, reason = "rustix has no safe call for this ioctl")]
fn clone_from(device: &impl AsFd, source: &mut u32) -> rustix::io::Result<()> {
    const CLONE: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(229, 0);
    // SAFETY: the ioctl reads one u32, a descriptor's number, through the pointer that Updater makes of `source`.
    unsafe { rustix::ioctl::ioctl(device, rustix::ioctl::Updater::<CLONE, u32>::new(source)) }
}
