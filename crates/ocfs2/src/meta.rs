//! Reading metadata: through the cache, verified, many at once where the caller knows what comes next.

mod flights;
mod store;

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ocfs2_format::BlockNum;

use flights::{Flights, Key, Landed};
use store::Store;

use crate::cache::Cache;
use crate::disk::{Chunk, Disk};
use crate::meta_block::{Bytes, Kind, MetaBlock};
use crate::{Error, gather};

/// The volume's metadata.
#[derive(Debug)]
pub(crate) struct Meta {
    store: Arc<Store>,
    flights: Flights,
}

impl Meta {
    /// Metadata of `volume` on `disk`, with at most `cache_bytes` of it kept.
    pub(crate) fn new(disk: Disk, volume: ocfs2_format::Volume, cache_bytes: usize) -> Self {
        let cache = Cache::new(cache_bytes);
        let store = Arc::new(Store { disk, cache, volume, repaired: AtomicU64::new(0) });
        Self { store, flights: Flights::default() }
    }

    /// What the format's checks must know of the volume.
    pub(crate) fn volume(&self) -> &ocfs2_format::Volume {
        &self.store.volume
    }

    /// Bytes of one block, or bucket, of `kind`.
    pub(crate) fn len_of(&self, kind: Kind) -> usize {
        // A bucket is eight blocks at most.
        self.volume().block_len() * usize::try_from(self.store.blocks_of(kind)).unwrap_or(1)
    }

    /// The disk below.
    pub(crate) fn disk(&self) -> &Disk {
        &self.store.disk
    }

    /// The cache.
    pub(crate) fn cache(&self) -> &Cache {
        &self.store.cache
    }

    /// How many blocks had one wrong bit that the code set right in memory.
    pub(crate) fn repaired(&self) -> u64 {
        self.store.repaired.load(Ordering::Relaxed)
    }

    /// The block `blkno` of inode `owner`, verified as `kind`. Who misses it at the same time waits for one read.
    pub(crate) async fn get(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: impl Into<Kind>,
    ) -> Result<Arc<MetaBlock>, Error> {
        let kind = kind.into();
        if let Some(block) = self.store.cache.get(blkno, kind) {
            return Ok(block);
        }
        self.store.check_range(blkno, self.store.blocks_of(kind))?;
        let store = Arc::clone(&self.store);
        let read = async move { Landed::Block(store.read(owner, blkno, kind).await) };
        match self.flights.join((blkno, kind), read).await {
            Landed::Block(block) => block,
            Landed::RunFailed => self.store.read(owner, blkno, kind).await,
        }
    }

    /// The single blocks of `blocks`, changed and sealed, as they go to the journal.
    pub(crate) fn images(&self, blocks: &[(BlockNum, Arc<MetaBlock>)]) -> Vec<(u64, Arc<[u8]>)> {
        let len = self.volume().block_len();
        let single = |(_, block): &(BlockNum, Arc<MetaBlock>)| {
            let places = block.blkno().0..;
            let singles = places.zip(block.bytes().chunks_exact(len));
            singles.map(|(at, bytes)| (at, Arc::from(bytes))).collect::<Vec<_>>()
        };
        blocks.iter().flat_map(single).collect()
    }

    /// Makes `blocks`, and their `images`, what every later read sees: here, and over the device.
    pub(crate) fn publish(&self, blocks: &[(BlockNum, Arc<MetaBlock>)], images: Vec<(u64, Arc<[u8]>)>) {
        self.store.disk.pending().publish(images);
        self.flights.forget_all();
        for (owner, block) in blocks {
            self.store.cache.insert(*owner, Arc::clone(block));
        }
    }

    /// Drops everything that is kept of inode `owner`, and keeps nothing of what is on its way.
    pub(crate) fn forget(&self, owner: BlockNum) {
        self.store.disk.pending().forget(owner);
        self.flights.forget_all();
        self.store.cache.forget(owner);
    }

