//! How a session behaves.

use std::time::Duration;

use crate::{IscsiName, Resolver};

/// How to reach a target, and how long to wait for what.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Who we are.
    pub initiator_name: IscsiName,
    /// How names of hosts are looked up.
    pub resolver: Resolver,
    /// Refuse every write at this end. Default: false.
    pub read_only: bool,
    /// How long a TCP connection to one address may take. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long a login may take. Default: 15 s.
    pub login_timeout: Duration,
    /// Silence after which the target is pinged. Default: 5 s; none: never.
    pub ping_interval: Option<Duration>,
    /// How long the answer to a ping may take before the connection counts as dead. Default: 5 s.
    pub ping_timeout: Duration,
    /// How long a command may take before the connection is dropped and the command done again on a new one.
    /// Default: 60 s.
    pub command_timeout: Duration,
    /// How long the connection may be away, or the unit busy, before I/O fails. After that, new I/O fails at once
    /// until the target is back; it is looked for without end. Default: 120 s.
    pub replacement_timeout: Duration,
    /// Where a connection died with changes in flight, how long other portal groups than its own are left alone, so
    /// that the old one may come back, and so that what was on its way has arrived. Default: 10 s.
    pub group_wait: Duration,
}

impl SessionOptions {
    /// The defaults that stand at each field, with the names of this system.
    pub fn new(initiator_name: IscsiName) -> Self {
        Self {
            initiator_name,
            resolver: Resolver::system(),
            read_only: false,
            connect_timeout: Duration::from_secs(10),
            login_timeout: Duration::from_secs(15),
            ping_interval: Some(Duration::from_secs(5)),
            ping_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(60),
            replacement_timeout: Duration::from_secs(120),
            group_wait: Duration::from_secs(10),
        }
    }
}
