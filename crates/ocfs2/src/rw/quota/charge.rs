//! Counting what a change makes users and groups use.
//!
//! Nothing is told of it: it is read off the dinodes and index roots that the change leaves otherwise than it found
//! them. So every operation is counted, whatever it does, and in its own transaction.

use std::collections::BTreeMap;

use ocfs2_format::quota::{LocalQuotaEntry, QuotaEntry, QuotaKind, QuotaPlace};
use ocfs2_format::{BlockKind, BlockNum, Dinode, DinodeFlags, DxRoot, RawDinode};
use zerocopy::FromBytes;

use super::limits::QuotaGraces;
use super::{Effect, Quota};
use crate::Error;
use crate::rw::change::Change;
use crate::txn::Blocks;

/// What an owner uses, or what a change makes it use more or less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Bytes, in whole clusters.
    pub(super) bytes: i64,
    /// Inodes.
    pub(super) inodes: i64,
}

impl Cost {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.wrapping_add(other.bytes), inodes: self.inodes.wrapping_add(other.inodes) }
    }

    /// The other way round.
    pub(super) fn back(self) -> Self {
        Self { bytes: self.bytes.wrapping_neg(), inodes: self.inodes.wrapping_neg() }
    }
}

/// Who pays for an inode, and how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bill {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) cost: Cost,
}

impl Bill {
    /// That of inode `ino`; `None` for one that is no more, and for the volume's own files and its root, which has
    /// their flag.
    pub(super) async fn of(blocks: &impl Blocks, ino: BlockNum) -> Result<Option<Self>, Error> {
        let block = blocks.get(ino, ino, BlockKind::Dinode).await?;
        let flags = RawDinode::ref_from_prefix(block.bytes()).map_or(0, |(raw, _)| raw.flags.get());
        let flags = DinodeFlags::from_bits_retain(flags);
        if !flags.contains(DinodeFlags::VALID) || flags.contains(DinodeFlags::SYSTEM) {
            return Ok(None);
        }
        let (dinode, _) = Dinode::parse(blocks.volume(), ino, block.bytes())?;
        let mut clusters = u64::from(dinode.clusters);
        if let Some(root) = dinode.dx_root {
            let block = blocks.get(ino, root, BlockKind::DxRoot).await?;
            let index = DxRoot::parse(blocks.volume(), root, block.bytes(), Some(ino))?;
            clusters += u64::from(index.clusters);
        }
        let bytes = clusters << blocks.volume().geometry.cluster_size.bits();
        let cost = Cost { bytes: bytes.cast_signed(), inodes: 1 };
        Ok(Some(Self { uid: dinode.uid, gid: dinode.gid, cost }))
    }
}

impl Change<'_> {
    /// Counts what this change makes users and groups use more or less, within their limits where it is more.
    ///
    /// # Errors
    /// [`Error::Quota`]; [`Error::NotCounted`], which [`Self::end`] knows what to do about; others as reading does.
    pub(in crate::rw) async fn count_usage(&mut self) -> Result<(), Error> {
        let fs = self.fs();
        if fs.quotas().kinds.is_empty() {
            return Ok(());
        }
        let mut sums: BTreeMap<(QuotaKind, u32), Cost> = BTreeMap::new();
        let mut add = |bill: Bill| {
            for key in [(QuotaKind::User, bill.uid), (QuotaKind::Group, bill.gid)] {
                let sum = sums.entry(key).or_default();
                *sum = sum.plus(bill.cost);
            }
        };
        for touched in self.blocks().touched_inodes() {
            if let Some(after) = Bill::of(self.blocks(), touched.ino).await? {
                add(after);
            }
            // What was before is what everybody sees until this is published.
            let before = match touched.fresh {
                true => None,
                false => Bill::of(fs.volume().meta(), touched.ino).await?,
            };
            if let Some(before) = before {
                add(Bill { cost: before.cost.back(), ..before });
            }
        }
        for ((kind, id), cost) in sums {
            self.charge(kind, id, cost).await?;
        }
        Ok(())
    }

    /// Counts `cost` for a user or group.
    pub(super) async fn charge(&mut self, kind: QuotaKind, id: u32, cost: Cost) -> Result<(), Error> {
        let fs = self.fs();
        let Ok(quota) = fs.quotas().of(kind) else { return Ok(()) };
        if cost == Cost::default() {
            return Ok(());
        }
        if !quota.state().on {
            return Err(Error::Closed);
        }
        let known = quota.known(id).ok_or(Error::NotCounted { kind, id })?;
        let local = quota.own_entry(self.blocks(), known.number, id).await?;
        let graces = quota.state().graces;
        let now = u64::try_from(fs.clock().now().seconds).unwrap_or(0);
        let mut global = QuotaEntry { grace_ends: self.grace_ends_of(kind, &known.global), ..known.global };
        let after = local.with(cost);
        if !fs.ignores_limits() {
            within_limits(kind, &global, &after, cost, now)?;
        }
        global.grace_ends = grace_ends(&usage(&global, &after), graces, now);
        quota.local.store(self.blocks(), known.number, after).await?;
        self.effects().push(Effect::Charged { kind, id, grace_ends: global.grace_ends });
        Ok(())
    }

    /// When the graces of `global` end, as this change has left them so far.
    fn grace_ends_of(&mut self, kind: QuotaKind, global: &QuotaEntry) -> (u64, u64) {
        let mut ends = global.grace_ends;
        for effect in self.effects() {
            match *effect {
                Effect::Charged { kind: of, id, grace_ends } if (of, id) == (kind, global.id) => {
                    ends = grace_ends;
                }
                _ => {}
            }
        }
        ends
    }
}

