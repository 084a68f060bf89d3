//! Changes: what a request says, in the words of the volume.

use block::Buf;
use ocfs2::{FallocateMode, FileType, NewInode, NewKind, SetAttr, SetTime, Timestamp};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{RwFs, block_of, has};
use crate::{
    AttrChange, Attributes, Caller, Creation, Entry, FallocateHow, FileFlags, Ino, NewFile, NewTime, Opened,
    WriteHow,
};

/// Whom a truncation by opening is done for: it takes no room.
const NOBODY: Caller = Caller { uid: u32::MAX };

impl RwFs {
    pub(super) async fn make(
        &self,
        dir: Ino,
        name: &[u8],
        file: NewFile<'_>,
        creation: &Creation,
    ) -> Result<Entry, Errno> {
        let kind = match file {
            NewFile::Regular => NewKind::File,
            NewFile::Directory => NewKind::Dir,
            NewFile::Symlink(target) => NewKind::Symlink(target),
            NewFile::Fifo => NewKind::Fifo,
            NewFile::Socket => NewKind::Socket,
            NewFile::CharDevice((major, minor)) => NewKind::CharDevice(major, minor),
            NewFile::BlockDevice((major, minor)) => NewKind::BlockDevice(major, minor),
        };
        let Creation { perm, umask, uid, gid } = *creation;
        let new = NewInode { perm, uid, gid, umask: Some(umask) };
        let made = self.fs_for(Caller { uid }).create_retained(block_of(dir), name, &new, kind).await;
        Ok(self.entry_of(&self.changed(dir, made)?))
    }

    pub(super) async fn make_and_open(
        &self,
        dir: Ino,
        name: &[u8],
        flags: u32,
        creation: &Creation,
    ) -> Result<(Entry, Opened), Errno> {
        match self.make(dir, name, NewFile::Regular, creation).await {
            Ok(entry) => Ok((entry, self.opened(flags))),
            // Another was faster.
            Err(Errno::EXIST) if !has(flags, OFlags::EXCL) => {
                let found = self.read_of(dir, self.fs.lookup_retained(block_of(dir), name).await)?;
                let inode = found.ok_or(Errno::STALE)?;
                match self.open_file(Ino(inode.ino().0), flags, true).await {
                    Ok(opened) => Ok((self.entry_of(&inode), opened)),
                    Err(errno) => {
                        self.fs.release(inode.ino()).await;
                        Err(errno)
                    }
                }
            }
            Err(errno) => Err(errno),
        }
    }

    pub(super) async fn add_name(&self, ino: Ino, dir: Ino, name: &[u8], by: Caller) -> Result<Entry, Errno> {
        self.read_of(ino, self.fs.retain(block_of(ino)).await)?;
        let linked = self.changed(dir, self.fs_for(by).link(block_of(ino), block_of(dir), name).await);
        if linked.is_err() {
            self.fs.release(block_of(ino)).await;
        }
        linked.map(|inode| self.entry_of(&inode))
    }

    /// Opens a file. The flags of `lsattr` bind here, too: the kernel does not know of them.
    pub(super) async fn open_file(&self, ino: Ino, flags: u32, kill_set_id: bool) -> Result<Opened, Errno> {
        let writes = flags & OFlags::ACCMODE.bits() != OFlags::RDONLY.bits();
        let truncates = has(flags, OFlags::TRUNC);
        if writes || truncates {
            if self.fs.read_only().is_some() {
                return Err(Errno::ROFS);
            }
            let inode = self.read_of(ino, self.fs.stat(block_of(ino)).await)?;
            let has_flags = FileFlags::from_bits_retain(inode.attr().flags);
            let only_grows = has_flags.contains(FileFlags::APPEND);
            if has_flags.contains(FileFlags::IMMUTABLE)
                || only_grows && (truncates || !has(flags, OFlags::APPEND))
            {
                return Err(Errno::PERM);
            }
            if truncates && inode.attr().kind == FileType::Regular {
                // Unlike truncate(2), it leaves its time on a file that is empty already.
                let mtime = Some(NewTime::Now);
                let change = AttrChange { size: Some(0), mtime, kill_set_id, ..AttrChange::default() };
                self.set_attr(ino, &change, NOBODY).await?;
            }
        }
        Ok(self.opened(flags))
    }

    fn opened(&self, flags: u32) -> Opened {
        let how = self.policy.open(flags);
        Opened {
            handle: self.handle(),
            keep_cache: how.keep_cache,
            direct_io: how.direct_io,
            parallel_writes: how.parallel_writes,
        }
    }

    pub(super) async fn set_attr(
        &self,
        ino: Ino,
        change: &AttrChange,
        by: Caller,
    ) -> Result<Attributes, Errno> {
        let time = |time: NewTime| match time {
            NewTime::Now => SetTime::Now,
            NewTime::To(time) => SetTime::To(Timestamp { seconds: time.secs, nanos: time.nanos }),
        };
        let set = SetAttr {
            perm: change.perm,
            uid: change.uid,
            gid: change.gid,
            size: change.size,
            kill_set_id: change.kill_set_id,
            atime: change.atime.map(time),
            mtime: change.mtime.map(time),
        };
        let inode = self.changed(ino, self.fs_for(by).setattr(block_of(ino), &set).await)?;
        Ok(self.attributes_of(&inode))
    }

    pub(super) async fn write_data(
        &self,
        ino: Ino,
        offset: u64,
        data: Buf,
        how: WriteHow,
        by: Caller,
    ) -> Result<usize, Errno> {
        // The kernel writes back pages that were changed through a mapping as root, whoever changed them.
        let fs = if how.cached { &self.fs } else { self.fs_for(by) };
        let synchronous = OFlags::DSYNC | OFlags::SYNC;
        let how = ocfs2::WriteHow {
            append: how.appends(),
            kill_set_id: how.kill_set_id,
            sync: !how.cached && how.flags & synchronous.bits() != 0,
        };
        let written = self.changed(ino, fs.write(block_of(ino), offset, data.into_bufs(), how).await)?;
        usize::try_from(written.len).map_err(|_| Errno::IO)
    }

    pub(super) async fn allocate(
        &self,
        ino: Ino,
        range: (u64, u64),
        how: FallocateHow,
        by: Caller,
    ) -> Result<(), Errno> {
        let known = FallocateHow::KEEP_SIZE | FallocateHow::PUNCH_HOLE;
        if !known.contains(how) {
            return Err(Errno::OPNOTSUPP);
        }
        let mode = FallocateMode {
            keep_size: how.contains(FallocateHow::KEEP_SIZE),
            punch_hole: how.contains(FallocateHow::PUNCH_HOLE),
        };
        let (offset, len) = range;
        self.changed(ino, self.fs_for(by).fallocate(block_of(ino), offset, len, mode).await).map(|_| ())
    }
}
