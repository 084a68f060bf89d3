//! iSCSI target: portals, LUNs, access control
#![forbid(unsafe_code)]

mod access;
pub mod cli;
pub mod config;
mod connection;
mod error;
mod identity;
mod luns;
mod nexus;
mod range_lock;
mod server;
mod sessions;
mod target;
mod task_set;
mod unit;

pub use access::Access;
pub use error::{TargetError, UnitError};
pub use identity::Identity;
pub use target::{ISCSI_PORT, LunSpec, Target, TargetBuilder, UnitInfo};
