//! Bringing local changes into the global files; the beginning and the end of counting.

use std::time::Duration;

use ocfs2_format::quota::{LocalQuotaEntry, QuotaEntry};

use super::charge::{grace_ends, usage};
use super::limits::QuotaGraces;
use super::{Effect, Quota};
use crate::Error;
use crate::lock::Level;
use crate::rw::Writable;
use crate::rw::change::Change;
use crate::rw::operation::Operation;

/// Blocks after which one change is enough: many ids go into one, and the smallest journals take four times that.
pub(super) const BLOCKS: usize = 24;
/// Syncs after which an id that nobody has charged is given up.
const IDLE: u64 = 6;
/// Least time between syncs, whatever the file says.
const LEAST: Duration = Duration::from_millis(100);

/// Which ids are to be given up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GiveUp {
    /// Those that nobody has charged for a while.
    Idle,
    All,
}

impl Writable {
    /// Brings what was counted into the global files, now and then.
    pub(in crate::rw) async fn tend_quotas(&self) {
        loop {
            let Some(time) = self.quotas().kinds.iter().map(Quota::interval).min() else { return };
            self.clock().sleep(time).await;
            match self.sync_quotas().await {
                Ok(()) => {}
                // Said by who found it.
                Err(_) if self.read_only().is_some() => return,
                Err(error) => {
                    tracing::warn!(%error, "what was counted could not be brought into the quota files")
                }
            }
        }
    }

    /// Brings what this node has counted into the global quota files, where other nodes see it. Is done by itself
    /// every few seconds, as the files say.
    ///
    /// # Errors
    /// What every change can fail with.
    pub async fn sync_quotas(&self) -> Result<(), Error> {
        for quota in &self.quotas().kinds {
            let mut op = self.operation();
            self.judged(op.sync(quota, GiveUp::Idle).await)?;
        }
        Ok(())
    }
}

impl Quota {
    fn interval(&self) -> Duration {
        Duration::from_millis(self.state().sync_ms.into()).max(LEAST)
    }
}

impl Operation<'_> {
    /// Begins to count: the own local file, which is clean, is not from now on.
    pub(in crate::rw) async fn quotas_on(&mut self) -> Result<(), Error> {
        let (fs, slot) = (self.fs(), self.fs().slot());
        for quota in &fs.quotas().kinds {
            self.recover_quota(quota, slot).await?;
            self.lock_quota(quota, Level::Exclusive).await?;
            loop {
                let mut change = self.begin().await?;
                let done = turn_on(&mut change, quota).await;
                if change.end(done).await?.is_some() {
                    break;
                }
            }
            self.release_from(crate::lock::Rank::QuotaFile);
        }
        Ok(())
    }

    /// Ends the counting: all is in the global files, and the local ones are clean. Changes that come later fail.
    pub(in crate::rw) async fn quotas_off(&mut self) -> Result<(), Error> {
        let fs = self.fs();
        for quota in &fs.quotas().kinds {
            if !quota.state().on {
                continue;
            }
            loop {
                self.sync(quota, GiveUp::All).await?;
                let mut change = self.begin().await?;
                let done = turn_off(&mut change, quota).await;
                if let Some(true) = change.end(done).await? {
                    break;
                }
            }
            self.release_from(crate::lock::Rank::QuotaFile);
        }
        Ok(())
    }

    /// Brings the changes of all ids into the global file, some ids in a change.
    async fn sync(&mut self, quota: &Quota, give_up: GiveUp) -> Result<(), Error> {
        let ids: Vec<u32> = {
            let mut state = quota.state();
            state.round += 1;
            state.known.keys().copied().collect()
        };
        if ids.is_empty() {
            return Ok(());
        }
        self.lock_quota(quota, Level::Exclusive).await?;
        let mut rest = ids.as_slice();
        while !rest.is_empty() {
            let mut change = self.begin().await?;
            let done = sync_some(&mut change, quota, rest, give_up).await;
            if let Some(count) = change.end(done).await? {
                rest = rest.get(count..).unwrap_or_default();
            }
        }
        self.release_from(crate::lock::Rank::QuotaFile);
        Ok(())
    }
}

async fn turn_on(change: &mut Change<'_>, quota: &Quota) -> Result<(), Error> {
    let blocks = change.blocks();
    let info = quota.global.info(blocks).await?;
    quota.local.set_clean(blocks, false).await?;
    let kind = quota.kind;
    let graces = QuotaGraces { space_s: info.block_grace, inodes_s: info.inode_grace };
    change.effects().extend([Effect::Info { kind, graces, sync_ms: info.sync_ms }, Effect::On { kind }]);
    Ok(())
}

/// False: meanwhile an id was charged.
async fn turn_off(change: &mut Change<'_>, quota: &Quota) -> Result<bool, Error> {
    if !quota.state().known.is_empty() {
        return Ok(false);
    }
    quota.local.set_clean(change.blocks(), true).await?;
    change.effects().push(Effect::Off { kind: quota.kind });
    Ok(true)
}

/// Brings the changes of the first of `ids` into the global file, as many as one change takes. Gives their count.
async fn sync_some(
    change: &mut Change<'_>,
    quota: &Quota,
    ids: &[u32],
    give_up: GiveUp,
) -> Result<usize, Error> {
    let mut done = 0;
    let (graces, round) = {
        let state = quota.state();
        (state.graces, state.round)
    };
    for id in ids {
        if change.blocks().credits() >= BLOCKS {
            break;
        }
        done += 1;
        let Some(known) = quota.known(*id) else { continue };
        let release = give_up == GiveUp::All || round.saturating_sub(known.used) > IDLE;
        sync_one(change, quota, *id, release, graces).await?;
    }
    Ok(done)
}

/// Brings what was counted for one id into the global file; with `release` it is not counted for any more.
async fn sync_one(
    change: &mut Change<'_>,
    quota: &Quota,
    id: u32,
    release: bool,
    graces: QuotaGraces,
) -> Result<(), Error> {
    let Some(known) = quota.known(id) else { return Ok(()) };
    let now = u64::try_from(change.fs().clock().now().seconds).unwrap_or(0);
    let (blocks, alloc) = change.blocks_and_space();
    let local = quota.own_entry(blocks, known.number, id).await?;
    let found = quota.global.find(blocks, id).await?;
    let old = found.unwrap_or(QuotaEntry { id, use_count: 1, ..QuotaEntry::default() });
    let mut new = usage(&old, &local);
    // A grace that began here is not in the file yet.
    let end = |file: u64, here: u64| if file == 0 { here } else { file };
    new.grace_ends =
        (end(old.grace_ends.0, known.global.grace_ends.0), end(old.grace_ends.1, known.global.grace_ends.1));
    new.grace_ends = grace_ends(&new, graces, now);
    if release {
        new.use_count = new.use_count.saturating_sub(1);
        quota.local.remove(blocks, known.number).await?;
    } else if (local.space, local.inodes) != (0, 0) {
        let none = LocalQuotaEntry { space: 0, inodes: 0, ..local };
        quota.local.store(blocks, known.number, none).await?;
    }
    if is_nothing(&new) {
        quota.global.remove(blocks, id).await?;
    } else if found != Some(new) {
        quota.global.put(blocks, alloc, &new).await?;
    }
    change.effects().push(match release {
        true => Effect::Released { kind: quota.kind, id },
        false => Effect::Synced { kind: quota.kind, global: new },
    });
    Ok(())
}

/// Whether an entry says no more than none at all.
pub(super) fn is_nothing(entry: &QuotaEntry) -> bool {
    *entry == QuotaEntry { id: entry.id, ..QuotaEntry::default() }
}
