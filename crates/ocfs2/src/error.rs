//! What can go wrong with a volume and its files.

use std::sync::Arc;

use block::BlockError;
use ocfs2_format::{BlockNum, Check, Corrupt, FileType, ProbeError};

use crate::lock::{LockError, QuotaKind};
use crate::{NotWritable, SystemFile, type_name};

/// Why an operation on an open volume failed. Cheap to clone: all who waited for one read get its error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device failed, or ends before the volume does.
    #[error(transparent)]
    Device(Arc<BlockError>),
    /// A metadata block did not check.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// A block number, found in a checked structure, that is not on the volume.
    #[error("{count} blocks at block {block} lie outside the volume of {blocks} blocks")]
    BeyondVolume {
        /// First block.
        block: u64,
        /// Count of blocks.
        count: u64,
        /// Blocks of the volume.
        blocks: u64,
    },
    /// A leaf of an extent tree holds what its parent says is elsewhere: two parents share it, or one is wrong.
    #[error(
        "block {block}: extent list: e_cpos {cpos} with {clusters} clusters lies outside the {low} to {high} that \
         the record above it covers"
    )]
    TreeRange {
        /// The extent block.
        block: BlockNum,
        /// Start of the record, in the tree's own units.
        cpos: u32,
        /// Length of the record.
        clusters: u32,
        /// Lowest start that belongs here.
        low: u64,
        /// First start that belongs to the next leaf.
        high: u64,
    },
    /// An extent that was to be added lies where there is one.
    #[error("inode {owner}: {clusters} clusters at e_cpos {cpos} overlap what the extent tree has there")]
    ExtentOverlap {
        /// Whose tree.
        owner: BlockNum,
        /// Start of the new extent, in the tree's own units.
        cpos: u32,
        /// Its length.
        clusters: u32,
    },
    /// A node above the leaves without children, or with more than fit.
    #[error("block {block}: extent list: no child, or more than fit")]
    EmptyNode {
        /// The node.
        block: BlockNum,
    },
    /// A tree that would have to grow deeper than the kernel walks.
    #[error("inode {owner}: the extent tree would be deeper than {max} levels")]
    TreeTooDeep {
        /// Whose tree.
        owner: BlockNum,
        /// The limit.
        max: u16,
    },
    /// The clusters that a tree's root counts are fewer than were removed, or too many.
    #[error(
        "inode {owner}: the root of the extent tree counts {found} clusters, which cannot change by {change}"
    )]
    TreeClusters {
        /// Whose tree.
        owner: BlockNum,
        /// What it counts.
        found: u32,
        /// By what it should change.
        change: i64,
    },
    /// A directory, index or xattr tree has no block where it must have one.
    #[error("inode {ino}: {what} has no extent at cluster {cpos}: it may not have holes")]
    Hole {
        /// The inode.
        ino: BlockNum,
        /// Which of its trees.
        what: &'static str,
        /// Where, in the tree's own units.
        cpos: u32,
    },
    /// A directory that is reached twice: it would never end.
    #[error("inode {ino}: the directory has more than one name, which makes a loop")]
    DirLoop {
        /// The directory.
        ino: BlockNum,
    },
    /// An ACL attribute that is no list of 8-byte entries.
    #[error("inode {ino}: the ACL has {len} bytes, not a multiple of 8")]
    BadAcl {
        /// The inode.
        ino: BlockNum,
        /// Length of the value.
        len: usize,
    },
    /// An ACL that is none: entries that are missing, out of order, or not for this kind of inode.
    #[error("inode {ino}: not a valid ACL for it")]
    InvalidAcl {
        /// The inode.
        ino: BlockNum,
    },
    /// An extended attribute that the volume cannot hold: the feature is off, or the name too long or of another kind.
    #[error("the volume cannot hold an extended attribute named {name}")]
    XattrName {
        /// The full name.
        name: String,
    },
    /// A refcount tree that does not fit the extents it counts.
    #[error("refcount tree {root}: {what}")]
    RefcountTree {
        /// Its root.
        root: BlockNum,
        /// What is wrong.
        what: &'static str,
    },
    /// A set of attributes that is not laid out as its entries say.
    #[error("block {block}: the extended attributes do not lie where their entries say")]
    XattrArea {
        /// The block, or the first one of the bucket.
        block: BlockNum,
    },
    /// The first bucket of an extent says that there are none, or more than fit.
    #[error("block {block}: xattr bucket: xh_num_buckets is {count}, its extent holds 1 to {max}")]
    BucketCount {
        /// The bucket.
        block: BlockNum,
        /// `xh_num_buckets`.
        count: u64,
        /// Buckets that fit.
        max: u64,
    },
    /// More attributes than can be listed.
    #[error("inode {ino}: more than {max} extended attributes")]
    TooManyXattrs {
        /// The inode.
        ino: BlockNum,
        /// The limit.
        max: usize,
    },
    /// An attribute's value is longer than any that can be set.
    #[error("inode {ino}: xe_value_size {size} is more than the {max} bytes a value may have")]
    ValueSize {
        /// The inode.
        ino: BlockNum,
        /// Length of the value.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// A symlink whose target is empty, or longer than a path may be.
    #[error("inode {ino}: dinode: i_size of the symlink is {size}, not 1 to 4095")]
    SymlinkSize {
        /// The inode.
        ino: BlockNum,
        /// `i_size`.
        size: u64,
    },
    /// One block is part of two things: an operation came upon it twice, each time as something else.
    #[error("block {block} is used by inode {owner} and, as something else, by inode {other}")]
    TwoUses {
        /// The block.
        block: BlockNum,
        /// Who used it first.
        owner: BlockNum,
        /// Who came upon it.
        other: BlockNum,
    },
    /// The volume has no room for it. Nothing was changed.
    #[error("no space left on the volume: {want} {what} wanted")]
    NoSpace {
        /// What was wanted.
        what: &'static str,
        /// How many, at the least.
        want: u32,
    },
    /// A directory's index says what cannot be.
    #[error("inode {ino}: the directory index: {what}")]
    DirIndex {
        /// The directory.
        ino: BlockNum,
        /// What is wrong.
        what: &'static str,
    },
    /// A system file whose inode is not what its name says.
    #[error("inode {ino} is no {want}")]
    NotAllocator {
        /// The inode.
        ino: BlockNum,
        /// What it was taken for.
        want: &'static str,
    },
    /// The groups of a chain do not add up: one is in two chains, or in a loop, or its counts are wrong.
    #[error("allocator {ino}: chain {chain}: group {group}: {field} is {found}, not {expected}")]
    Chain {
        /// The allocator's inode.
        ino: BlockNum,
        /// Which of its chains.
        chain: u16,
        /// The group descriptor.
        group: BlockNum,
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it must be.
        expected: u64,
    },
    /// Bits of an allocator that were to be freed and are free, or were to be claimed and are in use.
    #[error("group {group}: of the {count} bits from {bit} on, only {changed} are {was}")]
    Bits {
        /// The group descriptor, or the inode of the local window.
        group: BlockNum,
        /// First bit.
        bit: u32,
        /// Count of bits.
        count: u32,
        /// How many of them are as they should be.
        changed: u32,
        /// What they should all be.
        was: &'static str,
    },
    /// A metadata block that is not where its allocator's group and bit say.
    #[error("block {block}: bit {bit} of group {group} stands for another block")]
    NotItsBit {
        /// The block.
        block: BlockNum,
        /// The group descriptor.
        group: BlockNum,
        /// The bit.
        bit: u16,
    },
    /// The truncate log has no room: it must be flushed first. Nothing was changed.
    #[error("the truncate log of slot {slot} is full ({capacity} records)")]
    TruncateLogFull {
        /// The slot.
        slot: u16,
        /// Records that fit.
        capacity: u16,
    },
    /// The local window cannot move while clusters of it are reserved. Nothing was changed.
    #[error("clusters of the local window of slot {slot} are reserved")]
    WindowReserved {
        /// The slot.
        slot: u16,
    },
    /// An operation came upon an allocator whose lock it does not hold. It is tried again with it.
    #[error("allocator {ino} is not locked")]
    Unlocked {
        /// The allocator's inode.
        ino: BlockNum,
    },
    /// The system directory has no such file.
    #[error("the system directory has no {file}")]
    NoSystemFile {
        /// The file.
        file: SystemFile,
    },
    /// No such name.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("file exists")]
    Exists,
    /// A directory that was to be removed has names in it.
    #[error("inode {ino}: directory not empty")]
    NotEmpty {
        /// The directory.
        ino: BlockNum,
    },
    /// A path goes on below something that is no directory.
    #[error("inode {ino} is a {}, not a directory", type_name(*kind))]
    NotDir {
        /// The inode.
        ino: BlockNum,
        /// What it is.
        kind: FileType,
    },
    /// Contents were asked of something that has none.
    #[error("inode {ino} is a {}, not a regular file", type_name(*kind))]
    NotFile {
        /// The inode.
        ino: BlockNum,
        /// What it is.
        kind: FileType,
    },
    /// A target was asked of something that is no symlink.
    #[error("inode {ino} is a {}, not a symlink", type_name(*kind))]
    NotSymlink {
        /// The inode.
        ino: BlockNum,
        /// What it is.
        kind: FileType,
    },
    /// A name longer than 255 bytes.
    #[error("a name of {len} bytes; 255 is the limit")]
    NameTooLong {
        /// Its length.
        len: usize,
    },
    /// What no entry of a directory can be called, or `.` or `..` where they have no part.
    #[error("not a name: it is empty, `.` or `..`, or has a NUL or a `/` in it")]
    BadName,
    /// An inode that has been deleted since its number was learned.
    #[error("inode {ino} is no longer in use")]
    Stale {
        /// The inode.
        ino: BlockNum,
    },
    /// A directory can have but one name.
    #[error("inode {ino} is a directory, which can have no other name")]
    LinkToDir {
        /// The directory.
        ino: BlockNum,
    },
    /// An inode with as many names, or a directory with as many subdirectories, as there can be.
    #[error("inode {ino} has {max} links and can have no more")]
    TooManyLinks {
        /// The inode.
        ino: BlockNum,
        /// The limit.
        max: u32,
    },
    /// A directory that was to be moved to a place below itself.
    #[error("inode {ino} is a directory and cannot be moved below itself")]
    IntoItself {
        /// The directory.
        ino: BlockNum,
    },
    /// A symlink's target longer than 4095 bytes.
    #[error("a symlink's target of {len} bytes; 4095 is the limit")]
    TargetTooLong {
        /// Its length.
        len: usize,
    },
    /// A device number that no inode can hold.
    #[error("device {major}:{minor}: the limits are 4095:1048575")]
    DeviceNumber {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// More than 40 symlinks on one path.
    #[error("too many levels of symbolic links")]
    TooManySymlinks,
    /// No extended attribute of that name.
    #[error("no such attribute")]
    NoAttribute,
    /// The flags of `lsattr` forbid the change: `i` all of them, `a` all but growing.
    #[error("inode {ino} may not be changed so: its flags are {flags:#x}")]
    Flagged {
        /// The inode.
        ino: BlockNum,
        /// `i_attr`.
        flags: u32,
    },
    /// A user or group would have more than its limit allows.
    #[error(
        "{} {id}: the quota allows {limit} {what}, and it would have {usage}",
        crate::rw::kind_name(*kind)
    )]
    Quota {
        /// Whether it is a user or a group.
        kind: QuotaKind,
        /// Its id.
        id: u32,
        /// Bytes or inodes.
        what: &'static str,
        /// The hard limit, or the soft one where its grace is over.
        limit: u64,
        /// What it would have.
        usage: u64,
    },
    /// Usage is to be counted for a user or group that this node does not keep yet. It is tried again with it.
    #[error("usage of {} {id} is not kept by this node yet", crate::rw::kind_name(*kind))]
    NotCounted {
        /// Whether it is a user or a group.
        kind: QuotaKind,
        /// Its id.
        id: u32,
    },
    /// The volume does not count what users or groups use.
    #[error("the volume has no quotas for {}s", crate::rw::kind_name(*kind))]
    NoQuota {
        /// Which of them.
        kind: QuotaKind,
    },
    /// A quota file that contradicts itself.
    #[error("inode {ino}: block {block} of the quota file: {what}")]
    QuotaFile {
        /// The file.
        ino: BlockNum,
        /// Block of the file.
        block: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A file cannot be that long.
    #[error("inode {ino}: no file on this volume can have more than {max} bytes")]
    FileTooLarge {
        /// The inode.
        ino: BlockNum,
        /// The limit.
        max: u64,
    },
    /// A range of no bytes where there must be some.
    #[error("the range has no bytes")]
    EmptyRange,
    /// Something that the kernel's OCFS2 does not do either.
    #[error("{what} cannot have that done to it")]
    NotSupported {
        /// What it is asked of.
        what: &'static str,
    },
    /// An inode whose room for data is not what it was taken for.
    #[error("inode {ino} has no room for the data that was to be kept in it")]
    InlineRoom {
        /// The inode.
        ino: BlockNum,
    },
    /// A call was dropped while data was on its way, which may arrive at any later time.
    #[error("a call that changed the data of inode {ino} was given up half-way")]
    GivenUp {
        /// The inode.
        ino: BlockNum,
    },
    /// What was asked for needs a feature that the volume has not.
    #[error("the volume has no feature `{feature}`")]
    NoFeature {
        /// Its name, as `tunefs.ocfs2 --fs-features` has it.
        feature: &'static str,
    },
    /// Only regular files can be cloned.
    #[error("inode {ino} is a {}: only files are cloned", type_name(*kind))]
    NotCloneable {
        /// The inode.
        ino: BlockNum,
        /// What it is.
        kind: FileType,
    },
    /// A refcount tree that cannot count on.
    #[error("the refcount tree at block {root} counts as many clones as it can")]
    TooManyClones {
        /// Its root.
        root: BlockNum,
    },
    /// Something that is not built yet.
    #[error("{what} is not built yet")]
    NotBuilt {
        /// What was asked.
        what: &'static str,
    },
    /// A cluster lock was not granted.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A write of metadata failed.
    #[error("writing {what} (block {block}): {source}")]
    Write {
        /// What was written.
        what: &'static str,
        /// The block of the volume.
        block: BlockNum,
        /// What the device said.
        source: Arc<BlockError>,
    },
    /// The journal is of no more use: what was changed since the last commit is lost.
    #[error("the journal has been aborted: {source}")]
    Aborted {
        /// What happened.
        source: Arc<Error>,
    },
    /// Something went wrong earlier, and nothing is changed since.
    #[error("the volume is read-only since an error: {why}")]
    ReadOnly {
        /// What happened.
        why: Arc<Error>,
    },
    /// The volume has been closed.
    #[error("the volume is closed")]
    Closed,
    /// The journal does not take an operation's changes: more than a transaction may have, or than it had said.
    #[error("the journal does not take the change: {0}")]
    JournalRefused(jbd2::Refused),
    /// An inode that should be a journal's.
    #[error("inode {ino} is no journal")]
    NotJournal {
        /// The inode.
        ino: BlockNum,
    },
    /// A node number that the slot map has no room for.
    #[error("the slot map has no room for node {}", node.unwrap_or_default())]
    NodeNumber {
        /// The node.
        node: Option<u32>,
    },
}

