//! Extended attributes: names, places and values.
//!
//! The same header and entries lie in three places: the end of a dinode, an
//! xattr block, and buckets of 4096 bytes. All are read as [`XattrEntries`].

mod acl;
mod block;
mod entries;
mod name;
mod value;

pub use acl::{RawAclEntry, acl_from_vfs, acl_to_vfs};
pub use block::{RawXattrBlock, RawXattrTreeRoot, XattrBlock, XattrBody};
pub use entries::{RawXattrEntry, RawXattrHeader, XattrEntries, XattrEntry};
pub use name::{NameIndex, name_hash};
pub use value::{MAX_LOCAL_VALUE, RawXattrValueRoot, XattrValue, XattrValueRoot, pair_len};

/// Bytes of an xattr bucket, whatever the block size.
pub const BUCKET_LEN: usize = 4096;

#[cfg(test)]
mod tests;
