//! The blocking calls: what one request does on an open file or block device.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;

use rustix::fs::{FallocateFlags, fallocate, fdatasync};
use rustix::io::{Errno, ReadWriteFlags, preadv, preadv2, pwritev, pwritev2};
use smallvec::SmallVec;

use crate::ext::as_u64;
use crate::job::{Done, Job};
use crate::{BlockError, Buf, Bufs, Durability, Geometry, Op, total_len};

use super::sys;

/// An open file or block device, and what was learned about it.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) name: String,
    pub(super) fd: OwnedFd,
    pub(super) geometry: Geometry,
    pub(super) kind: Kind,
    /// What offset, length and every buffer's length must be a multiple of: the grain of direct I/O, or 1 where
    /// the page cache takes anything.
    pub(super) grain: u32,
    /// The block of the filesystem below, in bytes: the grain of its holes.
    pub(super) fs_block: u32,
}

/// What stands behind the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A regular file whose filesystem is nothing but memory: no call on it waits for hardware.
    MemoryFile,
    /// A block device.
    Block,
}

/// The most buffers one system call takes (`UIO_MAXIOV`).
pub(super) const IOV_MAX: usize = 1024;
/// How often a call that says "try again" is tried again.
const AGAIN_MAX: u32 = 64;
/// Zeroes are written in pieces of this many bytes where nothing better works.
const ZERO_PIECE: u64 = 1 << 20;

impl Disk {
    /// Whether a transfer can go to the kernel as it is.
    pub(super) fn fits(&self, offset: u64, bufs: &Bufs) -> bool {
        let grain = u64::from(self.grain);
        offset.is_multiple_of(grain) && bufs.iter().all(|buf| as_u64(buf.len()).is_multiple_of(grain))
    }

    /// Refuses a write that direct I/O could do only by rewriting what lies around it.
    pub(super) fn check_grain(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        let grain = u64::from(self.grain);
        if offset.is_multiple_of(grain) && len.is_multiple_of(grain) {
            return Ok(());
        }
        Err(BlockError::WouldReadModifyWrite { device: self.name.clone(), offset, len, grain: self.grain })
    }

    /// Fills `bufs`. The range was checked.
    pub(super) fn read(&self, offset: u64, bufs: &mut Bufs) -> Result<(), BlockError> {
        let len = as_u64(total_len(bufs));
        if self.fits(offset, bufs) {
            return self
                .read_direct(offset, bufs, total_len(bufs))
                .map_err(|e| self.io(Op::Read, offset, len, e));
        }
        // Reading more than was asked for harms nobody.
        let grain = u64::from(self.grain);
        let start = offset - offset % grain;
        let skip = usize::try_from(offset - start).expect("less than the grain");
        let around = usize::try_from((offset + len).next_multiple_of(grain) - start)
            .expect("a request that is in memory, and a grain more");
        let mut bounce = Buf::for_read(around).into_bufs();
        // The file may end within the last grain, but not before what was asked for.
        let needed = skip + total_len(bufs);
        self.read_direct(start, &mut bounce, needed).map_err(|e| self.io(Op::Read, offset, len, e))?;
        let mut rest = &bounce[0][skip..];
        for buf in bufs {
            let (piece, after) = rest.split_at(buf.len());
            buf.copy_from_slice(piece);
            rest = after;
        }
        Ok(())
    }

    /// Fills `bufs` from the page cache, if every byte is there. No other call waits less.
    pub(super) fn read_cached(&self, offset: u64, bufs: &mut Bufs) -> bool {
        let len = total_len(bufs);
        let result = preadv2(&self.fd, &mut slices_mut(bufs, 0), offset, ReadWriteFlags::NOWAIT);
        result == Ok(len)
    }

    /// Writes `bufs`. The range was checked.
    pub(super) fn write(&self, offset: u64, bufs: &Bufs, durability: Durability) -> Result<(), BlockError> {
        let len = as_u64(total_len(bufs));
        if self.fits(offset, bufs) {
            return self
                .write_direct(offset, bufs, durability)
                .map_err(|e| self.io(Op::Write, offset, len, e));
        }
        self.check_grain(offset, len)?;
        let whole = gather(bufs).into_bufs();
        self.write_direct(offset, &whole, durability).map_err(|e| self.io(Op::Write, offset, len, e))
    }

    /// Does a whole request.
    pub(super) fn run(&self, job: Job) -> Done {
        match job {
            Job::Read { offset, mut bufs, promise } => {
                let result = self.read(offset, &mut bufs);
                Done::Transfer(promise, (bufs, result))
            }
            Job::Write { offset, bufs, durability, promise } => {
                let result = self.write(offset, &bufs, durability);
                Done::Transfer(promise, (bufs, result))
            }
            Job::Flush { promise } => Done::Other(promise, self.flush()),
            Job::Discard { offset, len, promise } => Done::Other(promise, self.discard(offset, len)),
            Job::WriteZeroes { offset, len, promise } => Done::Other(promise, self.write_zeroes(offset, len)),
        }
    }

