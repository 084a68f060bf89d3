//! Host names to addresses: /etc/hosts, then DNS.
//!
//! The C library's resolver loads modules at run time, which a static build cannot do; so this one is used in every
//! build and behaves the same in all. Order as `hosts: files dns` has it. Both files are read anew for each
//! look-up: a session that lives for months must see a changed server.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;

use crate::Host;

/// Looks names up.
#[derive(Clone, Debug)]
pub struct Resolver {
    hosts_file: PathBuf,
    resolv_conf: PathBuf,
    /// In place of resolv.conf, which cannot name a port.
    #[cfg(test)]
    fixed_dns: Option<(ResolverConfig, ResolverOpts)>,
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Neither the hosts file nor any name server knows it.
    #[error("host `{host}` is unknown: neither {} nor dns has an address for it", hosts_file.display())]
    Unknown {
        /// The name.
        host: String,
        /// The hosts file that was read.
        hosts_file: PathBuf,
    },
    /// A file cannot be read.
    #[error("reading {} to look up host `{host}`", path.display())]
    File {
        /// The name.
        host: String,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// No name server answered, or one answered with an error.
    #[error("looking up host `{host}` in dns: {problem}")]
    Dns {
        /// The name.
        host: String,
        /// What the name servers said.
        problem: NetError,
    },
}

impl ResolveError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unknown { .. } => Some("check the spelling, or use an address"),
            Self::File { .. } => None,
            Self::Dns { .. } => Some("check the name servers in /etc/resolv.conf, or use an address"),
        }
    }
}

impl Resolver {
    /// By the files of this system.
    pub fn system() -> Self {
        Self::with_files("/etc/hosts", "/etc/resolv.conf")
    }

    /// By other files of the same forms.
    pub fn with_files(hosts_file: impl Into<PathBuf>, resolv_conf: impl Into<PathBuf>) -> Self {
        Self {
            hosts_file: hosts_file.into(),
            resolv_conf: resolv_conf.into(),
            #[cfg(test)]
            fixed_dns: None,
        }
    }

    /// All addresses of a host, without duplicates: from the hosts file if it names the host, else from DNS, IPv4
    /// first. Never empty.
    ///
    /// # Errors
    /// [`ResolveError`], naming the host.
    pub async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        let name = match host {
            Host::Ip(ip) => return Ok(vec![*ip]),
            Host::Name(name) => name,
        };
        let hosts = read_optional(&self.hosts_file).map_err(|source| ResolveError::File {
            host: name.clone(),
            path: self.hosts_file.clone(),
            source,
        })?;
        let known = addresses_in(&hosts, name);
        if !known.is_empty() {
            return Ok(known);
        }
        self.ask_dns(name).await
    }

    async fn ask_dns(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let failed = |problem| ResolveError::Dns { host: name.into(), problem };
        let (config, mut options) = self.servers(name)?;
        options.use_hosts_file = ResolveHosts::Never;
        // As the C library does: one server after the other, in the order of the file.
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.num_concurrent_reqs = 1;
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(failed)?;
        let unknown = || ResolveError::Unknown { host: name.into(), hosts_file: self.hosts_file.clone() };
        let found = match resolver.lookup_ip(name).await {
            Ok(found) => found,
            Err(problem) if problem.is_no_records_found() => return Err(unknown()),
            Err(problem) => return Err(failed(problem)),
        };
        let mut addresses = Vec::new();
        for ip in found.iter() {
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
        addresses.sort_by_key(IpAddr::is_ipv6);
        if addresses.is_empty() { Err(unknown()) } else { Ok(addresses) }
    }

    fn servers(&self, name: &str) -> Result<(ResolverConfig, ResolverOpts), ResolveError> {
        #[cfg(test)]
        if let Some((config, options)) = &self.fixed_dns {
            return Ok((config.clone(), options.clone()));
        }
        let path = &self.resolv_conf;
        let text = read_optional(path).map_err(|source| ResolveError::File {
            host: name.into(),
            path: path.clone(),
            source,
        })?;
        let lists_server = text.lines().any(|line| line.trim_start().starts_with("nameserver"));
        if !lists_server {
            // resolv.conf(5): without a nameserver line, the one on this host is asked.
            let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
            return Ok((ResolverConfig::from_name_servers(vec![local]), ResolverOpts::default()));
        }
        parse_resolv_conf(&text).map_err(|problem| ResolveError::Dns { host: name.into(), problem })
    }
}

/// A file's text, or none of it where there is no such file.
fn read_optional(path: &std::path::Path) -> io::Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// The addresses that a hosts file gives to `name`, in the order of its lines (hosts(5): an address and names a
/// line, `#` begins a comment). Lines without a valid address are passed over, as the C library does.
fn addresses_in(hosts: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut addresses = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    addresses
}

#[cfg(test)]
mod tests;
