//! The kernel's table of mounts.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Major and minor number of the device that files of a mount show as `st_dev`.
pub(crate) type DeviceId = (u32, u32);

/// A mount, as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Minor number of its device: for FUSE, the number of its connection.
    pub minor: u32,
    /// Its type: `ext4`, `fuse.ocfs2`.
    pub fs_type: String,
    /// Its source: a device, a volume.
    pub source: String,
}

/// What is mounted on `dir`: the last one mounted there; `None` when it is no mount point, or does not exist.
///
/// # Errors
/// The table cannot be read.
pub fn mounted_at(dir: &Path) -> io::Result<Option<Mounted>> {
    // A mount whose daemon died cannot be asked for its path: then the path as it is has to do.
    let dir = dir.canonicalize().or_else(|_| std::path::absolute(dir))?;
    let table = fs::read("/proc/self/mountinfo")?;
    let lines = table.split(|&b| b == b'\n');
    let mut here = lines.filter_map(|line| {
        let (device, at) = parse_line(line)?;
        (at == dir).then(|| parse_type(line, device.1)).flatten()
    });
    Ok(here.next_back())
}

/// Behind a dash that stands alone: the type and the source.
fn parse_type(line: &[u8], minor: u32) -> Option<Mounted> {
    let mut fields = line.split(|&b| b == b' ').skip_while(|field| *field != b"-").skip(1);
    let mut text = || Some(String::from_utf8_lossy(&unescape(fields.next()?)).into_owned());
    Some(Mounted { minor, fs_type: text()?, source: text()? })
}

/// The device of the mount that one sees at `dir`: the last one mounted there.
///
/// Reads only the table: asking the directory itself would ask the daemon.
pub(crate) fn device_at(dir: &Path) -> io::Result<Option<DeviceId>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(table
        .split(|&b| b == b'\n')
        .filter_map(parse_line)
        .filter(|(_, at)| at == dir)
        .map(|(device, _)| device)
        .next_back())
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT …`, as proc(5) has it.
fn parse_line(line: &[u8]) -> Option<(DeviceId, PathBuf)> {
    let mut fields = line.split(|&b| b == b' ').skip(2);
    let device = std::str::from_utf8(fields.next()?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    Some(((major.parse().ok()?, minor.parse().ok()?), PathBuf::from(OsString::from_vec(point))))
}

/// Blank, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = (byte == b'\\').then(|| after.get(..3)).flatten().and_then(parse_octal);
        match octal {
            Some(escaped) => {
                out.push(escaped);
                rest = &after[3..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn parse_octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// Raises a mount's read-ahead, in bytes; the kernel gives a new FUSE mount 128 KiB, and the protocol can only lower
/// that. Needs root, and a writable /sys.
pub(crate) fn set_read_ahead(device: DeviceId, bytes: u32) -> io::Result<()> {
    let (major, minor) = device;
    fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), (bytes / 1024).to_string())
}

/// Aborts the connection behind a mount: every request ends at once, and the daemon's reads do.
pub(crate) fn abort(device: DeviceId) -> io::Result<()> {
    fs::write(format!("/sys/fs/fuse/connections/{}/abort", device.1), "1")
}

/// How a path looks in `fsname=`: fusermount3 splits its options at commas.
pub(crate) fn escape_commas(source: &str) -> OsString {
    let mut out = Vec::new();
    for &byte in OsString::from(source).as_bytes() {
        if byte == b',' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_device_and_mount_point() {
        let line =
            br"36 35 0:51 / /mnt/a\040b\134c rw,noatime shared:1 - fuse.ocfs2 /dev/sd\040a rw,user_id=0";
        assert_eq!(parse_line(line), Some(((0, 51), PathBuf::from(r"/mnt/a b\c"))));
        let volume = Mounted { minor: 51, fs_type: "fuse.ocfs2".into(), source: "/dev/sd a".into() };
        assert_eq!(parse_type(line, 51), Some(volume));
        for bad in [&b""[..], b"36 35", b"36 35 x:y / /mnt", b"36 35 0:5 /"] {
            assert_eq!(parse_line(bad), None);
        }
        assert_eq!(unescape(br"\9\12\0412"), b"\\9\\12!2");
    }

    #[test]
    fn the_root_is_a_mount() {
        assert!(device_at(Path::new("/")).expect("mountinfo").is_some());
        assert_eq!(device_at(Path::new("/proc/self/no such mount")).expect("mountinfo"), None);
    }

    #[test]
    fn commas_are_escaped() {
        assert_eq!(escape_commas(r"iscsi://a,b/i\q/0"), OsString::from(r"iscsi://a\,b/i\\q/0"));
    }
}
