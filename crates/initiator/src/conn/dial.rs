//! From a URL to a session: look-up, connection, login, redirection.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use iscsi::text::DigestPolicy;
use iscsi::{Event, Initiator, InitiatorConfig, Isid, Seed, SessionError};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::low_water::LowWater;
use super::{Chunk, Connection, RECEIVE_LEN, Sink, now};
use crate::{ConnectError, ConnectionError, DigestWish, PortalAddr, SessionOptions, VolumeUrl};

/// Longest data segment that we take, in bytes. Data of large reads goes straight into its place, so a long one
/// costs no memory and saves headers.
const MAX_RECV_DATA: u32 = 1 << 20;

/// Most redirections of one login.
const MAX_REDIRECTS: usize = 4;

/// Makes connections to a target, one after the other, over whichever portal answers.
#[derive(Debug)]
pub(crate) struct Dialer {
    portals: Vec<PortalAddr>,
    config: InitiatorConfig,
    options: SessionOptions,
    /// The portal to try first.
    first: usize,
    /// Addresses that a name had when it was last looked up: name servers may be away when the network is.
    known: BTreeMap<String, Vec<IpAddr>>,
}

impl Dialer {
    /// For a session with the target of a URL. All connections bear one ISID, so that a new one ends what is left of
    /// the old at the target.
    pub(crate) fn normal(url: &VolumeUrl, options: SessionOptions) -> Self {
        let name = options.initiator_name.as_str();
        let mut config = InitiatorConfig::new(name, url.target.as_str(), random_isid());
        config.credentials = url.chap.clone();
        config.target_credentials = url.mutual_chap.clone();
        config.settings.header_digest = policy(url.header_digest);
        config.settings.data_digest = policy(url.data_digest);
        Self::new(url.portals.clone(), config, options)
    }

    /// For a discovery session with a portal.
    pub(crate) fn discovery(
        portal: PortalAddr,
        credentials: (Option<iscsi::Credentials>, Option<iscsi::Credentials>),
        options: SessionOptions,
    ) -> Self {
        let mut config = InitiatorConfig::discovery(options.initiator_name.as_str(), random_isid());
        (config.credentials, config.target_credentials) = credentials;
        Self::new(vec![portal], config, options)
    }

    fn new(portals: Vec<PortalAddr>, mut config: InitiatorConfig, options: SessionOptions) -> Self {
        config.login_timeout = options.login_timeout;
        config.ping_interval = options.ping_interval;
        config.ping_timeout = options.ping_timeout;
        config.settings.max_recv_data = MAX_RECV_DATA;
        config.settings.time2wait = 0;
        Self { portals, config, options, first: 0, known: BTreeMap::new() }
    }

    /// How the session is to behave.
    pub(crate) fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Lets the next [`Self::dial`] begin with the portal after the one that was connected: that one just failed.
    pub(crate) fn advance(&mut self) {
        self.first = self.first.wrapping_add(1) % self.portals.len().max(1);
    }

    /// Tries each portal once, and gives the first session that comes about.
    ///
    /// # Errors
    /// Of several, the error that says most: a refused login before a missing connection.
    pub(crate) async fn dial(&mut self) -> Result<Connection, ConnectError> {
        let mut worst: Option<ConnectError> = None;
        for turn in 0..self.portals.len() {
            let index = self.first.wrapping_add(turn) % self.portals.len();
            let Some(portal) = self.portals.get(index).cloned() else { continue };
            match self.dial_portal(&portal).await {
                Ok(connection) => {
                    self.first = index;
                    return Ok(connection);
                }
                Err(error) => {
                    tracing::debug!(%portal, %error, source = ?std::error::Error::source(&error), "no session");
                    if worst.as_ref().is_none_or(|worst| weight(&error) > weight(worst)) {
                        worst = Some(error);
                    }
                }
            }
        }
        // A URL has one portal at least.
        Err(worst.unwrap_or(ConnectError::Redirects { count: 0 }))
    }

    async fn dial_portal(&mut self, portal: &PortalAddr) -> Result<Connection, ConnectError> {
        let mut portal = portal.clone();
        for _ in 0..=MAX_REDIRECTS {
            let (stream, address) = self.connect(&portal).await?;
            match self.login(stream, address).await {
                Err(ConnectError::Login {
                    source: ConnectionError::Session(SessionError::Redirected { addresses, .. }),
                    ..
                }) => portal = redirection(address, &addresses)?,
                result => return result,
            }
        }
        Err(ConnectError::Redirects { count: MAX_REDIRECTS })
    }

