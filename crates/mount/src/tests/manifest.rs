//! What a mounted tree shows, in the lines of the fixtures' manifests (`fixtures/README.md`).

use std::fs::{self, File, Metadata};
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

/// Every file below `top`, depth first, names in byte order.
pub(super) fn of_tree(top: &Path) -> Vec<Map<String, Value>> {
    let mut lines = Vec::new();
    walk(top, b"", &mut lines);
    lines
}

fn walk(at: &Path, path: &[u8], lines: &mut Vec<Map<String, Value>>) {
    let meta = fs::symlink_metadata(at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
    lines.push(line(at, path, &meta));
    if meta.is_dir() {
        let entries = fs::read_dir(at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        for name in names {
            let below = if path.is_empty() {
                name.as_bytes().to_vec()
            } else {
                [path, b"/", name.as_bytes()].concat()
            };
            walk(&at.join(&name), &below, lines);
        }
    }
}

/// All of a line that a FUSE mount can show: FIEMAP it cannot.
fn line(at: &Path, path: &[u8], meta: &Metadata) -> Map<String, Value> {
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
        text(&mut line, "target", fs::read_link(at).expect("readlink").as_os_str().as_bytes());
    }
    if kind.is_char_device() || kind.is_block_device() {
        line.insert("rdev".into(), json!([rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())]));
    }
    if kind.is_file() || kind.is_dir() {
        let file = File::open(at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
        let flags = rustix::fs::ioctl_getflags(&file).expect("flags").bits();
        if flags != 0 {
            line.insert("flags".into(), flags.into());
        }
        if kind.is_file() {
            let (key, hash) = hash(&file, meta.size());
            line.insert(key.into(), hash.into());
        }
    }
    let xattrs = xattrs(at);
    if !xattrs.is_empty() {
        line.insert("xattrs".into(), xattrs.into());
    }
    line
}

fn text(line: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => line.insert(key.into(), text.into()),
        Err(_) => line.insert(format!("{key}_b64"), STANDARD.encode(bytes).into()),
    };
}

fn xattrs(at: &Path) -> Map<String, Value> {
    let mut room = vec![0; 65_536];
    let len = llistxattr(at, &mut room[..]).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
    let names = room[..len].split(|&b| b == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65_536];
            let len = lgetxattr(at, name, &mut value[..]).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
            (String::from_utf8_lossy(name).into_owned(), STANDARD.encode(&value[..len]).into())
        })
        .collect()
}

fn hash(file: &File, size: u64) -> (&'static str, String) {
    let mut hasher = Sha256::new();
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    if size > HASHED_WHOLE {
        while let Ok(data) = seek(file, SeekFrom::Data(at)) {
            let end = seek(file, SeekFrom::Hole(data)).expect("SEEK_HOLE");
            at = data - data % 4096;
            while at < end {
                let block = &mut buf[..4096];
                block.fill(0);
                let mut got = 0;
                while let n @ 1.. =
                    file.read_at(&mut block[got..], at + u64::try_from(got).expect("small")).expect("read")
                {
                    got += n;
                }
                if block.iter().any(|&b| b != 0) {
                    hasher.update((at / 4096).to_le_bytes());
                    hasher.update(&block);
                }
                at += 4096;
            }
        }
        return ("sha256_blocks", hex(&hasher.finalize()));
    }
    while let n @ 1.. = file.read_at(&mut buf, at).expect("read") {
        hasher.update(&buf[..n]);
        at += u64::try_from(n).expect("small");
    }
    ("sha256", hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
