//! A file gets clusters of its own where it shares some.

use block::{BlockDeviceExt as _, Durability};
use ocfs2_format::{BlockNum, Extent, ExtentFlags};

use super::share::clusters_of;
use super::tree::RefcountTree;
use crate::Error;
use crate::alloc::{ClusterRun, Pool};
use crate::extents::Extents;
use crate::inode::Body;
use crate::rw::change::Change;
use crate::txn::Blocks;

/// Bytes that are copied in one change, at the most: as much as the kernel copies at once.
const AT_ONCE: u64 = 1 << 20;

/// How far one change got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The place to go on from.
    pub(super) next: u64,
    /// Clusters are the file's own now that others shared before.
    pub(super) kept: bool,
}

/// Makes what lies in the clusters `start` to `end` of the data of inode `ino` its own, as far as one change should go,
/// to the end at last. What others share is copied; what nobody shares any more is only marked so, together with what
/// lies beside it.
pub(super) async fn unshare(
    change: &mut Change<'_>,
    ino: BlockNum,
    (start, end): (u64, u64),
) -> Result<Step, Error> {
    let Some(extent) = first_shared(change, ino, (start, end)).await? else {
        return Ok(Step { next: end, kept: false });
    };
    let tree = RefcountTree::of(change, ino).await?;
    let geometry = change.blocks().volume().geometry;
    let cpos = u64::from(extent.cpos).max(start);
    let skipped = u32::try_from(cpos - u64::from(extent.cpos)).unwrap_or(u32::MAX);
    let first = geometry.cluster_of(extent.block).unwrap_or_default();
    let rest = u32::try_from(extent.end() - cpos).unwrap_or(u32::MAX);
    let start = ocfs2_format::ClusterNum(first.0.saturating_add(skipped));
    let (count, alike) = tree.count(change.blocks(), ClusterRun { start, clusters: rest }).await?;
    if count == 1 {
        tree.forget(change, ClusterRun { start, clusters: alike }).await?;
        let (blocks, alloc) = change.blocks_and_space();
        let range = (cpos, cpos + u64::from(alike));
        let extents = Extents::of_inode(alloc, ino);
        extents.set_flags(blocks, range, ExtentFlags::empty(), ExtentFlags::REFCOUNTED).await?;
        return Ok(Step { next: range.1.min(end), kept: true });
    }
    let most = (AT_ONCE >> geometry.cluster_size.bits()).max(1).min(end - cpos);
    let clusters = u32::try_from(most).unwrap_or(u32::MAX).min(alike);
    let mut old = ClusterRun { start, clusters };
    let (blocks, alloc) = change.blocks_and_space();
    let new = alloc.claim_clusters(blocks, old.clusters, 1).await?;
    old.clusters = new.clusters;
    if !extent.flags.contains(ExtentFlags::UNWRITTEN) {
        copy(change, old, new).await?;
    }
    let range = (cpos, cpos + u64::from(new.clusters));
    take_out(change, ino, range).await?;
    let (blocks, alloc) = change.blocks_and_space();
    let extent = Extent {
        cpos: u32::try_from(cpos).unwrap_or(u32::MAX),
        clusters: u16::try_from(new.clusters).unwrap_or(u16::MAX),
        flags: extent.flags - ExtentFlags::REFCOUNTED,
        block: geometry.cluster_start(new.start),
    };
    Extents::of_inode(alloc, ino).insert(blocks, extent).await?;
    tree.release(change, old).await?;
    Ok(Step { next: range.1, kept: false })
}

/// Gives up the clusters of `extent`, which has been taken out of a tree of inode `ino`: what others share as well is
/// counted once less, the rest goes into the truncate log.
pub(in crate::rw) async fn give_up(
    change: &mut Change<'_>,
    ino: BlockNum,
    extent: &Extent,
) -> Result<(), Error> {
    let run = clusters_of(change, extent);
    if extent.flags.contains(ExtentFlags::REFCOUNTED) {
        return RefcountTree::of(change, ino).await?.release(change, run).await;
    }
    let (blocks, alloc) = change.blocks_and_space();
    alloc.log_freed(blocks, run).await
}

/// The first extent with shared clusters that reaches into `start` to `end`.
async fn first_shared(
    change: &mut Change<'_>,
    ino: BlockNum,
    (start, end): (u64, u64),
) -> Result<Option<Extent>, Error> {
    let inode = change.inode(ino).await?;
    let Body::Tree(tree) = inode.body() else { return Ok(None) };
    let mut cursor = tree.cursor(u32::try_from(start).unwrap_or(u32::MAX));
    while let Some(extent) = cursor.next(change.blocks()).await? {
        if u64::from(extent.cpos) >= end {
            break;
        }
        if extent.end() > start && extent.flags.contains(ExtentFlags::REFCOUNTED) {
            return Ok(Some(extent));
        }
    }
    Ok(None)
}

/// Takes what lies in the clusters `start` to `end` out of the tree of the file's data. The clusters are the caller's.
async fn take_out(change: &mut Change<'_>, ino: BlockNum, range: (u64, u64)) -> Result<(), Error> {
    let (blocks, alloc) = change.blocks_and_space();
    loop {
        let removed = Extents::of_inode(alloc, ino).remove(blocks, range, 8).await?;
        for (block, suballoc) in removed.blocks {
            alloc.free_block(blocks, Pool::Extent(suballoc.slot), block, suballoc).await?;
        }
        if removed.done {
            return Ok(());
        }
    }
}

/// Copies clusters to others, which nothing refers to yet.
async fn copy(change: &mut Change<'_>, from: ClusterRun, to: ClusterRun) -> Result<(), Error> {
    let volume = change.fs().volume();
    let geometry = *volume.geometry();
    let len = u64::from(to.clusters) << geometry.cluster_size.bits();
    let (from, at) = (geometry.cluster_start(from.start), geometry.cluster_start(to.start));
    let mut done = 0;
    while done < len {
        let part = (len - done).min(AT_ONCE);
        let chunk = volume
            .meta()
            .disk()
            .read(volume.byte_of(from) + done, usize::try_from(part).unwrap_or(0))
            .await?;
        let (buf, range) = chunk.into_parts();
        let bytes = block::Buf::copy_of(buf.get(range).unwrap_or_default());
        let written = volume.device().write_at(volume.byte_of(at) + done, bytes, Durability::Cached).await;
        written.map_err(|source| Error::Write {
            what: "a copy of shared data",
            block: at,
            source: std::sync::Arc::new(source),
        })?;
        done += part;
    }
    Ok(())
}
