//! A small filesystem in memory, with files that hang, wait and panic.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use block::Buf;
use rustix::fs::OFlags;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::{
    Attr, AttrChange, Attributes, Caller, CopyRange, Creation, Data, DirEntry, Entry, Errno, FallocateHow,
    FileFlags, FileKind, Filesystem, Ino, Listing, Lookup, NewFile, NewTime, RenameHow, Seek, Time,
    VolumeStat, WriteHow, XattrHow,
};

pub(super) const ROOT: Ino = Ino(500);
pub(super) const HELLO: Ino = Ino(501);
pub(super) const SUB: Ino = Ino(502);
pub(super) const LINK: Ino = Ino(503);
pub(super) const NULL: Ino = Ino(504);
pub(super) const INNER: Ino = Ino(505);
/// A read of it never ends, as when the SAN hangs; a write waits for [`MemFs::gate`].
pub(super) const HANG: Ino = Ino(506);
/// A read of it panics.
pub(super) const PANIC: Ino = Ino(507);
/// A read of it waits once before it answers.
pub(super) const SLOW: Ino = Ino(508);
/// Its inode cannot be read.
pub(super) const BAD: Ino = Ino(509);
/// A file of 8 MiB with a hole in its middle.
pub(super) const BIG: Ino = Ino(510);

/// What it takes for the present.
pub(super) const NOW: Time = Time { secs: 1_700_000_000, nanos: 5 };
pub(super) const TTL: Duration = Duration::from_secs(60);
/// An ACL in the form of the xattr calls: version 2; user::rw-, user:7:r--, group::r--, mask::r--, other::---.
pub(super) const ACL: [u8; 44] = [
    2, 0, 0, 0, //
    1, 0, 6, 0, 255, 255, 255, 255, //
    2, 0, 4, 0, 7, 0, 0, 0, //
    4, 0, 4, 0, 255, 255, 255, 255, //
    16, 0, 4, 0, 255, 255, 255, 255, //
    32, 0, 0, 0, 255, 255, 255, 255,
];

/// The tree, and what was done to it.
#[derive(Debug)]
pub(super) struct MemFs {
    pub(super) retained: Mutex<Vec<Ino>>,
    pub(super) forgotten: Mutex<Vec<Ino>>,
    pub(super) opened: AtomicUsize,
    pub(super) released: AtomicUsize,
    pub(super) hanging: AtomicUsize,
    pub(super) synced: AtomicUsize,
    /// What a write to [`HANG`] waits for.
    pub(super) gate: Semaphore,
    /// Where the data of the last write lay in memory, and how it was to be written.
    pub(super) last_write: Mutex<Option<(usize, WriteHow)>>,
    tree: Mutex<Tree>,
}

/// All inodes.
#[derive(Debug)]
struct Tree {
    nodes: BTreeMap<Ino, Node>,
    next: u64,
}

/// An inode.
#[derive(Debug)]
struct Node {
    attr: Attr,
    what: What,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    flags: FileFlags,
}

/// What is in it.
#[derive(Debug)]
enum What {
    /// Names in a directory.
    Names(BTreeMap<Vec<u8>, Ino>),
    /// Bytes of a file or link.
    Bytes(Vec<u8>),
}

/// What every read of [`BIG`] must give at an offset.
pub(super) fn big_byte(offset: u64) -> u8 {
    if (3 << 20..5 << 20).contains(&offset) { 0 } else { u8::try_from(offset % 251).expect("below 251") }
}

impl Default for MemFs {
    fn default() -> Self {
        Self {
            retained: Mutex::default(),
            forgotten: Mutex::default(),
            opened: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
            hanging: AtomicUsize::new(0),
            synced: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            last_write: Mutex::default(),
            tree: Mutex::new(Tree::planted()),
        }
    }
}

