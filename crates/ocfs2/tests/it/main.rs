//! The filesystem against volumes that a real kernel wrote, whole and damaged.

mod damaged;
mod failing;
mod lookup;
mod manifest;
mod patched;
mod ranges;
mod soak;
mod support;
