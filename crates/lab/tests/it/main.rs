//! The lab tried, and oxsan beside real kernels in it. Each test boots its own machines on a network of its own;
//! without root, or without the lab's programs, each says `skipped: why`.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "driver: pulls cables and waits")]
#![allow(clippy::unwrap_used, reason = "what a helper cannot do fails the test")]

mod boot;
mod conformance;
mod fio;
mod fixture;
mod fsx;
mod initiator;
mod node_without_ocfs2;
mod posix;
mod serving;
mod support;
mod target;
mod volume;
