//! Clusters: claimed in the local window or the cluster bitmap, freed into the bitmap.

use std::ops::Range;

use ocfs2_format::{BlockKind, BlockNum, ClusterNum, Geometry, GroupDescriptor};

use super::chain::ChainAllocator;
use super::held::without;
use super::search::Want;
use super::{Allocators, ClusterRun};
use crate::txn::{Blocks, Handle};
use crate::{Error, SystemFile};

impl Allocators {
    /// Claims up to `want` clusters side by side, at least `min` (at least 1).
    ///
    /// What is not much for the local window comes from there; the window moves when it has no more room. Else, and
    /// when there is no room for a new window, from the cluster bitmap. Unless the window
    /// [has room](Self::window_has), the caller holds the bitmap's lock.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when no run of `min` clusters is free; the handle is as it was then. Others as reading does.
    pub async fn claim_clusters(
        &self,
        handle: &mut Handle<'_>,
        want: u32,
        min: u32,
    ) -> Result<ClusterRun, Error> {
        let wanted = Want { want: want.max(1), min: min.clamp(1, want.max(1)) };
        if self.fits_window(handle, wanted.want).await? {
            if let Some(run) = self.claim_in_window(handle, wanted).await? {
                return Ok(run);
            }
            if self.move_window_for(handle, wanted).await?
                && let Some(run) = self.claim_in_window(handle, wanted).await?
            {
                return Ok(run);
            }
        }
        if let Some(run) = self.try_claim_global(handle, wanted).await? {
            return Ok(run);
        }
        // The window may hold what is missing.
        let none = Error::NoSpace { what: "clusters", want: wanted.min };
        let saved = handle.save();
        match self.close_window(handle).await {
            Err(Error::WindowReserved { .. }) => return Err(none),
            closed => closed?,
        }
        let found = self.try_claim_global(handle, wanted).await?;
        if found.is_none() {
            handle.restore(saved);
        }
        found.ok_or(none)
    }

    /// The same, from the cluster bitmap itself.
    ///
    /// # Errors
    /// As [`Self::claim_clusters`].
    pub async fn claim_global(
        &self,
        handle: &mut Handle<'_>,
        want: u32,
        min: u32,
    ) -> Result<ClusterRun, Error> {
        let min = min.clamp(1, want.max(1));
        let found = self.try_claim_global(handle, Want { want: want.max(1), min }).await?;
        found.ok_or(Error::NoSpace { what: "clusters", want: min })
    }

