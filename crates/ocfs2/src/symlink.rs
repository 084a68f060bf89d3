//! Symbolic links.

use crate::inode::{Body, Inode};
use crate::{Error, FileType, Volume};

/// Longest target, as for every path (`PATH_MAX` less its NUL).
const MAX_TARGET: u64 = 4095;

impl Volume {
    /// The target of a symlink: 1 to 4095 bytes, without a NUL.
    ///
    /// # Errors
    /// [`Error::NotSymlink`], [`Error::SymlinkSize`], or when the target cannot be read.
    pub async fn readlink(&self, inode: &Inode) -> Result<Vec<u8>, Error> {
        let (ino, kind, size) = (inode.ino(), inode.attr().kind, inode.size());
        if kind != FileType::Symlink {
            return Err(Error::NotSymlink { ino, kind });
        }
        if let Body::FastSymlink(range) = inode.body() {
            return Ok(inode.block().bytes().get(range.clone()).unwrap_or_default().to_vec());
        }
        if size == 0 || size > MAX_TARGET {
            return Err(Error::SymlinkSize { ino, size });
        }
        let mut target = self.read_body(inode, 0, size).await?.to_vec();
        // A system call gives what comes before the first NUL.
        target.truncate(target.iter().position(|byte| *byte == 0).unwrap_or(target.len()));
        Ok(target)
    }
}
