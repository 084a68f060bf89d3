//! A directory's pages one after the other, past those that cannot be read.

use crate::inode::Inode;
use crate::{DirPage, Error, Volume};

/// Unreadable pieces of one directory after which the rest of it is given up: its size comes off the volume, and a
/// wrong one may lead over millions of blocks that hold no names.
const MAX_BAD_PIECES: usize = 16;

/// A listing in progress; see [`Volume::dir_pages`].
#[derive(Debug)]
pub struct DirPages<'v> {
    volume: &'v Volume,
    dir: &'v Inode,
    /// Where the next page is; `None` at the end.
    position: Option<u64>,
    bad: usize,
}

impl Volume {
    /// The pages of `dir` from `position` on, as many as can be read; see [`Self::readdir`] for positions.
    #[must_use]
    pub fn dir_pages<'v>(&'v self, dir: &'v Inode, position: u64) -> DirPages<'v> {
        DirPages { volume: self, dir, position: Some(position), bad: 0 }
    }
}

impl DirPages<'_> {
    /// The next page, or why it cannot be read; the pages after a damaged one follow. `None` at the end, and after so
    /// much damage that this is likely no directory.
    pub async fn next(&mut self) -> Option<Result<DirPage, Error>> {
        let at = self.position?;
        let page = self.volume.readdir(self.dir, at).await;
        let next = match &page {
            Ok(page) => {
                self.bad = self.bad.saturating_add(page.damage.len());
                page.next
            }
            Err(error) if error.is_damage() => {
                self.bad = self.bad.saturating_add(1);
                self.volume.next_dir_block(self.dir, at)
            }
            Err(_) => None,
        };
        self.position = next.filter(|_| self.bad < MAX_BAD_PIECES);
        Some(page)
    }
}
