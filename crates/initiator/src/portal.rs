//! Where a target listens: host and port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The port of iSCSI (RFC 7143 4.2.7, IANA).
pub const DEFAULT_PORT: u16 = 3260;

/// A host, by address or by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address: nothing to look up.
    Ip(IpAddr),
    /// A name for /etc/hosts or DNS.
    Name(String),
}

/// Host and port of one portal. Text form: `host[:port]`, an IPv6 address in brackets; the port is 3260 unless named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortalAddr {
    /// The host.
    pub host: Host,
    /// The TCP port, 1 to 65535.
    pub port: u16,
}

/// Why a text is no portal.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortalError {
    /// Nothing stands where the host should.
    #[error("the host is empty")]
    Empty,
    /// Not a port number.
    #[error("port `{port}` of host `{host}` is not a number from 1 to 65535")]
    Port {
        /// The host.
        host: String,
        /// What stands after the colon.
        port: String,
    },
    /// An opening bracket without IPv6 address and closing bracket.
    #[error("`{text}` is no ipv6 address in brackets")]
    Brackets {
        /// The text.
        text: String,
    },
    /// An IPv6 address without brackets: its port could not be told from it.
    #[error("ipv6 address `{text}` needs brackets: [{text}]")]
    NoBrackets {
        /// The text.
        text: String,
    },
    /// An IPv6 address with a zone.
    #[error("ipv6 zone in `{text}` is not supported")]
    Zone {
        /// The text.
        text: String,
    },
    /// A character that no host name holds, or digits alone.
    #[error("`{text}` is neither an address nor a host name")]
    HostName {
        /// The text.
        text: String,
    },
}

impl FromStr for PortalAddr {
    type Err = PortalError;

    fn from_str(text: &str) -> Result<Self, PortalError> {
        if let Some(rest) = text.strip_prefix('[') {
            return parse_bracketed(text, rest);
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(PortalError::NoBrackets { text: text.into() });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, parse_port(host, port)?),
            None => (text, DEFAULT_PORT),
        };
        if host.is_empty() {
            return Err(PortalError::Empty);
        }
        if let Ok(ip) = host.parse() {
            return Ok(Self { host: Host::Ip(ip), port });
        }
        if !is_host_name(host) {
            return Err(PortalError::HostName { text: host.into() });
        }
        Ok(Self { host: Host::Name(host.into()), port })
    }
}

fn parse_bracketed(text: &str, rest: &str) -> Result<PortalAddr, PortalError> {
    let brackets = || PortalError::Brackets { text: text.into() };
    let (inside, after) = rest.split_once(']').ok_or_else(brackets)?;
    if inside.contains('%') {
        return Err(PortalError::Zone { text: text.into() });
    }
    let ip: Ipv6Addr = inside.parse().map_err(|_| brackets())?;
    let port = match after.strip_prefix(':') {
        Some(port) => parse_port(inside, port)?,
        None if after.is_empty() => DEFAULT_PORT,
        None => return Err(brackets()),
    };
    Ok(PortalAddr { host: Host::Ip(ip.into()), port })
}

fn parse_port(host: &str, port: &str) -> Result<u16, PortalError> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(number) if digits && number > 0 => Ok(number),
        _ => Err(PortalError::Port { host: host.into(), port: port.into() }),
    }
}

/// RFC 1123, and the underscore that DNS knows. Digits and dots alone are a mistyped address, or the group tag of
/// an `address:port,tag` line.
fn is_host_name(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 254
        && !labels.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && labels.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for PortalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_port() {
        for (text, shown) in [
            ("10.0.0.1", "10.0.0.1:3260"),
            ("10.0.0.1:860", "10.0.0.1:860"),
            ("san-1.example.com:3261", "san-1.example.com:3261"),
            ("san_1", "san_1:3260"),
            ("san.example.", "san.example.:3260"),
            ("[::1]", "[::1]:3260"),
            ("[2001:db8::7]:3270", "[2001:db8::7]:3270"),
        ] {
            let portal: PortalAddr = text.parse().expect(text);
            assert_eq!(portal.to_string(), shown);
            assert_eq!(shown.parse::<PortalAddr>().expect("what is shown parses"), portal);
        }
    }

    #[test]
    fn each_fault_is_named() {
        let fault = |text: &str| text.parse::<PortalAddr>().expect_err(text);
        assert_eq!(fault(""), PortalError::Empty);
        assert_eq!(fault(":3260"), PortalError::Empty);
        for port in ["h:", "h:0", "h:65536", "h:+5", "h:a"] {
            assert!(matches!(fault(port), PortalError::Port { .. }), "{port}");
        }
        for text in ["[::1", "[::1]x", "[10.0.0.1]", "[]"] {
            assert!(matches!(fault(text), PortalError::Brackets { .. }), "{text}");
        }
        assert!(matches!(fault("fe80::1"), PortalError::NoBrackets { .. }));
        assert!(matches!(fault("[fe80::1%eth0]"), PortalError::Zone { .. }));
        for text in ["1", "10.0.0.256", "a b", "a..b", "sän"] {
            assert!(matches!(fault(text), PortalError::HostName { .. }), "{text}");
        }
    }
}