impl From<BlockError> for Error {
    fn from(error: BlockError) -> Self {
        Self::Device(Arc::new(error))
    }
}

/// Linux's error numbers, those that an [`Error`] can become.
mod errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const ENOENT: i32 = 2;
    pub(super) const ESRCH: i32 = 3;
    pub(super) const EIO: i32 = 5;
    pub(super) const EAGAIN: i32 = 11;
    pub(super) const ENOTDIR: i32 = 20;
    pub(super) const EEXIST: i32 = 17;
    pub(super) const EBUSY: i32 = 16;
    pub(super) const EISDIR: i32 = 21;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EFBIG: i32 = 27;
    pub(super) const ENOSPC: i32 = 28;
    pub(super) const EROFS: i32 = 30;
    pub(super) const EMLINK: i32 = 31;
    pub(super) const ENAMETOOLONG: i32 = 36;
    pub(super) const ENOTEMPTY: i32 = 39;
    pub(super) const ELOOP: i32 = 40;
    pub(super) const ENODATA: i32 = 61;
    pub(super) const EOPNOTSUPP: i32 = 95;
    pub(super) const ESTALE: i32 = 116;
    pub(super) const EDQUOT: i32 = 122;
}

impl Error {
    /// The error number that a system call on a kernel mount would give.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotFound => errno::ENOENT,
            Self::Exists => errno::EEXIST,
            Self::Stale { .. } => errno::ESTALE,
            Self::LinkToDir { .. } => errno::EPERM,
            Self::TooManyLinks { .. } => errno::EMLINK,
            Self::TargetTooLong { .. } => errno::ENAMETOOLONG,
            Self::IntoItself { .. } | Self::DeviceNumber { .. } => errno::EINVAL,
            Self::NotEmpty { .. } => errno::ENOTEMPTY,
            Self::BadName => errno::EINVAL,
            Self::NotDir { .. } => errno::ENOTDIR,
            Self::NotFile { kind: FileType::Directory, .. } => errno::EISDIR,
            Self::NotFile { .. } | Self::NotSymlink { .. } => errno::EINVAL,
            Self::NameTooLong { .. } => errno::ENAMETOOLONG,
            Self::TooManySymlinks => errno::ELOOP,
            Self::NoAttribute => errno::ENODATA,
            Self::FileTooLarge { .. } => errno::EFBIG,
            Self::NoSpace { .. } => errno::ENOSPC,
            Self::InvalidAcl { .. } => errno::EINVAL,
            Self::EmptyRange => errno::EINVAL,
            Self::XattrName { .. } | Self::NotSupported { .. } => errno::EOPNOTSUPP,
            Self::Flagged { .. } => errno::EPERM,
            Self::Quota { .. } => errno::EDQUOT,
            Self::NoQuota { .. } => errno::ESRCH,
            Self::NotBuilt { .. } | Self::NoFeature { .. } => errno::EOPNOTSUPP,
            Self::NotCloneable { .. } => errno::EPERM,
            Self::TooManyClones { .. } => errno::EMLINK,
            Self::ReadOnly { .. } => errno::EROFS,
            Self::Lock(LockError::Busy { .. }) => errno::EAGAIN,
            Self::TruncateLogFull { .. }
            | Self::WindowReserved { .. }
            | Self::Unlocked { .. }
            | Self::NotCounted { .. } => errno::EBUSY,
            _ => errno::EIO,
        }
    }

    /// Whether the volume itself is at fault: its bytes, or the device that gives them.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let elsewhere = matches!(self, Self::Lock(_) | Self::Closed | Self::JournalRefused(_));
        !elsewhere && self.errno() == errno::EIO
    }

    /// Whether it says no more than that an inode has been deleted.
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Stale { .. } => true,
            Self::Corrupt(corrupt) => matches!(corrupt.what, Check::NotValid { .. }),
            _ => false,
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Device(error) | Self::Write { source: error, .. } => error.hint(),
            Self::Corrupt(error) => error.hint(),
            Self::Lock(error) => error.hint(),
            Self::Aborted { source } | Self::ReadOnly { why: source } => source.hint(),
            _ if self.is_damage() => Some("check the volume with fsck.ocfs2"),
            _ => None,
        }
    }
}

