//! Chain allocators: a dinode with chains of groups, each group a bitmap.

use std::ops::Range;

use ocfs2_format::{
    BitmapUsage, BlockKind, BlockNum, Body, Chain, Dinode, DinodeFlags, GroupDescriptor, RawChainList,
    RawChainRec, RawDinode, RawGroupDescriptor, set_bits,
};
use zerocopy::little_endian::{U16, U32, U64};

use super::search::Want;
use crate::Error;
use crate::txn::{Blocks, Handle};

/// An allocator's inode, checked, as it is now in the handle.
#[derive(Clone, Debug)]
pub(super) struct ChainAllocator {
    pub(super) ino: BlockNum,
    pub(super) usage: BitmapUsage,
    /// Clusters in a group.
    pub(super) clusters_per_group: u16,
    /// Chains that fit.
    pub(super) capacity: u16,
    pub(super) chains: Vec<Chain>,
}

/// Free bits that were found in a group.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) chain: u16,
    pub(super) group: BlockNum,
    pub(super) bits: Range<u32>,
    /// The group before it in the chain, when it was found by going through the chain and is not the first.
    previous: Option<BlockNum>,
}

/// Which bits of a group may be claimed, of those that are free: `None` = as many as there are.
pub(super) type Usable<'u> = &'u (dyn Fn(&GroupDescriptor<'_>, Range<u32>) -> Vec<Range<u32>> + Sync);

impl ChainAllocator {
    /// Reads the allocator `ino`, whose lock must be held.
    pub(super) async fn load(blocks: &Handle<'_>, ino: BlockNum) -> Result<Self, Error> {
        blocks.expect_locked(ino)?;
        let block = blocks.get(ino, ino, BlockKind::Dinode).await?;
        match Dinode::parse(blocks.volume(), ino, block.bytes())? {
            (dinode, Body::Chains(list)) if dinode.flags.contains(DinodeFlags::BITMAP) => Ok(Self {
                ino,
                usage: dinode.bitmap_usage().unwrap_or(BitmapUsage { used: 0, total: 0 }),
                clusters_per_group: list.clusters_per_group,
                capacity: list.capacity,
                chains: list.chains().collect(),
            }),
            _ => Err(Error::NotAllocator { ino, want: "chain allocator" }),
        }
    }

    /// Looks for free bits: in the group `hint`, then in the chain with most of them, then in the others.
    pub(super) async fn find(
        &self,
        blocks: &impl Blocks,
        want: Want,
        hint: Option<BlockNum>,
        usable: Option<Usable<'_>>,
    ) -> Result<Option<Found>, Error> {
        if let Some(hint) = hint
            && let (Some(found), ..) = self.find_in(blocks, hint, None, want, usable).await?
        {
            return Ok(Some(found));
        }
        let mut order: Vec<(u16, Chain)> = (0..).zip(self.chains.iter().copied()).collect();
        if let Some(most) = order.iter().max_by_key(|(index, chain)| (chain.free, u16::MAX - index)).copied()
        {
            order.retain(|(index, _)| *index != most.0);
            order.insert(0, most);
        }
        for (index, chain) in order {
            if chain.free < want.min.max(1) {
                continue;
            }
            if let Some(found) = self.find_in_chain(blocks, index, chain, want, usable).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn find_in_chain(
        &self,
        blocks: &impl Blocks,
        index: u16,
        chain: Chain,
        want: Want,
        usable: Option<Usable<'_>>,
    ) -> Result<Option<Found>, Error> {
        let (mut next, mut previous, mut bits) = (Some(chain.head), None, 0_u64);
        while let Some(group) = next {
            let (found, after, len) = self.find_in(blocks, group, Some(index), want, usable).await?;
            if let Some(found) = found {
                return Ok(Some(Found { previous, ..found }));
            }
            // Every group has bits, and the chain as many as all of its groups: so a loop ends.
            bits += u64::from(len).max(1);
            if bits > u64::from(chain.total) {
                let (field, found, expected) = ("c_total", bits, u64::from(chain.total));
                return Err(Error::Chain { ino: self.ino, chain: index, group, field, found, expected });
            }
            (previous, next) = (Some(group), after);
        }
        Ok(None)
    }

    /// Looks into one group. Gives what was found, the next group of the chain, and the bits of this one.
    async fn find_in(
        &self,
        blocks: &impl Blocks,
        group: BlockNum,
        chain: Option<u16>,
        want: Want,
        usable: Option<Usable<'_>>,
    ) -> Result<(Option<Found>, Option<BlockNum>, u32), Error> {
        let block = blocks.get(self.ino, group, BlockKind::GroupDescriptor).await?;
        let parsed = self.group(blocks.volume(), group, block.bytes(), chain)?;
        let (next, len) = (parsed.next, parsed.bitmap.len());
        if u32::from(parsed.free) < want.min.max(1) {
            return Ok((None, next, len));
        }
        let runs = (parsed.stretches(blocks.volume())).flat_map(|stretch| parsed.bitmap.free_runs(stretch));
        let bits = match usable {
            None => want.choose(runs),
            Some(usable) => want.choose(runs.flat_map(|run| usable(&parsed, run))),
        };
        let found = |bits| Found { chain: parsed.chain, group, bits, previous: None };
        Ok((bits.map(found), next, len))
    }

    /// Parses a group of this allocator, and compares its counts: nothing is claimed from one that is wrong.
    fn group<'a>(
        &self,
        volume: &ocfs2_format::Volume,
        group: BlockNum,
        bytes: &'a [u8],
        chain: Option<u16>,
    ) -> Result<GroupDescriptor<'a>, Error> {
        let parsed = GroupDescriptor::parse(volume, group, bytes, Some(self.ino))?;
        let error = |field, found, expected| {
            let chain = chain.unwrap_or(parsed.chain);
            Err(Error::Chain { ino: self.ino, chain, group, field, found, expected })
        };
        if chain.is_some_and(|chain| chain != parsed.chain) || usize::from(parsed.chain) >= self.chains.len()
        {
            let expected = u64::from(chain.unwrap_or(0));
            return error("bg_chain", u64::from(parsed.chain), expected);
        }
        if !parsed.counts_agree() {
            let free = parsed.bitmap.len().saturating_sub(parsed.bitmap.ones());
            return error("bg_free_bits_count", u64::from(parsed.free), u64::from(free));
        }
        Ok(parsed)
    }

    /// Claims what was found, and counts it everywhere.
    pub(super) async fn claim(&mut self, handle: &mut Handle<'_>, found: &Found) -> Result<(), Error> {
        let left = self.flip(handle, found.chain, found.group, found.bits.clone(), true).await?;
        let wanted = found.bits.end - found.bits.start;
        match found.previous {
            // Who looks next finds a group with room at once.
            Some(previous) if u32::from(left) > wanted => self.move_to_head(handle, found, previous).await,
            _ => Ok(()),
        }
    }

    /// Frees `bits` of `group`, which must all be in use.
    pub(super) async fn free(
        &mut self,
        handle: &mut Handle<'_>,
        group: BlockNum,
        bits: Range<u32>,
    ) -> Result<(), Error> {
        let block = handle.get(self.ino, group, BlockKind::GroupDescriptor).await?;
        let chain = self.group(handle.volume(), group, block.bytes(), None)?.chain;
        drop(block);
        self.flip(handle, chain, group, bits, false).await.map(drop)
    }

    /// Sets or clears bits of a group that has checked, with all counts. Gives the free bits left in the group.
    async fn flip(
        &mut self,
        handle: &mut Handle<'_>,
        chain: u16,
        group: BlockNum,
        bits: Range<u32>,
        claim: bool,
    ) -> Result<u16, Error> {
        let count = bits.end.saturating_sub(bits.start);
        let (bit, was) = (bits.start, if claim { "free" } else { "in use" });
        let wrong = |changed| Error::Bits { group, bit, count, changed, was };
        let bytes = handle.edit(self.ino, group, BlockKind::GroupDescriptor).await?;
        let (head, bitmap) = RawGroupDescriptor::mut_from(group, bytes)?;
        let limit = u32::from(head.bits.get());
        let changed = if bits.end <= limit { set_bits(bitmap, bits, claim).unwrap_or(0) } else { 0 };
        if changed != count {
            return Err(wrong(changed));
        }
        let counted = |free: u32| {
            let free = if claim { free.checked_sub(count) } else { free.checked_add(count) };
            free.ok_or(wrong(changed))
        };
        let left =
            u16::try_from(counted(u32::from(head.free_bits_count.get()))?).map_err(|_| wrong(changed))?;
        head.free_bits_count = U16::new(left);
        if head.contig_free_bits.get() != 0 {
            // Kept by newer kernels only: right, where it is kept.
            let longest = ocfs2_format::Bitmap::new(bitmap, limit).longest_free_run();
            head.contig_free_bits = U16::new(u16::try_from(longest).unwrap_or(0));
        }
        let of_chain = self.chains.get_mut(usize::from(chain)).ok_or(wrong(changed))?;
        let (free, total) = (counted(of_chain.free)?, of_chain.total);
        let used = self.usage.used;
        let used = if claim { used.checked_add(count) } else { used.checked_sub(count) };
        let used = used.filter(|used| *used <= self.usage.total && free <= total).ok_or(wrong(changed))?;
        (of_chain.free, self.usage.used) = (free, used);
        self.write(handle).await?;
        Ok(left)
    }

    /// Makes the group that was found the first of its chain.
    async fn move_to_head(
        &mut self,
        handle: &mut Handle<'_>,
        found: &Found,
        previous: BlockNum,
    ) -> Result<(), Error> {
        let Some(chain) = self.chains.get_mut(usize::from(found.chain)) else { return Ok(()) };
        let (kind, head) = (BlockKind::GroupDescriptor, std::mem::replace(&mut chain.head, found.group));
        let bytes = handle.edit(self.ino, found.group, kind).await?;
        let (raw, _) = RawGroupDescriptor::mut_from(found.group, bytes)?;
        let after = std::mem::replace(&mut raw.next_group, U64::new(head.0));
        let bytes = handle.edit(self.ino, previous, kind).await?;
        let (raw, _) = RawGroupDescriptor::mut_from(previous, bytes)?;
        raw.next_group = after;
        self.write(handle).await
    }

    /// Adds the group at the head of chain `index`, with `bits` bits of which one is used, of `clusters` clusters.
    pub(super) async fn add_group(
        &mut self,
        handle: &mut Handle<'_>,
        index: u16,
        group: BlockNum,
        (bits, clusters): (u32, u32),
    ) -> Result<(), Error> {
        let free = bits.saturating_sub(1);
        match self.chains.get_mut(usize::from(index)) {
            Some(chain) => {
                *chain = Chain {
                    free: chain.free.saturating_add(free),
                    total: chain.total.saturating_add(bits),
                    head: group,
                };
            }
            None => self.chains.push(Chain { free, total: bits, head: group }),
        }
        self.usage.used = self.usage.used.saturating_add(1);
        self.usage.total = self.usage.total.saturating_add(bits);
        self.write(handle).await?;
        let cluster_bits = handle.volume().geometry.cluster_size.bits();
        let (head, _) =
            RawDinode::mut_from(self.ino, handle.edit(self.ino, self.ino, BlockKind::Dinode).await?)?;
        let all = head.clusters.get().saturating_add(clusters);
        head.clusters = U32::new(all);
        head.size = U64::new(u64::from(all) << cluster_bits);
        Ok(())
    }

    /// Writes counters and chains into the dinode, which has checked.
    async fn write(&self, handle: &mut Handle<'_>) -> Result<(), Error> {
        let bytes = handle.edit(self.ino, self.ino, BlockKind::Dinode).await?;
        let (head, body) = RawDinode::mut_from(self.ino, bytes)?;
        head.set_bitmap_usage(self.usage);
        let (list, records) = RawChainList::mut_from(self.ino, body)?;
        for (record, chain) in records.iter_mut().zip(&self.chains) {
            *record = RawChainRec::from(chain);
        }
        list.next_free_rec = U16::new(u16::try_from(self.chains.len()).unwrap_or(self.capacity));
        Ok(())
    }
}
