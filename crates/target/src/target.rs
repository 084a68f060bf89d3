//! A target in this process: built, served, stopped.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use block::BlockDevice;
use iscsi::text::Settings;
use scsi::Lun;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::{Access, checked_name};
use crate::error::TargetError;
use crate::identity::Identity;
use crate::luns::{Luns, MOST_LUNS};
use crate::server::{Shared, accept_all};
use crate::sessions::Sessions;
use crate::unit::{Unit, UnitSpec};

/// The port that IANA gave to iSCSI.
pub const ISCSI_PORT: u16 = 3260;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 256;

/// A unit to serve.
#[derive(Debug)]
pub struct LunSpec {
    /// Its number; `None` is the lowest that is free.
    pub lun: Option<Lun>,
    /// What lies behind it.
    pub device: Arc<dyn BlockDevice>,
    /// Bytes of a logical block: 512 or 4096.
    pub block: u32,
    /// Refuse writes.
    pub read_only: bool,
    /// Serial number; the unit's names follow from it alone. `None`: they follow from target, LUN and `backing`.
    pub serial: Option<String>,
    /// What names the device over restarts: a canonical path. Empty: the device's own name.
    pub backing: PathBuf,
}

impl LunSpec {
    /// A unit with 512-byte blocks and everything else by default.
    pub fn new(device: Arc<dyn BlockDevice>) -> Self {
        Self { lun: None, device, block: 512, read_only: false, serial: None, backing: PathBuf::new() }
    }
}

/// Makes a [`Target`].
#[derive(Debug)]
pub struct TargetBuilder {
    iqn: String,
    alias: Option<String>,
    luns: Vec<LunSpec>,
    portals: Vec<SocketAddr>,
    access: Access,
    insecure: bool,
    settings: Settings,
    login_timeout: Duration,
    ping_interval: Option<Duration>,
    ping_timeout: Duration,
}

/// A target that serves, until it is dropped or [stopped](Self::stop).
#[derive(Debug)]
pub struct Target {
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

impl Target {
    /// Begins a target of this name.
    pub fn builder(iqn: impl Into<String>) -> TargetBuilder {
        TargetBuilder {
            iqn: iqn.into(),
            alias: None,
            luns: Vec::new(),
            portals: Vec::new(),
            access: Access::default(),
            insecure: false,
            // An old session is ended here before its successor begins: nobody has to wait for that.
            settings: Settings { max_recv_data: 262_144, time2wait: 0, ..Settings::default() },
            login_timeout: Duration::from_secs(15),
            ping_interval: Some(Duration::from_secs(15)),
            ping_timeout: Duration::from_secs(5),
        }
    }

    /// The addresses it listens at, in the order given, with the ports that were chosen for port 0.
    pub fn portals(&self) -> &[SocketAddr] {
        &self.shared.portals
    }

    /// Its name.
    pub fn iqn(&self) -> &str {
        &self.shared.iqn
    }

    /// Its units: number, names, blocks, bytes of a block, and whether they refuse writes.
    pub fn units(&self) -> impl Iterator<Item = UnitInfo<'_>> {
        self.shared.luns.iter().map(|unit| UnitInfo {
            lun: unit.lun(),
            identity: unit.identity(),
            device: unit.device().name(),
            blocks: unit.blocks(),
            block_size: unit.block_size(),
            read_only: unit.is_read_only(),
        })
    }

    /// How many sessions with I/O there are.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.count()
    }

    /// Ends all sessions, tells them so, and returns when nothing is under way and every disk is flushed.
    pub async fn stop(mut self) {
        self.shared.stopping.send_replace(true);
        if let Some(serving) = self.serving.take() {
            // An error would be a panic of the accepting task, and that is the end as well.
            let _ = serving.await;
        }
        for unit in self.shared.luns.iter() {
            if let Err(error) = unit.device().flush().await {
                tracing::error!(lun = %unit.lun(), %error, "the disk cannot be flushed");
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.stopping.send_replace(true);
    }
}

/// A unit, as it is served.
#[derive(Clone, Copy, Debug)]
pub struct UnitInfo<'a> {
    /// Its number.
    pub lun: Lun,
    /// Its names.
    pub identity: &'a Identity,
    /// What lies behind it.
    pub device: &'a str,
    /// Logical blocks.
    pub blocks: u64,
    /// Bytes of a logical block.
    pub block_size: u32,
    /// Whether it refuses writes.
    pub read_only: bool,
}

