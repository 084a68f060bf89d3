//! What a mounted tree shows, in the lines of the fixtures' manifests (`fixtures/README.md`).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Files beyond this have their blocks hashed, not all their zeroes.
const HASHED_WHOLE: u64 = 64 << 20;

/// What a walk of a mounted tree gave.
#[derive(Default)]
pub(super) struct Tree {
    /// Every file, depth first, names in byte order.
    pub(super) lines: Vec<Map<String, Value>>,
    /// What could not be read: the path below the top, and why.
    pub(super) errors: Vec<(Vec<u8>, io::Error)>,
}

/// Walks the tree at `top`, as far as it can be read.
pub(super) fn of_tree(top: &Path) -> Tree {
    let mut tree = Tree::default();
    tree.walk(top, b"");
    tree
}

impl Tree {
    fn walk(&mut self, at: &Path, path: &[u8]) {
        match line(at, path) {
            Ok(line) => self.lines.push(line),
            Err(error) => self.errors.push((path.to_vec(), error)),
        }
        if !at.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            return;
        }
        for name in self.names(at, path) {
            let below = match path {
                b"" => name.as_bytes().to_vec(),
                _ => [path, b"/", name.as_bytes()].concat(),
            };
            self.walk(&at.join(&name), &below);
        }
    }

    fn names(&mut self, at: &Path, path: &[u8]) -> Vec<OsString> {
        let mut names = Vec::new();
        for entry in fs::read_dir(at).into_iter().flatten() {
            match entry {
                Ok(entry) => names.push(entry.file_name()),
                Err(error) => self.errors.push((path.to_vec(), error)),
            }
        }
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        names
    }
}

/// All of a line that a FUSE mount can show: FIEMAP it cannot.
fn line(at: &Path, path: &[u8]) -> io::Result<Map<String, Value>> {
    let meta = fs::symlink_metadata(at)?;
    let kind = meta.file_type();
    let mut line = Map::new();
    text(&mut line, "path", path);
    let name = match () {
        () if kind.is_file() => "file",
        () if kind.is_dir() => "dir",
        () if kind.is_symlink() => "symlink",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() => "char",
        () => "block",
    };
    line.insert("type".into(), name.into());
    line.insert("mode".into(), format!("{:04o}", meta.mode() & 0o7777).into());
    for (key, number) in [
        ("uid", u64::from(meta.uid())),
        ("gid", u64::from(meta.gid())),
        ("nlink", meta.nlink()),
        ("ino", meta.ino()),
        ("size", meta.size()),
        ("blocks", meta.blocks()),
    ] {
        line.insert(key.into(), number.into());
    }
    line.insert("mtime".into(), json!([meta.mtime(), meta.mtime_nsec()]));
    line.insert("ctime".into(), json!([meta.ctime(), meta.ctime_nsec()]));
    if kind.is_symlink() {
        text(&mut line, "target", fs::read_link(at)?.as_os_str().as_bytes());
    }
    if kind.is_char_device() || kind.is_block_device() {
        line.insert("rdev".into(), json!([rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())]));
    }
    if kind.is_file() || kind.is_dir() {
        let file = File::open(at)?;
        let flags = rustix::fs::ioctl_getflags(&file)?.bits();
        if flags != 0 {
            line.insert("flags".into(), flags.into());
        }
        if kind.is_file() {
            let (key, hash) = hash(&file, meta.size())?;
            line.insert(key.into(), hash.into());
        }
    }
    let xattrs = xattrs(at)?;
    if !xattrs.is_empty() {
        line.insert("xattrs".into(), xattrs.into());
    }
    Ok(line)
}

fn text(line: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => line.insert(key.into(), text.into()),
        Err(_) => line.insert(format!("{key}_b64"), STANDARD.encode(bytes).into()),
    };
}

fn xattrs(at: &Path) -> io::Result<Map<String, Value>> {
    let mut room = vec![0; 65_536];
    let len = llistxattr(at, &mut room[..])?;
    let names = room[..len].split(|&b| b == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65_536];
            let len = lgetxattr(at, name, &mut value[..])?;
            Ok((String::from_utf8_lossy(name).into_owned(), STANDARD.encode(&value[..len]).into()))
        })
        .collect()
}

fn hash(file: &File, size: u64) -> io::Result<(&'static str, String)> {
    if size > HASHED_WHOLE {
        return Ok(("sha256_blocks", hash_blocks(file)?));
    }
    let mut hasher = Sha256::new();
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    while let n @ 1.. = file.read_at(&mut buf, at)? {
        hasher.update(&buf[..n]);
        at += u64::try_from(n).expect("small");
    }
    Ok(("sha256", hex(&hasher.finalize())))
}

/// Each block of 4096 bytes that is not all zero, with its number before it.
fn hash_blocks(file: &File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut at = 0;
    while let Ok(data) = seek(file, SeekFrom::Data(at)) {
        let end = seek(file, SeekFrom::Hole(data))?;
        at = data - data % 4096;
        while at < end {
            let mut block = [0; 4096];
            let mut got = 0;
            while let n @ 1.. = file.read_at(&mut block[got..], at + u64::try_from(got).expect("small"))? {
                got += n;
            }
            if block.iter().any(|&b| b != 0) {
                hasher.update((at / 4096).to_le_bytes());
                hasher.update(block);
            }
            at += 4096;
        }
    }
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