    pub(super) fn flush(&self) -> Result<(), BlockError> {
        retry(|| fdatasync(&self.fd)).map_err(|e| self.io(Op::Flush, 0, 0, e.into()))
    }

    /// Tells the medium that a range is unused. A file gives back the whole filesystem blocks within it; a
    /// filesystem that knows no holes keeps everything, which is no error.
    pub(super) fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        let result = match self.kind {
            Kind::Block if self.geometry.discard_granularity == 0 => return Ok(()),
            Kind::Block => retry(|| sys::blkdiscard(&self.fd, offset, len)),
            Kind::File | Kind::MemoryFile => {
                let (start, end) = self.whole_fs_blocks(offset, len);
                if start >= end {
                    return Ok(());
                }
                self.punch(start, end - start)
            }
        };
        match result {
            Err(e) if unsupported(e) => Ok(()),
            Err(e) => Err(self.io(Op::Discard, offset, len, e.into())),
            Ok(()) => Ok(()),
        }
    }

    /// Makes a range read as zeroes.
    ///
    /// A hole that covers only part of a filesystem block would have the filesystem read, change and write back
    /// the rest of it, so the edges are plain writes, under the same rule as any other write.
    pub(super) fn write_zeroes(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        let end = offset + len;
        let (start, stop) = match self.kind {
            // In memory there is nothing to read and write back.
            Kind::Block | Kind::MemoryFile => (offset, end),
            Kind::File => self.whole_fs_blocks(offset, len),
        };
        if start >= stop {
            return self.write_zero_bytes(offset, len);
        }
        self.check_grain(offset, len)?;
        self.write_zero_bytes(offset, start - offset)?;
        match self.punch(start, stop - start) {
            Ok(()) => {}
            Err(e) if unsupported(e) => self.zero_range(start, stop - start)?,
            Err(e) => return Err(self.io(Op::WriteZeroes, offset, len, e.into())),
        }
        self.write_zero_bytes(stop, end - stop)
    }

    fn zero_range(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        let mode = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match retry(|| fallocate(&self.fd, mode, offset, len)) {
            Ok(()) => Ok(()),
            Err(e) if unsupported(e) => self.write_zero_bytes(offset, len),
            Err(e) => Err(self.io(Op::WriteZeroes, offset, len, e.into())),
        }
    }

    fn write_zero_bytes(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.check_grain(offset, len)?;
        let mut at = offset;
        let end = offset + len;
        while at < end {
            let piece = (end - at).min(ZERO_PIECE);
            let zeroes = Buf::zeroed(usize::try_from(piece).expect("at most ZERO_PIECE")).into_bufs();
            self.write_direct(at, &zeroes, Durability::Cached)
                .map_err(|e| self.io(Op::WriteZeroes, at, piece, e))?;
            at += piece;
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        retry(|| fallocate(&self.fd, mode, offset, len))
    }

    /// The filesystem blocks that lie wholly within a range: start and end; nothing where start is not below end.
    fn whole_fs_blocks(&self, offset: u64, len: u64) -> (u64, u64) {
        let block = u64::from(self.fs_block);
        (offset.next_multiple_of(block), (offset + len) / block * block)
    }

    /// Reads until the first `needed` bytes are there.
    fn read_direct(&self, offset: u64, bufs: &mut Bufs, needed: usize) -> io::Result<()> {
        let mut done = 0;
        while done < needed {
            let at = offset + as_u64(done);
            let got = retry(|| match &mut bufs[..] {
                [one] => rustix::io::pread(&self.fd, &mut one[done..], at),
                _ => preadv(&self.fd, &mut slices_mut(bufs, done), at),
            })?;
            if got == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file ends before the device does",
                ));
            }
            done = self.advance(done, got, needed)?;
        }
        Ok(())
    }

    fn write_direct(&self, offset: u64, bufs: &Bufs, durability: Durability) -> io::Result<()> {
        let total = total_len(bufs);
        let mut done = 0;
        while done < total {
            let at = offset + as_u64(done);
            let put = retry(|| match (durability, &bufs[..]) {
                (Durability::Cached, [one]) => rustix::io::pwrite(&self.fd, &one[done..], at),
                (Durability::Cached, _) => pwritev(&self.fd, &slices(bufs, done), at),
                (Durability::Stable, _) => pwritev2(&self.fd, &slices(bufs, done), at, ReadWriteFlags::DSYNC),
            })?;
            done = self.advance(done, put, total)?;
        }
        Ok(())
    }

    /// Where to go on after a call that moved `step` bytes: after the last whole grain, or an error where that
    /// would never end.
    pub(super) fn advance(&self, done: usize, step: usize, total: usize) -> io::Result<usize> {
        if done + step >= total {
            return Ok(total);
        }
        let grain = usize::try_from(self.grain).expect("a grain is a few KiB");
        match step / grain * grain {
            0 => Err(io::Error::new(io::ErrorKind::WriteZero, "the system moved only part of a block")),
            whole => Ok(done + whole),
        }
    }

    /// A read met the end, though its range lies within the size at open.
    pub(super) fn end_of_file(&self) -> io::Error {
        io::Error::new(io::ErrorKind::UnexpectedEof, "the file has been truncated since it was opened")
    }

    pub(super) fn io(&self, op: Op, offset: u64, len: u64, source: io::Error) -> BlockError {
        BlockError::Io { device: self.name.clone(), op, offset, len, source }
    }
}

