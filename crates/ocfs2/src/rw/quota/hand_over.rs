//! Giving up the lock of a quota file's information.

use crate::Error;
use crate::lock::{Level, LockName, Lvb, MetaLvb, QuotaKind, RawQuotaLvb};
use crate::rw::Writable;

impl Writable {
    /// Brings home what was changed of the quota file whose information the lock `name` protects; gives what the next
    /// holder finds with it.
    pub(in crate::rw) async fn settle_quota(
        &self,
        name: LockName,
        from: Level,
    ) -> Result<Option<Lvb>, Error> {
        let kinds = [QuotaKind::User, QuotaKind::Group];
        let kind = kinds.into_iter().find(|kind| LockName::quota_info(*kind) == name);
        let Some(Ok(quota)) = kind.map(|kind| self.quotas().of(kind)) else { return Ok(None) };
        if from == Level::Shared {
            return Ok(None);
        }
        self.journal().settle(quota.global.file.ino).await?;
        let info = quota.global.info(self.volume().meta()).await;
        Ok(Some(info.map_or(MetaLvb::INVALID, |info| RawQuotaLvb::pack(&info))))
    }
}
