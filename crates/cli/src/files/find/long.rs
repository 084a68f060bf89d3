//! The lines of `-ls`.

use ocfs2::FileType;

use super::expression::{Candidate, Search};
use crate::files::show;

/// Inode, space in KiB, mode, links, owner, group, size or device, time, path: a line.
///
/// A wide cell moves what is behind it. GNU's find also makes that column wider from there on; here a line does not
/// depend on which came before it.
pub(super) fn line(file: &Candidate<'_>, search: &Search<'_>) -> Vec<u8> {
    let attr = file.inode.attr();
    let size = match attr.kind {
        FileType::CharDevice | FileType::BlockDevice => format!("{:>3}, {:>3}", attr.rdev.0, attr.rdev.1),
        _ => attr.size.to_string(),
    };
    let (user, group) = (search.owners.user(attr.uid), search.owners.group(attr.gid));
    let (ino, space, links) = (attr.ino.0, attr.blocks.div_ceil(2), attr.nlink);
    let (mode, time) = (show::mode(attr.kind, attr.perm), search.clock.short_as_find(attr.mtime));
    let mut line =
        format!("{ino:>9} {space:>6} {mode} {links:>3} {user:<8} {group:<8} {size:>8} {time} ").into_bytes();
    escape(&file.path, &mut line);
    if let Some(target) = &file.target {
        line.extend(b" -> ");
        escape(target, &mut line);
    }
    line.push(b'\n');
    line
}

/// A name as -ls has it: nothing in it ends the field or moves the cursor.
fn escape(name: &[u8], out: &mut Vec<u8>) {
    for byte in name {
        match byte {
            b'\\' | b'"' | b' ' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            8 => out.extend(b"\\b"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            12 => out.extend(b"\\f"),
            b'!'..=b'~' => out.push(*byte),
            _ => out.extend(format!("\\{byte:03o}").bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_stay_on_their_line() {
        let mut out = Vec::new();
        escape("a b\"\\\n\u{7}ü".as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a\\ b\\\"\\\\\\n\\007\\303\\274");
    }
}