    /// Connects to the first address of a portal that answers.
    async fn connect(&mut self, portal: &PortalAddr) -> Result<(TcpStream, SocketAddr), ConnectError> {
        let addresses = self.addresses(portal).await?;
        let mut last = None;
        for ip in addresses {
            let address = SocketAddr::new(ip, portal.port);
            match timeout(self.options.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(|source| ConnectError::Tcp { address, source })?;
                    return Ok((stream, address));
                }
                Ok(Err(source)) => last = Some(ConnectError::Tcp { address, source }),
                Err(_) => {
                    let seconds = self.options.connect_timeout.as_secs();
                    last = Some(ConnectError::TcpTimeout { address, seconds });
                }
            }
        }
        // The resolver never gives an empty list.
        Err(last.unwrap_or(ConnectError::Redirects { count: 0 }))
    }

    async fn addresses(&mut self, portal: &PortalAddr) -> Result<Vec<IpAddr>, ConnectError> {
        let name = portal.host.to_string();
        match self.options.resolver.resolve(&portal.host).await {
            Ok(addresses) => {
                self.known.insert(name, addresses.clone());
                Ok(addresses)
            }
            Err(error) => match self.known.get(&name) {
                Some(addresses) => {
                    tracing::warn!(%error, "taking the addresses that {name} had before");
                    Ok(addresses.clone())
                }
                None => Err(error.into()),
            },
        }
    }

    async fn login(&self, stream: TcpStream, peer: SocketAddr) -> Result<Connection, ConnectError> {
        let now = now();
        let engine = Initiator::new(now, self.config.clone(), seed())?;
        let mut connection = Connection {
            stream,
            engine,
            peer,
            portal_group: None,
            received: vec![0; RECEIVE_LEN].into_boxed_slice(),
            direct: false,
            low_water: LowWater::new(),
            timer: Box::pin(sleep_until(now.into())),
            armed: now,
        };
        let mut login = Login::default();
        while !login.done {
            let pumped = connection.pump(&mut login).await;
            pumped.map_err(|source| ConnectError::Login { address: peer, source })?;
        }
        connection.portal_group = login.portal_group;
        tracing::debug!(%peer, params = ?connection.engine.params(), "logged in");
        Ok(connection)
    }
}

/// What is told during a login.
#[derive(Default)]
struct Login {
    done: bool,
    portal_group: Option<u16>,
}

impl Sink for Login {
    fn event(&mut self, event: Event<'_, Chunk>) {
        if let Event::LoggedIn { portal_group, .. } = event {
            self.done = true;
            self.portal_group = portal_group;
        }
    }
}

/// How much an error says: a target that refuses is a better clue than a portal that is down.
fn weight(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Tcp { .. } | ConnectError::TcpTimeout { .. } | ConnectError::Resolve(_) => 0,
        _ => 1,
    }
}

/// The portal of a TargetAddress: `host[:port][,tag]`.
fn redirection(address: SocketAddr, to: &[String]) -> Result<PortalAddr, ConnectError> {
    let to = to.first().map(String::as_str).unwrap_or_default();
    let place = to.rsplit_once(',').map_or(to, |(place, _tag)| place);
    let portal = place.parse().map_err(|source| ConnectError::Redirect { address, to: to.into(), source })?;
    tracing::debug!(%address, %portal, "login redirected");
    Ok(portal)
}

fn policy(wish: Option<DigestWish>) -> DigestPolicy {
    match wish {
        None => DigestPolicy::PreferNone,
        Some(DigestWish::None) => DigestPolicy::Never,
        Some(DigestWish::Crc32c) => DigestPolicy::Always,
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "driver: the session's id and the CHAP challenges are drawn here"
)]
fn random_isid() -> Isid {
    Isid::random(rand::random(), rand::random())
}

#[allow(
    clippy::disallowed_methods,
    reason = "driver: the session's id and the CHAP challenges are drawn here"
)]
fn seed() -> Seed {
    Seed::new(rand::random())
}
