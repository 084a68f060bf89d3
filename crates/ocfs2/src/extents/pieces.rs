//! What becomes of the extents of one leaf: cut, flagged, joined. No blocks, no I/O.

use std::ops::Range;

use ocfs2_format::{BlockNum, Extent, ExtentFlags, Tree, Volume};

/// When two extents of a tree are one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joins {
    tree: Tree,
    blocks_per_cluster: u64,
    most: u32,
}

impl Joins {
    /// The rules of `tree`.
    pub(super) fn of(volume: &Volume, tree: Tree) -> Self {
        let geometry = volume.geometry;
        let most = match tree {
            // A refcount block is found by its position, each for itself.
            Tree::Refcount => 1,
            // The first bucket of an extent counts those that are in use: two extents with gaps are not one.
            Tree::XattrIndex => 0,
            _ => u32::from(u16::MAX),
        };
        Self { tree, blocks_per_cluster: u64::from(geometry.blocks_per_cluster()), most }
    }

    /// The first position after `extent`. In the index trees positions are hashes, and only their order counts.
    pub(super) fn end(self, extent: &Extent) -> u64 {
        match self.tree {
            Tree::XattrIndex | Tree::DirIndex => u64::from(extent.cpos) + 1,
            _ => extent.end(),
        }
    }

    fn joined(self, a: &Extent, b: &Extent) -> Option<Extent> {
        let sum = u32::from(a.clusters) + u32::from(b.clusters);
        let on_disk = a.block.0.checked_add(u64::from(a.clusters) * self.blocks_per_cluster);
        let one = a.flags == b.flags
            && a.end() == u64::from(b.cpos)
            && on_disk == Some(b.block.0)
            && sum <= self.most;
        let clusters = u16::try_from(sum).ok().filter(|_| one)?;
        Some(Extent { clusters, ..*a })
    }

    /// Joins the extents `changed` with each other and with those beside them.
    pub(super) fn join(self, extents: &mut Vec<Extent>, changed: Range<usize>) {
        let first = changed.start.saturating_sub(1);
        for at in (first..changed.end).rev() {
            let (Some(a), Some(b)) = (extents.get(at), extents.get(at + 1)) else { continue };
            if let Some(joined) = self.joined(a, b) {
                extents[at] = joined;
                extents.remove(at + 1);
            }
        }
    }

    /// The part of `extent` from `start` to `end`, which lie within it or beyond its ends; `None` when it is empty.
    fn part(self, extent: &Extent, start: u64, end: u64) -> Option<Extent> {
        let from = start.max(u64::from(extent.cpos));
        let clusters = end.min(extent.end()).checked_sub(from).filter(|len| *len > 0)?;
        let skip = from - u64::from(extent.cpos);
        Some(Extent {
            cpos: u32::try_from(from).ok()?,
            clusters: u16::try_from(clusters).ok()?,
            flags: extent.flags,
            block: BlockNum(extent.block.0 + skip * self.blocks_per_cluster),
        })
    }

    /// `extents` with other flags between `start` and `end`; `None` when nothing changes.
    pub(super) fn flagged(
        self,
        extents: &[Extent],
        (start, end): (u64, u64),
        flags: impl Fn(ExtentFlags) -> ExtentFlags,
    ) -> Option<Vec<Extent>> {
        let mut new = Vec::with_capacity(extents.len() + 2);
        let mut changed: Option<Range<usize>> = None;
        for extent in extents {
            let wanted = flags(extent.flags);
            match self.part(extent, start, end) {
                Some(middle) if wanted != extent.flags => {
                    new.extend(self.part(extent, 0, start));
                    let from = changed.as_ref().map_or(new.len(), |range| range.start);
                    new.push(Extent { flags: wanted, ..middle });
                    changed = Some(from..new.len());
                    new.extend(self.part(extent, end, u64::MAX));
                }
                _ => new.push(*extent),
            }
        }
        self.join(&mut new, changed?);
        Some(new)
    }

    /// `extents` without what lies between `start` and `end`, of which at most `most` are taken, from the end; and
    /// what was taken, in descending order. What is left of an extent that was cut is no further joined.
    pub(super) fn without(
        self,
        extents: &[Extent],
        (start, end): (u64, u64),
        most: usize,
    ) -> (Vec<Extent>, Vec<Extent>) {
        let (mut left, mut out) = (Vec::with_capacity(extents.len() + 1), Vec::new());
        let whole = matches!(self.tree, Tree::XattrIndex | Tree::DirIndex | Tree::Refcount);
        for extent in extents.iter().rev() {
            let inside = u64::from(extent.cpos) < end && self.end(extent) > start;
            if !inside || out.len() >= most {
                left.push(*extent);
            } else if whole {
                // Their extents are not cut: half a leaf is of no use.
                out.push(*extent);
            } else {
                left.extend(self.part(extent, end, u64::MAX));
                out.extend(self.part(extent, start, end));
                left.extend(self.part(extent, 0, start));
            }
        }
        left.reverse();
        (left, out)
    }
}
