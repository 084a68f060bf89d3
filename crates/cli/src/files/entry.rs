//! One file as a JSON object, in the manifest's words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ocfs2::{FileType, Inode, type_name};
use serde_json::{Map, Value, json};

/// Adds `text` under `key`, or in base 64 under `key_b64` when it is not UTF-8.
pub(crate) fn put_text(object: &mut Map<String, Value>, key: &str, text: &[u8]) {
    match std::str::from_utf8(text) {
        Ok(text) => object.insert(key.to_owned(), text.into()),
        Err(_) => object.insert(format!("{key}_b64"), STANDARD.encode(text).into()),
    };
}

/// Adds bytes in base 64.
pub(crate) fn put_base64(object: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    object.insert(key.to_owned(), STANDARD.encode(bytes).into());
}

/// What `stat` says of an inode, and where it is a symlink its target.
pub(crate) fn object(path: &[u8], inode: &Inode, target: Option<&[u8]>) -> Map<String, Value> {
    let attr = inode.attr();
    let mut object = Map::new();
    put_text(&mut object, "path", path);
    let time = |time: ocfs2::Timestamp| json!([time.seconds, time.nanos]);
    object.insert("type".into(), type_name(attr.kind).into());
    object.insert("mode".into(), format!("{:04o}", attr.perm).into());
    for (key, value) in [
        ("uid", u64::from(attr.uid)),
        ("gid", u64::from(attr.gid)),
        ("nlink", u64::from(attr.nlink)),
        ("ino", attr.ino.0),
        ("size", attr.size),
        ("blocks", attr.blocks),
        ("generation", u64::from(attr.generation)),
    ] {
        object.insert(key.into(), value.into());
    }
    for (key, value) in [("atime", attr.atime), ("mtime", attr.mtime), ("ctime", attr.ctime)] {
        object.insert(key.into(), time(value));
    }
    if let Some(target) = target {
        put_text(&mut object, "target", target);
    }
    if matches!(attr.kind, FileType::CharDevice | FileType::BlockDevice) {
        object.insert("rdev".into(), json!([attr.rdev.0, attr.rdev.1]));
    }
    if attr.flags != 0 {
        object.insert("flags".into(), attr.flags.into());
    }
    object
}
