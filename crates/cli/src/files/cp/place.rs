//! What is not a regular file: directories, symlinks, devices, pipes, sockets, and more names of one file.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ocfs2::{Attr, Inode};
use rustix::fs::{CWD, Mode, makedev, mknodat};

use super::Copier;
use super::error::{At, CopyError};
use super::part::{Leftovers, scratch_name};

/// A directory that is being filled. Its attributes are set when nothing more is written into it.
#[derive(Debug)]
pub(super) struct OpenDir {
    /// Its path below the source it belongs to.
    pub(super) below: Vec<u8>,
    pub(super) to: PathBuf,
    pub(super) inode: Inode,
    pub(super) leftovers: Leftovers,
}

impl Copier<'_> {
    /// Makes a directory, or goes on with one that is there, and enters it.
    pub(super) fn enter_dir(&mut self, below: &[u8], inode: &Inode, to: &Path) -> Result<(), CopyError> {
        // Until it is whole it is for its owner alone, as cp does.
        let leftovers = match DirBuilder::new().mode(0o700).create(to) {
            Ok(()) => Leftovers::default(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = to.symlink_metadata().at("looking at", to)?;
                // Nothing is written through a symlink.
                if !there.is_dir() {
                    return Err(CopyError::OverFile(to.into()));
                }
                let mut mode = there.permissions();
                if !self.attributes.by_root() && mode.mode() & 0o300 != 0o300 {
                    mode.set_mode(mode.mode() | 0o700);
                    std::fs::set_permissions(to, mode).at("setting the mode of", to)?;
                }
                Leftovers::of(to)
            }
            Err(error) => return Err(error).at("making", to),
        };
        self.dirs.push(OpenDir { below: below.into(), to: to.into(), inode: inode.clone(), leftovers });
        self.progress.dir();
        Ok(())
    }

    /// Another name of a file that was copied already.
    pub(super) fn link(&mut self, first: &Path, to: &Path) -> Result<(), CopyError> {
        let id = |path: &Path| path.symlink_metadata().map(|meta| (meta.dev(), meta.ino()));
        if id(first).at("looking at", first)? != id(to).unwrap_or_default() {
            self.at_one_stroke(to, |scratch| std::fs::hard_link(first, scratch).at("linking", to))?;
        }
        self.progress.link();
        Ok(())
    }

    /// A symlink.
    pub(super) async fn symlink(&mut self, inode: &Inode, to: &Path) -> Result<(), CopyError> {
        let target = self.volume.readlink(inode).await?;
        let scratch = scratch_name(to);
        clear(&scratch)?;
        std::os::unix::fs::symlink(OsStr::from_bytes(&target), &scratch).at("making", to)?;
        self.finish(inode, &scratch, to).await
    }

    /// A device, pipe or socket.
    pub(super) async fn special(&mut self, inode: &Inode, to: &Path) -> Result<(), CopyError> {
        let scratch = scratch_name(to);
        clear(&scratch)?;
        make_special(inode.attr(), &scratch).at("making", to)?;
        self.finish(inode, &scratch, to).await
    }

    async fn finish(&mut self, inode: &Inode, scratch: &Path, to: &Path) -> Result<(), CopyError> {
        self.attributes.set(self.volume, inode, scratch).await?;
        std::fs::rename(scratch, to).at("renaming to", to)?;
        self.progress.other(inode.attr());
        Ok(())
    }

    fn at_one_stroke(
        &self,
        to: &Path,
        make: impl FnOnce(&Path) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let scratch = scratch_name(to);
        clear(&scratch)?;
        make(&scratch)?;
        std::fs::rename(&scratch, to).at("renaming to", to)
    }
}

/// Refuses to copy what is no directory over one.
pub(super) fn refuse_directory(to: &Path) -> Result<(), CopyError> {
    let is_dir = to.symlink_metadata().is_ok_and(|there| there.is_dir());
    if is_dir { Err(CopyError::OverDirectory(to.into())) } else { Ok(()) }
}

/// Removes what a killed process of the same number left.
fn clear(scratch: &Path) -> Result<(), CopyError> {
    match std::fs::remove_file(scratch) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.at("removing", scratch),
    }
}

fn make_special(attr: &Attr, path: &Path) -> rustix::io::Result<()> {
    let kind = rustix::fs::FileType::from_raw_mode(attr.mode());
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), makedev(attr.rdev.0, attr.rdev.1))
}
