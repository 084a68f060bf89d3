//! Directories: listing them, finding names in them, and changing which names they have.
//!
//! [`readdir`](crate::Volume::readdir) and [`lookup`](crate::Volume::lookup) read. [`Names`] changes: it puts names
//! into a directory, takes them out and points them elsewhere, inside a [`Handle`](crate::txn::Handle).
//!
//! ```text
//!  inline    entries in the dinode, all of its room
//!  linear    blocks of entries, looked through one by one; with metadata checksums each ends in a trailer
//!  indexed   the same blocks, each with a trailer, and beside them
//!              dx root ─ free list ─▶ blocks with holes, linked through their trailers
//!                 └─ (hash, block) of every name: in the root itself, or in leaves below an extent tree keyed by the hash
//! ```
//!
//! Clusters and blocks come through [`Space`], which the volume's [`Allocators`](crate::alloc::Allocators) are.
//!
//! A directory begins inline where the volume can, leaves for blocks when it is full, and gets its index then.

mod area;
mod create;
mod dx_list;
mod edit;
mod free_list;
mod grow;
mod index;
mod leaves;
mod names;
mod read;
mod space;
#[cfg(test)]
mod tests;

pub use names::Names;
pub(crate) use names::check_name;
pub use read::{DirPage, Dirent};
pub use space::Space;
