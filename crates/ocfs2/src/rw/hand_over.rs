//! What is owed to the cluster before a lock is lowered.
//!
//! Other nodes read the volume, not this node's memory, and not its log either: so the changes of an inode are at home
//! before its lock goes, and the log has moved past them, for a replay of an older image would overwrite what another
//! node has written since (there are no revokes). One flush of the journal serves all locks that wait for it. Data is
//! written when the call that wrote it returns, so nothing is owed for it.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use ocfs2_format::BlockNum;

use super::Writable;
use crate::Error;
use crate::lock::{Demand, Level, LockKind, Lvb, MetaLvb};

impl Writable {
    /// Answers the demands of the cluster for as long as there are any.
    pub(super) async fn hand_over(&self) {
        let mut going = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = going.next() => {}
                demand = self.inner.service.demand() => match demand {
                    Some(demand) => going.push(self.answer(demand)),
                    None => break,
                },
            }
        }
        while going.next().await.is_some() {}
    }

    /// Does what is owed for one lock, and lets it go. Where that fails the demand is dropped: the lock stays, and
    /// nothing is changed any more.
    async fn answer(&self, demand: Demand) {
        let owed = match demand.name.kind() {
            LockKind::Meta => self.settle_inode(demand.name.block(), demand.from, demand.to).await,
            LockKind::QuotaInfo => self.settle_quota(demand.name, demand.from).await,
            LockKind::Refcount => self.settle(demand.name.block(), demand.to).await.map(|()| None),
            _ => Ok(None),
        };
        match owed {
            Ok(lvb) => demand.done(lvb),
            Err(error) => {
                tracing::error!(lock = %demand.name, %error, "a lock that another node wants cannot be given up");
                self.journal().refuse(error);
            }
        }
    }

    async fn settle_inode(
        &self,
        ino: BlockNum,
        from: Level,
        to: Option<Level>,
    ) -> Result<Option<Lvb>, Error> {
        let lvb = match from {
            Level::Shared => None,
            // One that is no longer an inode has nothing that the next holder could rely on.
            Level::Exclusive => Some(match self.volume().inode(ino).await {
                Ok(inode) => MetaLvb::of(inode.dinode()).pack(),
                Err(_) => MetaLvb::INVALID,
            }),
        };
        self.settle(ino, to).await?;
        Ok(lvb)
    }

    /// Brings home what was changed of the blocks of `owner`, and forgets them where others may change them.
    async fn settle(&self, owner: BlockNum, to: Option<Level>) -> Result<(), Error> {
        self.journal().settle(owner).await?;
        if to.is_none() {
            self.volume().forget(owner);
        }
        Ok(())
    }
}
