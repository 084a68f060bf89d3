//! Opening: what the path is, how large, and in which grain it takes direct I/O.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, StatxFlags, flock, fstat, fstatfs,
    ioctl_blkpbszget, ioctl_blksszget, major, minor, open, seek, stat, statx,
};
use rustix::io::Errno;

use crate::{BlockError, Buf, Geometry};

use super::disk::{Disk, Kind};
use super::{Direct, OpenOptions};

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of statfs(2).
const MEMORY_FILESYSTEMS: [i64; 2] = [0x0102_1994, 0x8584_58f6];
/// `STATX_DIOALIGN` of statx(2), since Linux 6.1.
const STATX_DIOALIGN: StatxFlags = StatxFlags::from_bits_retain(0x2000);
/// A regular file is a disk with sectors of this many bytes.
const FILE_SECTOR: u32 = 512;

/// The grain of the page cache, which takes anything.
const BUFFERED: u32 = 1;

/// Opens `path` and learns everything about it.
pub(super) fn open_disk(path: &Path, options: &OpenOptions) -> Result<Disk, BlockError> {
    let name = path.display().to_string();
    let failed = |e: Errno| match e {
        Errno::BUSY => BlockError::Busy { device: name.clone() },
        e => BlockError::Open { device: name.clone(), source: e.into() },
    };
    // Asked by name first: opening a FIFO would wait for its other end.
    let named = stat(path).map_err(failed)?;
    check_type(&name, &named)?;
    let block = FileType::from_raw_mode(named.st_mode) == FileType::BlockDevice;
    let mut flags = OFlags::CLOEXEC | OFlags::NOCTTY;
    flags |= if options.read_only { OFlags::RDONLY } else { OFlags::RDWR };
    if block && options.exclusive {
        // Without O_CREAT, and for a block device only, O_EXCL refuses a device that is mounted or claimed.
        flags |= OFlags::EXCL;
    }
    let fd = open(path, flags, Mode::empty()).map_err(failed)?;
    let stat = fstat(&fd).map_err(failed)?;
    check_type(&name, &stat)?;
    let kind = kind_of(&fd, &stat).map_err(failed)?;
    if options.exclusive && kind != Kind::Block {
        let lock = if options.read_only {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        flock(&fd, lock).map_err(|e| match e {
            Errno::AGAIN => BlockError::Busy { device: name.clone() },
            e => failed(e),
        })?;
    }
    let mut geometry = match kind {
        Kind::Block => block_geometry(&fd, &stat).map_err(failed)?,
        Kind::File | Kind::MemoryFile => file_geometry(&stat),
    };
    geometry.read_only = options.read_only || block && sysfs(stat.st_rdev, "ro", "ro") == Some(1);
    let fs_block = u32::try_from(stat.st_blksize).unwrap_or(4096).max(FILE_SECTOR);
    let mut grain = choose_grain(options, kind, &fd, &geometry).map_err(failed)?;
    if grain > BUFFERED {
        // The same open file: a second open could meet another file under the name, and would need O_EXCL twice.
        let on = rustix::fs::fcntl_getfl(&fd).map_err(failed)? | OFlags::DIRECT;
        match rustix::fs::fcntl_setfl(&fd, on) {
            Err(Errno::INVAL) if options.direct == Direct::Auto => grain = BUFFERED,
            result => result.map_err(failed)?,
        }
    }
    Ok(Disk { name, fd, geometry, kind, grain, fs_block })
}

fn check_type(name: &str, stat: &Stat) -> Result<(), BlockError> {
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::BlockDevice => return Ok(()),
        FileType::Directory => "a directory",
        FileType::CharacterDevice => "a character device",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        _ => "something else",
    };
    Err(BlockError::NotADisk { device: name.into(), what })
}

fn kind_of(fd: &OwnedFd, stat: &Stat) -> Result<Kind, Errno> {
    if FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice {
        return Ok(Kind::Block);
    }
    let magic = fstatfs(fd)?.f_type;
    Ok(if MEMORY_FILESYSTEMS.contains(&magic) { Kind::MemoryFile } else { Kind::File })
}

fn file_geometry(stat: &Stat) -> Geometry {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let fs_block = u32::try_from(stat.st_blksize).unwrap_or(4096);
    Geometry {
        size: size - size % u64::from(FILE_SECTOR),
        logical_block: FILE_SECTOR,
        physical_block: fs_block.max(FILE_SECTOR),
        optimal_io: 0,
        read_only: false,
        discard_granularity: fs_block.max(FILE_SECTOR),
    }
}

fn block_geometry(fd: &OwnedFd, stat: &Stat) -> Result<Geometry, Errno> {
    let logical = ioctl_blksszget(fd)?;
    // The end of a block device is where SEEK_END leads: BLKGETSIZE64 without an ioctl.
    let size = seek(fd, rustix::fs::SeekFrom::End(0))?;
    let grain = sysfs(stat.st_rdev, "queue/discard_granularity", "../queue/discard_granularity").unwrap_or(0);
    let most = sysfs(stat.st_rdev, "queue/discard_max_bytes", "../queue/discard_max_bytes").unwrap_or(0);
    let optimal = sysfs(stat.st_rdev, "queue/optimal_io_size", "../queue/optimal_io_size").unwrap_or(0);
    Ok(Geometry {
        size: size - size % u64::from(logical),
        logical_block: logical,
        physical_block: ioctl_blkpbszget(fd)?.max(logical),
        optimal_io: u32::try_from(optimal).unwrap_or(0),
        read_only: false,
        discard_granularity: if most == 0 { 0 } else { u32::try_from(grain).unwrap_or(0) },
    })
}

