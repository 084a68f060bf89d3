//! A slot's allocator gets a new group.

use ocfs2_format::{BlockKind, Clusters, Incompat, NewGroup};

use super::chain::ChainAllocator;
use super::search::Want;
use super::{Allocators, ClusterRun, Pool};
use crate::Error;
use crate::txn::{Blocks, Handle};

impl Allocators {
    /// Adds a group of clusters to the allocator `pool`: contiguous where there is room for it, else, where the
    /// volume has discontiguous groups, of pieces.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when there are not enough clusters; the handle is as it was then. Others as reading does.
    pub async fn grow(&self, handle: &mut Handle<'_>, pool: Pool) -> Result<(), Error> {
        let saved = handle.save();
        let ino = self.file(pool.file())?;
        let clusters = ChainAllocator::load(handle, ino).await?.clusters_per_group;
        let pieces = match self.gather(handle, u32::from(clusters)).await {
            Ok(pieces) => pieces,
            Err(error) => {
                if matches!(error, Error::NoSpace { .. }) {
                    handle.restore(saved);
                }
                return Err(error);
            }
        };
        let mut allocator = ChainAllocator::load(handle, ino).await?;
        // A chain without a group yet comes first.
        let used = u16::try_from(allocator.chains.len()).unwrap_or(allocator.capacity);
        let shortest = || (0..).zip(&allocator.chains).min_by_key(|(_, chain)| chain.total);
        let (chain, next) = match shortest() {
            Some((index, chain)) if used >= allocator.capacity => (index, Some(chain.head)),
            _ => (used, None),
        };
        let volume = *handle.volume();
        let runs: Vec<_> = pieces.iter().map(|run| (run.start, Clusters(run.clusters))).collect();
        let group = NewGroup { allocator: ino, chain, next, pieces: &runs };
        let first = pieces.first().map(|run| run.start).unwrap_or_default();
        let (block, bits) = (volume.geometry.cluster_start(first), group.bits(&volume));
        group.write(&volume, block, handle.fresh(ino, block, BlockKind::GroupDescriptor))?;
        let bits = u32::try_from(bits).unwrap_or(u32::MAX);
        allocator.add_group(handle, chain, block, (bits, u32::from(clusters))).await
    }

    /// Claims `total` clusters: in one piece, or in as few as can be had.
    async fn gather(&self, handle: &mut Handle<'_>, total: u32) -> Result<Vec<ClusterRun>, Error> {
        match self.claim_clusters(handle, total, total).await {
            Err(Error::NoSpace { .. }) if handle.volume().has(Incompat::DISCONTIG_BG) => {}
            one => return Ok(vec![one?]),
        }
        match self.close_window(handle).await {
            Err(Error::WindowReserved { .. }) => {}
            closed => closed?,
        }
        let none = Error::NoSpace { what: "clusters for a group of metadata", want: total };
        let (mut pieces, mut left, mut min) = (Vec::new(), total, total);
        while left > 0 {
            let want = Want { want: left, min: min.min(left) };
            match self.try_claim_global(handle, want).await? {
                Some(piece) => {
                    left -= piece.clusters;
                    pieces.push(piece);
                }
                None if min == 1 => return Err(none),
                None => min /= 2,
            }
        }
        let room = NewGroup::pieces_that_fit(handle.volume());
        if pieces.len() > room { Err(none) } else { Ok(pieces) }
    }
}
