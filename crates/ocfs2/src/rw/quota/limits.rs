//! Limits and usage, to be looked at and to be set.

use ocfs2_format::quota::{QuotaEntry, QuotaKind};

use super::charge::{grace_ends, usage};
use super::sync::is_nothing;
use super::{Effect, Quota};
use crate::Error;
use crate::lock::Level;
use crate::rw::Writable;
use crate::rw::change::Change;

/// What an id may use; 0 = as much as there is. Space in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Bytes that are never passed.
    pub space_hard: u64,
    /// Bytes that may be passed for a while.
    pub space_soft: u64,
    /// Inodes that are never passed.
    pub inodes_hard: u64,
    /// Inodes that may be passed for a while.
    pub inodes_soft: u64,
}

/// What an id uses, and may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaStatus {
    /// User or group id.
    pub id: u32,
    /// Bytes in use, in whole clusters.
    pub space: u64,
    /// Inodes in use.
    pub inodes: u64,
    /// What it may use.
    pub limits: QuotaLimits,
    /// When its time over the soft limit of space ends, Unix seconds; `None` where it is not over it.
    pub space_grace_end: Option<u64>,
    /// The same of inodes.
    pub inodes_grace_end: Option<u64>,
}

/// How long soft limits may be passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaGraces {
    /// That of space, in seconds.
    pub space_s: u32,
    /// That of inodes, in seconds.
    pub inodes_s: u32,
}

impl From<&QuotaEntry> for QuotaStatus {
    fn from(entry: &QuotaEntry) -> Self {
        // Less than nothing: another node has not told of something yet that is already given up.
        let used = |value: u64| u64::try_from(value.cast_signed()).unwrap_or(0);
        let over = |usage, soft, end: u64| Some(end).filter(|_| soft != 0 && usage > soft && end != 0);
        let (space, inodes) = (used(entry.space), used(entry.inodes));
        Self {
            id: entry.id,
            space,
            inodes,
            limits: QuotaLimits {
                space_hard: entry.space_limits.0,
                space_soft: entry.space_limits.1,
                inodes_hard: entry.inode_limits.0,
                inodes_soft: entry.inode_limits.1,
            },
            space_grace_end: over(space, entry.space_limits.1, entry.grace_ends.0),
            inodes_grace_end: over(inodes, entry.inode_limits.1, entry.grace_ends.1),
        }
    }
}

impl Writable {
    /// What the user or group `id` uses and may use, as far as other nodes have told; nothing where it is not known.
    ///
    /// # Errors
    /// [`Error::NoQuota`] on a volume that does not count them; others as reading does.
    pub async fn quota(&self, kind: QuotaKind, id: u32) -> Result<QuotaStatus, Error> {
        let quota = self.quotas().of(kind)?;
        self.judged(self.status(quota, id).await)
    }

    /// The same of the first id from `from` on that is known to the volume; `None` where there is none.
    ///
    /// # Errors
    /// As [`Self::quota`].
    pub async fn next_quota(&self, kind: QuotaKind, from: u32) -> Result<Option<QuotaStatus>, Error> {
        let quota = self.quotas().of(kind)?;
        let mut op = self.operation();
        op.lock_quota(quota, Level::Shared).await?;
        let found = self.judged(quota.global.next(self.volume().meta(), from).await)?;
        drop(op);
        match found {
            Some(entry) => self.quota(kind, entry.id).await.map(Some),
            None => Ok(None),
        }
    }

    /// Sets what the user or group `id` may use. It may use more already: then it gets no more. The grace of a soft
    /// limit that it is over begins now.
    ///
    /// # Errors
    /// [`Error::NoQuota`]; and what every change can fail with.
    pub async fn set_quota(&self, kind: QuotaKind, id: u32, limits: QuotaLimits) -> Result<(), Error> {
        let quota = self.quotas().of(kind)?;
        self.judged(self.try_set_quota(quota, id, limits).await)
    }

