//! Changing attributes: chmod, chown, utimes, truncate.

use ocfs2_format::{BlockNum, FileType, RawDinode, Timestamp};
use zerocopy::little_endian::{U16, U32, U64};

use super::Writable;
use super::acl;
use super::change::Change;
use super::data::without_set_id;
use super::operation::Operation;
use crate::lock::{Level, Rank};
use crate::{Error, Inode};

/// What is to become of an inode's attributes; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permission, set-id and sticky bits: the low twelve are taken.
    pub perm: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes, of a regular file: what is cut off is given up, what is added reads as zeroes.
    pub size: Option<u64>,
    /// The set-id bits go, as the caller may not keep them on a file that changes.
    pub kill_set_id: bool,
    /// Last access.
    pub atime: Option<SetTime>,
    /// Last change of the contents.
    pub mtime: Option<SetTime>,
}

/// A time to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The present one.
    Now,
    /// This one.
    To(Timestamp),
}

/// `FS_IMMUTABLE_FL` and `FS_APPEND_FL` of `i_attr`.
pub(super) const IMMUTABLE: u32 = 0x10;
pub(super) const APPEND: u32 = 0x20;

impl SetAttr {
    /// Fails where the flags of `lsattr` forbid it: only "now" may be set on a file that can but grow.
    fn check(&self, inode: &Inode) -> Result<(), Error> {
        let flags = inode.dinode().attr;
        let sets = |time| matches!(time, Some(SetTime::To(_)));
        let owner = self.uid.is_some() || self.gid.is_some();
        let changes =
            self.perm.is_some() || self.size.is_some() || owner || sets(self.atime) || sets(self.mtime);
        if flags & IMMUTABLE != 0 || flags & APPEND != 0 && changes {
            return Err(Error::Flagged { ino: inode.ino(), flags });
        }
        Ok(())
    }

    /// The permission bits afterwards. A new owner takes the set-id bits from what is no directory, as `chown(2)` does.
    fn perm_of(&self, inode: &Inode) -> u16 {
        let old = inode.attr().perm;
        if let Some(perm) = self.perm {
            return perm & 0o7777;
        }
        if self.kill_set_id {
            return without_set_id(old);
        }
        let given = self.uid.is_some() || self.gid.is_some();
        if !given || inode.attr().kind == FileType::Directory {
            return old;
        }
        without_set_id(old)
    }

    fn apply(&self, inode: &Inode, now: Timestamp, raw: &mut RawDinode) {
        let perm = self.perm_of(inode);
        raw.mode = U16::new(inode.attr().kind.mode_bits() | perm);
        if let Some(uid) = self.uid {
            raw.uid = U32::new(uid);
        }
        if let Some(gid) = self.gid {
            raw.gid = U32::new(gid);
        }
        // A length that is set changes the contents, even where it is the same.
        let mtime = self.mtime.or(self.size.map(|_| SetTime::Now));
        let times = [
            (self.atime, &mut raw.atime, &mut raw.atime_nsec),
            (mtime, &mut raw.mtime, &mut raw.mtime_nsec),
            (Some(SetTime::Now), &mut raw.ctime, &mut raw.ctime_nsec),
        ];
        for (time, seconds, nanos) in times {
            let time = match time {
                None => continue,
                Some(SetTime::Now) => now,
                Some(SetTime::To(time)) => time,
            };
            *seconds = U64::new(time.seconds.cast_unsigned());
            *nanos = U32::new(time.nanos.min(999_999_999));
        }
    }
}

impl Writable {
    /// Changes attributes of inode `ino`, and its ctime. Returns it as it is then; [`Self::fsync`] makes it last.
    ///
    /// Who may do that is the caller's to judge, but for the flags of `lsattr`, which bind everybody.
    ///
    /// # Errors
    /// [`Error::Flagged`]; for a size [`Error::NotFile`], [`Error::FileTooLarge`] and, where it takes clusters,
    /// [`Error::NoSpace`] and [`Error::Quota`]; and what every change can fail with.
    pub async fn setattr(&self, ino: BlockNum, set: &SetAttr) -> Result<Inode, Error> {
        self.judged(self.try_setattr(ino, set).await)
    }

    async fn try_setattr(&self, ino: BlockNum, set: &SetAttr) -> Result<Inode, Error> {
        let mut op = self.operation();
        let Some(size) = set.size else {
            op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
            set.check(&self.volume().inode(ino).await?)?;
            return op.set_attr(ino, set, self.clock().now()).await;
        };
        let inode = op.lock_file(ino, Level::Exclusive, Level::Exclusive).await?;
        set.check(&inode)?;
        op.resize(&inode, size, set).await?;
        self.volume().inode(ino).await
    }

    /// Waits until all that was changed of inode `ino`, and its data that was written, is on stable storage.
    ///
    /// # Errors
    /// When a commit, or a flush of the device, failed, whoever asked for it: nothing is known to last since the last
    /// success, and nothing can be changed any more.
    pub async fn fsync(&self, ino: BlockNum) -> Result<(), Error> {
        // A commit flushes the device, and with it what was written before its last change: but not what came later.
        let (written, unflushed) = (self.data().last_write(), self.data().is_unflushed(ino));
        let flushed = self.journal().commit_inode(ino).await? && !unflushed;
        self.flush(written, flushed).await
    }

    /// The same for all inodes.
    ///
    /// # Errors
    /// As [`Self::fsync`].
    pub async fn sync(&self) -> Result<(), Error> {
        let (written, unflushed) = (self.data().last_write(), self.data().any_unflushed());
        let flushed = self.journal().commit_all().await? && !unflushed;
        self.flush(written, flushed).await
    }
}

impl Writable {
    /// Flushes what was written up to write number `written`, unless a commit has done so.
    async fn flush(&self, written: u64, flushed: bool) -> Result<(), Error> {
        if !flushed {
            if let Err(error) = self.volume().flush_device().await {
                self.journal().flush_failed(error.clone());
                return Err(error);
            }
            self.data().flushed(written);
        }
        // Where one failed for somebody else, what it lost is not brought back by one that succeeds.
        self.journal().expect_whole()
    }
}

impl Operation<'_> {
    /// Changes the attributes of inode `ino`, whose lock is held exclusively: all but its length.
    async fn set_attr(&mut self, ino: BlockNum, set: &SetAttr, now: Timestamp) -> Result<Inode, Error> {
        loop {
            let mut change = self.begin().await?;
            let done = apply(&mut change, ino, set, now).await;
            if let Some(inode) = change.end(done).await? {
                return Ok(inode);
            }
        }
    }
}

/// Changes the attributes of inode `ino`: all but its length.
pub(super) async fn apply(
    change: &mut Change<'_>,
    ino: BlockNum,
    set: &SetAttr,
    now: Timestamp,
) -> Result<Inode, Error> {
    let inode = change.inode(ino).await?;
    if let Some(perm) = set.perm {
        acl::chmod(change, &inode, perm).await?;
    }
    set.apply(&inode, now, change.dinode(ino).await?);
    change.inode(ino).await
}

/// Says that the inode was changed at `now`.
pub(super) fn touch(raw: &mut RawDinode, now: Timestamp) {
    (raw.ctime, raw.ctime_nsec) = (U64::new(now.seconds.cast_unsigned()), U32::new(now.nanos));
}
