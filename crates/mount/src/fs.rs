//! The filesystem behind a mount.

use std::future::Future;

use block::Buf;
use rustix::io::Errno;

use crate::{
    AttrChange, Attributes, Caller, CopyRange, Creation, Data, Entry, FallocateHow, FileFlags, Ino, Listing,
    Lookup, NewFile, Opened, RenameHow, Seek, VolumeStat, WriteHow, XattrHow,
};

/// What the transport asks of a filesystem.
///
/// Every method may run at the same time as every other, for the same inode too. An error is the errno that the
/// caller sees.
///
/// When a request's caller is interrupted, while the SAN hangs say, or when the mount ends, the future of an operation
/// that only reads is dropped where it waits; one that returns entries, only when the mount ends. The future of one that
/// changes something is not: it goes on to its end, although nobody waits for it any more, so that none is left done by
/// half.
///
/// What changes something fails with `EROFS` as it is written here: a filesystem that is only read leaves it so.
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

    /// Gives back one hold on an inode. Each [`Entry`] that a method returns, and each that it pushes on a listing,
    /// holds its inode: the kernel may ask for it by number, even after its last name is gone. The transport keeps one
    /// hold on each inode that the kernel knows, gives the others back at once, and all when the mount ends. After the
    /// last one what was kept for the inode may go, and the inode too, if it has no name.
    fn forget(&self, _ino: Ino) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// What stat(2) shows of an inode.
    fn attributes(&self, ino: Ino) -> impl Future<Output = Result<Attributes, Errno>> + Send;

    /// Where a symbolic link leads: 1 to 4095 bytes without NUL.
    fn read_link(&self, ino: Ino) -> impl Future<Output = Result<Vec<u8>, Errno>> + Send;

    /// Opens a file; `flags` are open(2)'s. With `O_TRUNC` it is emptied, and loses its set-id bits where
    /// `kill_set_id`. Not called on a mount with [`Changes::None`](crate::Changes::None), where every handle is 0.
    fn open(
        &self,
        _ino: Ino,
        _flags: u32,
        _kill_set_id: bool,
    ) -> impl Future<Output = Result<Opened, Errno>> + Send {
        async { Ok(Opened { keep_cache: true, ..Opened::default() }) }
    }

    /// Opens a directory. Only called on a mount with [`Changes::Anywhere`](crate::Changes::Anywhere).
    fn open_dir(&self, _ino: Ino, _flags: u32) -> impl Future<Output = Result<Opened, Errno>> + Send {
        async { Ok(Opened::default()) }
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

    /// Sets the flags that `lsattr` shows: all those that can be set become as they are here.
    fn set_file_flags(&self, _ino: Ino, _flags: FileFlags) -> impl Future<Output = Result<(), Errno>> + Send {
        read_only()
    }

    /// Changes attributes, and the length of a file: both at once.
    fn set_attributes(
        &self,
        _ino: Ino,
        _change: &AttrChange,
        _by: Caller,
    ) -> impl Future<Output = Result<Attributes, Errno>> + Send {
        read_only()
    }

    /// Makes a new file of any kind under a name that is free.
    fn create(
        &self,
        _dir: Ino,
        _name: &[u8],
        _file: NewFile<'_>,
        _creation: &Creation,
    ) -> impl Future<Output = Result<Entry, Errno>> + Send {
        read_only()
    }

    /// Makes a regular file and opens it. Where the name is taken: with `O_EXCL` in `flags` that is an error, else
    /// what is there is opened.
    fn create_open(
        &self,
        _dir: Ino,
        _name: &[u8],
        _flags: u32,
        _creation: &Creation,
    ) -> impl Future<Output = Result<(Entry, Opened), Errno>> + Send {
        read_only()
    }

    /// Gives an inode another name.
    fn link(
        &self,
        _ino: Ino,
        _dir: Ino,
        _name: &[u8],
        _by: Caller,
    ) -> impl Future<Output = Result<Entry, Errno>> + Send {
        read_only()
    }

    /// Takes a name of what is no directory. The inode stays while it has another name or the kernel has it.
    fn unlink(&self, _dir: Ino, _name: &[u8]) -> impl Future<Output = Result<(), Errno>> + Send {
        read_only()
    }

    /// Removes an empty directory.
    fn remove_dir(&self, _dir: Ino, _name: &[u8]) -> impl Future<Output = Result<(), Errno>> + Send {
        read_only()
    }

    /// Renames, over what the new name leads to if `how` does not forbid it: both as directory and name.
    fn rename(
        &self,
        _from: (Ino, &[u8]),
        _to: (Ino, &[u8]),
        _how: RenameHow,
        _by: Caller,
    ) -> impl Future<Output = Result<(), Errno>> + Send {
        read_only()
    }

    /// Writes `data` at `offset`, or at the end where `how` [says so](WriteHow::appends). The buffer begins on a page.
    /// Returns how many bytes were taken: 1 or more, unless there is none.
    fn write(
        &self,
        _ino: Ino,
        _handle: u64,
        _offset: u64,
        _data: Buf,
        _how: WriteHow,
        _by: Caller,
    ) -> impl Future<Output = Result<usize, Errno>> + Send {
        read_only()
    }

    /// Waits until everything that was written to `ino` before is on stable storage; with `data_only`, all that is
    /// needed to read it again.
    fn fsync(&self, _ino: Ino, _data_only: bool) -> impl Future<Output = Result<(), Errno>> + Send {
        async { Ok(()) }
    }

    /// Waits until everything that was changed before is on stable storage.
    fn sync(&self) -> impl Future<Output = Result<(), Errno>> + Send {
        async { Ok(()) }
    }

    /// Allocates or frees a range of a file, as fallocate(2).
    fn fallocate(
        &self,
        _ino: Ino,
        _offset: u64,
        _len: u64,
        _how: FallocateHow,
        _by: Caller,
    ) -> impl Future<Output = Result<(), Errno>> + Send {
        read_only()
    }

    /// Copies a range of a file into another without its bytes passing through the caller. Returns how many were
    /// copied, from the beginning. `EOPNOTSUPP` makes the caller copy it otherwise.
    fn copy_range(
        &self,
        _from: Ino,
        _to: Ino,
        _range: CopyRange,
        _by: Caller,
    ) -> impl Future<Output = Result<u32, Errno>> + Send {
        async { Err(Errno::OPNOTSUPP) }
    }

    /// Sets an extended attribute, by its full name. With `kill_set_gid`, an ACL takes the set-gid bit with it.
    fn set_xattr(
        &self,
        _ino: Ino,
        _name: &[u8],
        _value: &[u8],
        _how: XattrHow,
        _kill_set_gid: bool,
        _by: Caller,
    ) -> impl Future<Output = Result<(), Errno>> + Send {
        read_only()
    }

    /// Removes an extended attribute. `ENODATA` where there is none.
    fn remove_xattr(&self, _ino: Ino, _name: &[u8]) -> impl Future<Output = Result<(), Errno>> + Send {
        read_only()
    }
}

/// What a filesystem that is only read says to all changes.
async fn read_only<T>() -> Result<T, Errno> {
    Err(Errno::ROFS)
}
