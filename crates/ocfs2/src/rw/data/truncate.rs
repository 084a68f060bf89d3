//! Files that shrink, and files that are given up.

use ocfs2_format::{BlockNum, Timestamp};

use super::map::{Kind, segments};
use super::{PAGE, align_up};
use crate::Error;
use crate::alloc::Pool;
use crate::extents::Extents;
use crate::inode::{Body, Inode};
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::rw::refcount::give_up;

/// Extents that one change takes out of a tree, at the most.
const EXTENTS_AT_ONCE: usize = 16;
/// The same where clusters are shared: each may change blocks of the refcount tree.
const SHARED_AT_ONCE: usize = 2;

impl Operation<'_> {
    /// Makes the file `inode` `size` bytes long. Its locks are held exclusively, and no others.
    pub(in crate::rw) async fn resize(
        &mut self,
        inode: &Inode,
        size: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let ino = inode.ino();
        let max = self.fs().volume().geometry().max_file_size();
        if size > max {
            return Err(Error::FileTooLarge { ino, max });
        }
        match size {
            size if size > inode.size() => self.grow(inode, size, now).await,
            size if size < inode.size() => self.shrink(inode, size, now).await,
            // A truncation that was cut short may have left something behind the end.
            _ => Ok(()),
        }
    }

    async fn shrink(&mut self, inode: &Inode, size: u64, now: Timestamp) -> Result<(), Error> {
        let (fs, ino) = (self.fs(), inode.ino());
        if matches!(inode.body(), Body::Inline(_)) {
            return self.set_size(inode, size, now).await;
        }
        let geometry = *fs.volume().geometry();
        let cluster = size >> geometry.cluster_size.bits();
        let kept = geometry.clusters_for(size);
        // What others share is not to be zeroed: the last cluster becomes its own first.
        let last = segments(fs.volume().meta(), inode, (cluster, kept)).await?;
        if last.iter().any(|segment| segment.kind == Kind::Shared) {
            self.own(ino, (cluster, kept)).await?;
        }
        self.set_size(inode, size, now).await?;
        fs.data().shrunk(ino);
        let inode = fs.volume().inode(ino).await?;
        for segment in segments(fs.volume().meta(), &inode, (cluster, kept)).await? {
            let end = align_up(size, PAGE);
            if segment.kind == Kind::Own && end > size {
                fs.settle_end(ino).await?;
                let start = fs.byte_at(&segment, size);
                fs.put_zeroes(ino, (start, start + (end - size))).await?;
            }
        }
        self.drop_extents(ino, (kept, 1 << 32)).await
    }

    /// Gives up what lies in the clusters `start` to `end` of inode `ino`, in as many changes as it takes. The locks W
    /// and M are held exclusively.
    pub(crate) async fn drop_extents(&mut self, ino: BlockNum, range: (u64, u64)) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let done = drop_some(&mut change, ino, range).await;
            if let Some(true) = change.end(done).await? {
                return Ok(());
            }
        }
    }
}

/// One step of giving up what lies in `range`; whether there is nothing left.
async fn drop_some(change: &mut Change<'_>, ino: BlockNum, range: (u64, u64)) -> Result<bool, Error> {
    let inode = change.inode(ino).await?;
    if !matches!(inode.body(), Body::Tree(_)) {
        return Ok(true);
    }
    let most = if inode.dinode().refcount_root.is_some() { SHARED_AT_ONCE } else { EXTENTS_AT_ONCE };
    let (blocks, alloc) = change.blocks_and_space();
    let removed = Extents::of_inode(alloc, ino).remove(blocks, range, most).await?;
    for (block, suballoc) in removed.blocks {
        alloc.free_block(blocks, Pool::Extent(suballoc.slot), block, suballoc).await?;
    }
    for extent in removed.extents {
        give_up(change, ino, &extent).await?;
    }
    Ok(removed.done)
}
