//! From what a volume says to what a mount shows.

use ocfs2::{Error, FileType, Inode, Part, StatFs, Timestamp};
use rustix::io::Errno;

use crate::{Attr, Data, FileKind, Ino, Time, VolumeStat};

/// The errno of an error; damage is also said in the log.
pub(crate) fn failed(ino: Ino, error: &Error) -> Errno {
    if error.is_damage() {
        tracing::warn!(ino = ino.0, %error, "cannot be read");
    }
    Errno::from_raw_os_error(error.errno())
}

pub(crate) fn attr_of(inode: &Inode) -> Attr {
    let attr = inode.attr();
    Attr {
        ino: Ino(attr.ino.0),
        mode: attr.mode(),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        size: attr.size,
        blocks: attr.blocks,
        block_size: attr.blksize,
        atime: time_of(attr.atime),
        mtime: time_of(attr.mtime),
        ctime: time_of(attr.ctime),
    }
}

pub(crate) fn time_of(time: Timestamp) -> Time {
    Time { secs: time.seconds, nanos: time.nanos }
}

pub(crate) fn kind_of(kind: FileType) -> FileKind {
    match kind {
        FileType::Regular => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
    }
}

/// The same bytes, as they go to the kernel.
pub(crate) fn data_of(found: ocfs2::Data) -> Result<Data, Errno> {
    let mut data = Data::new();
    for part in found.into_parts() {
        match part {
            Part::Disk(buf, range) => data.push_buf(buf, range),
            Part::Bytes(bytes) => data.push_bytes(bytes),
            Part::Zeroes(len) => data.push_zeroes(usize::try_from(len).map_err(|_| Errno::IO)?),
        }
    }
    Ok(data)
}

/// Size and room of a volume.
pub(crate) fn stat_of(stat: &StatFs) -> Result<VolumeStat, Errno> {
    Ok(VolumeStat {
        block_size: u32::try_from(stat.block_size).map_err(|_| Errno::IO)?,
        blocks: stat.blocks,
        free: stat.free,
        available: stat.free,
        files: stat.files,
        free_files: stat.files_free,
        name_max: stat.name_max,
    })
}
