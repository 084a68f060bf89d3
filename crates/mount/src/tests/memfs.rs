//! A small filesystem in memory, with files that hang, wait and panic.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use block::Buf;
use tokio::task::yield_now;

use crate::{
    Attr, Attributes, Data, DirEntry, Entry, Errno, FileFlags, FileKind, Filesystem, Ino, Listing, Lookup,
    Seek, Time, VolumeStat,
};

pub(super) const ROOT: Ino = Ino(500);
pub(super) const HELLO: Ino = Ino(501);
pub(super) const SUB: Ino = Ino(502);
pub(super) const LINK: Ino = Ino(503);
pub(super) const NULL: Ino = Ino(504);
pub(super) const INNER: Ino = Ino(505);
/// A read of it never ends, as when the SAN hangs.
pub(super) const HANG: Ino = Ino(506);
/// A read of it panics.
pub(super) const PANIC: Ino = Ino(507);
/// A read of it waits once before it answers.
pub(super) const SLOW: Ino = Ino(508);
/// Its inode cannot be read.
pub(super) const BAD: Ino = Ino(509);
/// A file of 8 MiB with a hole in its middle.
pub(super) const BIG: Ino = Ino(510);

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
#[derive(Debug, Default)]
pub(super) struct MemFs {
    pub(super) forgotten: Mutex<Vec<Ino>>,
    pub(super) opened: AtomicUsize,
    pub(super) released: AtomicUsize,
    pub(super) hanging: AtomicUsize,
}

/// What every read of [`BIG`] must give at an offset.
pub(super) fn big_byte(offset: u64) -> u8 {
    if (3 << 20..5 << 20).contains(&offset) { 0 } else { u8::try_from(offset % 251).expect("below 251") }
}

fn children(dir: Ino) -> Result<BTreeMap<&'static [u8], Ino>, Errno> {
    match dir {
        ROOT => Ok([
            (&b"hello"[..], HELLO),
            (b"sub", SUB),
            (b"link", LINK),
            (b"null", NULL),
            (b"hang", HANG),
            (b"panic", PANIC),
            (b"slow", SLOW),
            (b"bad", BAD),
            (b"big", BIG),
        ]
        .into()),
        SUB => Ok([(&b"inner"[..], INNER), (b"\xff name", INNER)].into()),
        _ => Err(Errno::NOTDIR),
    }
}

fn contents(ino: Ino) -> &'static [u8] {
    match ino {
        HELLO => b"hello, world\n",
        LINK => b"sub/inner",
        INNER => b"inner",
        SLOW | HANG | PANIC => b"never mind",
        _ => b"",
    }
}

fn attr(ino: Ino) -> Result<Attr, Errno> {
    let mode = match ino {
        ROOT | SUB => 0o040_755,
        LINK => 0o120_777,
        NULL => 0o020_666,
        BAD => return Err(Errno::IO),
        Ino(500..=510) => 0o100_640,
        _ => return Err(Errno::STALE),
    };
    let size = if ino == BIG { 8 << 20 } else { u64::try_from(contents(ino).len()).expect("short") };
    Ok(Attr {
        ino,
        mode,
        nlink: 1,
        uid: 4_294_967_293,
        gid: 12,
        rdev: if ino == NULL { (0xabc, 0x12345) } else { (0, 0) },
        size,
        blocks: size.div_ceil(512),
        block_size: 4096,
        atime: Time { secs: -5, nanos: 999_999_999 },
        mtime: Time { secs: 15_000_000_000, nanos: 1 },
        ctime: Time { secs: 0, nanos: 0 },
    })
}

fn entry(ino: Ino) -> Result<Entry, Errno> {
    Ok(Entry { attr: attr(ino)?, generation: 77, attr_ttl: TTL, entry_ttl: TTL })
}

impl Filesystem for MemFs {
    fn root(&self) -> Ino {
        ROOT
    }

    async fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Lookup, Errno> {
        match name {
            b"." => return entry(dir).map(Lookup::Found),
            b".." => return entry(ROOT).map(Lookup::Found),
            _ => {}
        }
        match children(dir)?.get(name) {
            Some(&ino) => entry(ino).map(Lookup::Found),
            None => Ok(Lookup::Missing(TTL)),
        }
    }

    fn forget(&self, ino: Ino) {
        self.forgotten.lock().expect("forgotten").push(ino);
    }

    async fn attributes(&self, ino: Ino) -> Result<Attributes, Errno> {
        Ok(Attributes { attr: attr(ino)?, ttl: TTL })
    }

    async fn read_link(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        if ino == LINK { Ok(contents(ino).to_vec()) } else { Err(Errno::INVAL) }
    }

    async fn open(&self, _ino: Ino, _flags: u32) -> Result<crate::Opened, Errno> {
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
            let all = contents(ino);
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
        let mut all = vec![(&b"."[..], dir), (b"..", ROOT)];
        all.extend(children(dir)?);
        for (at, (name, ino)) in all.into_iter().enumerate().skip(usize::try_from(offset).expect("small")) {
            let kind = attr(ino).map_or(FileKind::Unknown, |attr| FileKind::of_mode(attr.mode));
            let next_offset = u64::try_from(at + 1).expect("small");
            let inode = if listing.wants_inodes() { entry(ino).ok() } else { None };
            if !listing.push(DirEntry { ino, kind, name, next_offset }, inode.as_ref()) {
                break;
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
        match (ino, name) {
            (HELLO, b"user.colour") => Ok(b"blue".to_vec()),
            (HELLO, b"system.posix_acl_access") => Ok(ACL.to_vec()),
            _ => Err(Errno::NODATA),
        }
    }

    async fn xattr_names(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        Ok(if ino == HELLO { b"user.colour\0system.posix_acl_access\0".to_vec() } else { Vec::new() })
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
        Ok(if ino == HELLO || ino == SUB {
            FileFlags::IMMUTABLE | FileFlags::NODUMP
        } else {
            FileFlags::empty()
        })
    }
}

/// Counts a hanging read out when its future is dropped.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
