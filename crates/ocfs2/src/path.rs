//! Paths: from `/a/b/c` to an inode, through symlinks where asked.

use std::collections::VecDeque;

use crate::inode::Inode;
use crate::{Error, FileType, Volume};

/// Most symlinks on one path, as in the kernel.
const MAX_SYMLINKS: u32 = 40;

/// Whether a symlink at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The path names what the symlink points to.
    Last,
    /// The path names the symlink itself. Symlinks before the end are followed all the same.
    NotLast,
}

impl Volume {
    /// The inode that `path` names, counted from the volume's root whether it begins with `/` or not.
    ///
    /// Absolute symlinks are counted from the volume's root too; `..` of the root is the root. A `/` at the end asks
    /// for a directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotDir`], [`Error::TooManySymlinks`], [`Error::NameTooLong`]; or when something
    /// on the way cannot be read.
    pub async fn resolve(&self, path: &[u8], follow: Follow) -> Result<Inode, Error> {
        let mut current = self.inode(self.root()).await?;
        let mut todo: VecDeque<Vec<u8>> = components(path).collect();
        let must_be_dir = path.ends_with(b"/") || path.ends_with(b"/.");
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            let found = self.lookup(&current, &name).await?.ok_or(Error::NotFound)?;
            let inode = self.inode(found.ino).await?;
            let last = todo.is_empty();
            let through = !last || must_be_dir || follow == Follow::Last;
            if inode.attr().kind == FileType::Symlink && through {
                links += 1;
                if links > MAX_SYMLINKS {
                    return Err(Error::TooManySymlinks);
                }
                let target = self.readlink(&inode).await?;
                if target.starts_with(b"/") {
                    current = self.inode(self.root()).await?;
                }
                for name in components(&target).rev() {
                    todo.push_front(name);
                }
            } else {
                current = inode;
            }
        }
        if must_be_dir {
            current.expect_dir()?;
        }
        Ok(current)
    }
}

/// The names of a path; empty ones and `.` left out.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_and_dots_do_not_count() {
        let names: Vec<Vec<u8>> = components(b"//a/./b/../c/").collect();
        assert_eq!(names, [&b"a"[..], b"b", b"..", b"c"]);
        assert_eq!(components(b"/").count(), 0);
    }
}
