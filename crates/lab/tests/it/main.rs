//! The lab tried, and oxsan beside real kernels in it. Each test boots its own machines on a network of its own;
//! without root, or without the lab's programs, each says `skipped: why`.
#![forbid(unsafe_code)]

mod boot;
mod fixture;
mod support;
