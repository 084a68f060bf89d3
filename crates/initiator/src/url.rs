//! The URL of a LUN, in libiscsi's form with more than one host allowed.
//!
//! ```text
//! iscsi://[user%secret@]host[:port][,host2[:port]…]/target-name/lun[?option=value[&option=value]…]
//! ```
//!
//! As libiscsi reads it: options begin at the first `?`, login data ends at the first `@`, user and secret part at
//! the first `%` (else the first `:`) and are taken as they stand; only the target name is percent-decoded. Options
//! are `target_user`, `target_password`, `header_digest=crc32c|none` and `data_digest=crc32c|none`. What libiscsi would pass over in silence (an unknown option, a user without a secret) is an
//! error here.

use std::fmt;

use iscsi::{Credentials, Secret};
use percent_encoding::percent_decode_str;
use scsi::Lun;

use crate::{IscsiName, NameError, PortalAddr, PortalError};

/// The form of a URL, for messages.
const FORM: &str = "iscsi://[user%secret@]host[:port][,host2[:port]…]/target-name/lun";

/// A LUN of a target, where it is, and how to log in.
#[derive(Clone, Debug)]
pub struct VolumeUrl {
    /// Where the target listens: one or more, in order of preference.
    pub portals: Vec<PortalAddr>,
    /// The target.
    pub target: IscsiName,
    /// The LUN.
    pub lun: Lun,
    /// Who we are to the target, if it asks.
    pub chap: Option<Credentials>,
    /// Who the target must prove to be (mutual CHAP).
    pub mutual_chap: Option<Credentials>,
    /// Header digest to ask for; when not given, the target chooses and none is preferred.
    pub header_digest: Option<DigestWish>,
    /// Data digest to ask for; when not given, the target chooses and none is preferred.
    pub data_digest: Option<DigestWish>,
}

/// What the user wants of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestWish {
    /// None, whatever the target would like.
    None,
    /// CRC32C, or no session.
    Crc32c,
}

/// Login data from the environment, as libiscsi reads it.
#[derive(Clone, Debug, Default)]
pub struct ChapEnv {
    /// `LIBISCSI_CHAP_USERNAME`.
    pub user: Option<String>,
    /// `LIBISCSI_CHAP_PASSWORD`.
    pub secret: Option<Secret>,
    /// `LIBISCSI_CHAP_TARGET_USERNAME`.
    pub target_user: Option<String>,
    /// `LIBISCSI_CHAP_TARGET_PASSWORD`.
    pub target_secret: Option<Secret>,
}

impl ChapEnv {
    /// What this process was given.
    pub fn from_process() -> Self {
        let get = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            user: get("LIBISCSI_CHAP_USERNAME"),
            secret: get("LIBISCSI_CHAP_PASSWORD").map(Secret::new),
            target_user: get("LIBISCSI_CHAP_TARGET_USERNAME"),
            target_secret: get("LIBISCSI_CHAP_TARGET_PASSWORD").map(Secret::new),
        }
    }
}