impl Tree {
    fn planted() -> Self {
        let mut tree = Self { nodes: BTreeMap::new(), next: 600 };
        let names = |names: &[(&[u8], Ino)]| {
            What::Names(names.iter().map(|(name, ino)| (name.to_vec(), *ino)).collect())
        };
        let root: &[(&[u8], Ino)] = &[
            (b"hello", HELLO),
            (b"sub", SUB),
            (b"link", LINK),
            (b"null", NULL),
            (b"hang", HANG),
            (b"panic", PANIC),
            (b"slow", SLOW),
            (b"bad", BAD),
            (b"big", BIG),
        ];
        tree.plant(ROOT, 0o040_755, names(root));
        tree.plant(SUB, 0o040_755, names(&[(b"inner", INNER), (b"\xff name", INNER)]));
        tree.plant(LINK, 0o120_777, What::Bytes(b"sub/inner".to_vec()));
        tree.plant(NULL, 0o020_666, What::Bytes(Vec::new()));
        tree.plant(HELLO, 0o100_640, What::Bytes(b"hello, world\n".to_vec()));
        tree.plant(INNER, 0o100_640, What::Bytes(b"inner".to_vec()));
        for ino in [SLOW, HANG, PANIC] {
            tree.plant(ino, 0o100_640, What::Bytes(b"never mind".to_vec()));
        }
        tree.plant(BIG, 0o100_640, What::Bytes((0..8 << 20).map(big_byte).collect()));
        tree.node(NULL).expect("planted").attr.rdev = (0xabc, 0x12345);
        let hello = tree.node(HELLO).expect("planted");
        hello.xattrs.insert(b"user.colour".to_vec(), b"blue".to_vec());
        hello.xattrs.insert(b"system.posix_acl_access".to_vec(), ACL.to_vec());
        for ino in [HELLO, SUB] {
            tree.node(ino).expect("planted").flags = FileFlags::IMMUTABLE | FileFlags::NODUMP;
        }
        tree
    }

    fn plant(&mut self, ino: Ino, mode: u32, what: What) {
        let attr = Attr {
            ino,
            mode,
            nlink: 1,
            uid: 4_294_967_293,
            gid: 12,
            rdev: (0, 0),
            size: what.len(),
            blocks: what.len().div_ceil(512),
            block_size: 4096,
            atime: Time { secs: -5, nanos: 999_999_999 },
            mtime: Time { secs: 15_000_000_000, nanos: 1 },
            ctime: Time { secs: 0, nanos: 0 },
        };
        self.nodes.insert(ino, Node { attr, what, xattrs: BTreeMap::new(), flags: FileFlags::empty() });
    }

    fn node(&mut self, ino: Ino) -> Result<&mut Node, Errno> {
        let gone = if ino == BAD { Errno::IO } else { Errno::STALE };
        self.nodes.get_mut(&ino).ok_or(gone)
    }

    fn names(&mut self, dir: Ino) -> Result<&mut BTreeMap<Vec<u8>, Ino>, Errno> {
        match &mut self.node(dir)?.what {
            What::Names(names) => Ok(names),
            What::Bytes(_) => Err(Errno::NOTDIR),
        }
    }

    fn bytes(&mut self, ino: Ino) -> Result<&mut Vec<u8>, Errno> {
        match &mut self.node(ino)?.what {
            What::Bytes(bytes) => Ok(bytes),
            What::Names(_) => Err(Errno::ISDIR),
        }
    }

    fn attr(&mut self, ino: Ino) -> Result<Attr, Errno> {
        let node = self.node(ino)?;
        Ok(Attr { size: node.what.len(), blocks: node.what.len().div_ceil(512), ..node.attr })
    }

    fn entry(&mut self, ino: Ino) -> Result<Entry, Errno> {
        Ok(Entry { attr: self.attr(ino)?, generation: 77, attr_ttl: TTL, entry_ttl: TTL })
    }
}

impl What {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).expect("short"),
            Self::Names(_) => 0,
        }
    }
}

impl MemFs {
    /// Notes that an entry holds its inode.
    fn held(&self, entry: Result<Entry, Errno>) -> Result<Entry, Errno> {
        entry.inspect(|entry| self.retained.lock().expect("retained").push(entry.attr.ino))
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().expect("tree")
    }
}

impl Filesystem for MemFs {
    fn root(&self) -> Ino {
        ROOT
    }

    async fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Lookup, Errno> {
        match name {
            b"." => return self.held(self.tree().entry(dir)).map(Lookup::Found),
            b".." => return self.held(self.tree().entry(ROOT)).map(Lookup::Found),
            _ => {}
        }
        let mut tree = self.tree();
        match tree.names(dir)?.get(name).copied() {
            Some(ino) => self.held(tree.entry(ino)).map(Lookup::Found),
            None => Ok(Lookup::Missing(TTL)),
        }
    }

    async fn forget(&self, ino: Ino) {
        if ino == SLOW {
            yield_now().await;
        }
        self.forgotten.lock().expect("forgotten").push(ino);
    }

