//! Directories read before the walk comes to them, so that it does not wait for each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt};
use ocfs2_format::BlockNum;

use super::listing::Listing;
use crate::inode::Inode;
use crate::{Error, Volume};

/// Inodes read in one go.
pub(super) const WINDOW: usize = 128;
/// Directories that are read ahead and not entered yet, at most.
const MOST: usize = 16;
/// How many of them may belong to one directory: those deeper down come first and need room too.
const MOST_OF_ONE: usize = 8;
/// Larger directories are read when they are entered, in bytes.
const SMALL: u64 = 64 << 10;

/// The first inodes of a directory.
pub(super) type Window = VecDeque<Result<Inode, Error>>;

/// Directories on their way, and those that have arrived.
#[derive(Debug, Default)]
pub(super) struct Ahead<'v> {
    /// Polled only while the walk waits. A read that another task waits for goes on when that task is polled.
    reads: FuturesUnordered<Read<'v>>,
    /// What is in `reads`.
    reading: BTreeSet<BlockNum>,
    read: BTreeMap<BlockNum, (Listing, Window)>,
}

type Read<'v> = Pin<Box<dyn Future<Output = (BlockNum, (Listing, Window))> + Send + 'v>>;

impl<'v> Ahead<'v> {
    /// Begins to read those of `dirs`, the next directories to be entered, that there is room for.
    pub(super) fn begin<'i>(&mut self, volume: &'v Volume, dirs: impl Iterator<Item = &'i Inode>) {
        for dir in dirs.take(MOST_OF_ONE) {
            if self.reading.len() + self.read.len() >= MOST {
                return;
            }
            if dir.size() <= SMALL && !self.read.contains_key(&dir.ino()) {
                self.start(volume, dir);
            }
        }
    }

    /// The names of `dir` and its first inodes.
    pub(super) async fn take(&mut self, volume: &'v Volume, dir: &Inode) -> (Listing, Window) {
        if let Some(found) = self.read.remove(&dir.ino()) {
            return found;
        }
        self.start(volume, dir);
        while let Some((ino, found)) = self.reads.next().await {
            // What has been forgotten meanwhile is of no use.
            let wanted = self.reading.remove(&ino);
            if ino == dir.ino() {
                return found;
            }
            if wanted {
                self.read.insert(ino, found);
            }
        }
        read(volume, dir).await
    }

    /// Gives up `dir`, which the walk will not enter.
    pub(super) fn forget(&mut self, dir: &Inode) {
        self.read.remove(&dir.ino());
        self.reading.remove(&dir.ino());
    }

    fn start(&mut self, volume: &'v Volume, dir: &Inode) {
        if self.reading.insert(dir.ino()) {
            let dir = dir.clone();
            self.reads.push(Box::pin(async move { (dir.ino(), read(volume, &dir).await) }));
        }
    }
}

async fn read(volume: &Volume, dir: &Inode) -> (Listing, Window) {
    let listing = Listing::read(volume, dir).await;
    let window = window(volume, &listing, 0).await;
    (listing, window)
}

/// The inodes of the names of `listing` from number `at` on.
pub(super) async fn window(volume: &Volume, listing: &Listing, at: usize) -> Window {
    volume.inodes(&listing.inos(at, WINDOW)).await.into()
}
