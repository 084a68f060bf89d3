//! Every OCFS2 on-disk structure, checked; checksums; no I/O.
//!
//! Each structure has two forms. `RawX` is the bytes as they lie on the disk, little-endian, every pattern
//! accepted; it serves for writing. `X` is what [`X::parse`](Dinode::parse) makes of a block after all checks that
//! this one block allows, and may be relied on: counts fit, pointers lie inside the volume, lists are in order.
//! What needs other blocks to be known (loops between blocks, cross-references, counters) is the caller's to check.
//!
//! The way of a block: read it, let [`BlockKind::verify`] check and perhaps repair it, parse it. To write: change
//! the raw form inside the block's buffer, [`BlockKind::seal`] it, write it.
//!
//! [`Superblock::probe`] comes first; [`Superblock::access`] must be asked before anything else is read, and
//! [`Superblock::volume`] gives the context ([`Volume`]) that every other `parse` takes.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

mod bitmap;
mod block_kind;
mod chain_list;
mod dinode;
mod dir_trailer;
mod dirent;
mod dx_entry;
mod dx_hash;
mod dx_leaf;
mod dx_root;
pub mod ecc;
mod error;
mod extent_block;
mod extent_list;
mod extent_root;
mod features;
mod file_type;
pub mod fuzz_bodies;
mod geometry;
mod group;
mod heartbeat;
mod local_alloc;
pub mod quota;
mod raw;
mod refcount;
mod slot_map;
mod suballoc;
mod superblock;
#[cfg(test)]
mod test_volume;
mod truncate_log;
mod units;
mod uuid;
mod volume;
pub mod xattr;

pub use bitmap::{Bitmap, FreeRuns, set_bit, set_bits};
pub use block_kind::BlockKind;
pub use chain_list::{Chain, ChainList, RawChainList, RawChainRec};
pub use dinode::{
    BitmapUsage, Body, Dinode, DinodeFlags, DynFeatures, JournalState, RawDinode, RawInlineData, Timestamp,
};
pub use dir_trailer::{DirTrailer, RawDirTrailer, TRAILER_LEN};
pub use dirent::{
    DirEntries, DirEntry, MAX_NAME_LEN, MIN_REC_LEN, RawDirEntry, entries_len, rec_len, write_entry,
};
pub use dx_entry::{DxEntries, DxEntry, RawDxEntry, RawDxEntryList};
pub use dx_hash::{CharSign, DxHash};
pub use dx_leaf::{DxLeaf, RawDxLeaf};
pub use dx_root::{DxBody, DxRoot, RawDxRoot};
pub use ecc::RawBlockCheck;
pub use error::{Check, Corrupt, Signature, Structure};
pub use extent_block::{ExtentBlock, RawExtentBlock};
pub use extent_list::{
    Child, Extent, ExtentFlags, ExtentList, MAX_TREE_DEPTH, RawExtentList, RawExtentRec, Tree,
};
pub use extent_root::{ExtentRoot, ExtentRootView, RawExtentRoot};
pub use features::{Access, Compat, Features, Incompat, Refused, RoCompat};
pub use file_type::FileType;
pub use geometry::Geometry;
pub use group::{GroupDescriptor, GroupKind, NewGroup, RawGroupDescriptor};
pub use heartbeat::{Heartbeat, RawHeartbeat};
pub use local_alloc::{LocalAlloc, RawLocalAlloc};
pub use refcount::{
    RawRefcountBlock, RawRefcountList, RawRefcountRec, RefcountBlock, RefcountBody, RefcountRec,
};
pub use slot_map::{RawExtendedSlot, SlotMap};
pub use suballoc::Suballoc;
pub use superblock::{ClusterInfo, ProbeError, Probed, RawSuperblock, Superblock};
pub use truncate_log::{RawTruncateLog, RawTruncateRec, TruncateLog};
pub use units::{BlockNum, BlockSize, Blocks, ClusterNum, ClusterSize, Clusters};
pub use uuid::Uuid;
pub use volume::Volume;
pub use xattr::{XattrBlock, XattrBody, XattrEntries, XattrEntry, XattrValue, XattrValueRoot};
