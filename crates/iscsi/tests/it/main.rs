//! The engines against each other, against captures of real traffic, and against bad input.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "tests: patterns of numbers, and a panic is a failure"
)]

mod bad_data;
mod bad_input;
mod capture;
mod decode;
mod edges;
mod pair;
mod random;
mod replay_initiator;
mod replay_target;
mod sessions;
