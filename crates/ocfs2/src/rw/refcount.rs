//! Clusters that several extents share: how many do, and how a file gets its own again.
//!
//! Inodes that share clusters are attached to one refcount tree. It counts, for every cluster that an extent with the
//! flag REFCOUNTED refers to, how many such extents there are. The tree is changed under its own cluster lock, which
//! comes after those of the inodes; an operation learns that it needs it as it does with allocators.

mod counts;
mod cow;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use cow::{give_up, unshare};
pub(crate) use tree::RefcountTree;
pub(super) use tree::generation;
