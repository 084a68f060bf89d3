//! Making a volume, as `mkfs.ocfs2` 1.8.7 makes it: the same layout, block for block.
//!
//! Three steps, each pure until the last:
//! 1. [`Shape::figure`] turns what was asked for ([`Request`]) and the size of the device into sizes and counts;
//! 2. [`Plan::new`] lays the volume out: which cluster is whose, what every block holds. UUID, generation, hash
//!    seeds and time come in with [`Identity`], so that the same input gives the same bytes;
//! 3. [`Plan::write`] writes it over a [`BlockDevice`](block::BlockDevice): the superblock last, after a flush, so
//!    that a format that was cut off leaves no volume.
//!
//! Memory follows the number of slots and journals, not the size of the volume: cluster groups that nothing but
//! their descriptor lies in are made when they are written.
//!
//! Where it differs from the original, on purpose: journals of 4 GiB and more have their true size in `i_size` (the
//! original keeps 32 bits of it), a directory that is not inline has a whole number of blocks in `i_size`, quota
//! files without inline directories count the blocks they really have, and what does not fit is refused before
//! anything is written.

mod allocator;
mod build;
mod clusters;
mod dirs;
mod error;
mod feature_set;
mod files;
mod journals;
mod plan;
mod quota;
mod request;
mod shape;
mod system;
mod write;

pub use error::{Owner, PlanError, ShapeError};
pub use feature_set::{FeatureError, FeatureLevel, FeatureList, feature_names};
pub use plan::{Plan, Step};
pub use request::{FsType, Identity, Request};
pub use shape::{DeviceSize, Shape};
pub use write::Progress;

#[cfg(test)]
mod tests;
