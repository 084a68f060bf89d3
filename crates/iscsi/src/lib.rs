//! iSCSI (RFC 7143): PDUs, keys, login, windows, both ends; no I/O
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]
#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "tests make patterns of numbers"))]

pub mod digest;
pub mod framer;
pub mod pdu;
pub mod serial;
mod transmit;

pub use transmit::{Payload, Transmit};