/// Why a volume could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The device could not be read at its very beginning.
    #[error(transparent)]
    Device(#[from] BlockError),
    /// There is no superblock, or a bad one, and no good backup of it.
    #[error("{device}: {source}")]
    NoSuperblock {
        /// The device.
        device: String,
        /// What was found in its place.
        source: ProbeError,
    },
    /// The feature words forbid it.
    #[error("{device}: {source}")]
    Refused {
        /// The device.
        device: String,
        /// Which feature.
        source: ocfs2_format::Refused,
    },
    /// A dirty journal that cannot be replayed.
    #[error("the journal of slot {slot} is dirty and cannot be replayed")]
    Journal {
        /// The slot.
        slot: u16,
        /// What is wrong with it.
        source: JournalError,
    },
    /// The volume may be read, but not written to.
    #[error("{device} can only be used read-only: {why}")]
    NotWritable {
        /// The device.
        device: String,
        /// Why.
        why: NotWritable,
    },
    /// All slots are taken by other nodes.
    #[error("all {slots} node slots are taken")]
    NoSlot {
        /// How many there are.
        slots: u16,
    },
    /// Opening for writing failed on the way. What had been done is found and undone, or finished, by the next who
    /// opens the volume.
    #[error(transparent)]
    Volume(#[from] Error),
}

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Its inode or its blocks cannot be read.
    #[error(transparent)]
    Read(#[from] Error),
    /// The log is damaged, or has features that are not known here.
    #[error(transparent)]
    Log(#[from] jbd2::JournalError),
    /// Together with the other journals it holds more blocks than those of any sound volume.
    #[error("the dirty journals hold more than {limit} blocks")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl From<LockError> for OpenError {
    fn from(error: LockError) -> Self {
        Self::Volume(error.into())
    }
}

impl OpenError {
    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Device(error) => error.hint(),
            Self::NoSuperblock { source: ProbeError::NotOcfs2, .. } => Some("is it the right device?"),
            Self::NoSuperblock { source, .. } => source.hint(),
            Self::Refused { source, .. } => source.hint(),
            Self::NotWritable { why, .. } => why.hint(),
            Self::NoSlot { .. } => Some("unmount the volume elsewhere, or add slots with tunefs.ocfs2"),
            Self::Volume(error) => error.hint(),
            Self::Journal { .. } => Some("--no-replay shows the volume as it lies; fsck.ocfs2 repairs it"),
        }
    }
}
