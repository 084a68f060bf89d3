//! A volume's manifest: one JSON line for each file, as `fixtures/README.md` defines it and as the kernel's own
//! view of the volume was written down.

use futures_util::stream::{self, Stream, StreamExt};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::contents::FileContents;
use crate::data::Piece;
use crate::fiemap::FiemapExtent;
use crate::inode::Inode;
use crate::json::{self, Object};
use crate::seek::Seek;
use crate::walk::{Walk, WalkEntry, WalkError};
use crate::{Attr, Error, FileType, Volume, type_name};

/// Most files of one job.
const JOB_FILES: usize = 128;
/// Bytes of contents after which a job is full.
const JOB_BYTES: u64 = 1 << 20;
/// Jobs on their way at once where the caller leaves it to us.
const JOBS: usize = 8;
/// Unit of reading a large file's contents, in bytes. Smaller files are read whole, together with others.
const CHUNK: u64 = 256 << 10;
/// Reads in flight for one large file.
const DEPTH: usize = 2;
/// Larger files have the hash of their non-zero blocks, so that a terabyte of holes costs nothing.
const WHOLE_HASH_MAX: u64 = 64 << 20;
/// Unit of that hash, whatever the volume's block size.
const HASH_BLOCK: usize = 4096;
/// A file with more extents has only their count.
const LISTED_EXTENTS: usize = 64;

/// Some files that follow each other in a manifest. Their lines can be made by any task on any thread.
#[derive(Debug)]
pub struct ManifestJob {
    volume: Volume,
    files: Vec<WalkEntry>,
    errors: Vec<WalkError>,
}

/// What came of a [`ManifestJob`].
#[derive(Debug, Default)]
pub struct ManifestPart {
    /// Complete lines with their newlines, in the order of the walk. A file that cannot be read whole has none.
    pub lines: Vec<u8>,
    /// What could not be read.
    pub errors: Vec<WalkError>,
}

impl Volume {
    /// The manifest of the tree below `top`, in order, made by the task that polls the stream.
    ///
    /// Memory is bounded by 8 times what [`manifest_jobs`](Self::manifest_jobs) says of one, beside the walk's own.
    pub fn manifest(&self, top: Inode) -> impl Stream<Item = ManifestPart> + '_ {
        self.manifest_jobs(top).map(ManifestJob::run).buffered(JOBS)
    }

    /// The same, cut into jobs, for a caller with several threads: whatever the order in which they are run, the
    /// manifest is their parts in the order of the jobs.
    ///
    /// A job holds at most 128 inodes, and while it runs 1.25 MiB of contents and the gaps between them.
    pub fn manifest_jobs(&self, top: Inode) -> impl Stream<Item = ManifestJob> + '_ {
        stream::unfold(self.walk(top), async |mut walk| Some((self.next_job(&mut walk).await?, walk)))
    }

    async fn next_job(&self, walk: &mut Walk<'_>) -> Option<ManifestJob> {
        let mut job = ManifestJob { volume: self.clone(), files: Vec::new(), errors: Vec::new() };
        let mut bytes = 0_u64;
        while bytes < JOB_BYTES && job.files.len() + job.errors.len() < JOB_FILES {
            match walk.next().await {
                Some(Ok(entry)) => {
                    bytes = bytes.saturating_add(contents_len(&entry.inode));
                    job.files.push(entry);
                }
                Some(Err(error)) => job.errors.push(error),
                None if job.files.is_empty() && job.errors.is_empty() => return None,
                None => break,
            }
        }
        Some(job)
    }
}

impl ManifestJob {
    /// Makes the lines.
    pub async fn run(self) -> ManifestPart {
        let Self { volume, files, errors } = self;
        let mut part = ManifestPart { lines: Vec::with_capacity(files.len() * 384), errors };
        let small: Vec<&Inode> =
            files.iter().map(|entry| &entry.inode).filter(|inode| is_small(inode)).collect();
        let mut contents = volume.contents(&small).await;
        let mut taken = 0;
        for WalkEntry { path, inode } in &files {
            let start = part.lines.len();
            let known = is_small(inode).then(|| {
                taken += 1;
                contents.take(taken - 1)
            });
            let line = match known.transpose() {
                Ok(known) => volume.add_line(&mut part.lines, path, inode, known).await,
                Err(error) => Err(error),
            };
            if let Err(source) = line {
                part.lines.truncate(start);
                part.errors.push(WalkError { path: path.clone(), source });
            }
        }
        part
    }
}

/// Bytes to be read for a file's checksum.
fn contents_len(inode: &Inode) -> u64 {
    if inode.attr().kind == FileType::Regular { inode.attr().size } else { 0 }
}

/// Whether a file is read whole, with others.
fn is_small(inode: &Inode) -> bool {
    inode.attr().kind == FileType::Regular && inode.attr().size <= CHUNK
}