    /// Reads those of `wanted` (owner, block) that are neither cached nor on their way, neighbours in one read, all at
    /// once, and waits for all. [`Self::get`] waits for the same reads.
    ///
    /// What cannot be read is left out: [`Self::get`] says why when it comes to it. The caller bounds the list.
    pub(crate) async fn prefetch(
        &self,
        wanted: impl IntoIterator<Item = (BlockNum, BlockNum)>,
        kind: impl Into<Kind>,
    ) {
        let kind = kind.into();
        let count = self.store.blocks_of(kind);
        let wanted: BTreeMap<BlockNum, BlockNum> = (wanted.into_iter())
            .filter(|(_, blkno)| self.store.check_range(*blkno, count).is_ok())
            .map(|(owner, blkno)| (blkno, owner))
            .collect();
        let keys = wanted.keys().map(|blkno| (*blkno, kind));
        let flights = self.flights.join_all(keys, |keys| {
            // Looked at here, where none can land unseen: what has landed is in the cache.
            let missing = keys.into_iter().filter(|(blkno, _)| !self.store.cache.has(*blkno, kind));
            let missing: Vec<(BlockNum, BlockNum)> =
                missing.filter_map(|(blkno, _)| Some((blkno, *wanted.get(&blkno)?))).collect();
            self.runs(&missing, count).flat_map(|run| self.fly(run, count, kind)).collect()
        });
        let mut flights: FuturesUnordered<_> = flights.into_iter().collect();
        // A bad block is reported by `get`, with the error it deserves.
        while flights.next().await.is_some() {}
    }

