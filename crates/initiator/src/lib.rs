//! iSCSI initiator: discovery, login, sessions that survive; a LUN as a `BlockDevice`.
//!
//! The protocol itself lives in the `iscsi` crate, which does no I/O. This crate is its driver: sockets, clocks,
//! names, and the policy of what to do when a connection dies.
//!
//! * [`VolumeUrl`]: a LUN's URL. [`find_initiator_name`]: who we are. [`Resolver`]: where a host is.
//! * [`IscsiDevice::open`]: a session with one LUN, as a [`BlockDevice`](block::BlockDevice).
//! * [`discover`] and [`scan`]: what a portal offers.

mod conn;
mod device;
mod discover;
mod error;
mod initiator_name;
mod judge;
mod name;
mod options;
mod portal;
mod probe;
mod resolve;
mod session;
mod url;

pub use device::IscsiDevice;
pub use discover::{Discovered, discover, scan};
pub use error::{ConnectError, ConnectionError, LunError, ScsiFailure};
pub use initiator_name::{InitiatorNameError, NameSources, find_initiator_name};
pub use name::{IscsiName, NameError};
pub use options::SessionOptions;
pub use portal::{DEFAULT_PORT, Host, PortalAddr, PortalError};
pub use probe::LunInfo;
pub use resolve::{ResolveError, Resolver};
pub use url::{ChapEnv, DigestWish, UrlError, VolumeUrl};
