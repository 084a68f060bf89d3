//! What all connections of a target share, and the portals that accept them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iscsi::Seed;
use iscsi::text::Settings;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::access::Access;
use crate::connection;
use crate::luns::Luns;
use crate::sessions::Sessions;

/// Most connections at a time, those that have not logged in included.
const MOST_CONNECTIONS: usize = 1024;
/// How long to wait when the system has no room for another connection.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) iqn: String,
    pub(crate) alias: Option<String>,
    /// Target portal group tag.
    pub(crate) tag: u16,
    /// Addresses to tell initiators of.
    pub(crate) portals: Vec<SocketAddr>,
    pub(crate) luns: Luns,
    pub(crate) access: Access,
    pub(crate) settings: Settings,
    pub(crate) login_timeout: Duration,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Duration,
    pub(crate) sessions: Sessions,
    pub(crate) stopping: watch::Sender<bool>,
}

impl Shared {
    /// Returns when the target is to end.
    pub(crate) async fn closing(&self) {
        // An error means that nobody can say it any more, which is the same.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}

/// Accepts connections on all portals until the target is told to stop; returns when all connections are over.
#[allow(clippy::disallowed_methods, reason = "driver: each portal has a task")]
pub(crate) async fn accept_all(shared: Arc<Shared>, listeners: Vec<TcpListener>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut portals = JoinSet::new();
    for listener in listeners {
        portals.spawn(accept(Arc::clone(&shared), listener, Arc::clone(&room)));
    }
    while portals.join_next().await.is_some() {}
}

#[allow(clippy::disallowed_methods, reason = "driver: each connection has a task")]
async fn accept(shared: Arc<Shared>, listener: TcpListener, room: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    let mut closing = std::pin::pin!(shared.closing());
    loop {
        tokio::select! {
            biased;
            () = &mut closing => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                        tracing::warn!(%peer, "connection dropped: {MOST_CONNECTIONS} are open already");
                        continue;
                    };
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        begin(stream, peer, &shared).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    pause().await;
                }
            },
        }
    }
    drop(listener);
    shared.sessions.stop();
    while connections.join_next().await.is_some() {}
}

#[allow(clippy::disallowed_methods, reason = "driver: the clock and the seed of a connection")]
async fn begin(stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    let seed = Seed::new(rand::random());
    connection::serve(stream, peer.to_string(), shared, seed, Instant::now()).await;
}

#[allow(clippy::disallowed_methods, reason = "driver: lets the system find room")]
async fn pause() {
    tokio::time::sleep(NO_ROOM_PAUSE).await;
}
