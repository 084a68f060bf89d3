//! The initiator against targets that behave, and targets that do not.
#![allow(clippy::disallowed_methods, reason = "tests run their own tasks and read the clock")]
#![allow(clippy::cast_possible_truncation, reason = "tests make patterns of numbers")]

mod faults;
mod groups;
mod io;
mod mock;
mod own_target;
mod setup;
mod tgtd;