impl Volume {
    /// Adds the line of one inode. `known` is what it holds, where that has been read.
    async fn add_line(
        &self,
        out: &mut Vec<u8>,
        path: &[u8],
        inode: &Inode,
        known: Option<FileContents>,
    ) -> Result<(), Error> {
        let attr = inode.attr();
        let mut line = Object::open(out);
        line.text("path", path);
        add_attr(&mut line, attr);
        match attr.kind {
            FileType::Symlink => line.text("target", &self.readlink(inode).await?),
            FileType::CharDevice | FileType::BlockDevice => line.pair("rdev", attr.rdev.0, attr.rdev.1),
            FileType::Regular | FileType::Directory if attr.flags != 0 => line.number("flags", attr.flags),
            _ => {}
        }
        if attr.kind == FileType::Regular {
            let (key, hash) = match known {
                Some(known) => ("sha256", hash_known(&known, inode)),
                None if attr.size <= WHOLE_HASH_MAX => ("sha256", self.hash_whole(inode).await?),
                None => ("sha256_blocks", self.hash_blocks(inode).await?),
            };
            line.hex(key, &hash);
            self.add_extents(&mut line, inode).await?;
        }
        self.add_xattrs(&mut line, inode).await?;
        line.close();
        out.push(b'\n');
        Ok(())
    }

    async fn hash_whole(&self, inode: &Inode) -> Result<[u8; 32], Error> {
        let mut hash = Sha256::new();
        let mut chunks = std::pin::pin!(self.chunks(inode, 0..inode.attr().size, CHUNK, DEPTH));
        while let Some(chunk) = chunks.next().await {
            hash_pieces(&mut hash, chunk?.1.pieces());
        }
        Ok(hash.finalize().into())
    }

    /// The hash over the number (little-endian) and bytes of every 4096-byte block that is not all zero.
    async fn hash_blocks(&self, inode: &Inode) -> Result<[u8; 32], Error> {
        let mut hash = Sha256::new();
        let mut at = 0;
        while let Some(start) = self.seek(inode, at, Seek::Data).await? {
            let end = self.seek(inode, start, Seek::Hole).await?.unwrap_or(inode.attr().size);
            let mut chunks = std::pin::pin!(self.chunks(inode, start..end, CHUNK, DEPTH));
            while let Some(chunk) = chunks.next().await {
                let (offset, data) = chunk?;
                let bytes = data.to_vec();
                for (block, bytes) in (offset / HASH_BLOCK as u64..).zip(bytes.chunks(HASH_BLOCK)) {
                    if bytes.iter().any(|byte| *byte != 0) {
                        hash.update(block.to_le_bytes());
                        hash.update(bytes);
                        hash.update(&[0; HASH_BLOCK][bytes.len()..]);
                    }
                }
            }
            at = end;
        }
        Ok(hash.finalize().into())
    }

    async fn add_extents(&self, line: &mut Object<'_>, inode: &Inode) -> Result<(), Error> {
        if inode.attr().blocks == 0 && inode.attr().size == 0 {
            return Ok(());
        }
        let mut extents = self.fiemap(inode, 0, u64::MAX);
        let mut listed: SmallVec<[FiemapExtent; 4]> = SmallVec::new();
        let mut count = 0_u64;
        while let Some(extent) = extents.next().await? {
            count += 1;
            if listed.len() < LISTED_EXTENTS {
                listed.push(extent);
            }
        }
        line.number("extents", count);
        if count > 0 && count <= LISTED_EXTENTS as u64 {
            line.table(
                "fiemap",
                listed.iter().map(|e| [e.logical, e.physical, e.length, u64::from(e.flags)]),
            );
        }
        Ok(())
    }

    async fn add_xattrs(&self, line: &mut Object<'_>, inode: &Inode) -> Result<(), Error> {
        let mut xattrs = self.xattrs(inode).await?;
        if xattrs.is_empty() {
            return Ok(());
        }
        xattrs.sort_by(|a, b| a.name().cmp(b.name()));
        let mut member = line.object("xattrs");
        for xattr in xattrs {
            let name = xattr.name();
            // The manifest has no form for a name that is not UTF-8.
            let name = if json::is_utf8(name) { name } else { b"?" };
            member.bytes(name, &self.xattr_value(inode, &xattr).await?);
        }
        member.close();
        Ok(())
    }
}

fn add_attr(line: &mut Object<'_>, attr: &Attr) {
    line.word("type", type_name(attr.kind));
    line.octal("mode", attr.perm);
    line.number("uid", attr.uid);
    line.number("gid", attr.gid);
    line.number("nlink", attr.nlink);
    line.number("ino", attr.ino.0);
    line.number("size", attr.size);
    line.number("blocks", attr.blocks);
    line.pair("mtime", attr.mtime.seconds, attr.mtime.nanos);
    line.pair("ctime", attr.ctime.seconds, attr.ctime.nanos);
}

fn hash_known(known: &FileContents, inode: &Inode) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash_pieces(&mut hash, known.pieces(inode));
    hash.finalize().into()
}

fn hash_pieces<'a>(hash: &mut Sha256, pieces: impl Iterator<Item = Piece<'a>>) {
    const ZEROES: [u8; 8192] = [0; 8192];
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => hash.update(bytes),
            Piece::Zeroes(mut left) => {
                while left > 0 {
                    let n = left.min(ZEROES.len() as u64);
                    hash.update(&ZEROES[..usize::try_from(n).unwrap_or(ZEROES.len())]);
                    left -= n;
                }
            }
        }
    }
}
