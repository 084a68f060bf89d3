//! An OCFS2 volume as a [`Filesystem`] that can be changed.
//!
//! Every request is one operation of [`Writable`], which takes the cluster locks and makes it one change of the journal.
//! What is decided here is what only a mount knows: what its kernel may cache, which inodes it still has, which reading
//! leaves its time, and when what has been changed goes to the disk although nobody asks.

mod atime;
mod changing;
mod reading;
mod tend;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use block::Buf;
use ocfs2::{BlockNum, Inode, Writable};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::coherence::Policy;
use crate::convert::{attr_of, failed, stat_of};
use crate::{
    Atime, AttrChange, Attributes, Caller, Changes, Config, CopyRange, Creation, Data, Entry, FallocateHow,
    FileFlags, Filesystem, Ino, Listing, Lookup, MountOptions, NewFile, Opened, RenameHow, Seek, VolumeStat,
    WriteHow, XattrHow,
};
use atime::AtimePolicy;

/// How a volume is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RwOptions {
    /// POSIX ACLs are shown, set and enforced.
    pub acl: bool,
    /// Attributes whose names begin with `user.` can be read and set.
    pub user_xattr: bool,
    /// Which readings leave their time.
    pub atime: Atime,
    /// Those of directories, too.
    pub dir_atime: bool,
    /// With [`Atime::Always`]: how far apart two readings must be for the second to count.
    pub atime_quantum: Duration,
}

impl From<&MountOptions> for RwOptions {
    fn from(options: &MountOptions) -> Self {
        Self {
            acl: options.acl,
            user_xattr: options.user_xattr,
            atime: options.atime,
            dir_atime: options.dir_atime,
            atime_quantum: options.atime_quantum,
        }
    }
}

/// A mounted volume that can be changed, by this host alone.
///
/// [`Self::drive`] is to be run beside the session, and [`Self::close`] called after it.
#[derive(Debug)]
pub struct RwFs {
    fs: Writable,
    /// The same for callers whom no quota binds.
    unlimited: Writable,
    options: RwOptions,
    policy: Policy,
    atime: AtimePolicy,
    next_handle: AtomicU64,
    /// Something was changed since it was last looked at.
    changed: AtomicBool,
    /// It was said in the log that nothing can be changed any more.
    said: AtomicBool,
}

impl RwFs {
    /// A volume that only this mount changes.
    pub fn new(fs: Writable, options: RwOptions) -> Self {
        let atime = AtimePolicy {
            atime: options.atime,
            directories: options.dir_atime,
            quantum: options.atime_quantum,
        };
        Self {
            unlimited: fs.ignoring_quota_limits(),
            fs,
            options,
            policy: Policy::Alone,
            atime,
            next_handle: AtomicU64::new(1),
            changed: AtomicBool::new(false),
            said: AtomicBool::new(false),
        }
    }

    /// What a session with it allows the kernel.
    pub fn config(&self) -> Config {
        Config { posix_acl: self.options.acl, changes: Changes::Here }
    }

    /// The volume.
    pub fn writable(&self) -> &Writable {
        &self.fs
    }

    /// The volume as the caller may use it.
    fn fs_for(&self, by: Caller) -> &Writable {
        if by.is_superuser() { &self.unlimited } else { &self.fs }
    }

    /// Passes the result of reading on.
    fn read_of<T>(&self, ino: Ino, result: Result<T, ocfs2::Error>) -> Result<T, Errno> {
        result.map_err(|error| {
            self.note(&error);
            failed(ino, &error)
        })
    }

    /// Passes the result of a change on.
    fn changed<T>(&self, ino: Ino, result: Result<T, ocfs2::Error>) -> Result<T, Errno> {
        self.changed.store(true, Ordering::Relaxed);
        self.read_of(ino, result)
    }

    /// Says once, and loudly, that the volume has become read-only.
    fn note(&self, error: &ocfs2::Error) {
        let Some(why) = self.fs.read_only() else { return };
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::error!(%why, %error, "nothing of the volume can be changed any more (errors=remount-ro)");
        }
    }

    fn attributes_of(&self, inode: &Inode) -> Attributes {
        Attributes { attr: attr_of(inode), ttl: self.policy.attr_ttl() }
    }

    /// An entry of an inode that has been retained for it.
    fn entry_of(&self, inode: &Inode) -> Entry {
        Entry {
            attr: attr_of(inode),
            generation: inode.attr().generation.into(),
            attr_ttl: self.policy.attr_ttl(),
            entry_ttl: self.policy.entry_ttl(),
        }
    }

    fn handle(&self) -> u64 {
        self.next_handle.fetch_add(1, Ordering::Relaxed)
    }
}

fn block_of(ino: Ino) -> BlockNum {
    BlockNum(ino.0)
}

fn has(flags: u32, flag: OFlags) -> bool {
    flags & flag.bits() != 0
}

impl Filesystem for RwFs {
    fn root(&self) -> Ino {
        Ino(self.fs.volume().root().0)
    }

    async fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Lookup, Errno> {
        self.look_up(dir, name).await
    }

    async fn forget(&self, ino: Ino) {
        self.fs.release(block_of(ino)).await;
    }

    async fn attributes(&self, ino: Ino) -> Result<Attributes, Errno> {
        let inode = self.read_of(ino, self.fs.stat(block_of(ino)).await)?;
        Ok(self.attributes_of(&inode))
    }

    async fn read_link(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        let (target, inode) = self.read_of(ino, self.fs.readlink(block_of(ino)).await)?;
        self.was_read(&inode).await;
        Ok(target)
    }