impl TargetBuilder {
    /// A text for people, which initiators may show.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.alias = Some(alias.into());
        self
    }

    /// Adds a unit.
    #[must_use]
    pub fn lun(mut self, spec: LunSpec) -> Self {
        self.luns.push(spec);
        self
    }

    /// Adds a portal; port 0 lets the system choose. Without any, it is 127.0.0.1:3260.
    #[must_use]
    pub fn portal(mut self, portal: SocketAddr) -> Self {
        self.portals.push(portal);
        self
    }

    /// Who may use it. By default everybody, which only portals on loopback addresses may have.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Lets portals on other addresses be open to everybody.
    #[must_use]
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// What to agree to at login.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How long a login may take. Default 15 s.
    #[must_use]
    pub fn login_timeout(mut self, limit: Duration) -> Self {
        self.login_timeout = limit;
        self
    }

    /// Silence after which an initiator is pinged; none: never. Default 15 s.
    #[must_use]
    pub fn ping_interval(mut self, silence: Option<Duration>) -> Self {
        self.ping_interval = silence;
        self
    }

    /// How long the answer to a ping may take before the connection is dropped. Default 5 s.
    #[must_use]
    pub fn ping_timeout(mut self, limit: Duration) -> Self {
        self.ping_timeout = limit;
        self
    }

    /// Opens the portals and serves, on the runtime this is called in.
    ///
    /// # Errors
    /// [`TargetError`]; nothing is served then.
    #[allow(clippy::disallowed_methods, reason = "driver: the accepting task")]
    pub async fn serve(mut self) -> Result<Target, TargetError> {
        if self.portals.is_empty() {
            self.portals.push(SocketAddr::from((Ipv4Addr::LOCALHOST, ISCSI_PORT)));
        }
        self.access.check()?;
        if self.access.is_open() && !self.insecure {
            let open = self.portals.iter().find(|portal| !portal.ip().is_loopback());
            if let Some(portal) = open {
                return Err(TargetError::OpenPortal { portal: *portal });
            }
        }
        let iqn = checked_name(&self.iqn)?;
        let luns = build_luns(&iqn, TAG, std::mem::take(&mut self.luns))?;
        let mut listeners = Vec::new();
        for portal in &mut self.portals {
            let bind = |source| TargetError::Bind { portal: *portal, source };
            let listener = listen(*portal).map_err(bind)?;
            *portal = listener.local_addr().map_err(bind)?;
            listeners.push(listener);
        }
        let shared = Arc::new(Shared {
            iqn,
            alias: self.alias,
            tag: TAG,
            portals: self.portals,
            luns,
            access: self.access,
            settings: self.settings,
            login_timeout: self.login_timeout,
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            sessions: Sessions::default(),
            stopping: watch::Sender::new(false),
        });
        let serving = tokio::spawn(accept_all(Arc::clone(&shared), listeners));
        Ok(Target { shared, serving: Some(serving) })
    }
}

/// Tag of the one portal group.
const TAG: u16 = 1;

fn listen(portal: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if portal.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(portal)?;
    socket.listen(BACKLOG)
}

fn build_luns(iqn: &str, tag: u16, specs: Vec<LunSpec>) -> Result<Luns, TargetError> {
    if specs.is_empty() {
        return Err(TargetError::NoLun);
    }
    if specs.len() > MOST_LUNS {
        return Err(TargetError::TooManyLuns { count: specs.len(), most: MOST_LUNS });
    }
    let given: Vec<Lun> = specs.iter().filter_map(|spec| spec.lun).collect();
    let mut free = (0..=Lun::MAX).filter_map(|n| Lun::new(n).ok()).filter(|lun| !given.contains(lun));
    let mut paths: BTreeMap<PathBuf, (Lun, bool)> = BTreeMap::new();
    let mut luns = Luns::default();
    for spec in specs {
        // There are more numbers than MOST_LUNS.
        let Some(lun) = spec.lun.or_else(|| free.next()) else { continue };
        let backing = if spec.backing.as_os_str().is_empty() {
            spec.device.name().to_owned()
        } else {
            let path = spec.backing.clone();
            let read_only = spec.read_only || spec.device.geometry().read_only;
            if let Some((first, other)) = paths.insert(path.clone(), (lun, read_only))
                && !(read_only && other)
            {
                return Err(TargetError::PathTwice { first, second: lun, path });
            }
            path.display().to_string()
        };
        let identity = match &spec.serial {
            Some(serial) => Identity::from_serial(serial),
            None => Identity::from_place(iqn, lun.number(), &backing),
        };
        let (device, block, read_only) = (spec.device, spec.block, spec.read_only);
        let iqn = iqn.to_owned();
        luns.add(Unit::new(UnitSpec { lun, device, block, read_only, identity, iqn, tag })?)?;
    }
    Ok(luns)
}