    async fn attributes(&self, ino: Ino) -> Result<Attributes, Errno> {
        Ok(Attributes { attr: self.tree().attr(ino)?, ttl: TTL })
    }

    async fn read_link(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        let mut tree = self.tree();
        if tree.attr(ino)?.mode & 0o170_000 != 0o120_000 {
            return Err(Errno::INVAL);
        }
        Ok(tree.bytes(ino)?.clone())
    }

    async fn open(&self, ino: Ino, flags: u32, _kill: bool) -> Result<crate::Opened, Errno> {
        if flags & OFlags::TRUNC.bits() != 0 {
            self.tree().bytes(ino)?.clear();
        }
        let before = self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(crate::Opened { handle: u64::try_from(before).expect("few") + 40, ..Default::default() })
    }

    async fn release(&self, _ino: Ino, handle: u64) {
        assert!(handle >= 40);
        self.released.fetch_add(1, Ordering::SeqCst);
    }

    async fn read(&self, ino: Ino, _handle: u64, offset: u64, len: usize) -> Result<Data, Errno> {
        match ino {
            HANG => {
                self.hanging.fetch_add(1, Ordering::SeqCst);
                let _leaving = Leaving(&self.hanging);
                pending::<()>().await;
            }
            PANIC => panic!("as it was asked to"),
            SLOW => yield_now().await,
            _ => {}
        }
        let mut data = Data::new();
        let at = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
        if ino == BIG {
            let end = (8usize << 20).min(at.saturating_add(len));
            let bytes: Vec<u8> =
                (at.min(end)..end).map(|at| big_byte(u64::try_from(at).expect("small"))).collect();
            // In pieces, some of them holes, and now and then more than one writev takes.
            let step = if (at >> 20) & 1 == 1 { 1024 } else { 64 << 10 };
            for piece in bytes.chunks(step) {
                if piece.iter().all(|&b| b == 0) {
                    data.push_zeroes(piece.len());
                } else {
                    data.push_buf(Buf::copy_of(&[b"xx", piece, b"y"].concat()), 2..piece.len() + 2);
                }
            }
        } else {
            let mut tree = self.tree();
            let all = tree.bytes(ino)?;
            data.push_bytes(all[at.min(all.len())..at.saturating_add(len).min(all.len())].to_vec());
        }
        Ok(data)
    }

    async fn read_dir(
        &self,
        dir: Ino,
        _handle: u64,
        offset: u64,
        listing: &mut Listing,
    ) -> Result<(), Errno> {
        let mut tree = self.tree();
        let mut all = vec![(b".".to_vec(), dir), (b"..".to_vec(), ROOT)];
        all.extend(tree.names(dir)?.iter().map(|(name, ino)| (name.clone(), *ino)));
        for (at, (name, ino)) in all.into_iter().enumerate().skip(usize::try_from(offset).expect("small")) {
            let kind = tree.attr(ino).map_or(FileKind::Unknown, |attr| FileKind::of_mode(attr.mode));
            let next_offset = u64::try_from(at + 1).expect("small");
            let inode = if listing.wants_inodes() { tree.entry(ino).ok() } else { None };
            if !listing.push(DirEntry { ino, kind, name: &name, next_offset }, inode.as_ref()) {
                break;
            }
            if !matches!(&name[..], b"." | b"..")
                && let Some(inode) = inode
            {
                self.held(Ok(inode))?;
            }
        }
        Ok(())
    }

    async fn volume_stat(&self) -> Result<VolumeStat, Errno> {
        Ok(VolumeStat {
            block_size: 4096,
            blocks: 1000,
            free: 300,
            available: 200,
            files: 50,
            free_files: 40,
            name_max: 255,
        })
    }

