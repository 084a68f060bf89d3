//! What a slot left behind is given back: the unused part of its window of clusters, and the clusters it had freed.

use ocfs2_format::{Body, ClusterNum, Dinode, RawLocalAlloc};
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use super::change::Change;
use super::operation::Operation;
use crate::alloc::ClusterRun;
use crate::{Error, SystemFile, Volume};

impl Volume {
    /// The window of clusters of `slot`: the runs of it that are free; `None` where it has no window.
    pub(super) async fn unused_window(&self, slot: u16) -> Result<Option<Vec<ClusterRun>>, Error> {
        let inode = self.system_inode(SystemFile::LocalAlloc(slot)).await?;
        let (_, body) = Dinode::parse(self.meta().volume(), inode.ino(), inode.block().bytes())?;
        let Body::LocalAlloc(window) = body else { return Ok(None) };
        if window.bits == 0 {
            return Ok(None);
        }
        let mut runs: Vec<ClusterRun> = Vec::new();
        for bit in (0..window.bits).filter(|bit| !window.bitmap.get(*bit)) {
            let cluster = window.start.0 + bit;
            match runs.last_mut() {
                Some(run) if run.range().end == cluster => run.clusters += 1,
                _ => runs.push(ClusterRun { start: ClusterNum(cluster), clusters: 1 }),
            }
        }
        Ok(Some(runs))
    }
}

impl Operation<'_> {
    /// Empties the window of `slot`, which no living node has: what of it is unused is free again. One transaction.
    pub(super) async fn empty_window(&mut self, slot: u16) -> Result<(), Error> {
        let Some(runs) = self.fs().volume().unused_window(slot).await? else { return Ok(()) };
        loop {
            let mut change = self.begin().await?;
            let done = give_back(&mut change, slot, &runs).await;
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Gives back what is unused of this node's own window; then it has none.
    pub(super) async fn close_window(&mut self) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let (blocks, alloc) = change.blocks_and_space();
            if alloc.window(blocks).await?.run.clusters == 0 {
                return Ok(());
            }
            let closed = alloc.close_window(blocks).await;
            if change.end(closed).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Gives back what the truncate log of `slot` holds, which is this node's or no living node's.
    pub(super) async fn empty_truncate_log(&mut self, slot: u16) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let (blocks, alloc) = change.blocks_and_space();
            let flushed = alloc.flush_records(blocks, slot).await;
            if let Some(0) = change.end(flushed).await? {
                return Ok(());
            }
        }
    }
}

async fn give_back(change: &mut Change<'_>, slot: u16, runs: &[ClusterRun]) -> Result<(), Error> {
    let (blocks, alloc) = change.blocks_and_space();
    for run in runs {
        // Nothing was ever written to them: they need not be held.
        alloc.clear_global(blocks, *run).await?;
    }
    let ino = change.fs().system_ino(SystemFile::LocalAlloc(slot))?;
    let (raw, body) = change.dinode_and_body(ino).await?;
    raw.id1 = [U32::ZERO; 2];
    if let Ok((window, bits)) = RawLocalAlloc::mut_from_prefix(body) {
        window.bm_off = U32::ZERO;
        let size = usize::from(window.size.get()).min(bits.len());
        bits[..size].fill(0);
    }
    Ok(())
}
