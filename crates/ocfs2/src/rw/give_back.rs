//! What a slot left behind is given back: the unused part of its window of clusters, and the clusters it had freed.

use std::collections::BTreeSet;

use ocfs2_format::{
    BlockKind, BlockNum, Body, ClusterNum, Dinode, GroupDescriptor, RawChainList, RawChainRec,
    RawGroupDescriptor, RawLocalAlloc, RawTruncateLog, set_bit,
};
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32};

use super::Writable;
use super::change::Change;
use crate::lock::{Level, Locks, Rank};
use crate::txn::Blocks;
use crate::{Error, SystemFile, Volume};

/// Records of a truncate log that are given back in one transaction.
const RECORDS_AT_ONCE: usize = 32;

/// A run of clusters: the first, and how many.
type Run = (u32, u32);

impl Volume {
    /// The window of clusters of `slot`: the runs of it that are free; `None` where it has no window.
    pub(super) async fn unused_window(&self, slot: u16) -> Result<Option<Vec<Run>>, Error> {
        let inode = self.system_inode(SystemFile::LocalAlloc(slot)).await?;
        let (_, body) = Dinode::parse(self.meta().volume(), inode.ino(), inode.block().bytes())?;
        let Body::LocalAlloc(window) = body else { return Ok(None) };
        if window.bits == 0 {
            return Ok(None);
        }
        let mut runs: Vec<Run> = Vec::new();
        for bit in (0..window.bits).filter(|bit| !window.bitmap.get(*bit)) {
            let cluster = window.start.0 + bit;
            match runs.last_mut() {
                Some((start, len)) if *start + *len == cluster => *len += 1,
                _ => runs.push((cluster, 1)),
            }
        }
        Ok(Some(runs))
    }
}

impl Writable {
    /// Empties the window of `slot`: what of it is unused is free again. One transaction.
    pub(super) async fn empty_window(&self, locks: &mut Locks<'_>, slot: u16) -> Result<(), Error> {
        let Some(runs) = self.volume().unused_window(slot).await? else { return Ok(()) };
        let ino = self.system_ino(SystemFile::LocalAlloc(slot))?;
        let bitmap = self.lock_bitmap(locks).await?;
        let mut change = self.begin(locks, bitmap.credits(&runs)).await?;
        bitmap.give_back(&mut change, &runs).await?;
        let (raw, body) = change.dinode_and_body(ino).await?;
        raw.id1 = [U32::ZERO; 2];
        if let Ok((window, bits)) = RawLocalAlloc::mut_from_prefix(body) {
            window.bm_off = U32::ZERO;
            let size = usize::from(window.size.get()).min(bits.len());
            bits[..size].fill(0);
        }
        change.publish()?;
        Ok(())
    }

    /// Gives back what the truncate log of `slot` holds. The log's own transactions must be at home: what appended to
    /// the log and what takes from it may not be replayed together.
    pub(super) async fn empty_truncate_log(&self, locks: &mut Locks<'_>, slot: u16) -> Result<(), Error> {
        let ino = self.system_ino(SystemFile::TruncateLog(slot))?;
        let inode = self.volume().inode(ino).await?;
        let (_, body) = Dinode::parse(self.volume().meta().volume(), ino, inode.block().bytes())?;
        let Body::TruncateLog(log) = body else { return Ok(()) };
        let records: Vec<Run> = log.records().map(|(start, len)| (start.0, len.0)).collect();
        if records.is_empty() {
            return Ok(());
        }
        let bitmap = self.lock_bitmap(locks).await?;
        let mut left = records.len();
        while left > 0 {
            let first = left.saturating_sub(RECORDS_AT_ONCE);
            // A record that starts at cluster 0 is void.
            let live: Vec<Run> =
                records[first..left].iter().copied().filter(|(start, _)| *start != 0).collect();
            let mut change = self.begin(locks, bitmap.credits(&live)).await?;
            bitmap.give_back(&mut change, &live).await?;
            let (_, body) = change.dinode_and_body(ino).await?;
            if let Ok((log, _)) = RawTruncateLog::mut_from_prefix(body) {
                log.used = U16::new(u16::try_from(first).unwrap_or(0));
            }
            change.publish()?;
            left = first;
        }
        Ok(())
    }

    fn system_ino(&self, file: SystemFile) -> Result<BlockNum, Error> {
        self.volume().system_file(file).ok_or(Error::NoSystemFile { file })
    }

