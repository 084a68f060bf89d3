//! iSCSI initiator: discovery, login, sessions that survive; a LUN as a `BlockDevice`.
//!
//! The protocol itself lives in the `iscsi` crate, which does no I/O. This crate is its driver: sockets, clocks,
//! names, and the policy of what to do when a connection dies.
#![forbid(unsafe_code)]

mod initiator_name;
mod name;
mod portal;
mod resolve;
mod secret;
mod url;

pub use initiator_name::{InitiatorNameError, NameSources, find_initiator_name};
pub use name::{IscsiName, NameError};
pub use portal::{DEFAULT_PORT, Host, PortalAddr, PortalError};
pub use resolve::{ResolveError, Resolver};
pub use secret::Secret;
pub use url::{ChapEnv, ChapLogin, ChapMethod, DigestWish, UrlError, VolumeUrl};