/// A number that sysfs tells of a block device: of a whole disk under one name, of a partition under another.
fn sysfs(device: u64, disk: &str, partition: &str) -> Option<u64> {
    let base = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    [disk, partition].iter().find_map(|file| {
        std::fs::read_to_string(format!("{base}/{file}")).ok().and_then(|text| text.trim().parse().ok())
    })
}

/// The grain that transfers must keep to go past the page cache, in bytes; [`BUFFERED`] where they are not to.
fn choose_grain(options: &OpenOptions, kind: Kind, fd: &OwnedFd, geometry: &Geometry) -> Result<u32, Errno> {
    let wanted = match options.direct {
        Direct::Never => false,
        Direct::Always => true,
        // Files that nobody writes here are as fresh in this host's page cache as on the disk; a block device may
        // be written by other hosts.
        Direct::Auto => kind == Kind::Block || kind == Kind::File && !options.read_only,
    };
    if !wanted {
        return Ok(BUFFERED);
    }
    let grain = match options.direct_grain {
        Some(grain) if !grain.is_power_of_two() || grain < FILE_SECTOR => return Err(Errno::INVAL),
        Some(grain) => Some(grain),
        None if kind == Kind::Block => Some(geometry.logical_block),
        None => direct_grain(fd)?,
    };
    match (grain, options.direct) {
        (Some(grain), Direct::Always) => Ok(grain),
        // All or nothing: direct and buffered writes that share a page can undo each other.
        (Some(grain), _) if grain <= geometry.logical_block => Ok(grain),
        (None, Direct::Always) => Err(Errno::INVAL),
        _ => Ok(BUFFERED),
    }
}

/// The grain of direct I/O on a regular file, in bytes; `None` where there is none.
fn direct_grain(fd: &OwnedFd) -> Result<Option<u32>, Errno> {
    match statx(fd, c"", AtFlags::EMPTY_PATH, STATX_DIOALIGN) {
        Ok(known) if known.stx_mask & STATX_DIOALIGN.bits() != 0 => {
            let usable = known.stx_dio_offset_align != 0 && known.stx_dio_mem_align <= 4096;
            Ok(usable.then_some(known.stx_dio_offset_align))
        }
        Ok(_) | Err(Errno::NOSYS) => Ok(probe_grain(fd)),
        Err(e) => Err(e),
    }
}

/// Finds the grain where the kernel or the filesystem does not tell it: no less than the sector of the device below,
/// and one that a read was seen to work with. A hole, and what lies past the end, would read in any grain.
fn probe_grain(fd: &OwnedFd) -> Option<u32> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let direct = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECT, Mode::empty()).ok()?;
    let below = fstat(fd)
        .ok()
        .and_then(|stat| sysfs(stat.st_dev, "queue/logical_block_size", "../queue/logical_block_size"));
    let least = below.and_then(|sector| u32::try_from(sector).ok()).unwrap_or(FILE_SECTOR);
    [512_u32, 1024, 2048, 4096].into_iter().filter(|grain| *grain >= least).find(|grain| {
        let mut buf = Buf::zeroed(usize::try_from(*grain).unwrap_or(4096));
        // At the grain itself, so that the offset is as little aligned as the length.
        rustix::io::pread(&direct, &mut buf[..], u64::from(*grain)) == Ok(buf.len())
    })
}

/// Makes a new sparse file of `size` bytes. An existing file is left alone.
pub(super) fn create_file(path: &Path, size: u64) -> Result<(), BlockError> {
    let device = path.display().to_string();
    if !size.is_multiple_of(u64::from(FILE_SECTOR)) {
        return Err(BlockError::Misaligned { device, offset: 0, len: size, grain: FILE_SECTOR });
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path).and_then(|file| {
        let result = file.set_len(size).and_then(|()| file.sync_all());
        result.inspect_err(|_| {
            // It was made a moment ago and is of no use; the first error is the one to tell.
            let _ = std::fs::remove_file(path);
        })
    });
    made.and_then(|()| sync_parent(path)).map_err(|source| BlockError::Open { device, source })
}

/// Makes the name itself last through a power cut.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A directory may be open for new names and closed for reading: then there is nothing to sync it by.
    std::fs::File::open(parent).map_or(Ok(()), |dir| dir.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_never_finds_a_finer_grain_than_the_system_tells() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), vec![1; 65536]).expect("room for 64 KiB");
        let fd = open(file.path(), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("it was just made");
        let told = direct_grain(&fd).expect("statx works");
        if let (Some(probed), Some(told)) = (probe_grain(&fd), told) {
            assert!(probed >= told, "probed {probed}, told {told}");
        }
    }

    #[test]
    fn a_probe_of_an_empty_file_proves_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let fd = open(file.path(), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("it was just made");
        assert_eq!(probe_grain(&fd), None);
    }
}
