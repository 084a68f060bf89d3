//! A volume's manifest: one JSON line for each file, as `fixtures/README.md` defines it and as the kernel's own
//! view of the volume was written down.

use std::io::Write;

use futures_util::stream::{self, Stream, StreamExt};
use sha2::{Digest, Sha256};

use crate::data::Piece;
use crate::fiemap::FiemapExtent;
use crate::inode::Inode;
use crate::seek::Seek;
use crate::walk::{WalkEntry, WalkError};
use crate::{Error, FileType, Volume, json, type_name};

/// Files in the making at once: each has reads of its own in flight.
const FILES: usize = 64;
/// Unit of reading a file's contents, in bytes.
const CHUNK: u64 = 256 << 10;
/// Reads in flight for one file.
const DEPTH: usize = 2;
/// Larger files have the hash of their non-zero blocks, so that a terabyte of holes costs nothing.
const WHOLE_HASH_MAX: u64 = 64 << 20;
/// Unit of that hash, whatever the volume's block size.
const HASH_BLOCK: usize = 4096;
/// A file with more extents has only their count.
const LISTED_EXTENTS: usize = 64;

impl Volume {
    /// The manifest of the tree below `top`: complete lines with their newline, or what could not be read.
    ///
    /// A file that cannot be read whole has no line. Memory is bounded by 64 files of 512 KiB each beside the walk's
    /// own.
    pub fn manifest(&self, top: Inode) -> impl Stream<Item = Result<Vec<u8>, WalkError>> + '_ {
        let walk =
            stream::unfold(self.walk(top), |mut walk| async { walk.next().await.map(|item| (item, walk)) });
        walk.map(move |item| async move {
            let WalkEntry { path, inode } = item?;
            match self.manifest_line(&path, &inode).await {
                Ok(line) => Ok(line),
                Err(source) => Err(WalkError { path, source }),
            }
        })
        .buffered(FILES)
    }

    /// The manifest's line for one inode, with its newline.
    ///
    /// # Errors
    /// When its contents, extents or attributes cannot be read.
    pub async fn manifest_line(&self, path: &[u8], inode: &Inode) -> Result<Vec<u8>, Error> {
        let attr = inode.attr();
        let mut out = Vec::with_capacity(512);
        out.push(b'{');
        json::member(&mut out, "path", path);
        add(
            &mut out,
            format_args!(
                ",\"type\":\"{}\",\"mode\":\"{:04o}\",\"uid\":{},\"gid\":{},\"nlink\":{},\"ino\":{},\"size\":{},\
                 \"blocks\":{},\"mtime\":[{},{}],\"ctime\":[{},{}]",
                type_name(attr.kind),
                attr.perm,
                attr.uid,
                attr.gid,
                attr.nlink,
                attr.ino,
                attr.size,
                attr.blocks,
                attr.mtime.seconds,
                attr.mtime.nanos,
                attr.ctime.seconds,
                attr.ctime.nanos
            ),
        );
        match attr.kind {
            FileType::Symlink => {
                out.push(b',');
                json::member(&mut out, "target", &self.readlink(inode).await?);
            }
            FileType::CharDevice | FileType::BlockDevice => {
                add(&mut out, format_args!(",\"rdev\":[{},{}]", attr.rdev.0, attr.rdev.1));
            }
            FileType::Regular | FileType::Directory if attr.flags != 0 => {
                add(&mut out, format_args!(",\"flags\":{}", attr.flags));
            }
            _ => {}
        }
        if attr.kind == FileType::Regular {
            self.add_contents(&mut out, inode).await?;
            self.add_extents(&mut out, inode).await?;
        }
        self.add_xattrs(&mut out, inode).await?;
        out.extend_from_slice(b"}\n");
        Ok(out)
    }

    async fn add_contents(&self, out: &mut Vec<u8>, inode: &Inode) -> Result<(), Error> {
        let (key, digest) = match inode.attr().size {
            0..=WHOLE_HASH_MAX => ("sha256", self.hash_whole(inode).await?),
            _ => ("sha256_blocks", self.hash_blocks(inode).await?),
        };
        add(out, format_args!(",\"{key}\":\""));
        for byte in digest {
            add(out, format_args!("{byte:02x}"));
        }
        out.push(b'"');
        Ok(())
    }

    async fn hash_whole(&self, inode: &Inode) -> Result<[u8; 32], Error> {
        const ZEROES: [u8; 8192] = [0; 8192];
        let mut hash = Sha256::new();
        let mut chunks = std::pin::pin!(self.chunks(inode, 0..inode.attr().size, CHUNK, DEPTH));
        while let Some(chunk) = chunks.next().await {
            for piece in chunk?.1.pieces() {
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

    async fn add_extents(&self, out: &mut Vec<u8>, inode: &Inode) -> Result<(), Error> {
        if inode.attr().blocks == 0 && inode.attr().size == 0 {
            return Ok(());
        }
        let mut extents = self.fiemap(inode, 0, u64::MAX);
        let mut listed: Vec<FiemapExtent> = Vec::new();
        let mut count = 0_u64;
        while let Some(extent) = extents.next().await? {
            count += 1;
            if listed.len() < LISTED_EXTENTS {
                listed.push(extent);
            }
        }
        add(out, format_args!(",\"extents\":{count}"));
        if count == 0 || count > LISTED_EXTENTS as u64 {
            return Ok(());
        }
        let mut open = ",\"fiemap\":[";
        for extent in listed {
            let FiemapExtent { logical, physical, length, flags } = extent;
            add(out, format_args!("{open}[{logical},{physical},{length},{flags}]"));
            open = ",";
        }
        out.push(b']');
        Ok(())
    }

    async fn add_xattrs(&self, out: &mut Vec<u8>, inode: &Inode) -> Result<(), Error> {
        let mut xattrs = self.xattrs(inode).await?;
        if xattrs.is_empty() {
            return Ok(());
        }
        xattrs.sort_by(|a, b| a.name().cmp(b.name()));
        let mut open = ",\"xattrs\":{";
        for xattr in xattrs {
            out.extend_from_slice(open.as_bytes());
            open = ",";
            let name = xattr.name();
            // The manifest has no form for a name that is not UTF-8.
            json::string(out, if json::is_utf8(name) { name } else { b"?" });
            out.push(b':');
            json::base64(out, &self.xattr_value(inode, &xattr).await?);
        }
        out.push(b'}');
        Ok(())
    }
}

fn add(out: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    drop(out.write_fmt(what));
}
