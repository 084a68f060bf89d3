//! What can be wrong with a block, one variant for each check.

use std::fmt;

use crate::units::BlockNum;

/// A metadata block that did not check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {block}: {what}")]
pub struct Corrupt {
    /// Where the structure lies.
    pub block: BlockNum,
    /// Which check failed, with the value found.
    pub what: Check,
}

impl Corrupt {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self.what {
            Check::Ecc { .. } => Some("the block was damaged on the disk or on the way; try fsck.ocfs2"),
            Check::Short { .. } => Some("the volume may be truncated"),
            _ => Some("check the volume with fsck.ocfs2"),
        }
    }
}

/// The on-disk structures, by the names the tools use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name says it; the text is in Display")]
pub enum Structure {
    Superblock,
    Dinode,
    ExtentList,
    ExtentBlock,
    ChainList,
    GroupDescriptor,
    LocalAlloc,
    TruncateLog,
    InlineData,
    FastSymlink,
    DirEntry,
    DirTrailer,
    DxRoot,
    DxLeaf,
    InlineXattr,
    XattrBlock,
    XattrBucket,
    XattrValueRoot,
    RefcountBlock,
    SlotMap,
    Heartbeat,
    QuotaHeader,
    QuotaTree,
    QuotaLeaf,
    QuotaChunk,
    QuotaData,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Superblock => "superblock",
            Self::Dinode => "dinode",
            Self::ExtentList => "extent list",
            Self::ExtentBlock => "extent block",
            Self::ChainList => "chain list",
            Self::GroupDescriptor => "group descriptor",
            Self::LocalAlloc => "local alloc",
            Self::TruncateLog => "truncate log",
            Self::InlineData => "inline data",
            Self::FastSymlink => "fast symlink",
            Self::DirEntry => "directory entry",
            Self::DirTrailer => "directory block trailer",
            Self::DxRoot => "dx root",
            Self::DxLeaf => "dx leaf",
            Self::InlineXattr => "inline xattr area",
            Self::XattrBlock => "xattr block",
            Self::XattrBucket => "xattr bucket",
            Self::XattrValueRoot => "xattr value root",
            Self::RefcountBlock => "refcount block",
            Self::SlotMap => "slot map",
            Self::Heartbeat => "heartbeat block",
            Self::QuotaHeader => "quota file header",
            Self::QuotaTree => "quota tree block",
            Self::QuotaLeaf => "quota leaf block",
            Self::QuotaChunk => "quota chunk header",
            Self::QuotaData => "quota entry block",
        })
    }
}

