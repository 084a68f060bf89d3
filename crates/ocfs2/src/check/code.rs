//! The names of what a check can find.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// What a check found, under the name that `fsck.ocfs2` gives it; see [`Code::is_own`] for the others.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Code {
            /// Every code, in the order of the passes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, as `fsck.ocfs2.checks(8)` lists it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    /// A backup stands in for the superblock.
    RecoverBackupSuperblock = "RECOVER_BACKUP_SUPERBLOCK",
    /// The superblock's `i_clusters` is not the cluster bitmap's total.
    SuperblockClusters = "SUPERBLOCK_CLUSTERS",
    /// A checksum is wrong.
    BadCrc32 = "BAD_CRC32",
    /// A journal has no blocks, or no good superblock.
    JournalFileInvalid = "JOURNAL_FILE_INVALID",
    /// A journal has features that nobody knows.
    JournalUnknownFeature = "JOURNAL_UNKNOWN_FEATURE",
    /// A journal lacks a feature that others have.
    JournalMissingFeature = "JOURNAL_MISSING_FEATURE",
    /// A journal is smaller than the largest.
    JournalTooSmall = "JOURNAL_TOO_SMALL",
    /// A slot has no orphan directory.
    OrphanDirMissing = "ORPHAN_DIR_MISSING",
    /// `cl_cpg` of the cluster bitmap.
    ChainCpg = "CHAIN_CPG",
    /// `cl_count` of a chain list.
    ChainCount = "CHAIN_COUNT",
    /// `cl_next_free_rec` of a chain list.
    ChainNextFree = "CHAIN_NEXT_FREE",
    /// An empty chain before the last.
    ChainEmpty = "CHAIN_EMPTY",
    /// `i_clusters` of an allocator.
    ChainIClusters = "CHAIN_I_CLUSTERS",
    /// `i_size` of an allocator.
    ChainISize = "CHAIN_I_SIZE",
    /// `i_used` or `i_total` of an allocator.
    ChainGroupBits = "CHAIN_GROUP_BITS",
    /// `c_free` or `c_total` of a chain.
    ChainBits = "CHAIN_BITS",
    /// The first group of a chain lies outside the volume.
    ChainHeadLinkRange = "CHAIN_HEAD_LINK_RANGE",
    /// A further group of a chain lies outside the volume.
    ChainLinkRange = "CHAIN_LINK_RANGE",
    /// A chain leads to a block that is no group descriptor.
    ChainLinkMagic = "CHAIN_LINK_MAGIC",
    /// A chain leads to a group of another volume.
    ChainLinkGen = "CHAIN_LINK_GEN",
    /// A cluster group where none belongs.
    GroupUnexpectedDesc = "GROUP_UNEXPECTED_DESC",
    /// No cluster group where one belongs.
    GroupExpectedDesc = "GROUP_EXPECTED_DESC",
    /// `bg_generation`.
    GroupGen = "GROUP_GEN",
    /// `bg_parent_dinode`.
    GroupParent = "GROUP_PARENT",
    /// `bg_blkno`.
    GroupBlkno = "GROUP_BLKNO",
    /// `bg_chain`.
    GroupChain = "GROUP_CHAIN",
    /// A group in two chains or allocators.
    GroupDuplicate = "GROUP_DUPLICATE",
    /// `bg_free_bits_count`.
    GroupFreeBits = "GROUP_FREE_BITS",
    /// A chain that leads back into itself.
    GroupChainLoop = "GROUP_CHAIN_LOOP",
    /// `l_tree_depth` of a discontiguous group.
    DiscontigBgDepth = "DISCONTIG_BG_DEPTH",
    /// `l_count` of a discontiguous group.
    DiscontigBgCount = "DISCONTIG_BG_COUNT",
    /// A piece of a discontiguous group lies outside the volume.
    DiscontigBgRecRange = "DISCONTIG_BG_REC_RANGE",
    /// More than one piece of a discontiguous group is impossibly long.
    DiscontigBgCorruptLeaves = "DISCONTIG_BG_CORRUPT_LEAVES",
    /// The pieces of a discontiguous group are longer than a group.
    DiscontigBgClusters = "DISCONTIG_BG_CLUSTERS",
    /// The pieces of a discontiguous group are shorter than a group.
    DiscontigBgLessClusters = "DISCONTIG_BG_LESS_CLUSTERS",
    /// `l_next_free_rec` of a discontiguous group.
    DiscontigBgNextFreeRec = "DISCONTIG_BG_NEXT_FREE_REC",
    /// The pieces of a discontiguous group make no sense.
    DiscontigBgListCorrupt = "DISCONTIG_BG_LIST_CORRUPT",
    /// One piece of a discontiguous group makes no sense.
    DiscontigBgRecCorrupt = "DISCONTIG_BG_REC_CORRUPT",
    /// `e_leaf_clusters` of one piece of a discontiguous group.
    DiscontigBgLeafClusters = "DISCONTIG_BG_LEAF_CLUSTERS",
    /// An inode's bit against its block.
    InodeAllocRepair = "INODE_ALLOC_REPAIR",
    /// `la_size`.
    LallocSize = "LALLOC_SIZE",
    /// `i_used` of an inactive local alloc.
    LallocNzUsed = "LALLOC_NZ_USED",
    /// `la_bm_off` of an inactive local alloc.
    LallocNzBm = "LALLOC_NZ_BM",
    /// A window that begins outside the volume.
    LallocBmOverrun = "LALLOC_BM_OVERRUN",
    /// A window larger than its bitmap.
    LallocBmSize = "LALLOC_BM_SIZE",
    /// A window that ends outside the volume.
    LallocBmStraddle = "LALLOC_BM_STRADDLE",
    /// `i_used` of a local alloc.
    LallocUsedOverrun = "LALLOC_USED_OVERRUN",
    /// A local alloc that must be cleared.
    LallocClear = "LALLOC_CLEAR",
    /// `tl_count`.
    DeallocCount = "DEALLOC_COUNT",
    /// `tl_used`.
    DeallocUsed = "DEALLOC_USED",
    /// A truncate record that begins outside the volume.
    TruncateRecStartRange = "TRUNCATE_REC_START_RANGE",
    /// A truncate record whose end overflows.
    TruncateRecWrap = "TRUNCATE_REC_WRAP",
    /// A truncate record that ends outside the volume.
    TruncateRecRange = "TRUNCATE_REC_RANGE",
    /// `i_suballoc_slot`, `i_suballoc_bit` or `i_suballoc_loc`.
    InodeSuballoc = "INODE_SUBALLOC",
    /// An inode of another volume.
    InodeGen = "INODE_GEN",
    /// `i_blkno`.
    InodeBlkno = "INODE_BLKNO",
    /// `i_dtime` of an inode in use.
    InodeNzDtime = "INODE_NZ_DTIME",
    /// The root is no directory.
    RootNotdir = "ROOT_NOTDIR",
    /// `i_size` against the extents of a file that may have no holes.
    InodeSize = "INODE_SIZE",
    /// `i_clusters` of a file that may have no holes.
    InodeClusters = "INODE_CLUSTERS",
    /// `i_size` against the last extent.
    InodeSparseSize = "INODE_SPARSE_SIZE",
    /// `i_clusters`.
    InodeSparseClusters = "INODE_SPARSE_CLUSTERS",
    /// `i_size` of inline data.
    InodeInlineSize = "INODE_INLINE_SIZE",
    /// `i_clusters` of inline data.
    InodeInlineClusters = "INODE_INLINE_CLUSTERS",
    /// The inline flag without the volume's feature.
    InlineDataFlagInvalid = "INLINE_DATA_FLAG_INVALID",
    /// `id_count`.
    InlineDataCountInvalid = "INLINE_DATA_COUNT_INVALID",
    /// A directory without a block.
    DirZero = "DIR_ZERO",
    /// A symlink's flags or form.
    LinkFastData = "LINK_FAST_DATA",
    /// A symlink's target without its end.
    LinkNullterm = "LINK_NULLTERM",
    /// A symlink's `i_size` against its target.
    LinkSize = "LINK_SIZE",
    /// A symlink's blocks.
    LinkBlocks = "LINK_BLOCKS",
    /// `h_blkno`.
    EbBlkno = "EB_BLKNO",
    /// `h_fs_generation`.
    EbGen = "EB_GEN",
    /// A record leads to a block that is no extent block.
    ExtentEbInvalid = "EXTENT_EB_INVALID",
    /// `l_tree_depth`.
    ExtentListDepth = "EXTENT_LIST_DEPTH",
    /// `l_count`.
    ExtentListCount = "EXTENT_LIST_COUNT",
    /// `l_next_free_rec`.
    ExtentListFree = "EXTENT_LIST_FREE",
    /// `e_blkno` outside the volume.
    ExtentBlknoRange = "EXTENT_BLKNO_RANGE",
    /// `e_blkno` inside a cluster.
    ExtentBlknoUnaligned = "EXTENT_BLKNO_UNALIGNED",
    /// An extent that ends outside the volume.
    ExtentClustersOverrun = "EXTENT_CLUSTERS_OVERRUN",
    /// An unwritten extent without the volume's feature.
    ExtentMarkedUnwritten = "EXTENT_MARKED_UNWRITTEN",
    /// A shared extent without the volume's feature or the inode's flag.
    ExtentMarkedRefcounted = "EXTENT_MARKED_REFCOUNTED",
    /// `e_cpos` below the end of the record before.
    ExtentOverlap = "EXTENT_OVERLAP",
    /// A hole where none may be.
    NoHoles = "NO_HOLES",
    /// A system file's clusters belong to another file too.
    DupClustersSysfileClone = "DUP_CLUSTERS_SYSFILE_CLONE",
    /// A file's clusters belong to another file too.
    DupClustersClone = "DUP_CLUSTERS_CLONE",
    /// The refcount flag without the volume's feature.
    RefcountFlagInvalid = "REFCOUNT_FLAG_INVALID",
    /// `i_refcount_loc` without the flag.
    RefcountLocInvalid = "REFCOUNT_LOC_INVALID",
    /// `rf_blkno`.
    RbBlkno = "RB_BLKNO",
    /// `rf_fs_generation`.
    RbGen = "RB_GEN",
    /// `rf_parent`.
    RbParent = "RB_PARENT",
    /// `rl_count`.
    RefcountListCount = "REFCOUNT_LIST_COUNT",
    /// `rl_used`.
    RefcountListUsed = "REFCOUNT_LIST_USED",
    /// A refcount leaf without records.
    RefcountListEmpty = "REFCOUNT_LIST_EMPTY",
    /// A refcount record outside the volume.
    RefcountClusterRange = "REFCOUNT_CLUSTER_RANGE",
    /// A refcount record that begins below the end of the one before.
    RefcountClusterCollision = "REFCOUNT_CLUSTER_COLLISION",
    /// A refcount block that is none.
    RefcountBlockInvalid = "REFCOUNT_BLOCK_INVALID",
    /// An inode whose refcount tree is none.
    RefcountRootBlockInvalid = "REFCOUNT_ROOT_BLOCK_INVALID",
    /// `rf_clusters`.
    RefcountClusters = "REFCOUNT_CLUSTERS",
    /// A refcount record of clusters that no file shares.
    RefcountRecRedundant = "REFCOUNT_REC_REDUNDANT",
    /// `r_refcount`.
    RefcountCountInvalid = "REFCOUNT_COUNT_INVALID",
    /// `rf_count`.
    RefcountCount = "REFCOUNT_COUNT",
    /// An xattr block that is none.
    XattrBlockInvalid = "XATTR_BLOCK_INVALID",
    /// `xh_count`.
    XattrCountInvalid = "XATTR_COUNT_INVALID",
    /// An xattr entry that overlaps another.
    XattrEntryInvalid = "XATTR_ENTRY_INVALID",
    /// `xe_name_offset`.
    XattrNameOffsetInvalid = "XATTR_NAME_OFFSET_INVALID",
    /// An xattr value outside its area.
    XattrValueInvalid = "XATTR_VALUE_INVALID",
    /// An xattr value's place against its length.
    XattrLocationInvalid = "XATTR_LOCATION_INVALID",
    /// `xe_name_hash`.
    XattrHashInvalid = "XATTR_HASH_INVALID",
    /// `xh_free_start`.
    XattrFreeStartInvalid = "XATTR_FREE_START_INVALID",
    /// `xh_name_value_len`.
    XattrValueLenInvalid = "XATTR_VALUE_LEN_INVALID",
    /// `xh_num_buckets`.
    XattrBucketCountInvalid = "XATTR_BUCKET_COUNT_INVALID",
    /// A cluster's bit against its use.
    ClusterAllocBit = "CLUSTER_ALLOC_BIT",
    /// A second `.` or `..`.
    DirentDottyDup = "DIRENT_DOTTY_DUP",
    /// No `.` or `..` where it belongs.
    DirentNotDotty = "DIRENT_NOT_DOTTY",
    /// `.` leads elsewhere.
    DirentDotInode = "DIRENT_DOT_INODE",
    /// `.` is too long.
    DirentDotExcess = "DIRENT_DOT_EXCESS",
    /// A name of no bytes.
    DirentZero = "DIRENT_ZERO",
    /// A name with NUL or a slash.
    DirentNameChars = "DIRENT_NAME_CHARS",
    /// A name of an inode outside the volume.
    DirentInodeRange = "DIRENT_INODE_RANGE",
    /// A name of no inode in use.
    DirentInodeFree = "DIRENT_INODE_FREE",
    /// `file_type` against the inode.
    DirentType = "DIRENT_TYPE",
    /// A directory with two names.
    DirParentDup = "DIR_PARENT_DUP",
    /// A name twice in a directory.
    DirentDuplicate = "DIRENT_DUPLICATE",
    /// `rec_len`.
    DirentLength = "DIRENT_LENGTH",
    /// `db_compat_inode`, or a signature that is none.
    DirTrailerInode = "DIR_TRAILER_INODE",
    /// `db_compat_name_len`.
    DirTrailerNameLen = "DIR_TRAILER_NAME_LEN",
    /// `db_compat_rec_len`.
    DirTrailerRecLen = "DIR_TRAILER_REC_LEN",
    /// `db_blkno`.
    DirTrailerBlkno = "DIR_TRAILER_BLKNO",
    /// `db_parent_dinode`.
    DirTrailerParentInode = "DIR_TRAILER_PARENT_INODE",
    /// The index flag without the volume's feature.
    IvDxTree = "IV_DX_TREE",
    /// A directory's index makes no sense.
    DxTreeCorrupt = "DX_TREE_CORRUPT",
    /// A directory without an index on a volume whose directories have one.
    DxTreeMissing = "DX_TREE_MISSING",
    /// A name that the index does not find.
    DxLookupFailed = "DX_LOOKUP_FAILED",
    /// No root directory.
    RootDirMissing = "ROOT_DIR_MISSING",
    /// No `lost+found`.
    LostfoundMissing = "LOSTFOUND_MISSING",
    /// A directory that cannot be reached.
    DirNotConnected = "DIR_NOT_CONNECTED",
    /// `..` leads elsewhere.
    DirDotdot = "DIR_DOTDOT",
    /// An inode in an orphan directory of a slot that has nothing to recover.
    InodeOrphaned = "INODE_ORPHANED",
    /// An inode without a name.
    InodeNotConnected = "INODE_NOT_CONNECTED",
    /// `i_links_count` against the names.
    InodeCount = "INODE_COUNT",
    /// The header of a quota file.
    QmagicInvalid = "QMAGIC_INVALID",
    /// A block of a quota tree.
    QtreeBlkInvalid = "QTREE_BLK_INVALID",
    /// An entry of a quota file.
    DqblkInvalid = "DQBLK_INVALID",
    /// Two entries of one id.
    DupDqblkValid = "DUP_DQBLK_VALID",
    /// Own: a block cannot be read.
    BlockUnreadable = "BLOCK_UNREADABLE",
    /// Own: the system directory lacks a file.
    SystemFileMissing = "SYSTEM_FILE_MISSING",
    /// Own: a backup of the superblock differs from it.
    BackupSuperblock = "BACKUP_SUPERBLOCK",
    /// Own: `bg_size` or `bg_bits`.
    GroupSize = "GROUP_SIZE",
    /// Own: a mode of no known file type.
    InodeMode = "INODE_MODE",
    /// Own: a last-leaf pointer.
    ExtentLastEb = "EXTENT_LAST_EB",
    /// Own: `h_next_leaf_blk`.
    ExtentNextLeaf = "EXTENT_NEXT_LEAF",
    /// Own: an extent outside the range of the record above it.
    ExtentRange = "EXTENT_RANGE",
    /// Own: a metadata block that two structures claim, or none does though its bit is set.
    ExtentAllocBit = "EXTENT_ALLOC_BIT",
    /// Own: the slot, bit or group that a metadata block says it was allocated from.
    BlockSuballoc = "BLOCK_SUBALLOC",
    /// Own: a local alloc with a window in a slot that has nothing to recover: the kernel refuses to mount it.
    LallocActive = "LALLOC_ACTIVE",
    /// Own: an entry of an orphan directory that does not fit its inode.
    OrphanEntry = "ORPHAN_ENTRY",
    /// Own: the usage in the quota files against the files.
    QuotaUsage = "QUOTA_USAGE",
    /// Own: a list of free directory blocks that makes no sense.
    DxFreeList = "DX_FREE_LIST",
    /// Own: so much is wrong in one place that not all of it is told.
    Suppressed = "SUPPRESSED",
}

impl Code {
    /// Whether `fsck.ocfs2` has no such check.
    #[must_use]
    pub fn is_own(self) -> bool {
        self >= Self::BlockUnreadable
    }

    /// The code of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