    async fn lock_bitmap(&self, locks: &mut Locks<'_>) -> Result<ClusterBitmap, Error> {
        let ino = self.system_ino(SystemFile::GlobalBitmap)?;
        self.lock_inode(locks, Rank::GlobalBitmap, ino, Level::Exclusive).await?;
        let inode = self.volume().inode(ino).await?;
        let (_, body) = Dinode::parse(self.volume().meta().volume(), ino, inode.block().bytes())?;
        let per_group = match body {
            Body::Chains(list) => u32::from(list.clusters_per_group),
            _ => 0,
        };
        if per_group == 0 {
            return Err(Error::NotAllocated { bitmap: ino, cluster: 0 });
        }
        let first_group = self.volume().superblock().first_cluster_group;
        Ok(ClusterBitmap { ino, per_group, first_group })
    }
}

/// The allocator of clusters: where the bit of each lies.
#[derive(Clone, Copy, Debug)]
struct ClusterBitmap {
    ino: BlockNum,
    per_group: u32,
    first_group: BlockNum,
}

impl ClusterBitmap {
    /// The runs cut at the borders of groups: group, first bit, count.
    fn pieces(&self, runs: &[Run]) -> Vec<(u32, u32, u32)> {
        let mut pieces = Vec::new();
        for (mut start, mut len) in runs.iter().copied() {
            while len > 0 {
                let (group, bit) = (start / self.per_group, start % self.per_group);
                let count = len.min(self.per_group - bit);
                pieces.push((group, bit, count));
                (start, len) = (start.saturating_add(count), len - count);
            }
        }
        pieces
    }

    /// Blocks that change when `runs` are given back, and the inode that held on to them.
    fn credits(&self, runs: &[Run]) -> u32 {
        let groups: BTreeSet<u32> = self.pieces(runs).into_iter().map(|(group, ..)| group).collect();
        u32::try_from(groups.len()).unwrap_or(u32::MAX).saturating_add(2)
    }

    async fn give_back(&self, change: &mut Change<'_>, runs: &[Run]) -> Result<(), Error> {
        for (group, bit, count) in self.pieces(runs) {
            let chain = self.clear_bits(change, group, bit, count).await?;
            self.count_free(change, chain, count).await?;
        }
        Ok(())
    }

    /// Clears `count` bits of a group, all of which must be set. Returns the group's chain.
    async fn clear_bits(
        &self,
        change: &mut Change<'_>,
        group: u32,
        bit: u32,
        count: u32,
    ) -> Result<u16, Error> {
        let volume = *change.blocks().volume();
        let block = match group {
            0 => self.first_group,
            _ => volume.geometry.cluster_start(ClusterNum(group.saturating_mul(self.per_group))),
        };
        let bytes = change.blocks().edit(self.ino, block, BlockKind::GroupDescriptor).await?;
        let (chain, bits) = {
            let parsed = GroupDescriptor::parse(&volume, block, bytes, Some(self.ino))?;
            (parsed.chain, bit..bit.saturating_add(count).min(parsed.bitmap.len()))
        };
        let cluster = group.saturating_mul(self.per_group).saturating_add(bit);
        let taken = Error::NotAllocated { bitmap: self.ino, cluster };
        let Ok((head, bitmap)) = RawGroupDescriptor::mut_from_prefix(bytes) else { return Err(taken) };
        let cleared = bits.filter(|bit| set_bit(bitmap, *bit, false) == Some(true)).count();
        let free = u16::try_from(u32::from(head.free_bits_count.get()) + count);
        match free {
            Ok(free) if u32::try_from(cleared) == Ok(count) && free <= head.bits.get() => {
                head.free_bits_count = U16::new(free);
                // The longest free run may have become longer: it is no longer known.
                head.contig_free_bits = U16::ZERO;
                Ok(chain)
            }
            _ => Err(taken),
        }
    }

    /// Counts `count` more bits as free: in the chain, and in all.
    async fn count_free(&self, change: &mut Change<'_>, chain: u16, count: u32) -> Result<(), Error> {
        let bitmap = self.ino;
        let (raw, body) = change.dinode_and_body(bitmap).await?;
        let wrong = || Error::NotAllocated { bitmap, cluster: 0 };
        let used = raw.id1[0].get().checked_sub(count).ok_or_else(wrong)?;
        let (list, records) = RawChainList::ref_from_prefix(body).map_err(|_| wrong())?;
        debug_assert!(usize::from(list.next_free_rec.get()) <= records.len());
        if chain >= list.next_free_rec.get() {
            return Err(wrong());
        }
        let at = size_of::<RawChainList>() + usize::from(chain) * size_of::<RawChainRec>();
        let record = body.get_mut(at..).and_then(|rest| RawChainRec::mut_from_prefix(rest).ok());
        let (record, _) = record.ok_or_else(wrong)?;
        let free = record.free.get().checked_add(count).filter(|free| *free <= record.total.get());
        record.free = U32::new(free.ok_or_else(wrong)?);
        raw.id1[0] = U32::new(used);
        Ok(())
    }
}