/// Eight signature bytes, printed as text with what is not printable escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub [u8; 8]);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// One failed check. The text names structure, field and value; [`Corrupt`] adds the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the message of each variant is its description; fields carry the kernel's names"
)]
pub enum Check {
    // All structures.
    #[error("{structure}: only {len} bytes, {want} needed")]
    Short { structure: Structure, len: usize, want: usize },
    #[error("{structure}: signature is {found}, not {expected}")]
    Signature { structure: Structure, found: Signature, expected: Signature },
    #[error("{structure}: checksum is {stored:#010x}, computed {computed:#010x}, and ECC cannot repair it")]
    Ecc { structure: Structure, stored: u32, computed: u32 },
    #[error("{structure}: {field} is {found}, not the block's own number")]
    SelfBlock { structure: Structure, field: &'static str, found: u64 },
    #[error("{structure}: {field} is {found:#x}, the volume's is {expected:#x}")]
    FsGeneration { structure: Structure, field: &'static str, found: u32, expected: u32 },
    #[error("{structure}: {field} is {found}, not {expected}")]
    Owner { structure: Structure, field: &'static str, found: u64, expected: u64 },
    #[error("{structure}: {field} {found} points outside the volume")]
    PointerRange { structure: Structure, field: &'static str, found: u64 },
    #[error("{structure}: {field} is {found}, more than the {max} that fit")]
    Count { structure: Structure, field: &'static str, found: u64, max: u64 },
    #[error("{structure}: {field} is {found}, more than its {of_field} of {of}")]
    Used { structure: Structure, field: &'static str, found: u64, of_field: &'static str, of: u64 },
    #[error("{structure}: {field} has unknown bits {found:#x}")]
    UnknownFlags { structure: Structure, field: &'static str, found: u64 },

    // Superblock.
    #[error("superblock: revision is {major}.{minor}, not 0.90")]
    Revision { major: u16, minor: u16 },
    #[error("superblock: s_blocksize_bits is {found}, but it was found where {expected} belongs")]
    BlockSizeBits { found: u32, expected: u32 },
    #[error("superblock: s_clustersize_bits is {found}, not 12 to 20")]
    ClusterSizeBits { found: u32 },
    #[error("superblock: s_max_slots is {found}, not 1 to 255")]
    MaxSlots { found: u16 },
    #[error("superblock: i_clusters is 0")]
    NoClusters,
    #[error("superblock: s_xattr_inline_size is {found}, which does not fit a block of {block_size}")]
    XattrInlineSize { found: u16, block_size: u64 },

    // Dinode.
    #[error("dinode: i_flags {flags:#x} lacks VALID: the inode is free")]
    NotValid { flags: u32 },
    #[error("dinode: i_dtime is {dtime}, but the inode is in use")]
    DeletedInUse { dtime: u64 },
    #[error("dinode: i_mode {mode:#o} has no known file type")]
    FileType { mode: u16 },
    #[error("dinode: i_xattr_inline_size is {found}, which does not fit a block of {block_size}")]
    InlineXattrSize { found: u16, block_size: u64 },
    #[error("dinode: inline data with i_clusters {clusters}")]
    InlineClusters { clusters: u32 },
    #[error("dinode: i_size {size} is more than the {max} bytes of inline data (id_count)")]
    InlineSize { size: u64, max: u64 },
    #[error("dinode: i_size {size} is beyond the largest file, {max}")]
    FileSize { size: u64, max: u64 },
    #[error("dinode: i_dyn_features {flags:#x} has {flag} without the volume's feature {feature}")]
    FlagWithoutFeature { flags: u16, flag: &'static str, feature: &'static str },
    #[error("dinode: i_dyn_features {flags:#x} has {flag}, but {field} is 0")]
    FlagWithoutPointer { flags: u16, flag: &'static str, field: &'static str },
    #[error("dinode: directory with i_size {size} is larger than its {clusters} clusters")]
    DirSize { size: u64, clusters: u32 },
    #[error("fast symlink: i_size is {size}, but the target ends after {length} bytes")]
    SymlinkSize { size: u64, length: u64 },
    #[error("fast symlink: no end within the {room} bytes of the dinode")]
    SymlinkUnterminated { room: u64 },

    // Extent lists.
    #[error("extent list: l_tree_depth is {found}, expected {expected}")]
    TreeDepth { found: u16, expected: u16 },
    #[error("extent list: l_tree_depth is {found}, more than {max}")]
    TreeTooDeep { found: u16, max: u16 },
    #[error("extent list: record {index}: empty, and not the first of a leaf")]
    ExtentEmpty { index: u16 },
    #[error(
        "extent list: record {index}: e_cpos {cpos} begins before {previous_end}, the end of the one before it"
    )]
    ExtentOrder { index: u16, cpos: u32, previous_end: u64 },
    #[error("extent list: record {index}: e_cpos {cpos} and {clusters} clusters run past 2^32 clusters")]
    ExtentEnd { index: u16, cpos: u32, clusters: u32 },
    #[error("extent list: record {index}: e_blkno {blkno} and {clusters} clusters lie outside the volume")]
    ExtentRange { index: u16, blkno: u64, clusters: u32 },
    #[error("extent list: record {index}: e_blkno {blkno} is not the first block of a cluster")]
    ExtentUnaligned { index: u16, blkno: u64 },
    #[error("extent list: record {index}: e_flags has unknown bits {flags:#x}")]
    ExtentFlags { index: u16, flags: u8 },
    #[error(
        "extent list: record {index}: e_cpos is {cpos}, which leaves a hole after {previous_end} in {what}"
    )]
    ExtentHole { index: u16, cpos: u32, previous_end: u64, what: &'static str },

    #[error("{structure}: it holds no extent tree")]
    NoTree { structure: Structure },

    // Allocation.
    #[error("chain list: chain {chain}: c_free {free} is more than c_total {total}")]
    ChainFree { chain: u16, free: u32, total: u32 },
    #[error("chain list: cl_bpc is {found}, not 1 or the blocks in a cluster")]
    BitsPerCluster { found: u16 },
    #[error("group descriptor: bg_list of a discontiguous group: l_tree_depth is {depth}, not 0")]
    GroupListDepth { depth: u16 },
    #[error("group descriptor: bg_list: record {index} starts at {cpos}, not at {expected}")]
    GroupListOrder { index: u16, cpos: u32, expected: u64 },
    #[error("group descriptor: bg_list covers {bits} bits, bg_bits is {bg_bits}")]
    GroupListCover { bits: u64, bg_bits: u16 },
    #[error("local alloc: window of {bits} bits at cluster {start} lies outside the volume")]
    LocalWindow { start: u32, bits: u32 },
    #[error("truncate log: record {index}: {clusters} clusters at cluster {start} lie outside the volume")]
    TruncateRange { index: u16, start: u32, clusters: u32 },

    // Directories.
    #[error("directory entry at byte {offset}: rec_len {rec_len} {why}")]
    DirRecLen { offset: u64, rec_len: u16, why: &'static str },
    #[error("directory entry at byte {offset}: only {left} bytes left in its block")]
    DirTail { offset: u64, left: u64 },
    #[error("directory entry at byte {offset}: inode {inode} without a name")]
    DirNoName { offset: u64, inode: u64 },
    #[error(
        "directory entry at byte {offset}: byte {position} of the name is {byte:#04x}, never allowed in a name"
    )]
    DirNameByte { offset: u64, position: u8, byte: u8 },
    #[error("directory entry at byte {offset}: inode {inode} lies outside the volume")]
    DirInode { offset: u64, inode: u64 },
    #[error("directory block trailer: {field} is {found}, not {expected}")]
    TrailerField { field: &'static str, found: u64, expected: u64 },

    // Extended attributes.
    #[error(
        "{structure}: entry {index}: xe_name_offset {offset} and {len} bytes lie outside its {area} bytes"
    )]
    XattrRange { structure: Structure, index: u16, offset: u16, len: u64, area: u64 },
    #[error(
        "{structure}: entry {index}: xe_name_offset {offset} lies inside the {entries_end} bytes of entries"
    )]
    XattrOverlap { structure: Structure, index: u16, offset: u16, entries_end: u64 },
    #[error(
        "{structure}: entry {index}: a value of {size} bytes is marked as {place}, against the 80-byte rule"
    )]
    XattrPlace { structure: Structure, index: u16, size: u64, place: &'static str },
    #[error("{structure}: entry {index}: a value of {size} bytes with {clusters} clusters")]
    XattrValueSize { structure: Structure, index: u16, size: u64, clusters: u32 },
    #[error("{structure}: entry {index}: xe_name_hash {hash:#x} is out of order")]
    XattrOrder { structure: Structure, index: u16, hash: u32 },

    // Refcount.
    #[error("refcount block: rf_flags {flags:#x} is not a root, a tree root or a leaf")]
    RefcountFlags { flags: u32 },
    #[error("refcount block: record {index}: r_cpos {cpos} and {clusters} clusters lie outside the volume")]
    RefcountRange { index: u16, cpos: u64, clusters: u32 },
    #[error(
        "refcount block: record {index}: r_cpos {cpos} begins before {previous_end}, the end of the one before it"
    )]
    RefcountOrder { index: u16, cpos: u64, previous_end: u64 },
    #[error("refcount block: record {index}: r_refcount is 0")]
    RefcountZero { index: u16 },

    // Slot map, heartbeat, quota.
    #[error("heartbeat block: checksum is {stored:#010x}, computed {computed:#010x}")]
    HeartbeatChecksum { stored: u32, computed: u32 },
    #[error("{structure}: magic is {found:#010x}, not {expected:#010x}")]
    Magic { structure: Structure, found: u32, expected: u32 },
    #[error("{structure}: version is {found}, not {expected}")]
    Version { structure: Structure, found: u32, expected: u32 },
}
