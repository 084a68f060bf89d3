//! Reading metadata: through the cache, verified, many at once where the caller knows what comes next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{FuturesUnordered, StreamExt};
use ocfs2_format::xattr::BUCKET_LEN;
use ocfs2_format::{BlockKind, BlockNum};

use crate::Error;
use crate::cache::Cache;
use crate::disk::Disk;
use crate::meta_block::{Kind, MetaBlock};

/// Longest read that gathers several metadata blocks, in bytes.
const MAX_RUN: u64 = 256 << 10;
/// A gap between two wanted blocks that is cheaper to read than to skip, in bytes.
const MAX_GAP: u64 = 32 << 10;

/// The volume's metadata.
#[derive(Debug)]
pub(crate) struct Meta {
    disk: Disk,
    cache: Cache,
    volume: ocfs2_format::Volume,
    repaired: AtomicU64,
}

impl Meta {
    /// Metadata of `volume` on `disk`, with at most `cache_bytes` of it kept.
    pub(crate) fn new(disk: Disk, volume: ocfs2_format::Volume, cache_bytes: usize) -> Self {
        Self { disk, cache: Cache::new(cache_bytes), volume, repaired: AtomicU64::new(0) }
    }

    /// What the format's checks must know of the volume.
    pub(crate) fn volume(&self) -> &ocfs2_format::Volume {
        &self.volume
    }

    /// The disk below.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The cache.
    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// How many blocks had one wrong bit that the code set right in memory.
    pub(crate) fn repaired(&self) -> u64 {
        self.repaired.load(Ordering::Relaxed)
    }

    /// The block `blkno` of inode `owner`, verified as `kind`.
    pub(crate) async fn get(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: impl Into<Kind>,
    ) -> Result<Arc<MetaBlock>, Error> {
        let kind = kind.into();
        if let Some(block) = self.cache.get(blkno, kind) {
            return Ok(block);
        }
        let count = self.blocks_of(kind);
        self.check_range(blkno, count)?;
        let bytes = self.disk.read_blocks(blkno.0, count).await?;
        self.admit(owner, blkno, kind, &bytes)
    }

    /// Reads those of `wanted` (owner, block) that are not cached, neighbours in one read, all at once.
    ///
    /// What cannot be read is left out: [`Self::get`] says why when it comes to it. The caller bounds the list.
    pub(crate) async fn prefetch(
        &self,
        wanted: impl IntoIterator<Item = (BlockNum, BlockNum)>,
        kind: impl Into<Kind>,
    ) {
        let kind = kind.into();
        let count = self.blocks_of(kind);
        let mut missing: Vec<(BlockNum, BlockNum)> = wanted
            .into_iter()
            .filter(|(_, blkno)| self.check_range(*blkno, count).is_ok() && !self.cache.has(*blkno, kind))
            .map(|(owner, blkno)| (blkno, owner))
            .collect();
        missing.sort_unstable();
        missing.dedup_by_key(|(blkno, _)| *blkno);
        let runs = missing.chunk_by(|(before, _), (next, _)| {
            (next.0 - before.0).saturating_mul(self.disk.block_size()) <= MAX_GAP
        });
        let most = usize::try_from(MAX_RUN / (self.disk.block_size() * count)).unwrap_or(1).max(1);
        let mut reads: FuturesUnordered<_> =
            runs.flat_map(|run| run.chunks(most)).map(|run| self.read_run(run, count, kind)).collect();
        while reads.next().await.is_some() {}
    }

    /// Reads one run of blocks, given as (block, owner) in ascending order, `count` blocks each.
    async fn read_run(&self, run: &[(BlockNum, BlockNum)], count: u64, kind: Kind) {
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { return };
        let total = (last.0 - first.0).saturating_add(count);
        let Ok(chunk) = self.disk.read_blocks(first.0, total).await else { return };
        let size = usize::try_from(self.disk.block_size()).unwrap_or(usize::MAX);
        for (blkno, owner) in run {
            let Ok(skip) = usize::try_from(blkno.0 - first.0) else { continue };
            let Ok(count) = usize::try_from(count) else { continue };
            let start = skip.saturating_mul(size);
            if let Some(bytes) = chunk.get(start..start.saturating_add(count.saturating_mul(size))) {
                // A bad block is reported by `get`, with the error it deserves.
                drop(self.admit(*owner, *blkno, kind, bytes));
            }
        }
    }

    /// Verifies what was read and caches it.
    fn admit(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<Arc<MetaBlock>, Error> {
        let mut bytes: Box<[u8]> = bytes.into();
        if let Kind::Checked(kind) = kind
            && kind.verify(&self.volume, blkno, &mut bytes)?
        {
            self.repaired.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(block = blkno.0, structure = %kind.structure(), "repaired one wrong bit in memory");
        }
        let block = Arc::new(MetaBlock::new(blkno, kind, bytes));
        self.cache.insert(owner, Arc::clone(&block));
        Ok(block)
    }

    /// Blocks that make up one of `kind`.
    fn blocks_of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Checked(BlockKind::XattrBucket) => (BUCKET_LEN as u64 / self.disk.block_size()).max(1),
            _ => 1,
        }
    }

    fn check_range(&self, blkno: BlockNum, count: u64) -> Result<(), Error> {
        if self.volume.geometry.contains_run(blkno, count) {
            return Ok(());
        }
        Err(Error::BeyondVolume { block: blkno.0, count, blocks: self.volume.geometry.blocks().0 })
    }
}