/// Why a text is no volume URL. No variant holds the text: a secret may stand in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// Another scheme.
    #[error("not an iscsi url: it must begin with `iscsi://`")]
    Scheme,
    /// iSER, which runs over RDMA.
    #[error("iscsi over rdma (iser) is not supported")]
    Iser,
    /// One of the hosts is wrong.
    #[error("host {index} of the iscsi url")]
    Portal {
        /// Which one, from 1.
        index: usize,
        /// What is wrong with it.
        source: PortalError,
    },
    /// Nothing between host and LUN.
    #[error("the iscsi url names no target")]
    NoTarget,
    /// The target's name is wrong.
    #[error("the target in the iscsi url")]
    Target(#[source] NameError),
    /// The percent-decoded target name is not UTF-8.
    #[error("the target name in the iscsi url is not utf-8")]
    TargetUtf8,
    /// Nothing after the target.
    #[error("the iscsi url names no lun")]
    NoLun,
    /// Not a LUN.
    #[error("lun `{lun}` in the iscsi url is not a number from 0 to {}", Lun::MAX)]
    Lun {
        /// What stands there.
        lun: String,
    },
    /// A user, but no secret.
    #[error("the iscsi url names user `{user}` but no secret")]
    NoSecret {
        /// The user.
        user: String,
    },
    /// A secret, but no user.
    #[error("the iscsi url holds a secret but no user")]
    NoUser,
    /// `target_user` without `target_password` or the other way round.
    #[error("mutual chap needs target_user and target_password")]
    HalfMutual,
    /// Mutual CHAP without a login of our own (RFC 7143 12.1.3 knows no such thing).
    #[error("mutual chap needs a user and a secret of our own too")]
    MutualAlone,
    /// An option that we do not know.
    #[error("unknown option `{key}` in the iscsi url")]
    UnknownOption {
        /// Its name.
        key: String,
    },
    /// An option twice.
    #[error("option `{key}` stands twice in the iscsi url")]
    OptionTwice {
        /// Its name.
        key: String,
    },
    /// An option with a value that it does not take.
    #[error("option `{key}` in the iscsi url takes {wanted}, not `{value}`")]
    OptionValue {
        /// Its name.
        key: &'static str,
        /// The value given.
        value: String,
        /// The values it takes.
        wanted: &'static str,
    },
}

impl UrlError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSecret { .. } => {
                Some("put the secret into LIBISCSI_CHAP_PASSWORD, or write user%secret@")
            }
            Self::Target(source) => source.hint(),
            Self::UnknownOption { .. } => {
                Some("known: target_user, target_password, header_digest, data_digest")
            }
            Self::Scheme | Self::NoTarget | Self::NoLun | Self::Lun { .. } | Self::Portal { .. } => {
                Some(FORM)
            }
            _ => None,
        }
    }
}

impl VolumeUrl {
    /// Whether `text` is meant as a URL, rather than as the path of a file.
    pub fn is_url(text: &str) -> bool {
        text.starts_with("iscsi://") || text.starts_with("iser://")
    }

    /// Parses a URL; what login data it does not hold is taken from `env`.
    ///
    /// # Errors
    /// [`UrlError`], naming the part that is wrong.
    pub fn parse(text: &str, env: &ChapEnv) -> Result<Self, UrlError> {
        if text.starts_with("iser://") {
            return Err(UrlError::Iser);
        }
        let rest = text.strip_prefix("iscsi://").ok_or(UrlError::Scheme)?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let options = Options::parse(options)?;
        let (login, rest) = match rest.split_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let chap = parse_login(login, env)?;
        let mutual_chap = parse_mutual(&options, env, chap.is_some())?;
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let portals = parse_hosts(hosts)?;
        let (target, lun) = parse_path(path)?;
        Ok(Self {
            portals,
            target,
            lun,
            chap,
            mutual_chap,
            header_digest: options.header_digest,
            data_digest: options.data_digest,
        })
    }
}

impl fmt::Display for VolumeUrl {
    /// The URL without user, secrets and options: what messages call the device.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("iscsi://")?;
        for (index, portal) in self.portals.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            portal.fmt(f)?;
        }
        write!(f, "/{}/{}", self.target, self.lun)
    }
}

/// What stands after the `?`.
#[derive(Default)]
struct Options {
    target_user: Option<String>,
    /// None also where it is given empty.
    target_secret: Option<Secret>,
    has_target_secret: bool,
    header_digest: Option<DigestWish>,
    data_digest: Option<DigestWish>,
}