    async fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.tree().node(ino)?.xattrs.get(name).cloned().ok_or(Errno::NODATA)
    }

    async fn xattr_names(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        for name in self.tree().node(ino)?.xattrs.keys().rev() {
            names.extend_from_slice(name);
            names.push(0);
        }
        Ok(names)
    }

    async fn seek(&self, ino: Ino, _handle: u64, offset: u64, what: Seek) -> Result<u64, Errno> {
        let (hole, data, end) = (3 << 20, 5 << 20, 8 << 20);
        if ino != BIG || offset >= end {
            return Err(Errno::NXIO);
        }
        Ok(match (what, offset) {
            (Seek::Data, at) if at < hole || at >= data => at,
            (Seek::Data, _) => data,
            (Seek::Hole, at) if at < hole => hole,
            (Seek::Hole, at) if at < data => at,
            (Seek::Hole, _) => end,
        })
    }

    async fn file_flags(&self, ino: Ino) -> Result<FileFlags, Errno> {
        Ok(self.tree().node(ino)?.flags)
    }

    async fn set_file_flags(&self, ino: Ino, flags: FileFlags) -> Result<(), Errno> {
        self.tree().node(ino)?.flags = flags;
        Ok(())
    }

    async fn set_attributes(&self, ino: Ino, change: &AttrChange, _by: Caller) -> Result<Attributes, Errno> {
        if let Some(size) = change.size {
            self.tree().bytes(ino)?.resize(usize::try_from(size).map_err(|_| Errno::FBIG)?, 0);
        }
        let mut tree = self.tree();
        let attr = &mut tree.node(ino)?.attr;
        let kind = attr.mode & 0o170_000;
        attr.mode = change.perm.map_or(attr.mode, |perm| kind | u32::from(perm));
        if change.kill_set_id {
            attr.mode &= !0o6000;
        }
        attr.uid = change.uid.unwrap_or(attr.uid);
        attr.gid = change.gid.unwrap_or(attr.gid);
        for (time, new) in [(&mut attr.atime, change.atime), (&mut attr.mtime, change.mtime)] {
            match new {
                Some(NewTime::To(new)) => *time = new,
                Some(NewTime::Now) => *time = NOW,
                None => {}
            }
        }
        Ok(Attributes { attr: tree.attr(ino)?, ttl: TTL })
    }

    async fn create(
        &self,
        dir: Ino,
        name: &[u8],
        file: NewFile<'_>,
        creation: &Creation,
    ) -> Result<Entry, Errno> {
        let mut tree = self.tree();
        if tree.names(dir)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let (kind, what, rdev) = match file {
            NewFile::Regular => (0o100_000, What::Bytes(Vec::new()), (0, 0)),
            NewFile::Directory => (0o040_000, What::Names(BTreeMap::new()), (0, 0)),
            NewFile::Symlink(target) => (0o120_000, What::Bytes(target.to_vec()), (0, 0)),
            NewFile::Fifo => (0o010_000, What::Bytes(Vec::new()), (0, 0)),
            NewFile::Socket => (0o140_000, What::Bytes(Vec::new()), (0, 0)),
            NewFile::CharDevice(rdev) => (0o020_000, What::Bytes(Vec::new()), rdev),
            NewFile::BlockDevice(rdev) => (0o060_000, What::Bytes(Vec::new()), rdev),
        };
        let ino = Ino(tree.next);
        tree.next += 1;
        tree.plant(ino, kind | u32::from(creation.perm & !creation.umask), what);
        let attr = &mut tree.node(ino)?.attr;
        (attr.uid, attr.gid, attr.rdev) = (creation.uid, creation.gid, rdev);
        tree.names(dir)?.insert(name.to_vec(), ino);
        self.held(tree.entry(ino))
    }

    async fn create_open(
        &self,
        dir: Ino,
        name: &[u8],
        flags: u32,
        creation: &Creation,
    ) -> Result<(Entry, crate::Opened), Errno> {
        let there = self.tree().names(dir)?.get(name).copied();
        let entry = match there {
            Some(_) if flags & OFlags::EXCL.bits() != 0 => return Err(Errno::EXIST),
            Some(ino) => self.held(self.tree().entry(ino))?,
            None => self.create(dir, name, NewFile::Regular, creation).await?,
        };
        Ok((entry, self.open(entry.attr.ino, flags, false).await?))
    }

    async fn link(&self, ino: Ino, dir: Ino, name: &[u8], _by: Caller) -> Result<Entry, Errno> {
        let mut tree = self.tree();
        if tree.names(dir)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        tree.node(ino)?.attr.nlink += 1;
        tree.names(dir)?.insert(name.to_vec(), ino);
        self.held(tree.entry(ino))
    }

    async fn unlink(&self, dir: Ino, name: &[u8]) -> Result<(), Errno> {
        let mut tree = self.tree();
        let ino = tree.names(dir)?.remove(name).ok_or(Errno::NOENT)?;
        tree.node(ino)?.attr.nlink -= 1;
        Ok(())
    }

    async fn remove_dir(&self, dir: Ino, name: &[u8]) -> Result<(), Errno> {
        let mut tree = self.tree();
        let ino = *tree.names(dir)?.get(name).ok_or(Errno::NOENT)?;
        if !tree.names(ino)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        tree.names(dir)?.remove(name);
        Ok(())
    }

    async fn rename(
        &self,
        (dir, name): (Ino, &[u8]),
        (to_dir, to): (Ino, &[u8]),
        how: RenameHow,
        _by: Caller,
    ) -> Result<(), Errno> {
        let mut tree = self.tree();
        let ino = *tree.names(dir)?.get(name).ok_or(Errno::NOENT)?;
        let there = tree.names(to_dir)?.get(to).copied();
        match (there, how) {
            (Some(_), RenameHow::NO_REPLACE) => return Err(Errno::EXIST),
            (Some(other), RenameHow::EXCHANGE) => {
                tree.names(dir)?.insert(name.to_vec(), other);
            }
            _ => {
                tree.names(dir)?.remove(name);
            }
        }
        tree.names(to_dir)?.insert(to.to_vec(), ino);
        Ok(())
    }

    async fn write(
        &self,
        ino: Ino,
        handle: u64,
        offset: u64,
        data: Buf,
        how: WriteHow,
        _by: Caller,
    ) -> Result<usize, Errno> {
        assert!(how.cached || handle >= 40);
        if ino == HANG {
            self.hanging.fetch_add(1, Ordering::SeqCst);
            let _leaving = Leaving(&self.hanging);
            self.gate.acquire().await.expect("never closed").forget();
        }
        *self.last_write.lock().expect("last write") = Some((data.as_ptr().addr(), how));
        let mut tree = self.tree();
        if how.kill_set_id {
            tree.node(ino)?.attr.mode &= !0o6000;
        }
        let bytes = tree.bytes(ino)?;
        let at =
            if how.appends() { bytes.len() } else { usize::try_from(offset).map_err(|_| Errno::FBIG)? };
        bytes.resize(bytes.len().max(at + data.len()), 0);
        bytes[at..at + data.len()].copy_from_slice(&data);
        Ok(data.len())
    }

    async fn fsync(&self, _ino: Ino, _data_only: bool) -> Result<(), Errno> {
        self.synced.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn fallocate(
        &self,
        ino: Ino,
        offset: u64,
        len: u64,
        how: FallocateHow,
        _by: Caller,
    ) -> Result<(), Errno> {
        let mut tree = self.tree();
        let bytes = tree.bytes(ino)?;
        let (at, end) =
            (usize::try_from(offset).expect("small"), usize::try_from(offset + len).expect("small"));
        if how == FallocateHow::empty() {
            bytes.resize(bytes.len().max(end), 0);
        } else if how == FallocateHow::KEEP_SIZE | FallocateHow::PUNCH_HOLE {
            let room = bytes.len();
            bytes[at.min(room)..end.min(room)].fill(0);
        } else if how != FallocateHow::KEEP_SIZE {
            return Err(Errno::OPNOTSUPP);
        }
        Ok(())
    }

    async fn copy_range(&self, from: Ino, to: Ino, range: CopyRange, _by: Caller) -> Result<u32, Errno> {
        let mut tree = self.tree();
        let (at, len) =
            (usize::try_from(range.from).expect("small"), usize::try_from(range.len).expect("small"));
        let all = tree.bytes(from)?;
        let bytes = all[at.min(all.len())..at.saturating_add(len).min(all.len())].to_vec();
        let to_at = usize::try_from(range.to).expect("small");
        let all = tree.bytes(to)?;
        all.resize(all.len().max(to_at + bytes.len()), 0);
        all[to_at..to_at + bytes.len()].copy_from_slice(&bytes);
        u32::try_from(bytes.len()).map_err(|_| Errno::INVAL)
    }

    async fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        how: XattrHow,
        kill_set_gid: bool,
        _by: Caller,
    ) -> Result<(), Errno> {
        let mut tree = self.tree();
        let node = tree.node(ino)?;
        match (node.xattrs.contains_key(name), how) {
            (true, XattrHow::CreateOnly) => return Err(Errno::EXIST),
            (false, XattrHow::ReplaceOnly) => return Err(Errno::NODATA),
            _ => {}
        }
        if kill_set_gid {
            node.attr.mode &= !0o2000;
        }
        node.xattrs.insert(name.to_vec(), value.to_vec());
        Ok(())
    }

    async fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<(), Errno> {
        self.tree().node(ino)?.xattrs.remove(name).map(|_| ()).ok_or(Errno::NODATA)
    }
}

/// Counts a hanging read out when its future is dropped.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