    /// How long users or groups may be over their soft limits.
    ///
    /// # Errors
    /// As [`Self::quota`].
    pub async fn quota_graces(&self, kind: QuotaKind) -> Result<QuotaGraces, Error> {
        let quota = self.quotas().of(kind)?;
        let mut op = self.operation();
        op.lock_quota(quota, Level::Shared).await?;
        let info = self.judged(quota.global.info(self.volume().meta()).await)?;
        Ok(QuotaGraces { space_s: info.block_grace, inodes_s: info.inode_grace })
    }

    /// Sets how long. Graces that have begun end when they would have.
    ///
    /// # Errors
    /// As [`Self::set_quota`].
    pub async fn set_quota_graces(&self, kind: QuotaKind, graces: QuotaGraces) -> Result<(), Error> {
        let quota = self.quotas().of(kind)?;
        let mut op = self.operation();
        op.lock_quota(quota, Level::Exclusive).await?;
        loop {
            let mut change = op.begin().await?;
            let done = set_graces(&mut change, quota, graces).await;
            if self.judged(change.end(done).await)?.is_some() {
                return Ok(());
            }
        }
    }

    async fn status(&self, quota: &Quota, id: u32) -> Result<QuotaStatus, Error> {
        let mut op = self.operation();
        op.lock_quota(quota, Level::Shared).await?;
        // Not while a change moves what was counted from one file to the other.
        let _turn = self.turn().lock().await;
        let blocks = self.volume().meta();
        let found = quota.global.find(blocks, id).await?;
        let mut entry = found.unwrap_or(QuotaEntry { id, ..QuotaEntry::default() });
        if let Some(known) = quota.known(id) {
            entry = usage(&entry, &quota.own_entry(blocks, known.number, id).await?);
            entry.grace_ends = known.global.grace_ends;
        }
        Ok(QuotaStatus::from(&entry))
    }

    async fn try_set_quota(&self, quota: &Quota, id: u32, limits: QuotaLimits) -> Result<(), Error> {
        let mut op = self.operation();
        op.lock_quota(quota, Level::Exclusive).await?;
        loop {
            let mut change = op.begin().await?;
            let done = set_limits(&mut change, quota, id, limits).await;
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }
}

async fn set_limits(
    change: &mut Change<'_>,
    quota: &Quota,
    id: u32,
    limits: QuotaLimits,
) -> Result<(), Error> {
    let now = u64::try_from(change.fs().clock().now().seconds).unwrap_or(0);
    let graces = quota.state().graces;
    let (blocks, alloc) = change.blocks_and_space();
    let found = quota.global.find(blocks, id).await?;
    let old = found.unwrap_or(QuotaEntry { id, ..QuotaEntry::default() });
    let mut new = QuotaEntry {
        space_limits: (limits.space_hard, limits.space_soft),
        inode_limits: (limits.inodes_hard, limits.inodes_soft),
        ..old
    };
    let known = quota.known(id);
    let mut told = new;
    if let Some(known) = known {
        told = usage(&new, &quota.own_entry(blocks, known.number, id).await?);
        told.grace_ends = known.global.grace_ends;
    }
    new.grace_ends = grace_ends(&told, graces, now);
    if is_nothing(&new) {
        quota.global.remove(blocks, id).await?;
    } else {
        quota.global.put(blocks, alloc, &new).await?;
    }
    if known.is_some() {
        change.effects().push(Effect::Synced { kind: quota.kind, global: new });
    }
    Ok(())
}

async fn set_graces(change: &mut Change<'_>, quota: &Quota, graces: QuotaGraces) -> Result<(), Error> {
    let blocks = change.blocks();
    let mut info = quota.global.info(blocks).await?;
    (info.block_grace, info.inode_grace) = (graces.space_s, graces.inodes_s);
    quota.global.store_info(blocks, &info).await?;
    change.effects().push(Effect::Info { kind: quota.kind, graces, sync_ms: info.sync_ms });
    Ok(())
}
