//! What to serve, in words: the parts of a command line, and the TOML file of `--config`.

mod error;
mod file;
mod lun;
mod secret;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use block::{BlockError, FileDevice, OpenOptions};

pub use error::ConfigError;
pub use lun::LunConfig;
pub use secret::ChapConfig;

use crate::access::Access;
use crate::error::TargetError;
use crate::target::{ISCSI_PORT, LunSpec, Target, TargetBuilder};

/// The name of a target that nobody named.
pub const DEFAULT_IQN: &str = "iqn.2026-01.io.oxsan:target";

/// What to serve.
#[derive(Clone, Debug, Default)]
pub struct ServeConfig {
    /// Name of the target; none is [`DEFAULT_IQN`].
    pub iqn: Option<String>,
    /// A text for people.
    pub alias: Option<String>,
    /// Where to listen; empty is 127.0.0.1:3260.
    pub portals: Vec<SocketAddr>,
    /// The units.
    pub luns: Vec<LunConfig>,
    /// Initiators that may log in; empty is all.
    pub allow: Vec<String>,
    /// CHAP names and secrets of initiators.
    pub chap: Vec<ChapConfig>,
    /// How the target proves itself (mutual CHAP).
    pub mutual: Option<ChapConfig>,
    /// Portals that are not on loopback may be open to everybody.
    pub insecure: bool,
}

impl ServeConfig {
    /// Adds what a file says to what is here already (a command line): lists are joined, and what is here wins.
    #[must_use]
    pub fn over(mut self, file: Self) -> Self {
        self.iqn = self.iqn.or(file.iqn);
        self.alias = self.alias.or(file.alias);
        self.mutual = self.mutual.or(file.mutual);
        self.insecure |= file.insecure;
        self.portals.extend(file.portals);
        self.luns.extend(file.luns);
        self.allow.extend(file.allow);
        self.chap.extend(file.chap);
        self
    }

    /// Opens the disks and begins the target; makes files that are to be made.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn build(&self) -> Result<TargetBuilder, ConfigError> {
        let mut builder = Target::builder(self.iqn.as_deref().unwrap_or(DEFAULT_IQN)).insecure(self.insecure);
        if let Some(alias) = &self.alias {
            builder = builder.alias(alias);
        }
        for portal in &self.portals {
            builder = builder.portal(*portal);
        }
        for lun in &self.luns {
            builder = builder.lun(open(lun)?);
        }
        Ok(builder.access(self.access()?))
    }

    fn access(&self) -> Result<Access, ConfigError> {
        let mut access = Access::default();
        for initiator in &self.allow {
            access.allow(initiator)?;
        }
        for chap in &self.chap {
            access.add_user(&chap.name, &chap.secret()?)?;
        }
        if let Some(own) = &self.mutual {
            access.set_own(&own.name, &own.secret()?)?;
        }
        Ok(access)
    }
}

/// Opens the disk of a unit.
fn open(config: &LunConfig) -> Result<LunSpec, ConfigError> {
    let path = &config.path;
    if let Some(size) = config.size {
        lun::make_or_grow(path, size, config.block, config.read_only)?;
    }
    let options = OpenOptions { read_only: config.read_only, ..OpenOptions::default() };
    let device = FileDevice::open(path, options).map_err(|source| match source {
        BlockError::Open { source, .. } if source.kind() == ErrorKind::NotFound => {
            ConfigError::Missing { path: path.clone(), read_only: config.read_only }
        }
        source => ConfigError::Disk { path: path.clone(), source },
    })?;
    let backing = path.canonicalize().map_err(|source| ConfigError::Io {
        path: path.clone(),
        what: "finding",
        source,
    })?;
    Ok(LunSpec {
        lun: config.lun,
        device: Arc::new(device),
        block: config.block,
        read_only: config.read_only,
        serial: config.serial.clone(),
        backing,
    })
}

/// `ADDRESS:PORT`, `ADDRESS`, `[IPV6]:PORT`, `IPV6`, or `:PORT` for loopback.
///
/// # Errors
/// [`ConfigError::Portal`]; names are not resolved, for a portal is an address of this machine.
pub fn parse_portal(text: &str) -> Result<SocketAddr, ConfigError> {
    let wrong = || ConfigError::Portal { text: text.into() };
    if let Ok(portal) = text.parse::<SocketAddr>() {
        return Ok(portal);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok(SocketAddr::new(address, ISCSI_PORT));
    }
    let port = text.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(wrong)?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

impl From<TargetError> for ConfigError {
    fn from(source: TargetError) -> Self {
        Self::Target(Box::new(source))
    }
}

#[cfg(test)]
mod tests {
    use super::{LunConfig, ServeConfig, parse_portal};

    /// A file that is not there was told to be given a `size=`, and a read-only one too, which is never made.
    #[test]
    fn a_missing_file_is_told_with_what_helps() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("none");
        for (options, makes) in [("", true), (",ro", false), (",ro,size=1G", false)] {
            let lun = LunConfig::parse(&format!("{}{options}", file.display())).unwrap();
            let config = ServeConfig { luns: vec![lun], ..ServeConfig::default() };
            let error = config.build().err().unwrap();
            assert_eq!(error.to_string(), format!("there is no file {}", file.display()), "{options}");
            assert_eq!(error.hint().unwrap().contains("size="), makes, "{options}");
        }
        let error = ServeConfig::load(&file).unwrap_err();
        assert_eq!(error.hint(), Some("check the path"));
        assert!(!file.exists());
    }

    #[test]
    fn portals() {
        for (text, portal) in [
            ("10.0.0.1", "10.0.0.1:3260"),
            ("10.0.0.1:860", "10.0.0.1:860"),
            ("::1", "[::1]:3260"),
            ("[fe80::1]:3261", "[fe80::1]:3261"),
            ("[::]", "[::]:3260"),
            (":0", "127.0.0.1:0"),
        ] {
            assert_eq!(parse_portal(text).unwrap().to_string(), portal, "{text}");
        }
        for bad in ["", "host", "10.0.0.1:", "10.0.0.1:x", "10.0.0.256", ":70000", "[::1"] {
            assert!(parse_portal(bad).is_err(), "{bad}");
        }
    }
}