/// One buffer with the contents of all.
fn gather(bufs: &Bufs) -> Buf {
    let mut whole = Buf::for_read(total_len(bufs));
    let mut rest = &mut whole[..];
    for buf in bufs {
        let (piece, after) = rest.split_at_mut(buf.len());
        piece.copy_from_slice(buf);
        rest = after;
    }
    whole
}

/// What is left after `done` bytes, for one system call.
fn slices(bufs: &Bufs, done: usize) -> SmallVec<[IoSlice<'_>; 8]> {
    let mut skip = done;
    let pieces =
        bufs.iter().filter_map(|buf| rest_of(buf.len(), &mut skip).map(|from| IoSlice::new(&buf[from..])));
    pieces.take(IOV_MAX).collect()
}

fn slices_mut(bufs: &mut Bufs, done: usize) -> SmallVec<[IoSliceMut<'_>; 8]> {
    let mut skip = done;
    let pieces = bufs
        .iter_mut()
        .filter_map(|buf| rest_of(buf.len(), &mut skip).map(|from| IoSliceMut::new(&mut buf[from..])));
    pieces.take(IOV_MAX).collect()
}

/// Where the unfinished part of a buffer of `len` bytes starts; `None` where it is finished. `skip` counts down.
pub(super) fn rest_of(len: usize, skip: &mut usize) -> Option<usize> {
    let from = len.min(*skip);
    *skip -= from;
    (from < len).then_some(from)
}

/// Repeats a call that a signal broke off, and for a while one that says "try again".
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut again = 0;
    loop {
        match call() {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if again < AGAIN_MAX => {
                again += 1;
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

fn unsupported(e: Errno) -> bool {
    matches!(e, Errno::OPNOTSUPP | Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(grain: u32) -> Disk {
        let geometry = Geometry {
            size: 1 << 20,
            logical_block: 512,
            physical_block: 512,
            optimal_io: 0,
            read_only: false,
            discard_granularity: 0,
        };
        let fd = std::fs::File::open("/dev/null").expect("/dev/null is everywhere").into();
        Disk { name: "null".into(), fd, geometry, kind: Kind::File, grain, fs_block: 4096 }
    }

    #[test]
    fn a_short_transfer_goes_on_at_the_last_whole_grain() {
        let disk = disk(512);
        assert_eq!(disk.advance(0, 4096, 4096).ok(), Some(4096));
        assert_eq!(disk.advance(512, 1300, 4096).ok(), Some(1536));
        assert_eq!(disk.advance(3584, 512, 4096).ok(), Some(4096));
        assert!(disk.advance(0, 511, 4096).is_err(), "this would never end");
        assert!(disk.advance(0, 0, 4096).is_err(), "nor would this");
        assert_eq!(self::disk(1).advance(512, 1300, 4096).ok(), Some(1812));
    }

    #[test]
    fn a_hole_covers_whole_filesystem_blocks_only() {
        let disk = disk(512);
        assert_eq!(disk.whole_fs_blocks(512, 8192), (4096, 8192));
        assert_eq!(disk.whole_fs_blocks(0, 8192), (0, 8192));
        let (start, end) = disk.whole_fs_blocks(512, 4096);
        assert!(start >= end);
    }

    #[test]
    fn the_rest_of_a_request_skips_what_is_done() {
        let bufs: Bufs = [100, 0, 412].into_iter().map(Buf::zeroed).collect();
        let lengths = |done| slices(&bufs, done).iter().map(|slice| slice.len()).collect::<Vec<_>>();
        assert_eq!(lengths(0), [100, 412]);
        assert_eq!(lengths(100), [412]);
        assert_eq!(lengths(511), [1]);
        let many: Bufs = (0..1100).map(|_| Buf::zeroed(1)).collect();
        assert_eq!(slices(&many, 0).len(), IOV_MAX);
        assert_eq!(slices(&many, 1000).len(), 100);
    }
}
