//! A directory's names, sorted.

use ocfs2_format::BlockNum;

use crate::inode::Inode;
use crate::{Error, Volume};

/// A directory's names in byte order, `.` and `..` left out; compact, for there may be millions.
#[derive(Debug, Default)]
pub(super) struct Listing {
    arena: Vec<u8>,
    names: Vec<Name>,
    /// What could not be read of the directory.
    pub(super) damage: Vec<Error>,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    ino: BlockNum,
    start: usize,
    len: u8,
}

impl Listing {
    /// Lists `dir`, as much of it as can be read.
    pub(super) async fn read(volume: &Volume, dir: &Inode) -> Self {
        let mut listing = Self::default();
        let mut pages = volume.dir_pages(dir, 0);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    for entry in page.entries.iter().filter(|entry| !entry.is_dot()) {
                        listing.push(&entry.name, entry.ino);
                    }
                    listing.damage.extend(page.damage.into_iter().map(Error::from));
                }
                Err(source) => listing.damage.push(source),
            }
        }
        listing.sort();
        listing
    }

    /// Name number `at` and the inode it names; `None` past the last.
    pub(super) fn get(&self, at: usize) -> Option<(&[u8], BlockNum)> {
        self.names.get(at).map(|name| (self.bytes(*name), name.ino))
    }

    /// The inodes of up to `count` names from number `at` on.
    pub(super) fn inos(&self, at: usize, count: usize) -> Vec<BlockNum> {
        self.names.iter().skip(at).take(count).map(|name| name.ino).collect()
    }

    fn push(&mut self, name: &[u8], ino: BlockNum) {
        // A name has 255 bytes at most: its length field is one byte.
        let Ok(len) = u8::try_from(name.len()) else { return };
        self.names.push(Name { ino, start: self.arena.len(), len });
        self.arena.extend_from_slice(name);
    }

    fn bytes(&self, name: Name) -> &[u8] {
        self.arena.get(name.start..name.start.saturating_add(usize::from(name.len))).unwrap_or_default()
    }

    fn sort(&mut self) {
        let mut names = std::mem::take(&mut self.names);
        names.sort_unstable_by(|a, b| self.bytes(*a).cmp(self.bytes(*b)).then(a.ino.cmp(&b.ino)));
        self.names = names;
    }
}
