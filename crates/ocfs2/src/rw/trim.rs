//! Telling the device which clusters are free (`FITRIM`).

use std::ops::Range;

use block::BlockDevice as _;

use super::Writable;
use crate::Error;
use crate::alloc::ClusterRun;
use crate::lock::{Level, LockName, Rank};

impl Writable {
    /// Tells the device of all free clusters in the bytes `range` of the volume, in runs of at least `min` bytes, that
    /// it need not keep them. Gives how many bytes that were. `progress` is told how many bytes of the volume have been
    /// looked at.
    ///
    /// Clusters that are free, but whose freeing is not at home yet, are left out: until then a power cut brings their
    /// file back.
    ///
    /// # Errors
    /// What the device answers, or when the cluster bitmap cannot be read.
    pub async fn trim(
        &self,
        range: Range<u64>,
        min: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, Error> {
        let geometry = *self.volume().geometry();
        let per_group = geometry.clusters_per_group().max(1);
        let group_bytes = u64::from(per_group) << geometry.cluster_size.bits();
        let mut op = self.operation();
        op.lock(Rank::Scan, LockName::trim(), Level::Exclusive).await?;
        let last = geometry.clusters.0.saturating_sub(1) / per_group;
        let mut trimmed = 0;
        for group in 0..=last {
            let start = u64::from(group) * group_bytes;
            if start >= range.end || start + group_bytes <= range.start {
                continue;
            }
            loop {
                // Nobody claims one of them while the device is told.
                let mut change = op.begin().await?;
                let (blocks, alloc) = change.blocks_and_space();
                match alloc.free_in_group(blocks, group).await {
                    Ok(runs) => {
                        trimmed += self.discard(&runs, &range, min).await?;
                        break;
                    }
                    Err(error) => change.end::<()>(Err(error)).await?,
                };
            }
            progress(
                (start + group_bytes).min(u64::from(geometry.clusters.0) << geometry.cluster_size.bits()),
            );
        }
        Ok(trimmed)
    }

    async fn discard(&self, runs: &[ClusterRun], range: &Range<u64>, min: u64) -> Result<u64, Error> {
        let geometry = self.volume().geometry();
        let bits = geometry.cluster_size.bits();
        let whole = range.start.div_ceil(1 << bits)..range.end >> bits;
        let mut bytes = 0;
        for run in runs {
            let start = u64::from(run.range().start).max(whole.start);
            let end = u64::from(run.range().end).min(whole.end);
            let len = end.saturating_sub(start) << bits;
            if len > 0 && len >= min {
                self.volume().device().discard(start << bits, len).await?;
                bytes += len;
            }
        }
        Ok(bytes)
    }
}
