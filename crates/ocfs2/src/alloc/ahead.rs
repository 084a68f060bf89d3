//! Clusters of the window that files which grow are about to want: whoever has another choice leaves them alone. So files
//! that grow side by side lie each in one piece.

use std::collections::BTreeMap;
use std::ops::Range;

use ocfs2_format::BlockNum;

/// Files that are thought of, at the most.
const FILES: usize = 64;

/// What is kept free for whom. It binds nobody: what is taken of it in need is missed by nobody but the file's reader.
#[derive(Debug, Default)]
pub(super) struct Ahead(BTreeMap<BlockNum, Place>);

/// Where a file goes on.
#[derive(Debug)]
struct Place {
    /// Its next cluster.
    cpos: u64,
    /// Clusters of the volume.
    clusters: Range<u32>,
}

impl Ahead {
    /// The clusters for cluster `cpos` of the file `ino` and those behind it.
    pub(super) fn of(&self, ino: BlockNum, cpos: u64) -> Option<Range<u32>> {
        let place = self.0.get(&ino).filter(|place| place.cpos == cpos)?;
        Some(place.clusters.clone())
    }

    /// The file `ino` is to go on in `clusters`.
    pub(super) fn set(&mut self, ino: BlockNum, cpos: u64, clusters: Range<u32>) {
        if clusters.is_empty() {
            self.0.remove(&ino);
            return;
        }
        if self.0.len() >= FILES && !self.0.contains_key(&ino) {
            self.0.pop_first();
        }
        self.0.insert(ino, Place { cpos, clusters });
    }

    /// All clusters that are kept.
    pub(super) fn all(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.0.values().map(|place| place.clusters.clone())
    }

    /// The window is another one.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_finds_what_it_left_and_nothing_elsewhere() {
        let mut ahead = Ahead::default();
        ahead.set(BlockNum(7), 3, 100..140);
        assert_eq!(ahead.of(BlockNum(7), 3), Some(100..140));
        assert_eq!((ahead.of(BlockNum(7), 4), ahead.of(BlockNum(8), 3)), (None, None));
        for ino in 0..200 {
            ahead.set(BlockNum(ino), 1, 1..2);
        }
        assert!(ahead.all().count() <= FILES);
        ahead.set(BlockNum(199), 2, 5..5);
        assert_eq!(ahead.of(BlockNum(199), 1), None);
    }
}
