//! Checking a volume, read-only: the passes of `fsck.ocfs2`, and what it does not look at.
//!
//! | pass | walks |
//! |---|---|
//! | 0 | superblock and backups, journals, chains and groups of every allocator |
//! | 1 | every block of the inode groups: inodes, extents, xattrs, index roots; refcount trees; then the cluster bitmap |
//! | 1b | who holds the clusters that two files claim; only when there are any |
//! | 2 | every directory block, entries against inodes, the index against the entries |
//! | 3 | whether all directories can be reached, `..` |
//! | 4 | orphan directories, names against link counts |
//! | 5 | quota files against the usage found |
//!
//! Structures are read as they lie, not through the checked forms: one wrong field is one finding, and the rest of
//! the structure is looked at all the same. A dirty volume is judged as it will be after its journals are replayed.
//!
//! The volume is cut into jobs (a run of an inode group, some directories), whose results are taken in order: the same
//! volume gives the same findings in the same order, whoever runs the jobs. Kept in memory are two bits a cluster
//! where any is used, 20 bytes an inode, 24 a directory, 16 a shared extent, and 8 a metadata block.

mod bits;
mod chains;
mod clusters;
mod code;
mod ctx;
mod dirs;
mod entries;
mod extents;
mod finding;
mod groups;
mod index;
mod inode;
mod journals;
mod links;
mod locals;
mod metadata;
mod part;
mod quotas;
mod refcounts;
mod run;
mod scan;
mod suballoc;
mod superblock;
mod symlink;
mod table;
mod xattr_area;
mod xattrs;

pub use code::Code;
pub use finding::{Finding, Progress, Sink};
pub use run::{Job, JobPart, Summary, check};
