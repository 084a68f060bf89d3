//! What a portal offers: its targets, and a target's LUNs.

use iscsi::{Credentials, TargetRecord};

use crate::conn::Dialer;
use crate::probe::{self, LunInfo};
use crate::{ConnectError, ConnectionError, PortalAddr, SessionOptions, VolumeUrl};

/// The portal group of an address that does not name one.
const NO_GROUP: &str = "1";

/// A target, and one address at which it can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The address and port, as the target gives them: an IPv6 address in brackets.
    pub address: String,
    /// The portal group tag.
    pub portal_group: String,
    /// The target's name.
    pub target: String,
}

/// Asks a portal for its targets (SendTargets=All), a line for each target and address.
///
/// # Errors
/// [`ConnectError`].
pub async fn discover(
    portal: PortalAddr,
    chap: Option<Credentials>,
    mutual_chap: Option<Credentials>,
    options: SessionOptions,
) -> Result<Vec<Discovered>, ConnectError> {
    let mut dialer = Dialer::discovery(portal, (chap, mutual_chap), options);
    let mut connection = dialer.dial().await?;
    let peer = connection.peer();
    let targets = connection.send_targets().await;
    let targets = targets.map_err(|source| ConnectError::Login { address: peer, source })?;
    leave(connection.logout().await);
    let own = peer.to_string();
    Ok(targets.iter().flat_map(|record| addresses(record, &own)).collect())
}

/// Looks at every LUN of a target; the URL's own LUN does not matter. Units that are no disks, or do not answer as
/// disks do, come with the reason.
///
/// # Errors
/// [`ConnectError`].
pub async fn scan(
    url: &VolumeUrl,
    options: SessionOptions,
) -> Result<Vec<Result<LunInfo, crate::LunError>>, ConnectError> {
    let mut connection = Dialer::normal(url, options).dial().await?;
    let mut found = Vec::new();
    for lun in probe::report_luns(&mut connection).await? {
        found.push(probe::probe(&mut connection, lun).await);
    }
    leave(connection.logout().await);
    Ok(found)
}

/// The answer is there: how the target takes the end of the session changes nothing.
fn leave(left: Result<(), ConnectionError>) {
    if let Err(error) = left {
        tracing::debug!(%error, "logout");
    }
}

/// A target without addresses is at the portal that was asked (RFC 7143, appendix C).
fn addresses(record: &TargetRecord, own: &str) -> Vec<Discovered> {
    let one = |address: &str, group: &str| Discovered {
        address: address.into(),
        portal_group: group.into(),
        target: record.name.clone(),
    };
    if record.addresses.is_empty() {
        return vec![one(own, NO_GROUP)];
    }
    let split = |text: &String| match text.rsplit_once(',') {
        Some((address, group)) => one(&with_port(address), group),
        None => one(&with_port(text), NO_GROUP),
    };
    record.addresses.iter().map(split).collect()
}

/// An address with its port; 3260 where the target leaves it out.
fn with_port(address: &str) -> String {
    address.parse::<PortalAddr>().map_or_else(|_| address.to_owned(), |portal| portal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_with_port_and_group() {
        let record = |addresses: &[&str]| TargetRecord {
            name: "iqn.t".into(),
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        };
        let lines = |addresses: &[&str]| -> Vec<String> {
            super::addresses(&record(addresses), "10.0.0.1:3260")
                .iter()
                .map(|found| format!("{},{}", found.address, found.portal_group))
                .collect()
        };
        assert_eq!(lines(&[]), ["10.0.0.1:3260,1"]);
        assert_eq!(lines(&["10.0.0.2:3261,2", "10.0.0.3,3"]), ["10.0.0.2:3261,2", "10.0.0.3:3260,3"]);
        assert_eq!(lines(&["[::1]:3260,1", "san.example"]), ["[::1]:3260,1", "san.example:3260,1"]);
    }
}