impl Quota {
    /// Entry `number` of the own local file, which is that of `id`.
    pub(super) async fn own_entry(
        &self,
        blocks: &impl Blocks,
        number: u32,
        id: u32,
    ) -> Result<LocalQuotaEntry, Error> {
        let entry = self.local.get(blocks, number).await?;
        if entry.id != u64::from(id) {
            let at = QuotaPlace::of(blocks.volume(), number);
            return self.local.file.wrong(at.block, "an entry is not of the id that it was written for");
        }
        Ok(entry)
    }
}

/// Adds to an entry.
trait With {
    fn with(self, cost: Cost) -> Self;
}

impl With for LocalQuotaEntry {
    fn with(self, cost: Cost) -> Self {
        Self {
            space: self.space.wrapping_add(cost.bytes),
            inodes: self.inodes.wrapping_add(cost.inodes),
            ..self
        }
    }
}

/// The global entry with what is to be added to it. Wraps: another node may give up what this one has not told of yet,
/// and until it has, the sum is less than nothing.
pub(super) fn usage(global: &QuotaEntry, local: &LocalQuotaEntry) -> QuotaEntry {
    QuotaEntry {
        space: global.space.wrapping_add_signed(local.space),
        inodes: global.inodes.wrapping_add_signed(local.inodes),
        ..*global
    }
}

/// Fails where more is used afterwards, and that is more than allowed: past the hard limit, or past the soft one whose
/// grace is over.
fn within_limits(
    kind: QuotaKind,
    global: &QuotaEntry,
    after: &LocalQuotaEntry,
    cost: Cost,
    now: u64,
) -> Result<(), Error> {
    let used = usage(global, after);
    let checks = [
        ("bytes", cost.bytes, used.space, global.space_limits, global.grace_ends.0),
        ("inodes", cost.inodes, used.inodes, global.inode_limits, global.grace_ends.1),
    ];
    for (what, more, usage, (hard, soft), grace_end) in checks {
        let usage = u64::try_from(usage.cast_signed()).unwrap_or(0);
        let over = |limit: u64| limit != 0 && usage > limit;
        let graced = grace_end == 0 || now < grace_end;
        let limit = if over(hard) { hard } else { soft };
        if more > 0 && (over(hard) || over(soft) && !graced) {
            return Err(Error::Quota { kind, id: global.id, what, limit, usage });
        }
    }
    Ok(())
}

/// When the graces of an entry end: they begin when its usage passes a soft limit, and are forgotten when it is back.
pub(super) fn grace_ends(entry: &QuotaEntry, graces: QuotaGraces, now: u64) -> (u64, u64) {
    let end = |usage: u64, soft: u64, end: u64, grace: u32| {
        let usage = u64::try_from(usage.cast_signed()).unwrap_or(0);
        match (soft != 0 && usage > soft, end) {
            (false, _) => 0,
            (true, 0) => now + u64::from(grace),
            (true, end) => end,
        }
    };
    (
        end(entry.space, entry.space_limits.1, entry.grace_ends.0, graces.space_s),
        end(entry.inodes, entry.inode_limits.1, entry.grace_ends.1, graces.inodes_s),
    )
}
