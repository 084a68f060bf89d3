//! The filesystem against volumes that a real kernel wrote, whole and damaged.

mod manifest;
mod support;
