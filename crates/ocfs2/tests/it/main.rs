//! The filesystem against volumes that a real kernel wrote, whole and damaged.

mod ahead;
mod check;
mod damaged;
mod double;
mod failing;
mod files;
mod fsck;
mod history;
mod io_errors;
mod lookup;
mod manifest;
mod mixed;
mod mixed_power_cut;
mod mkfs;
mod model;
mod names;
mod orphans;
mod patched;
mod power_cut;
mod quotas;
mod ranges;
mod soak;
mod support;
mod two_nodes;
mod writing;
mod xattrs;
