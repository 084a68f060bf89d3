//! iSCSI target: portals, LUNs, access control
#![forbid(unsafe_code)]

mod error;
mod identity;
mod nexus;
mod range_lock;
mod unit;

pub use error::{TargetError, UnitError};
pub use identity::Identity;
