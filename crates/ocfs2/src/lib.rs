//! The OCFS2 filesystem over any [`BlockDevice`](block::BlockDevice).
//!
//! [`Volume::open`] finds the superblock, judges the features, and lays dirty journals over the device in memory.
//! From [`Volume::root`] on, [`Volume::lookup`], [`Volume::readdir`] and [`Volume::inode`] lead to every file;
//! an [`Inode`] is what it was when it was read, and the volume's methods give its contents, extents and attributes.
//!
//! Changes are made in memory: [`txn`] holds what an operation changes, [`alloc`] claims and frees clusters and
//! metadata blocks, [`extents`] changes extent trees.
//!
//! [`Writable::open`] opens a volume for writing: it takes a node slot, recovers what was left behind, and changes
//! metadata through the slot's journal, under cluster locks of a [`lock::LockService`].
//!
//! No task is started and no clock is read here: concurrency within a call is many device reads in flight, and
//! callers may make as many calls at once as they like. Time comes from a [`Clock`].
//!
//! Every block is bounded and checked before it is used. What does not check is an [`Error`] that names block and
//! field.
#![forbid(unsafe_code)]

pub mod alloc;
mod attr;
mod cache;
pub mod check;
mod contents;
mod data;
pub mod dir;
mod dir_pages;
mod disk;
mod error;
pub mod extents;
mod fiemap;
mod file_map;
mod gather;
mod inode;
mod journal;
mod json;
pub mod lock;
mod manifest;
mod meta;
mod meta_block;
pub mod mkfs;
mod open;
mod overlay;
mod path;
mod pending;
mod read;
mod rw;
mod seek;
mod statfs;
mod symlink;
mod system;
#[cfg(test)]
mod test_volume;
mod tree;
pub mod txn;
mod volume;
mod walk;
mod xattr;

pub use attr::{Attr, type_name};
pub use data::{Data, Part, Piece};
pub use dir::{DirPage, Dirent};
pub use dir_pages::DirPages;
pub use error::{Error, JournalError, OpenError};
pub use fiemap::{Fiemap, FiemapExtent};
pub use inode::Inode;
pub use manifest::{ManifestJob, ManifestPart};
pub use ocfs2_format::quota::QuotaKind;
pub use ocfs2_format::{
    BlockNum, BlockSize, ClusterInfo, ClusterSize, Compat, Dinode, DinodeFlags, DynFeatures, Features,
    FileType, Geometry, Incompat, Superblock, Timestamp, Uuid,
};
pub use open::{OpenOptions, Warning};
pub use path::Follow;
pub use rw::{
    Clock, FallocateMode, NewInode, NewKind, NotWritable, QuotaGraces, QuotaLimits, QuotaStatus, RenameFlags,
    SetAttr, SetTime, SetXattr, Writable, WriteHow, WriteOptions, Written, XattrHow,
};
pub use seek::Seek;
pub use statfs::StatFs;
pub use system::{Slot, SystemFile};
pub use volume::Volume;
pub use walk::{Walk, WalkEntry, WalkError};
pub use xattr::Xattr;
