//! What a node that is no more had counted, and not told of.

use ocfs2_format::quota::{LocalQuotaEntry, QuotaEntry};

use super::charge::usage;
use super::local::LocalFile;
use super::sync::{BLOCKS, is_nothing};
use super::{Quota, local_file};
use crate::Error;
use crate::lock::{Level, Rank};
use crate::rw::change::Change;
use crate::rw::operation::Operation;

impl Operation<'_> {
    /// Brings what the node in `slot` had counted into the global files. Its local files are clean then.
    pub(in crate::rw) async fn recover_quotas(&mut self, slot: u16) -> Result<(), Error> {
        let fs = self.fs();
        for quota in &fs.quotas().kinds {
            self.recover_quota(quota, slot).await?;
        }
        Ok(())
    }

    /// The same for users, or groups.
    pub(super) async fn recover_quota(&mut self, quota: &Quota, slot: u16) -> Result<(), Error> {
        let volume = self.fs().volume();
        let local = local_file(volume, quota.kind, slot)?;
        if local.info(volume.meta()).await?.clean {
            return Ok(());
        }
        self.lock_quota(quota, Level::Exclusive).await?;
        loop {
            let mut change = self.begin().await?;
            let done = recover_some(&mut change, quota, &local).await;
            if let Some(true) = change.end(done).await? {
                break;
            }
        }
        self.release_from(Rank::QuotaFile);
        Ok(())
    }
}

/// Brings as many entries into the global file as one change takes; true when there are none left.
async fn recover_some(change: &mut Change<'_>, quota: &Quota, local: &LocalFile) -> Result<bool, Error> {
    for (number, entry) in local.entries(change.blocks()).await? {
        if change.blocks().credits() >= BLOCKS {
            return Ok(false);
        }
        recover_one(change, quota, local, number, entry).await?;
    }
    local.set_clean(change.blocks(), true).await?;
    Ok(true)
}

async fn recover_one(
    change: &mut Change<'_>,
    quota: &Quota,
    local: &LocalFile,
    number: u32,
    entry: LocalQuotaEntry,
) -> Result<(), Error> {
    let (blocks, alloc) = change.blocks_and_space();
    let Ok(id) = u32::try_from(entry.id) else {
        let at = ocfs2_format::quota::QuotaPlace::of(crate::txn::Blocks::volume(blocks), number);
        return local.file.wrong(at.block, "an entry is of an id of more than 32 bits");
    };
    let found = quota.global.find(blocks, id).await?;
    let old = found.unwrap_or(QuotaEntry { id, ..QuotaEntry::default() });
    let new = QuotaEntry { use_count: old.use_count.saturating_sub(1), ..usage(&old, &entry) };
    if is_nothing(&new) {
        quota.global.remove(blocks, id).await?;
    } else {
        quota.global.put(blocks, alloc, &new).await?;
    }
    local.remove(blocks, number).await
}
