//! Files that shrink, and files that are given up.

use ocfs2_format::{BlockNum, Extent};

use super::map::{Kind, segments};
use super::{PAGE, align_up};
use crate::Error;
use crate::alloc::Pool;
use crate::extents::Extents;
use crate::inode::{Body, Inode};
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::rw::refcount::give_up;
use crate::rw::setattr::SetAttr;

/// Extents that one change takes out of a tree, at the most.
const EXTENTS_AT_ONCE: usize = 16;
/// Clusters, of an extent of a file that shares some, that are given up in one change.
const CLUSTERS_AT_ONCE: u64 = 1 << 16;
/// The same where each of them turned out to be a matter of its own: a record in the truncate log, a block of the refcount
/// tree.
const SCATTERED_AT_ONCE: u64 = 16;

impl Operation<'_> {
    /// Makes the file `inode` `size` bytes long, and changes its other attributes in the same change. Its locks are
    /// held exclusively, and no others.
    pub(in crate::rw) async fn resize(
        &mut self,
        inode: &Inode,
        size: u64,
        set: &SetAttr,
    ) -> Result<(), Error> {
        let ino = inode.ino();
        let max = self.fs().volume().geometry().max_file_size();
        if size > max {
            return Err(Error::FileTooLarge { ino, max });
        }
        match size {
            size if size > inode.size() => self.grow(inode, size, set).await,
            size if size < inode.size() => self.shrink(inode, size, set).await,
            _ => self.set_size(ino, size, set).await,
        }
    }

    async fn shrink(&mut self, inode: &Inode, size: u64, set: &SetAttr) -> Result<(), Error> {
        let (fs, ino) = (self.fs(), inode.ino());
        if matches!(inode.body(), Body::Inline(_)) {
            return self.set_size(ino, size, set).await;
        }
        let geometry = *fs.volume().geometry();
        let (cluster, kept) = (size >> geometry.cluster_size.bits(), geometry.clusters_for(size));
        // What others share is not to be zeroed: the last cluster becomes its own first.
        let last = segments(fs.volume().meta(), inode, (cluster, kept)).await?;
        if last.iter().any(|segment| segment.kind == Kind::Shared) {
            self.own(ino, (cluster, kept)).await?;
        }
        self.set_size(ino, size, set).await?;
        fs.data().shrunk(ino);
        self.zero_page(ino, size).await?;
        self.drop_extents(ino, (kept, 1 << 32)).await?;
        if cluster == kept {
            // What it had behind its end is gone, and is nobody's before that has been committed.
            fs.data().settled(ino);
        }
        Ok(())
    }

    /// Zeroes what lies between the end of the file, which is `size`, and the end of its last page.
    async fn zero_page(&mut self, ino: BlockNum, size: u64) -> Result<(), Error> {
        let fs = self.fs();
        let geometry = *fs.volume().geometry();
        let last = (size >> geometry.cluster_size.bits(), geometry.clusters_for(size));
        let inode = fs.volume().inode(ino).await?;
        for segment in segments(fs.volume().meta(), &inode, last).await? {
            let end = align_up(size, PAGE);
            if segment.kind == Kind::Own && end > size {
                fs.settle_end(ino).await?;
                let start = fs.byte_at(&segment, size);
                fs.put_zeroes(ino, (start, start + (end - size))).await?;
            }
        }
        Ok(())
    }

    /// Gives up what lies in the clusters `start` to `end` of inode `ino`, in as many changes as it takes. Nobody reads
    /// or writes it meanwhile: the lock M is held exclusively.
    pub(crate) async fn drop_extents(&mut self, ino: BlockNum, range: (u64, u64)) -> Result<(), Error> {
        let mut most = CLUSTERS_AT_ONCE;
        loop {
            let mut change = self.begin().await?;
            let done = drop_some(&mut change, ino, range, most).await;
            let scattered = matches!(done, Err(Error::TruncateLogFull { .. }));
            match change.end(done).await {
                Ok(Some(true)) => return Ok(()),
                Ok(_) if !scattered => most = most.saturating_mul(2).min(CLUSTERS_AT_ONCE),
                Err(error) if !matches!(error, Error::JournalRefused(_)) || most <= SCATTERED_AT_ONCE => {
                    return Err(error);
                }
                _ => most = SCATTERED_AT_ONCE,
            }
        }
    }
}

/// Gives up some of the last extents in `range`; of an inode that may share clusters, no more than `most` clusters of
/// the last one. Returns whether none is left.
async fn drop_some(
    change: &mut Change<'_>,
    ino: BlockNum,
    (from, to): (u64, u64),
    most: u64,
) -> Result<bool, Error> {
    let inode = change.inode(ino).await?;
    let Body::Tree(tree) = inode.body() else { return Ok(true) };
    let (mut start, mut extents) = (from, EXTENTS_AT_ONCE);
    if inode.dinode().refcount_root.is_some() {
        extents = 1;
        let last = u32::try_from(to.saturating_sub(1)).unwrap_or(u32::MAX);
        let last = tree.leaf(change.blocks(), last, false).await?.at_or_before(last);
        // Without one in this leaf there may be some in the leaf before, which are looked for as always.
        let of_last = |last: Extent| u64::from(last.cpos).max(last.end().min(to).saturating_sub(most));
        start = last.map_or(from, of_last).max(from);
    }
    let (blocks, alloc) = change.blocks_and_space();
    let removed = Extents::of_inode(alloc, ino).remove(blocks, (start, to), extents).await?;
    for extent in &removed.extents {
        give_up(change, ino, extent).await?;
    }
    for (block, suballoc) in removed.blocks {
        let (blocks, alloc) = change.blocks_and_space();
        alloc.free_block(blocks, Pool::Extent(suballoc.slot), block, suballoc).await?;
    }
    Ok(removed.done && start == from)
}
