//! Walking a tree: depth first, names in byte order, whatever can be read.

mod ahead;
mod listing;

use std::collections::{HashSet, VecDeque};

use ocfs2_format::BlockNum;

use ahead::{Ahead, Window};
use listing::Listing;

use crate::inode::Inode;
use crate::{Error, Volume};

/// Directories on the way down whose inodes are kept; those further up are read again when the walk is back.
const NEAR: usize = 8;

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
    ahead: Ahead<'v>,
    /// The caller did not want the last directory: reading others ahead would likely be in vain.
    shallow: bool,
}

/// One directory on the way down.
#[derive(Debug)]
struct Frame {
    path: Vec<u8>,
    listing: Listing,
    /// Number of the next name.
    at: usize,
    /// The inodes of the names from `at` on, as far as they have been read.
    window: Window,
}

impl Volume {
    /// Walks the tree below `top`, which comes first with the path "": depth first, the names of each directory in
    /// byte order, `.` and `..` left out. Symlinks are not followed.
    ///
    /// Small directories are read before the walk comes to them, several at once. Memory is bounded by the names of
    /// the directories on the way down, 3,072 inodes, and the number of directories.
    #[must_use]
    pub fn walk(&self, top: Inode) -> Walk<'_> {
        let enter = top.is_dir().then(|| (Vec::new(), top.clone()));
        Walk {
            volume: self,
            stack: Vec::new(),
            seen: HashSet::new(),
            ready: VecDeque::from([Ok(WalkEntry { path: Vec::new(), inode: top })]),
            enter,
            ahead: Ahead::default(),
            shallow: false,
        }
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
            let Some((name, _)) = frame.listing.get(frame.at) else {
                self.stack.pop();
                continue;
            };
            let Some(inode) = frame.window.pop_front() else {
                frame.window = ahead::window(self.volume, &frame.listing, frame.at).await;
                continue;
            };
            let path = join(&frame.path, name);
            frame.at += 1;
            return Some(self.visit(path, inode));
        }
    }

    /// Does not enter the directory that [`Self::next`] gave out last.
    pub fn skip_dir(&mut self) {
        if let Some((_, dir)) = self.enter.take() {
            self.ahead.forget(&dir);
            self.shallow = true;
        }
    }

    fn visit(&mut self, path: Vec<u8>, inode: Result<Inode, Error>) -> Result<WalkEntry, WalkError> {
        match inode {
            Ok(inode) => {
                if inode.is_dir() {
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
            self.ahead.forget(dir);
            self.ready.push_back(Err(WalkError { path, source }));
            return;
        }
        if !std::mem::take(&mut self.shallow) {
            self.read_ahead();
        }
        let (mut listing, window) = self.ahead.take(self.volume, dir).await;
        for source in listing.damage.drain(..) {
            self.ready.push_back(Err(WalkError { path: path.clone(), source }));
        }
        self.stack.push(Frame { path, listing, at: 0, window });
        if let Some(far) = self.stack.len().checked_sub(NEAR + 1).and_then(|at| self.stack.get_mut(at)) {
            far.window.clear();
        }
    }

    /// Begins to read the directories that come next: those deepest down first.
    fn read_ahead(&mut self) {
        for frame in self.stack.iter().rev().take(NEAR) {
            let dirs = frame.window.iter().flatten().filter(|inode| inode.is_dir());
            self.ahead.begin(self.volume, dirs.filter(|dir| !self.seen.contains(&dir.ino())));
        }
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() {
        return name.to_vec();
    }
    [dir, b"/", name].concat()
}
