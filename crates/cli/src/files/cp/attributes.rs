//! Owners, modes, extended attributes and times of what was copied.

use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

use ocfs2::{FileType, Inode, Timestamp, Volume};
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, XattrFlags, chmodat, lsetxattr, utimensat};
use rustix::io::Errno;

/// Sets attributes as far as this user and the destination's filesystem can.
pub(super) struct Attributes {
    root: bool,
    told: bool,
}

impl Attributes {
    pub(super) fn new() -> Self {
        Self { root: rustix::process::geteuid().is_root(), told: false }
    }

    /// Gives `path` what `inode` has: owner (as root only), mode, xattrs, then times, for all else changes those.
    pub(super) async fn set(&mut self, volume: &Volume, inode: &Inode, path: &Path) -> io::Result<()> {
        let attr = inode.attr();
        if self.root {
            lchown(path, Some(attr.uid), Some(attr.gid))?;
        }
        if attr.kind != FileType::Symlink {
            // Without the owner, the set-id bits would serve somebody else.
            let perm = if self.root { attr.perm } else { attr.perm & 0o1777 };
            chmodat(CWD, path, Mode::from_raw_mode(u32::from(perm)), AtFlags::empty())?;
        }
        for xattr in volume.xattrs(inode).await.map_err(io::Error::other)? {
            let value = volume.xattr_value(inode, &xattr).await.map_err(io::Error::other)?;
            match lsetxattr(path, xattr.name(), &value, XattrFlags::empty()) {
                Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => self.tell(xattr.name(), path),
                result => result?,
            }
        }
        let time = |time: Timestamp| Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
        let times = Timestamps { last_access: time(attr.atime), last_modification: time(attr.mtime) };
        Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Says once that some attributes stay behind.
    fn tell(&mut self, name: &[u8], path: &Path) {
        if !std::mem::replace(&mut self.told, true) {
            let (name, path) = (name.escape_ascii(), path.display());
            eprintln!(
                "oxsan: warning: attributes such as {name} cannot be set here and are left out ({path})"
            );
        }
    }
}
