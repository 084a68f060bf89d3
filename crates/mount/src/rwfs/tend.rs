//! What is done although nobody asks, and the end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::RwFs;

/// How often it is looked whether something waits for a commit while nobody changes anything.
const LOOK_EVERY: Duration = Duration::from_millis(400);

impl RwFs {
    /// Runs the volume's journal, and commits what was changed as soon as nothing more is: within a second. To be run
    /// beside the session; ends after [`Self::close`].
    pub async fn drive(&self) {
        tokio::select! {
            biased;
            () = self.fs.drive() => {}
            () = self.tidy() => {}
        }
    }

    /// Never ends.
    async fn tidy(&self) {
        let mut waiting = false;
        loop {
            self.fs.clock().sleep(LOOK_EVERY).await;
            let busy = self.changed.swap(false, Ordering::Relaxed);
            if waiting && !busy {
                if let Err(error) = self.fs.sync().await {
                    self.note(&error);
                }
                waiting = false;
            }
            waiting |= busy;
        }
    }

    /// Ends all changes and makes the volume clean: to be called when the session is over. Needs [`Self::drive`].
    ///
    /// # Errors
    /// As [`Writable::close`](ocfs2::Writable::close).
    pub async fn close(&self) -> Result<(), ocfs2::Error> {
        self.fs.close().await
    }
}
