//! Beginning to count for an id.

use std::collections::BTreeSet;

use ocfs2_format::quota::{QuotaEntry, QuotaKind};

use super::{Effect, Quota};
use crate::lock::{Level, LockName, Rank};
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::{BlockNum, Error};

impl Operation<'_> {
    /// Begins to count for `ids`, those of them that are not counted for. Lets go of the allocators' locks, and takes
    /// and gives back those of the quota files, which come before them.
    pub(in crate::rw) async fn hold_ids(&mut self, ids: BTreeSet<(QuotaKind, u32)>) -> Result<(), Error> {
        let fs = self.fs();
        for (kind, id) in ids {
            let quota = fs.quotas().of(kind)?;
            if quota.known(id).is_some() {
                continue;
            }
            self.lock_quota(quota, Level::Exclusive).await?;
            loop {
                let mut change = self.begin().await?;
                let done = hold(&mut change, quota, id).await;
                if change.end(done).await?.is_some() {
                    break;
                }
            }
        }
        self.release_from(Rank::QuotaFile);
        Ok(())
    }

    /// Locks the global file of `quota`, in place of another one and of allocators that may be locked.
    pub(super) async fn lock_quota(&mut self, quota: &Quota, level: Level) -> Result<(), Error> {
        self.release_from(Rank::QuotaFile);
        let ino: BlockNum = quota.global.file.ino;
        self.lock_inode(Rank::QuotaFile, ino, level).await?;
        let fs = self.fs();
        let held = self.lock(Rank::QuotaInfo, LockName::quota_info(quota.kind), level).await?;
        if held.needs_refresh() {
            fs.volume().forget(ino);
            held.refreshed();
        }
        Ok(())
    }
}

/// Enters this node at the id's global entry, and makes a local one.
async fn hold(change: &mut Change<'_>, quota: &Quota, id: u32) -> Result<(), Error> {
    // Another operation may have been quicker.
    if quota.known(id).is_some() {
        return Ok(());
    }
    if !quota.state().on {
        return Err(Error::Closed);
    }
    let (blocks, alloc) = change.blocks_and_space();
    let found = quota.global.find(blocks, id).await?;
    let mut global = found.unwrap_or(QuotaEntry { id, ..QuotaEntry::default() });
    global.use_count = global.use_count.saturating_add(1);
    quota.global.put(blocks, alloc, &global).await?;
    let number = quota.local.add(blocks, alloc, id).await?;
    change.effects().push(Effect::Held { kind: quota.kind, id, number, global });
    Ok(())
}
