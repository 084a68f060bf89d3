//! Everything that parses what comes from outside, fed with anything: the bodies of the fuzz targets and the inputs to
//! begin with.
//!
//! Each body takes any bytes, must neither panic nor hang, and needs memory in proportion to its input, whatever the
//! input's length fields say. `fuzz/` runs the bodies under libFuzzer (`cargo xtask fuzz`); the tests of this crate run
//! the same bodies over the seeds and over random changes of them, in `make test`.
#![forbid(unsafe_code)]

mod block;
mod config;
mod fuse;
mod journal;
mod mutate;
mod pdu;
mod scsi;
mod session;
mod text;
mod traffic;
mod url;
mod volume;

pub use mutate::mutate;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its file under `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// What it does with an input.
    pub body: fn(&[u8]),
    /// Real inputs to begin with: from the fixtures, the captures and the documentation.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every fuzz target, by name.
pub const TARGETS: [Target; 10] = [
    Target { name: "block", body: block::run, seeds: block::seeds },
    Target { name: "config", body: config::run, seeds: config::seeds },
    Target { name: "fuse", body: fuse::run, seeds: fuse::seeds },
    Target { name: "journal", body: journal::run, seeds: journal::seeds },
    Target { name: "pdu", body: pdu::run, seeds: pdu::seeds },
    Target { name: "scsi", body: scsi::run, seeds: scsi::seeds },
    Target { name: "session", body: session::run, seeds: session::seeds },
    Target { name: "text", body: text::run, seeds: text::seeds },
    Target { name: "url", body: url::run, seeds: url::seeds },
    Target { name: "volume", body: volume::run, seeds: volume::seeds },
];

/// The target of that name.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no fuzz target {name}"))
}

/// Keeps the compiler from leaving out what computes `value`.
fn keep<T>(value: T) {
    std::hint::black_box(&value);
}
