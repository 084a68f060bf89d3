//! The engines against each other, against captures of real traffic, and against bad input.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "tests: patterns of numbers, and a panic is a failure"
)]

mod pair;
mod sessions;
