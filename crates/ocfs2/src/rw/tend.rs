//! What is done now and then while a volume is open.

use std::time::Duration;

use super::Writable;
use crate::Error;

/// How long clusters that were freed stay in the truncate log, as in the kernel (`ocfs2_schedule_truncate_log_flush`).
const EMPTY_LOG_EVERY: Duration = Duration::from_secs(2);

impl Writable {
    /// Does all of it, until nothing can be changed any more.
    pub(super) async fn tend(&self) {
        futures_util::future::join3(self.tend_log(), self.tend_quotas(), self.tend_orphans()).await;
    }

    /// Empties the truncate log now and then.
    async fn tend_log(&self) {
        loop {
            self.clock().sleep(EMPTY_LOG_EVERY).await;
            match self.tidy().await {
                Ok(()) => {}
                // Said by who found it.
                Err(_) if self.read_only().is_some() => return,
                Err(error) => tracing::warn!(%error, "the truncate log could not be emptied"),
            }
        }
    }

    async fn tidy(&self) -> Result<(), Error> {
        let (logged, _) = self.alloc().log_used(self.volume().meta()).await?;
        if logged > 0 {
            let slot = self.slot();
            self.judged(self.operation().empty_truncate_log(slot).await)?;
        }
        Ok(())
    }
}
