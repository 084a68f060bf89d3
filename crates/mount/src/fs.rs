//! The filesystem behind a mount.

use std::future::Future;

use rustix::io::Errno;

use crate::{Attributes, Data, FileFlags, Ino, Listing, Lookup, Opened, Seek, VolumeStat};

/// What the transport asks of a filesystem.
///
/// Every method may run at the same time as every other, for the same inode too. An error is the errno that the
/// caller sees. None of these operations changes the volume, so each future may be dropped at any point where it
/// waits: that is how a request ends whose caller was interrupted, while the SAN hangs say.
///
/// A future is polled once on the thread that read the request from the kernel, and moves to a task of the runtime
/// only if it has to wait: an answer from the cache costs no switch. It must not block.
pub trait Filesystem: Send + Sync + 'static {
    /// The number of the volume's root directory; fixed.
    fn root(&self) -> Ino;

    /// Looks a name up in a directory. `.` is the directory itself, `..` its parent (the root's is the root).
    ///
    /// Names are 1 to 1023 bytes without NUL or `/`, and need not be UTF-8.
    fn lookup(&self, dir: Ino, name: &[u8]) -> impl Future<Output = Result<Lookup, Errno>> + Send;

    /// The kernel holds no reference to this inode any more: what was kept for it may go.
    ///
    /// The transport counts the references. A look-up that runs at the same time may bring the inode back.
    fn forget(&self, _ino: Ino) {}

    /// What stat(2) shows of an inode.
    fn attributes(&self, ino: Ino) -> impl Future<Output = Result<Attributes, Errno>> + Send;

    /// Where a symbolic link leads: 1 to 4095 bytes without NUL.
    fn read_link(&self, ino: Ino) -> impl Future<Output = Result<Vec<u8>, Errno>> + Send;

    /// Opens a file or directory; `flags` are open(2)'s. Not called on a mount with
    /// [`Config::unchanging`](crate::Config::unchanging), where every handle is 0.
    fn open(&self, _ino: Ino, _flags: u32) -> impl Future<Output = Result<Opened, Errno>> + Send {
        async { Ok(Opened { keep_cache: true, ..Opened::default() }) }
    }

    /// The last user of an open file or directory has closed it. Called as often as [`Self::open`] succeeded,
    /// unless the mount ends first.
    fn release(&self, _ino: Ino, _handle: u64) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Reads up to `len` bytes at `offset`: fewer only at the end of the file, none beyond it.
    fn read(
        &self,
        ino: Ino,
        handle: u64,
        offset: u64,
        len: usize,
    ) -> impl Future<Output = Result<Data, Errno>> + Send;

    /// Lists a directory from the entry at `offset` on (0 is its beginning, everything else an offset that an
    /// earlier listing gave) until `listing` is full or the directory ends. `.` and `..` are entries like others.
    ///
    /// The same offset must mean the same entry for as long as the directory does not change. An error is for the
    /// case that nothing can be listed from `offset` on; entries pushed before it are given first.
    fn read_dir(
        &self,
        dir: Ino,
        handle: u64,
        offset: u64,
        listing: &mut Listing,
    ) -> impl Future<Output = Result<(), Errno>> + Send;

    /// Size and room of the volume, without taking a cluster lock: `df` in a loop must cost nothing.
    fn volume_stat(&self) -> impl Future<Output = Result<VolumeStat, Errno>> + Send;

    /// The value of an extended attribute, by its full name (`user.x`, `system.posix_acl_access`). ACLs are in
    /// the form of the xattr system calls. `ENODATA` where there is none.
    fn xattr(&self, ino: Ino, name: &[u8]) -> impl Future<Output = Result<Vec<u8>, Errno>> + Send;

    /// The full names of an inode's extended attributes, each followed by a NUL.
    fn xattr_names(&self, ino: Ino) -> impl Future<Output = Result<Vec<u8>, Errno>> + Send;

    /// Looks for data or a hole. `ENXIO` at or past the end of the file, and where no data follows.
    fn seek(
        &self,
        ino: Ino,
        handle: u64,
        offset: u64,
        what: Seek,
    ) -> impl Future<Output = Result<u64, Errno>> + Send;

    /// The flags that `lsattr` shows.
    fn file_flags(&self, ino: Ino) -> impl Future<Output = Result<FileFlags, Errno>> + Send;
}
