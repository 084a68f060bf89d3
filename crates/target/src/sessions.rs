//! Who is logged in, and how a session makes room for its successor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iscsi::Isid;
use tokio::sync::{Notify, watch};

use crate::unit::SessionId;

/// Most sessions at a time, discovery included.
pub(crate) const MOST_SESSIONS: usize = 1024;

/// All sessions of a target.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_port: BTreeMap<(String, Isid), Arc<Session>>,
    tsihs: BTreeSet<u16>,
    last_tsih: u16,
    /// How to ask each connection to end.
    connections: BTreeMap<SessionId, Arc<Notify>>,
    last_id: SessionId,
    stopping: bool,
}

/// One session with I/O.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its number within the target; never used twice.
    pub(crate) id: SessionId,
    port: (String, Isid),
    end: Arc<Notify>,
    over: watch::Sender<bool>,
}

impl Session {
    /// Asks the session to end.
    pub(crate) fn ask_to_end(&self) {
        self.end.notify_one();
    }

    /// Returns when nothing of it can touch a disk any more.
    pub(crate) async fn ended(&self) {
        // An error means that the sender is gone, and that is the end as well.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }
}

impl Sessions {
    /// Enters a connection: its number, and what tells it to end.
    pub(crate) fn connect(&self) -> (SessionId, Arc<Notify>) {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let end = Arc::new(Notify::new());
        if state.stopping {
            end.notify_one();
        }
        state.connections.insert(id, Arc::clone(&end));
        (id, end)
    }

    /// A connection is over.
    pub(crate) fn disconnect(&self, id: SessionId) {
        self.state().connections.remove(&id);
    }

    /// A target session number that nobody has, or none where there are too many sessions.
    pub(crate) fn take_tsih(&self) -> Option<u16> {
        let mut state = self.state();
        if state.tsihs.len() >= MOST_SESSIONS {
            return None;
        }
        // There are 65535 numbers and at most MOST_SESSIONS are taken.
        loop {
            state.last_tsih = state.last_tsih.wrapping_add(1);
            let tsih = state.last_tsih;
            if tsih != 0 && state.tsihs.insert(tsih) {
                return Some(tsih);
            }
        }
    }

    /// Gives a number back.
    pub(crate) fn free_tsih(&self, tsih: u16) {
        self.state().tsihs.remove(&tsih);
    }

    /// Whether there is a session of this number.
    pub(crate) fn has_tsih(&self, tsih: u16) -> bool {
        self.state().tsihs.contains(&tsih)
    }

    /// Enters the session of a connection; its predecessor of the same initiator port comes back, and must end before the new one
    /// touches a disk.
    pub(crate) fn enter(
        &self,
        id: SessionId,
        end: &Arc<Notify>,
        initiator: &str,
        isid: Isid,
    ) -> (Arc<Session>, Option<Arc<Session>>) {
        let mut state = self.state();
        let port = (initiator.to_ascii_lowercase(), isid);
        let session = Arc::new(Session {
            id,
            port: port.clone(),
            end: Arc::clone(end),
            over: watch::Sender::new(false),
        });
        let old = state.by_port.insert(port, Arc::clone(&session));
        (session, old)
    }

    /// A session is over: nothing of it is under way.
    pub(crate) fn leave(&self, session: &Session) {
        session.over.send_replace(true);
        let mut state = self.state();
        if state.by_port.get(&session.port).is_some_and(|current| current.id == session.id) {
            state.by_port.remove(&session.port);
        }
    }

    /// Asks all sessions to end.
    pub(crate) fn end_all(&self) {
        for session in self.state().by_port.values() {
            session.ask_to_end();
        }
    }

    /// Asks all connections to end, those that are still to come as well.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        for end in state.connections.values() {
            end.notify_one();
        }
    }

    /// How many sessions with I/O there are.
    pub(crate) fn count(&self) -> usize {
        self.state().by_port.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Entries are inserted and removed whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
