//! The system calls that rustix has no safe name for.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::ioctl::{Setter, ioctl};

/// `BLKDISCARD`: `_IO(0x12, 119)`, given the start and length of a range in bytes.
const BLKDISCARD: rustix::ioctl::Opcode = rustix::ioctl::opcode::none(0x12, 119);

/// Discards a range of a block device.
#[allow(unsafe_code, reason = "an ioctl has no type")]
pub(super) fn blkdiscard(fd: &OwnedFd, offset: u64, len: u64) -> Result<(), Errno> {
    // SAFETY: BLKDISCARD reads two u64, start and length in bytes, from its argument and writes nothing to memory.
    unsafe { ioctl(fd, Setter::<BLKDISCARD, [u64; 2]>::new([offset, len])) }
}