    /// The reads of the blocks of one run (block, owner), `count` blocks each: one read that the first to be polled
    /// begins, and that all wait for.
    fn fly<'r>(
        &'r self,
        run: &'r [(BlockNum, BlockNum)],
        count: u64,
        kind: Kind,
    ) -> impl Iterator<Item = (Key, impl Future<Output = Landed> + use<>)> + 'r {
        let (store, (first, blocks)) = (Arc::clone(&self.store), span(run, count));
        let read = async move { store.disk.read_blocks(first, blocks).await.map(Arc::new) };
        let read = read.boxed().shared();
        run.iter().map(move |(blkno, owner)| {
            let (store, read, place) =
                (Arc::clone(&self.store), read.clone(), self.place_in_run(run, *blkno, count));
            let (blkno, owner) = (*blkno, *owner);
            // From before the read begins, whichever of them begins it.
            let ticket = store.disk.pending().read();
            let flight = async move {
                match read.await.as_ref().ok().and_then(|chunk| chunk.get(place)) {
                    Some(bytes) => Landed::Block(store.admit(&ticket, owner, blkno, kind, bytes)),
                    None => Landed::RunFailed,
                }
            };
            ((blkno, kind), flight)
        })
    }

    /// The blocks `wanted`, each verified as `kind`, in the order in which they are wanted: from the cache, the others
    /// from the disk, neighbours in one read, all at once.
    ///
    /// For blocks that are used once: nothing is added to the cache, and what was read together stays in memory
    /// until the last block of it is dropped (at most twice what is used of it). The caller bounds the list.
    pub(crate) async fn read_all(
        &self,
        wanted: &[BlockNum],
        kind: impl Into<Kind>,
    ) -> Vec<Result<Arc<MetaBlock>, Error>> {
        let kind = kind.into();
        let count = self.store.blocks_of(kind);
        let mut found: Vec<Option<Result<Arc<MetaBlock>, Error>>> = wanted
            .iter()
            .map(|blkno| match self.store.cache.get(*blkno, kind) {
                Some(block) => Some(Ok(block)),
                None => self.store.check_range(*blkno, count).err().map(Err),
            })
            .collect();
        let mut missing: Vec<(BlockNum, usize)> = (wanted.iter().copied().zip(0..))
            .filter(|(_, index)| found.get(*index).is_some_and(Option::is_none))
            .collect();
        missing.sort_unstable();
        let mut reads: FuturesUnordered<_> =
            self.runs(&missing, count).map(|run| self.read_once(run, count, kind)).collect();
        while let Some(run) = reads.next().await {
            for (index, block) in run {
                if let Some(place) = found.get_mut(index) {
                    *place = Some(block);
                }
            }
        }
        found.into_iter().flatten().collect()
    }

    /// Reads one run for [`Self::read_all`]: the blocks with what came along with them.
    async fn read_once<T: Copy>(
        &self,
        run: &[(BlockNum, T)],
        count: u64,
        kind: Kind,
    ) -> Vec<(T, Result<Arc<MetaBlock>, Error>)> {
        let mut chunk = match self.read_run(run, count).await {
            Ok(chunk) => chunk,
            Err(error) => return self.read_one_by_one(run, count, kind, error).await,
        };
        let places = run.iter().map(|(blkno, _)| self.place_in_run(run, *blkno, count));
        let checked: Vec<(Range<usize>, Result<(), Error>)> = (run.iter().zip(places))
            .map(|((blkno, _), place)| {
                let bytes = chunk.bytes_mut().get_mut(place.clone()).unwrap_or_default();
                (place, self.store.verify(*blkno, kind, bytes))
            })
            .collect();
        let chunk = Arc::new(chunk);
        let bytes = |place| Bytes::Part(Arc::clone(&chunk), place);
        (run.iter().zip(checked))
            .map(|((blkno, with), (place, verdict))| {
                (*with, verdict.map(|()| Arc::new(MetaBlock::new(*blkno, kind, bytes(place)))))
            })
            .collect()
    }

    /// What is left when a run cannot be read as a whole, which says nothing of its single blocks.
    async fn read_one_by_one<T: Copy>(
        &self,
        run: &[(BlockNum, T)],
        count: u64,
        kind: Kind,
        error: Error,
    ) -> Vec<(T, Result<Arc<MetaBlock>, Error>)> {
        if let [(_, with)] = run {
            return vec![(*with, Err(error))];
        }
        let mut blocks = Vec::with_capacity(run.len());
        for (blkno, with) in run {
            let block = match self.store.disk.read_blocks(blkno.0, count).await {
                Ok(chunk) => self.store.checked(*blkno, kind, &chunk),
                Err(error) => Err(error),
            };
            blocks.push((*with, block));
        }
        blocks
    }

    /// Cuts (block, …) in ascending order, `count` blocks each, into what is read together.
    fn runs<'b, T>(
        &self,
        blocks: &'b [(BlockNum, T)],
        count: u64,
    ) -> impl Iterator<Item = &'b [(BlockNum, T)]> {
        let size = self.store.disk.block_size();
        let piece = |blkno: BlockNum| {
            blkno.0.saturating_mul(size)..blkno.0.saturating_add(count).saturating_mul(size)
        };
        let runs = gather::runs(blocks.iter().map(|(blkno, _)| piece(*blkno)));
        runs.into_iter().filter_map(|run| blocks.get(run))
    }

    /// Reads one run of blocks, `count` blocks each.
    async fn read_run<T>(&self, run: &[(BlockNum, T)], count: u64) -> Result<Chunk, Error> {
        let (first, blocks) = span(run, count);
        self.store.disk.read_blocks(first, blocks).await
    }

    /// Where `blkno` lies in the bytes of its run.
    fn place_in_run<T>(&self, run: &[(BlockNum, T)], blkno: BlockNum, count: u64) -> Range<usize> {
        let first = run.first().map_or(0, |(first, _)| first.0);
        let start = blkno.0.saturating_sub(first).saturating_mul(self.store.disk.block_size());
        let len = count.saturating_mul(self.store.disk.block_size());
        // A run is less than a megabyte.
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        start..start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX))
    }
}

/// First block, and number of blocks, of a run of blocks in ascending order, `count` blocks each.
fn span<T>(run: &[(BlockNum, T)], count: u64) -> (u64, u64) {
    let (first, last) =
        (run.first().map_or(0, |(first, _)| first.0), run.last().map_or(0, |(last, _)| last.0));
    (first, last.saturating_sub(first).saturating_add(count))
}