    async fn open(&self, ino: Ino, flags: u32, kill_set_id: bool) -> Result<Opened, Errno> {
        self.open_file(ino, flags, kill_set_id).await
    }

    async fn read(&self, ino: Ino, _handle: u64, offset: u64, len: usize) -> Result<Data, Errno> {
        self.read_data(ino, offset, len).await
    }

    async fn read_dir(
        &self,
        dir: Ino,
        _handle: u64,
        offset: u64,
        listing: &mut Listing,
    ) -> Result<(), Errno> {
        self.list(dir, offset, listing).await
    }

    async fn volume_stat(&self) -> Result<VolumeStat, Errno> {
        stat_of(&self.read_of(self.root(), self.fs.volume().statfs().await)?)
    }

    async fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.check_xattr(name)?;
        self.read_of(ino, self.fs.xattr(block_of(ino), name).await)
    }

    async fn xattr_names(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        self.list_xattrs(ino).await
    }

    async fn seek(&self, ino: Ino, _handle: u64, offset: u64, what: Seek) -> Result<u64, Errno> {
        let what = match what {
            Seek::Data => ocfs2::Seek::Data,
            Seek::Hole => ocfs2::Seek::Hole,
        };
        self.read_of(ino, self.fs.seek(block_of(ino), offset, what).await)?.ok_or(Errno::NXIO)
    }

    async fn file_flags(&self, ino: Ino) -> Result<FileFlags, Errno> {
        let inode = self.read_of(ino, self.fs.stat(block_of(ino)).await)?;
        Ok(FileFlags::from_bits_retain(inode.attr().flags))
    }

    async fn set_file_flags(&self, ino: Ino, flags: FileFlags) -> Result<(), Errno> {
        self.changed(ino, self.fs.set_flags(block_of(ino), flags.bits()).await).map(|_| ())
    }

    async fn set_attributes(&self, ino: Ino, change: &AttrChange, by: Caller) -> Result<Attributes, Errno> {
        self.set_attr(ino, change, by).await
    }

    async fn create(
        &self,
        dir: Ino,
        name: &[u8],
        file: NewFile<'_>,
        creation: &Creation,
    ) -> Result<Entry, Errno> {
        self.make(dir, name, file, creation).await
    }

    async fn create_open(
        &self,
        dir: Ino,
        name: &[u8],
        flags: u32,
        creation: &Creation,
    ) -> Result<(Entry, Opened), Errno> {
        self.make_and_open(dir, name, flags, creation).await
    }

    async fn link(&self, ino: Ino, dir: Ino, name: &[u8], by: Caller) -> Result<Entry, Errno> {
        self.add_name(ino, dir, name, by).await
    }

    async fn unlink(&self, dir: Ino, name: &[u8]) -> Result<(), Errno> {
        self.changed(dir, self.fs.unlink(block_of(dir), name).await)
    }

    async fn remove_dir(&self, dir: Ino, name: &[u8]) -> Result<(), Errno> {
        self.changed(dir, self.fs.rmdir(block_of(dir), name).await)
    }

    async fn rename(
        &self,
        (dir, name): (Ino, &[u8]),
        (to_dir, to): (Ino, &[u8]),
        how: RenameHow,
        by: Caller,
    ) -> Result<(), Errno> {
        // The kernel's ocfs2 knows no flag at all; to fail where the name is taken costs nothing.
        if !RenameHow::NO_REPLACE.contains(how) {
            return Err(Errno::INVAL);
        }
        let flags = ocfs2::RenameFlags { no_replace: how.contains(RenameHow::NO_REPLACE) };
        let renamed = self.fs_for(by).rename(block_of(dir), name, block_of(to_dir), to, flags).await;
        self.changed(dir, renamed)
    }

    async fn write(
        &self,
        ino: Ino,
        _handle: u64,
        offset: u64,
        data: Buf,
        how: WriteHow,
        by: Caller,
    ) -> Result<usize, Errno> {
        self.write_data(ino, offset, data, how, by).await
    }

    async fn fsync(&self, ino: Ino, _data_only: bool) -> Result<(), Errno> {
        self.read_of(ino, self.fs.fsync(block_of(ino)).await)
    }

    async fn sync(&self) -> Result<(), Errno> {
        self.read_of(self.root(), self.fs.sync().await)
    }

    async fn fallocate(
        &self,
        ino: Ino,
        offset: u64,
        len: u64,
        how: FallocateHow,
        by: Caller,
    ) -> Result<(), Errno> {
        self.allocate(ino, (offset, len), how, by).await
    }

    async fn copy_range(&self, _from: Ino, _to: Ino, _range: CopyRange, _by: Caller) -> Result<u32, Errno> {
        // The kernel copies then, page by page.
        Err(Errno::OPNOTSUPP)
    }

    async fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        how: XattrHow,
        kill_set_gid: bool,
        by: Caller,
    ) -> Result<(), Errno> {
        self.check_xattr(name)?;
        let how = match how {
            XattrHow::Any => ocfs2::XattrHow::Any,
            XattrHow::CreateOnly => ocfs2::XattrHow::Create,
            XattrHow::ReplaceOnly => ocfs2::XattrHow::Replace,
        };
        let set = ocfs2::SetXattr { how, kill_set_gid };
        self.changed(ino, self.fs_for(by).set_xattr(block_of(ino), name, value, set).await).map(|_| ())
    }

    async fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<(), Errno> {
        self.check_xattr(name)?;
        self.changed(ino, self.fs.remove_xattr(block_of(ino), name).await).map(|_| ())
    }
}
