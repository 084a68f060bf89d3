//! What lies where in a file.

use ocfs2_format::{BlockNum, Extent, ExtentFlags};

use crate::Error;
use crate::inode::{Body, Inode};
use crate::txn::Blocks;

/// Segments that are looked at together.
const AT_ONCE: usize = 128;

/// What is in some clusters of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Hole,
    /// Clusters that read as zeroes.
    Unwritten,
    /// Data of this file alone.
    Own,
    /// Clusters that other files may use too, whatever is in them.
    Shared,
}

/// Clusters of a file that lie side by side on the volume, or are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// First cluster of the file.
    pub(super) start: u64,
    /// First cluster behind it.
    pub(super) end: u64,
    pub(super) kind: Kind,
    /// Where the first lies.
    pub(super) block: BlockNum,
}

/// What lies in the clusters `start` to `end` of `inode`, in order and without gaps; not to the end where that is very
/// much. Nothing for a file that is kept in its inode.
pub(super) async fn segments(
    blocks: &impl Blocks,
    inode: &Inode,
    (start, end): (u64, u64),
) -> Result<Vec<Segment>, Error> {
    let Body::Tree(tree) = inode.body() else { return Ok(Vec::new()) };
    let geometry = blocks.volume().geometry;
    let mut found = Vec::new();
    let mut at = start;
    let hole = |start, end| Segment { start, end, kind: Kind::Hole, block: BlockNum(0) };
    let mut cursor = tree.cursor(u32::try_from(start).unwrap_or(u32::MAX));
    while at < end && found.len() < AT_ONCE {
        let Some(extent) = cursor.next(blocks).await?.filter(|extent| u64::from(extent.cpos) < end) else {
            found.push(hole(at, end));
            break;
        };
        let from = u64::from(extent.cpos).max(at);
        if from > at {
            found.push(hole(at, from));
        }
        let upto = extent.end().min(end);
        if upto > from {
            let skip = geometry.clusters_to_blocks(from - u64::from(extent.cpos));
            let block = BlockNum(extent.block.0.saturating_add(skip));
            found.push(Segment { start: from, end: upto, kind: kind_of(&extent), block });
        }
        at = upto.max(at);
    }
    Ok(found)
}

fn kind_of(extent: &Extent) -> Kind {
    if extent.flags.contains(ExtentFlags::REFCOUNTED) {
        Kind::Shared
    } else if extent.flags.contains(ExtentFlags::UNWRITTEN) {
        Kind::Unwritten
    } else {
        Kind::Own
    }
}
