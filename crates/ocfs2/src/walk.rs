//! Walking a tree: depth first, names in byte order, whatever can be read.

use std::collections::HashSet;
use std::collections::VecDeque;

use ocfs2_format::{BlockKind, BlockNum};

use crate::inode::Inode;
use crate::{Error, FileType, Volume};

/// Inodes read ahead of the walk in one go.
const WINDOW: usize = 256;
/// Unreadable pieces of one directory after which the rest of it is given up.
const MAX_BAD_PIECES: usize = 16;

/// Something the walk came to.
#[derive(Debug)]
pub struct WalkEntry {
    /// Its path, relative to where the walk began: empty for that itself.
    pub path: Vec<u8>,
    /// The inode.
    pub inode: Inode,
}

/// Something the walk could not read. The walk goes on.
#[derive(Debug, thiserror::Error)]
#[error("/{}", path.escape_ascii())]
pub struct WalkError {
    /// The path of the file or directory, relative to where the walk began.
    pub path: Vec<u8>,
    /// What is wrong.
    pub source: Error,
}

/// A walk in progress; see [`Volume::walk`].
#[derive(Debug)]
pub struct Walk<'v> {
    volume: &'v Volume,
    stack: Vec<Frame>,
    /// Every directory entered: none is entered twice, so no loop of directories is walked for ever.
    seen: HashSet<BlockNum>,
    /// Found already, to be given out first.
    ready: VecDeque<Result<WalkEntry, WalkError>>,
    /// The directory given out last, entered by the next call.
    enter: Option<(Vec<u8>, Inode)>,
}

/// One directory on the way down.
#[derive(Debug)]
struct Frame {
    path: Vec<u8>,
    listing: Listing,
    at: usize,
}

/// A directory's names, sorted; compact, for there may be millions.
#[derive(Debug, Default)]
struct Listing {
    arena: Vec<u8>,
    names: Vec<Name>,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    ino: BlockNum,
    start: usize,
    len: u8,
}

impl Listing {
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

impl Volume {
    /// Walks the tree below `top`, which comes first with the path "": depth first, the names of each directory in
    /// byte order, `.` and `..` left out. Symlinks are not followed.
    ///
    /// Memory is bounded by the names of the directories on the way down and the number of directories.
    #[must_use]
    pub fn walk(&self, top: Inode) -> Walk<'_> {
        let enter = (top.attr().kind == FileType::Directory).then(|| (Vec::new(), top.clone()));
        let ready = VecDeque::from([Ok(WalkEntry { path: Vec::new(), inode: top })]);
        Walk { volume: self, stack: Vec::new(), seen: HashSet::new(), ready, enter }
    }
}

impl Walk<'_> {
    /// The next file or directory, or the next thing that cannot be read; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<WalkEntry, WalkError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if let Some((path, dir)) = self.enter.take() {
                self.open(path, &dir).await;
                continue;
            }
            let frame = self.stack.last_mut()?;
            let Some(name) = frame.listing.names.get(frame.at).copied() else {
                self.stack.pop();
                continue;
            };
            if frame.at.is_multiple_of(WINDOW) {
                let ahead =
                    frame.listing.names.iter().skip(frame.at).take(WINDOW).map(|name| (name.ino, name.ino));
                self.volume.meta().prefetch(ahead, BlockKind::Dinode).await;
            }
            frame.at += 1;
            let path = join(&frame.path, frame.listing.bytes(name));
            return Some(self.visit(path, name.ino).await);
        }
    }

    /// Does not enter the directory that [`Self::next`] gave out last.
    pub fn skip_dir(&mut self) {
        self.enter = None;
    }

    async fn visit(&mut self, path: Vec<u8>, ino: BlockNum) -> Result<WalkEntry, WalkError> {
        match self.volume.inode(ino).await {
            Ok(inode) => {
                if inode.attr().kind == FileType::Directory {
                    self.enter = Some((path.clone(), inode.clone()));
                }
                Ok(WalkEntry { path, inode })
            }
            Err(source) => Err(WalkError { path, source }),
        }
    }

    /// Lists a directory and makes it the innermost one.
    async fn open(&mut self, path: Vec<u8>, dir: &Inode) {
        if !self.seen.insert(dir.ino()) {
            let source = Error::DirLoop { ino: dir.ino() };
            self.ready.push_back(Err(WalkError { path, source }));
            return;
        }
        let mut listing = Listing::default();
        let mut position = Some(0);
        let mut bad = 0;
        while let Some(at) = position {
            match self.volume.readdir(dir, at).await {
                Ok(page) => {
                    for entry in page.entries.iter().filter(|entry| !entry.is_dot()) {
                        listing.push(&entry.name, entry.ino);
                    }
                    for damage in page.damage {
                        self.ready.push_back(Err(WalkError { path: path.clone(), source: damage.into() }));
                    }
                    position = page.next;
                }
                Err(source) => {
                    bad += 1;
                    self.ready.push_back(Err(WalkError { path: path.clone(), source }));
                    position = self.volume.next_dir_block(dir, at).filter(|_| bad < MAX_BAD_PIECES);
                }
            }
        }
        listing.sort();
        self.stack.push(Frame { path, listing, at: 0 });
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() {
        return name.to_vec();
    }
    [dir, b"/", name].concat()
}
