//! Counting what a change makes users and groups use.

use ocfs2_format::quota::{LocalQuotaEntry, QuotaEntry, QuotaKind};
use ocfs2_format::{BlockKind, DinodeFlags, DxRoot};

use super::limits::QuotaGraces;
use super::{Effect, Quota};
use crate::rw::change::Change;
use crate::txn::Blocks;
use crate::{Error, Inode};

/// What a change makes an owner use more, or less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Bytes, in whole clusters.
    pub(crate) bytes: i64,
    /// Inodes.
    pub(crate) inodes: i64,
}

impl Cost {
    /// That of an inode that holds no clusters.
    pub(crate) const INODE: Self = Self { bytes: 0, inodes: 1 };

    /// The other way round.
    pub(crate) fn back(self) -> Self {
        Self { bytes: self.bytes.wrapping_neg(), inodes: self.inodes.wrapping_neg() }
    }
}

impl Change<'_> {
    /// Counts `cost` for the owners of `inode`, within their limits where it is more. The volume's own files, and its
    /// root, are exempt.
    ///
    /// # Errors
    /// [`Error::Quota`]; [`Error::NotCounted`], which [`Self::end`] knows what to do about; others as reading does.
    pub(crate) async fn charge(&mut self, inode: &Inode, cost: Cost) -> Result<(), Error> {
        if is_exempt(inode) {
            return Ok(());
        }
        let attr = inode.attr();
        self.charge_owners((attr.uid, attr.gid), cost).await
    }

    /// The same by clusters of data, or of a directory's index: `clusters` more, or less.
    pub(crate) async fn charge_clusters(&mut self, inode: &Inode, clusters: i64) -> Result<(), Error> {
        let bits = self.fs().volume().geometry().cluster_size.bits();
        self.charge(inode, Cost { bytes: clusters.wrapping_shl(bits), inodes: 0 }).await
    }

    /// The same for user and group `owners`.
    pub(crate) async fn charge_owners(&mut self, owners: (u32, u32), cost: Cost) -> Result<(), Error> {
        self.charge_kind(QuotaKind::User, owners.0, cost).await?;
        self.charge_kind(QuotaKind::Group, owners.1, cost).await
    }

    /// Counts all that `inode` uses for other owners: `chown`.
    ///
    /// # Errors
    /// As [`Self::charge`].
    pub(crate) async fn transfer(
        &mut self,
        inode: &Inode,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Error> {
        let attr = inode.attr();
        let moves = [(QuotaKind::User, attr.uid, uid), (QuotaKind::Group, attr.gid, gid)];
        let moves = moves.into_iter().filter_map(|(kind, from, to)| Some((kind, from, to?)));
        let moves: Vec<_> = moves.filter(|(_, from, to)| from != to).collect();
        if moves.is_empty() || is_exempt(inode) {
            return Ok(());
        }
        let cost = self.cost_of(inode).await?;
        for (kind, from, to) in moves {
            self.charge_kind(kind, to, cost).await?;
            self.charge_kind(kind, from, cost.back()).await?;
        }
        Ok(())
    }

    /// All that `inode` uses.
    pub(crate) async fn cost_of(&mut self, inode: &Inode) -> Result<Cost, Error> {
        let dinode = inode.dinode();
        let mut clusters = u64::from(dinode.clusters);
        if let Some(root) = dinode.dx_root {
            let handle = self.blocks();
            let block = handle.get(inode.ino(), root, BlockKind::DxRoot).await?;
            let index = DxRoot::parse(handle.volume(), root, block.bytes(), Some(inode.ino()))?;
            clusters += u64::from(index.clusters);
        }
        let bytes = clusters << self.fs().volume().geometry().cluster_size.bits();
        Ok(Cost { bytes: bytes.cast_signed(), inodes: 1 })
    }

    pub(super) async fn charge_kind(&mut self, kind: QuotaKind, id: u32, cost: Cost) -> Result<(), Error> {
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

/// Whether nobody is charged for `inode`: the root has the flag of the volume's own files too.
fn is_exempt(inode: &Inode) -> bool {
    inode.dinode().flags.contains(DinodeFlags::SYSTEM)
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
            let at = ocfs2_format::quota::QuotaPlace::of(blocks.volume(), number);
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
