//! What every backend promises, tried on every backend that this machine has.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "tests run their own threads and tasks")]

mod conformance;
mod disks;
mod failing;
mod files;
mod loops;
mod model;
mod recording;
