//! Owners, modes, extended attributes and times of what was copied.

use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use ocfs2::{Attr, FileType, Inode, Timestamp, Volume};
use rustix::fs::{
    AtFlags, CWD, Mode, Timespec, Timestamps, XattrFlags, chmodat, lgetxattr, lsetxattr, utimensat,
};
use rustix::io::Errno;

use super::error::{At, CopyError};

/// Sets attributes as far as this user and the destination's filesystem can.
#[derive(Debug)]
pub(super) struct Attributes {
    root: bool,
    told: bool,
    left_out: u64,
    misfits: Vec<CopyError>,
}

impl Attributes {
    pub(super) fn new() -> Self {
        Self { root: rustix::process::geteuid().is_root(), told: false, left_out: 0, misfits: Vec::new() }
    }

    /// Whether this process may do all.
    pub(super) fn by_root(&self) -> bool {
        self.root
    }

    /// Whether owner, mode and xattrs of `path` are the file's already.
    pub(super) async fn are_set(
        &self,
        volume: &Volume,
        inode: &Inode,
        path: &Path,
    ) -> Result<bool, CopyError> {
        let attr = inode.attr();
        let same = path.symlink_metadata().is_ok_and(|there| {
            let owner = (there.uid(), there.gid());
            there.mode() & 0o7777 == self.perm(attr) && (!self.root || owner == (attr.uid, attr.gid))
        });
        if !same {
            return Ok(false);
        }
        for xattr in volume.xattrs(inode).await? {
            let value = volume.xattr_value(inode, &xattr).await?;
            // One byte more than it should have shows a longer one.
            let mut there = vec![0; value.len() + 1];
            let found = lgetxattr(path, xattr.name(), &mut there).ok().and_then(|len| there.get(..len));
            if found != Some(value.as_slice()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives `path` what `inode` has: owner (as a user the group at most), mode, xattrs, then times, for all else
    /// changes those.
    pub(super) async fn set(&mut self, volume: &Volume, inode: &Inode, path: &Path) -> Result<(), CopyError> {
        let attr = inode.attr();
        match lchown(path, self.root.then_some(attr.uid), Some(attr.gid)) {
            // A user gives files to groups of his own only.
            Err(error) if !self.root && error.kind() == io::ErrorKind::PermissionDenied => {}
            result => result.at("setting the owner of", path)?,
        }
        if attr.kind != FileType::Symlink {
            let mode = Mode::from_raw_mode(self.perm(attr));
            chmodat(CWD, path, mode, AtFlags::empty()).at("setting the mode of", path)?;
        }
        for xattr in volume.xattrs(inode).await? {
            let value = volume.xattr_value(inode, &xattr).await?;
            match lsetxattr(path, xattr.name(), &value, XattrFlags::empty()) {
                Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => self.tell(xattr.name(), path),
                // Some filesystems keep less than OCFS2: ext4 one block for all of a file's.
                Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => {
                    let name = xattr.name().escape_ascii().to_string();
                    self.misfits.push(CopyError::Misfit { name, len: value.len() });
                    self.left_out += 1;
                }
                result => result.at("setting an extended attribute of", path)?,
            }
        }
        let time = |time: Timestamp| Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
        let times = Timestamps { last_access: time(attr.atime), last_modification: time(attr.mtime) };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).at("setting the times of", path)
    }

    /// Attributes of what was copied last that the destination has no room for.
    pub(super) fn take_misfits(&mut self) -> Vec<CopyError> {
        std::mem::take(&mut self.misfits)
    }

    /// How many extended attributes were left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The mode's bits. Without the owner, the set-id bits would serve somebody else.
    fn perm(&self, attr: &Attr) -> u32 {
        u32::from(if self.root { attr.perm } else { attr.perm & 0o1777 })
    }

    /// Says once that some attributes stay behind.
    fn tell(&mut self, name: &[u8], path: &Path) {
        self.left_out += 1;
        if !std::mem::replace(&mut self.told, true) {
            let (name, path) = (name.escape_ascii(), path.display());
            eprintln!(
                "oxsan: warning: attributes such as {name} cannot be set here and are left out ({path})"
            );
        }
    }
}