impl Options {
    fn parse(text: &str) -> Result<Self, UrlError> {
        let mut options = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let twice = match key {
                "target_user" => options.target_user.replace(value.into()).is_some(),
                "target_password" => {
                    options.has_target_secret = true;
                    let twice = options.target_secret.is_some();
                    options.target_secret = secret(value);
                    twice
                }
                "header_digest" => options.header_digest.replace(digest("header_digest", value)?).is_some(),
                "data_digest" => options.data_digest.replace(digest("data_digest", value)?).is_some(),
                "iser" => return Err(UrlError::Iser),
                _ => return Err(UrlError::UnknownOption { key: key.into() }),
            };
            if twice {
                return Err(UrlError::OptionTwice { key: key.into() });
            }
        }
        Ok(options)
    }
}

fn digest(key: &'static str, value: &str) -> Result<DigestWish, UrlError> {
    match value {
        "none" => Ok(DigestWish::None),
        "crc32c" => Ok(DigestWish::Crc32c),
        _ => Err(UrlError::OptionValue { key, value: value.into(), wanted: "crc32c or none" }),
    }
}

/// The URL's own word goes before the environment's. A lone user or secret in the environment is no fault: it
/// belongs to another program's URL.
fn parse_login(login: Option<&str>, env: &ChapEnv) -> Result<Option<Credentials>, UrlError> {
    let (name, own_secret) = match login {
        None => (None, None),
        Some(login) => match login.split_once('%').or_else(|| login.split_once(':')) {
            Some((name, text)) => (Some(name.to_owned()), secret(text)),
            None => (Some(login.to_owned()), None),
        },
    };
    let name = name.or_else(|| env.user.clone()).filter(|name| !name.is_empty());
    match (name, own_secret.or_else(|| env.secret.clone())) {
        (Some(name), Some(secret)) => Ok(Some(Credentials { name, secret })),
        (Some(user), None) if login.is_some() => Err(UrlError::NoSecret { user }),
        (None, Some(_)) if login.is_some() => Err(UrlError::NoUser),
        _ => Ok(None),
    }
}

fn parse_mutual(options: &Options, env: &ChapEnv, have_chap: bool) -> Result<Option<Credentials>, UrlError> {
    let in_url = options.target_user.is_some() || options.has_target_secret;
    let name =
        options.target_user.clone().or_else(|| env.target_user.clone()).filter(|name| !name.is_empty());
    match (name, options.target_secret.clone().or_else(|| env.target_secret.clone())) {
        (Some(name), Some(secret)) if have_chap => Ok(Some(Credentials { name, secret })),
        (Some(_), Some(_)) if in_url => Err(UrlError::MutualAlone),
        _ if in_url => Err(UrlError::HalfMutual),
        _ => Ok(None),
    }
}

/// An empty secret is none, as for libiscsi.
fn secret(text: &str) -> Option<Secret> {
    (!text.is_empty()).then(|| Secret::new(text))
}

fn parse_hosts(hosts: &str) -> Result<Vec<PortalAddr>, UrlError> {
    let parse = |(index, host): (usize, &str)| {
        host.parse().map_err(|source| UrlError::Portal { index: index.saturating_add(1), source })
    };
    hosts.split(',').enumerate().map(parse).collect()
}

fn parse_path(path: &str) -> Result<(IscsiName, Lun), UrlError> {
    if path.is_empty() {
        return Err(UrlError::NoTarget);
    }
    let (target, lun) = path.split_once('/').ok_or(UrlError::NoLun)?;
    if target.is_empty() {
        return Err(UrlError::NoTarget);
    }
    let target = percent_decode_str(target).decode_utf8().map_err(|_| UrlError::TargetUtf8)?;
    let target = IscsiName::parse_peer(&target).map_err(UrlError::Target)?;
    if lun.is_empty() {
        return Err(UrlError::NoLun);
    }
    let digits = lun.bytes().all(|b| b.is_ascii_digit());
    let number = lun.parse().ok().filter(|_| digits).and_then(|number| Lun::new(number).ok());
    let number = number.ok_or_else(|| UrlError::Lun { lun: lun.into() })?;
    Ok((target, number))
}

#[cfg(test)]
mod tests;