    /// The same; `None` when there is no such run.
    pub(super) async fn try_claim_global(
        &self,
        handle: &mut Handle<'_>,
        want: Want,
    ) -> Result<Option<ClusterRun>, Error> {
        let ino = self.file(SystemFile::GlobalBitmap)?;
        let mut bitmap = ChainAllocator::load(handle, ino).await?;
        let geometry = handle.volume().geometry;
        let mut freed: Vec<Range<u32>> = handle.freed().iter().map(|run| run.range()).collect();
        freed.sort_unstable_by_key(|run| run.start);
        let usable = |group: &GroupDescriptor<'_>, bits: Range<u32>| -> Vec<Range<u32>> {
            let Some((base, limit)) = self.group_place(&geometry, group.block) else { return Vec::new() };
            let of_volume = bits.start.min(limit) + base..bits.end.min(limit) + base;
            let state = self.state();
            // What this handle has freed itself is in use on the disk: it is held, too.
            without(of_volume.clone(), state.held.in_range(&of_volume))
                .flat_map(|run| without(run, freed.iter().cloned()))
                .map(|run| run.start - base..run.end - base)
                .collect()
        };
        let hint = self.hint(handle, ino);
        let Some(found) = bitmap.find(handle, want, hint, Some(&usable)).await? else { return Ok(None) };
        let Some((base, _)) = self.group_place(&geometry, found.group) else { return Ok(None) };
        bitmap.claim(handle, &found).await?;
        handle.set_hint(ino, found.group);
        let clusters = found.bits.end - found.bits.start;
        Ok(Some(ClusterRun { start: ClusterNum(base + found.bits.start), clusters }))
    }

    /// Gives clusters back to the cluster bitmap. They are not claimed again before their transaction is
    /// [home](Self::home). Data of files goes through the truncate log instead: [`Self::log_freed`].
    ///
    /// # Errors
    /// [`Error::Bits`] when they are not all in use. Others as reading does.
    pub async fn free_clusters(&self, handle: &mut Handle<'_>, run: ClusterRun) -> Result<(), Error> {
        self.clear_global(handle, run).await?;
        handle.add_freed(run);
        Ok(())
    }

    /// Clears bits of the cluster bitmap, and holds nothing: for clusters that nothing was ever written to.
    pub(crate) async fn clear_global(&self, handle: &mut Handle<'_>, run: ClusterRun) -> Result<(), Error> {
        let geometry = handle.volume().geometry;
        let ino = self.file(SystemFile::GlobalBitmap)?;
        let mut bitmap = ChainAllocator::load(handle, ino).await?;
        let per_group = geometry.clusters_per_group().max(1);
        let Range { mut start, end } = run.range();
        if end > geometry.clusters.0 || end - start != run.clusters {
            let block = geometry.cluster_start(run.start).0;
            let count = geometry.clusters_to_blocks(u64::from(run.clusters));
            return Err(Error::BeyondVolume { block, count, blocks: geometry.blocks().0 });
        }
        while start < end {
            let (index, bit) = (start / per_group, start % per_group);
            let count = (per_group - bit).min(end - start);
            let group = geometry.cluster_group_block(index, self.first_group);
            // The superblock and the descriptors themselves are nobody's to free, whatever an extent says.
            let own = if index == 0 { geometry.cluster_of(group).map_or(0, |cluster| cluster.0) } else { 0 };
            if bit <= own {
                return Err(Error::Bits { group, bit, count, changed: 0, was: "for files" });
            }
            bitmap.free(handle, group, bit..bit + count).await?;
            start += count;
        }
        Ok(())
    }

    /// The clusters of group number `index` that may be claimed. The caller holds the bitmap's lock.
    pub(crate) async fn free_in_group(
        &self,
        handle: &Handle<'_>,
        index: u32,
    ) -> Result<Vec<ClusterRun>, Error> {
        let ino = self.file(SystemFile::GlobalBitmap)?;
        handle.expect_locked(ino)?;
        let geometry = handle.volume().geometry;
        let group = geometry.cluster_group_block(index, self.first_group);
        let bytes = handle.get(ino, group, BlockKind::GroupDescriptor).await?;
        let parsed = GroupDescriptor::parse(handle.volume(), group, bytes.bytes(), Some(ino))?;
        let Some((base, limit)) = self.group_place(&geometry, group) else { return Ok(Vec::new()) };
        let state = self.state();
        let mut runs = Vec::new();
        for bits in parsed.bitmap.free_runs(0..parsed.bitmap.len().min(limit)) {
            let clusters = bits.start + base..bits.end + base;
            for free in without(clusters.clone(), state.held.in_range(&clusters)) {
                runs.push(ClusterRun { start: ClusterNum(free.start), clusters: free.end - free.start });
            }
        }
        Ok(runs)
    }

    /// The cluster that bit 0 of a cluster group stands for, and how many bits the group has on this volume.
    fn group_place(&self, geometry: &Geometry, group: BlockNum) -> Option<(u32, u32)> {
        let base = if group == self.first_group { 0 } else { geometry.cluster_of(group)?.0 };
        let per_group = geometry.clusters_per_group().max(1);
        // What failed growing may have left behind lies past the end of the volume, and is nobody's.
        Some((base, geometry.cluster_group_bits(base / per_group)?)).filter(|_| base % per_group == 0)
    }
}
