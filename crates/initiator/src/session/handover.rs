//! From one portal group to another, with changes in flight.
//!
//! A login with the portal group that a connection died with ends the old session at the target before the new one
//! begins: what was in flight has been done by then or never will be, and is sent again. Another portal group is
//! another nexus, often another controller. There a login ends nothing: a write of the old session may wait in a queue,
//! and land after the same write was done again and its range written anew. That would be lost data, so:
//!
//! 1. The old connection is reset, not closed: this end sends nothing of it any more.
//! 2. For [`SessionOptions::group_wait`](crate::SessionOptions::group_wait) no other group is taken. The old one may
//!    come back; and what was on its way has arrived at the target, or was lost.
//! 3. Then a session with another group resets the unit before any I/O. A LOGICAL UNIT RESET ends the commands of all
//!    nexuses, and is answered when they have ended (SAM-5, 7.7). Other hosts see a unit attention, and send again
//!    what it took from them.
//! 4. A target that refuses the reset is not taken: I/O waits for the old group, and fails when its time is over.
//!
//! It is owed even where the commands have failed meanwhile: their users may write the same blocks again. Reads and
//! flushes harm nobody; with them alone in flight, any portal is taken at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use scsi::Lun;

use crate::ConnectError;
use crate::conn::Connection;

/// Where changes were in flight when their connection died.
#[derive(Clone, Debug)]
pub(super) struct Handover {
    old: SocketAddr,
    group: Option<u16>,
    wait: Duration,
    lost: Instant,
}

impl Handover {
    /// A connection died with changes in flight.
    pub(super) fn new(old: &Connection, wait: Duration, now: Instant) -> Self {
        Self { old: old.peer(), group: old.portal_group(), wait, lost: now }
    }

    /// Whether a session is with the portal group where they were in flight. A portal is of one group alone; of two
    /// portals without a tag nobody knows.
    fn is_same(&self, peer: SocketAddr, group: Option<u16>) -> bool {
        peer == self.old || group.is_some() && group == self.group
    }

    /// Why a new session is not to be used yet.
    pub(super) fn is_too_early(&self, new: &Connection, now: Instant) -> Option<ConnectError> {
        let early = now.saturating_duration_since(self.lost) < self.wait;
        let (address, old) = (new.peer(), self.old);
        let error = || ConnectError::OtherGroup { address, old, seconds: self.wait.as_secs() };
        (early && !self.is_same(address, new.portal_group())).then(error)
    }

    /// Makes sure that nothing of the old session reaches the medium any more.
    pub(super) async fn settle(&self, new: &mut Connection, lun: Lun) -> Result<(), ConnectError> {
        let (address, old) = (new.peer(), self.old);
        if self.is_same(address, new.portal_group()) {
            return Ok(());
        }
        tracing::warn!(%address, %old, "another portal group takes over with writes in flight: resetting the unit");
        let unfenced = |source| ConnectError::Unfenced { address, old, source: Box::new(source) };
        new.reset_unit(lun).await.map_err(unfenced)
    }
}

#[cfg(test)]
mod tests {
    use super::Handover;
    use std::time::{Duration, Instant};

    #[test]
    #[allow(clippy::disallowed_methods, reason = "any time will do")]
    fn a_group_is_the_same_by_tag_or_by_portal() {
        let (a, b) = ("10.0.0.1:3260".parse().unwrap(), "10.0.0.2:3260".parse().unwrap());
        let from = |group| Handover { old: a, group, wait: Duration::ZERO, lost: Instant::now() };
        assert!(from(Some(1)).is_same(b, Some(1)));
        assert!(from(None).is_same(a, None));
        assert!(!from(Some(1)).is_same(b, Some(2)));
        assert!(!from(None).is_same(b, None), "nobody knows");
        assert!(!from(Some(1)).is_same(b, None));
    }
}
