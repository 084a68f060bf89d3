//! The JBD2 journal: log format and replay, without I/O.
//!
//! A journal is a ring of blocks after a superblock. A transaction in it is one or more descriptor blocks, each
//! followed by copies of the blocks it names, and a commit block. After a crash, the last copy of each block in a
//! complete transaction is the truth: [`Replay`] finds these copies and says where they lie; the caller shows them
//! in place of the home blocks, or writes them there.
//!
//! All integers are big-endian. Whether a log is to be replayed at all is not known here: in OCFS2 the journal's
//! inode says so.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

mod block;
mod descriptor;
mod error;
pub mod fuzz_bodies;
mod journal;
mod replay;
mod revoke;
mod superblock;

pub use block::{BlockType, MAGIC, RawCommit, RawHeader, Sequence, log_block};
pub use descriptor::{RawTag, Tag, TagFlags, TagFormat, Tags, encode_descriptor, escape, unescape};
pub use error::JournalError;
pub use journal::{
    AbortCause, Images, IoId, Journal, JournalOptions, Output, Place, Refused, Reservation, Tid,
};
pub use replay::{LogCopy, Recovered, Replay};
pub use revoke::{Revokes, encode_revoke};
pub use superblock::{
    CompatFeatures, IncompatFeatures, JournalSuperblock, RawJournalSuperblock, RoCompatFeatures,
};
