//! One open `/dev/fuse`: requests in, answers out.

use std::fs::OpenOptions;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::Errno;
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use crate::abi::RawOutHeader;
use crate::reply::Reply;

/// Pieces that one writev(2) takes, less the header, and by a wide margin.
const SLICES_MAX: usize = 512;

/// A file descriptor of the FUSE device, or whatever plays the kernel in a test.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
}

impl Channel {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Another descriptor of the same mount. Each has its own queue of requests in progress, so that several threads
    /// do not contend; an answer goes to the one its request was read from.
    pub(crate) fn clone_device(&self) -> std::io::Result<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let mut source = self.fd.as_raw_fd().cast_unsigned();
        clone_from(&device, &mut source)?;
        Ok(Self::new(device.into()))
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Tells the kernel something unasked. Blocks until the kernel has done it.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) fn notify(&self, code: i32, body: &[&[u8]]) -> Result<(), Errno> {
        let body: SmallVec<[IoSlice<'_>; 4]> = body.iter().map(|piece| IoSlice::new(piece)).collect();
        self.write(0, code, &body)
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
}

/// `FUSE_DEV_IOC_CLONE`: makes a fresh descriptor one of the mount behind `source`.
#[allow(unsafe_code, reason = "rustix has no safe call for this ioctl")]
fn clone_from(device: &impl AsFd, source: &mut u32) -> rustix::io::Result<()> {
    const CLONE: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(229, 0);
    // SAFETY: the ioctl reads one u32, a descriptor's number, through the pointer that Updater makes of `source`.
    unsafe { rustix::ioctl::ioctl(device, rustix::ioctl::Updater::<CLONE, u32>::new(source)) }
}
