//! Dinodes: one inode, one block.

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ecc::RawBlockCheck;
use crate::error::{Check, Corrupt, Structure};
use crate::features::Incompat;
use crate::file_type::FileType;
use crate::raw::{Input, head_mut, layout};
use crate::suballoc::Suballoc;
use crate::units::BlockNum;
use crate::volume::Volume;

mod body;
pub use body::{Body, RawInlineData};

/// A dinode before its body as it lies on disk (`struct ocfs2_dinode`, the body `id2` starts at byte 0xC0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawDinode {
    /// `i_signature`: [`Dinode::SIGNATURE`].
    pub signature: [u8; 8],
    /// `i_generation`.
    pub generation: U32,
    /// `i_suballoc_slot`.
    pub suballoc_slot: U16,
    /// `i_suballoc_bit`.
    pub suballoc_bit: U16,
    /// `i_links_count_hi`: only with the INDEXED_DIR flag.
    pub links_count_hi: U16,
    /// `i_xattr_inline_size`: only with the INLINE_XATTR flag.
    pub xattr_inline_size: U16,
    /// `i_clusters`.
    pub clusters: U32,
    /// `i_uid`.
    pub uid: U32,
    /// `i_gid`.
    pub gid: U32,
    /// `i_size`.
    pub size: U64,
    /// `i_mode`.
    pub mode: U16,
    /// `i_links_count`, the low half.
    pub links_count: U16,
    /// `i_flags`: [`DinodeFlags`].
    pub flags: U32,
    /// `i_atime`.
    pub atime: U64,
    /// `i_ctime`: before `i_mtime`, unlike elsewhere.
    pub ctime: U64,
    /// `i_mtime`.
    pub mtime: U64,
    /// `i_dtime`.
    pub dtime: U64,
    /// `i_blkno`.
    pub blkno: U64,
    /// `i_last_eb_blk`.
    pub last_eb_blk: U64,
    /// `i_fs_generation`.
    pub fs_generation: U32,
    /// `i_atime_nsec`.
    pub atime_nsec: U32,
    /// `i_ctime_nsec`.
    pub ctime_nsec: U32,
    /// `i_mtime_nsec`.
    pub mtime_nsec: U32,
    /// `i_attr`: as FS_IOC_GETFLAGS numbers them.
    pub attr: U32,
    /// `i_orphaned_slot`: only with the ORPHANED flag.
    pub orphaned_slot: U16,
    /// `i_dyn_features`: [`DynFeatures`].
    pub dyn_features: U16,
    /// `i_xattr_loc`.
    pub xattr_loc: U64,
    /// `i_check`.
    pub check: RawBlockCheck,
    /// `i_dx_root`.
    pub dx_root: U64,
    /// `i_refcount_loc`.
    pub refcount_loc: U64,
    /// `i_suballoc_loc`.
    pub suballoc_loc: U64,
    /// `i_dio_orphaned_slot`: only with the DIO_ORPHANED flag.
    pub dio_orphaned_slot: U16,
    /// Reserved.
    pub reserved: [u8; 22],
    /// `id1`: device number, bitmap counters or journal flags; two 32-bit words.
    pub id1: [U32; 2],
}
layout!(RawDinode, 0xc0, {
    suballoc_slot: 0x0c, links_count_hi: 0x10, clusters: 0x14, size: 0x20, mode: 0x28, flags: 0x2c, ctime: 0x38,
    mtime: 0x40, blkno: 0x50, last_eb_blk: 0x58, fs_generation: 0x60, attr: 0x70, dyn_features: 0x76,
    xattr_loc: 0x78, check: 0x80, dx_root: 0x88, refcount_loc: 0x90, suballoc_loc: 0x98, dio_orphaned_slot: 0xa0,
    id1: 0xb8,
});

impl RawDinode {
    /// Byte of the check, in the superblock too.
    pub const CHECK_OFFSET: usize = 0x80;
    /// Byte of the body (`id2`).
    pub const BODY_OFFSET: usize = 0xc0;

    /// A dinode in use, of a freshly zeroed block: signature, place and generations are set, nothing else.
    #[must_use]
    pub fn new(volume: &Volume, block: BlockNum, suballoc: Suballoc) -> Self {
        Self {
            signature: Dinode::SIGNATURE,
            generation: U32::new(volume.fs_generation),
            suballoc_slot: U16::new(suballoc.slot),
            suballoc_bit: U16::new(suballoc.bit),
            suballoc_loc: U64::new(suballoc.group.map_or(0, BlockNum::get)),
            flags: U32::new(DinodeFlags::VALID.bits()),
            blkno: U64::new(block.0),
            fs_generation: U32::new(volume.fs_generation),
            ..zerocopy::FromZeros::new_zeroed()
        }
    }

    /// Sets `i_atime`, `i_ctime` and `i_mtime`.
    pub fn set_times(&mut self, now: Timestamp) {
        let (seconds, nanos) = (U64::new(now.seconds.cast_unsigned()), U32::new(now.nanos));
        (self.atime, self.ctime, self.mtime) = (seconds, seconds, seconds);
        (self.atime_nsec, self.ctime_nsec, self.mtime_nsec) = (nanos, nanos, nanos);
    }

    /// Sets both halves of the link count.
    pub fn set_links(&mut self, links: u32) {
        let [a, b, c, d] = links.to_le_bytes();
        self.links_count = U16::from_bytes([a, b]);
        self.links_count_hi = U16::from_bytes([c, d]);
    }

    /// The head of the dinode in `data`, to be changed, and its body. The caller has checked the dinode.
    ///
    /// # Errors
    /// [`Check::Short`] when `data` is no whole block.
    pub fn mut_from(block: BlockNum, data: &mut [u8]) -> Result<(&mut Self, &mut [u8]), Corrupt> {
        head_mut(block, Structure::Dinode, data)
    }

    /// Sets the counters of an allocator inode: `i_used` and `i_total`.
    pub fn set_bitmap_usage(&mut self, usage: BitmapUsage) {
        self.id1 = [U32::new(usage.used), U32::new(usage.total)];
    }
}
const _: () = assert!(std::mem::offset_of!(RawDinode, check) == RawDinode::CHECK_OFFSET);

bitflags! {
    /// `i_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct DinodeFlags: u32 {
        /// In use; cleared when the inode is freed.
        const VALID = 0x0001;
        /// Listed in an orphan directory.
        const ORPHANED = 0x0004;
        /// A system file, or the root or system directory.
        const SYSTEM = 0x0010;
        /// The superblock.
        const SUPER_BLOCK = 0x0020;
        /// A slot's local allocation window.
        const LOCAL_ALLOC = 0x0040;
        /// An allocation bitmap.
        const BITMAP = 0x0080;
        /// A journal.
        const JOURNAL = 0x0100;
        /// The heartbeat file.
        const HEARTBEAT = 0x0200;
        /// The body is a chain list.
        const CHAIN = 0x0400;
        /// A truncate log.
        const DEALLOC = 0x0800;
        /// A quota file.
        const QUOTA = 0x1000;
        /// A `dio-` entry exists in an orphan directory.
        const DIO_ORPHANED = 0x2000;
        const _ = !0;
    }

    /// `i_dyn_features`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct DynFeatures: u16 {
        /// Data in the dinode.
        const INLINE_DATA = 0x0001;
        /// Extended attributes in some place.
        const HAS_XATTR = 0x0002;
        /// An xattr area at the end of the dinode.
        const INLINE_XATTR = 0x0004;
        /// A directory with an index.
        const INDEXED_DIR = 0x0008;
        /// Attached to a refcount tree.
        const HAS_REFCOUNT = 0x0010;
        const _ = !0;
    }
}

/// A time as inodes keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds, below 10^9.
    pub nanos: u32,
}

/// State of a journal, kept in its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalState {
    /// The slot is in use or crashed: the log must be replayed by whoever finds its owner dead.
    pub dirty: bool,
    /// `ij_recovery_generation`: grows with every replay.
    pub recovery_generation: u32,
}

/// Counters of an allocator inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapUsage {
    /// `i_used`: bits set.
    pub used: u32,
    /// `i_total`: all bits.
    pub total: u32,
}

/// A checked dinode, all but its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dinode {
    /// Its block: the inode number.
    pub block: BlockNum,
    /// `i_generation`: of this inode, for file handles and lock names.
    pub generation: u32,
    /// Which allocator it came from.
    pub suballoc: Suballoc,
    /// Clusters in the tree of the body. Xattr and directory index clusters are not counted.
    pub clusters: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Type and permissions.
    pub mode: u16,
    /// Type, from the mode.
    pub file_type: FileType,
    /// Names of this inode; for a directory 2 and its subdirectories.
    pub links: u32,
    /// Flags.
    pub flags: DinodeFlags,
    /// Dynamic features.
    pub dyn_features: DynFeatures,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Last change of the data.
    pub mtime: Timestamp,
    /// Rightmost leaf of the tree of the body.
    pub last_leaf: Option<BlockNum>,
    /// File attributes as FS_IOC_GETFLAGS numbers them.
    pub attr: u32,
    /// Slot of the orphan directory that lists it.
    pub orphaned_slot: Option<u16>,
    /// Slot of the orphan directory with its `dio-` entry.
    pub dio_orphaned_slot: Option<u16>,
    /// Bytes of the inline xattr area at the end of the block; 0 = none.
    pub inline_xattr_len: u16,
    /// Xattr block.
    pub xattr_block: Option<BlockNum>,
    /// Root of the directory index.
    pub dx_root: Option<BlockNum>,
    /// Root of the refcount tree.
    pub refcount_root: Option<BlockNum>,
    id1: [u32; 2],
}

impl Dinode {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"INODE01\0";

    /// Checks the dinode in block `block` and its body.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails; [`Check::NotValid`] when it merely is a freed inode.
    /// The caller has verified the ECC.
    pub fn parse<'a>(volume: &Volume, block: BlockNum, data: &'a [u8]) -> Result<(Self, Body<'a>), Corrupt> {
        let input = Input::new(volume, block, Structure::Dinode, data)?;
        let raw: &RawDinode = input.at(0)?;
        input.signature(raw.signature, Self::SIGNATURE)?;
        input.self_block("i_blkno", raw.blkno.get())?;
        input.generation("i_fs_generation", raw.fs_generation.get())?;
        let flags = DinodeFlags::from_bits_retain(raw.flags.get());
        input.ensure(flags.contains(DinodeFlags::VALID), Check::NotValid { flags: flags.bits() })?;
        let dtime = raw.dtime.get();
        input.ensure(dtime == 0, Check::DeletedInUse { dtime })?;
        let this = Self::parse_fields(&input, raw, flags)?;
        let body = Body::parse(&input, &this)?;
        Ok((this, body))
    }

    fn parse_fields(input: &Input<'_, '_>, raw: &RawDinode, flags: DinodeFlags) -> Result<Self, Corrupt> {
        let mode = raw.mode.get();
        let Some(file_type) = FileType::from_mode(mode) else {
            return input.fail(Check::FileType { mode });
        };
        let features = DynFeatures::from_bits_retain(raw.dyn_features.get());
        check_features(input, features)?;
        let indexed = features.contains(DynFeatures::INDEXED_DIR);
        let links_hi = if indexed { u32::from(raw.links_count_hi.get()) } else { 0 };
        let flagged = |flag, field, found| -> Result<Option<BlockNum>, Corrupt> {
            if !features.contains(flag) {
                return Ok(None); // what the field holds then means nothing
            }
            input.pointer(field, found)
        };
        let this = Self {
            block: input.block,
            generation: raw.generation.get(),
            suballoc: Suballoc::parse(input, raw.suballoc_slot, raw.suballoc_bit, raw.suballoc_loc)?,
            clusters: raw.clusters.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            size: raw.size.get(),
            mode,
            file_type,
            links: links_hi.wrapping_shl(16) | u32::from(raw.links_count.get()),
            flags,
            dyn_features: features,
            atime: timestamp(input, "i_atime_nsec", raw.atime, raw.atime_nsec)?,
            ctime: timestamp(input, "i_ctime_nsec", raw.ctime, raw.ctime_nsec)?,
            mtime: timestamp(input, "i_mtime_nsec", raw.mtime, raw.mtime_nsec)?,
            last_leaf: input.pointer("i_last_eb_blk", raw.last_eb_blk.get())?,
            attr: raw.attr.get(),
            orphaned_slot: flags.contains(DinodeFlags::ORPHANED).then_some(raw.orphaned_slot.get()),
            dio_orphaned_slot: flags
                .contains(DinodeFlags::DIO_ORPHANED)
                .then_some(raw.dio_orphaned_slot.get()),
            inline_xattr_len: inline_xattr_len(input, features, raw.xattr_inline_size.get())?,
            xattr_block: flagged(DynFeatures::HAS_XATTR, "i_xattr_loc", raw.xattr_loc.get())?,
            dx_root: flagged(DynFeatures::INDEXED_DIR, "i_dx_root", raw.dx_root.get())?,
            refcount_root: flagged(DynFeatures::HAS_REFCOUNT, "i_refcount_loc", raw.refcount_loc.get())?,
            id1: raw.id1.map(U32::get),
        };
        for (flag, name, field, pointer) in [
            (DynFeatures::INDEXED_DIR, "INDEXED_DIR", "i_dx_root", this.dx_root),
            (DynFeatures::HAS_REFCOUNT, "HAS_REFCOUNT", "i_refcount_loc", this.refcount_root),
        ] {
            let what = Check::FlagWithoutPointer { flags: features.bits(), flag: name, field };
            input.ensure(!features.contains(flag) || pointer.is_some(), what)?;
        }
        let (size, max) = (this.size, input.volume.geometry.max_file_size());
        input.ensure(size <= max, Check::FileSize { size, max })?;
        Ok(this)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// Whether the blocks of this directory end in trailers, as the kernel decides it.
    #[must_use]
    pub fn has_dir_trailers(&self, volume: &Volume) -> bool {
        let inline = self.dyn_features.contains(DynFeatures::INLINE_DATA);
        self.is_dir() && !inline && (volume.features.meta_ecc() || self.dx_root.is_some())
    }

    /// Device number as `(major, minor)`; meaningful for character and block devices.
    #[must_use]
    pub fn rdev(&self) -> (u32, u32) {
        let [dev, _] = self.id1;
        let major = dev.wrapping_shr(8) & 0xfff;
        let minor = (dev & 0xff) | (dev.wrapping_shr(12) & 0xf_ff00);
        (major, minor)
    }

    /// Journal flags of a journal inode.
    #[must_use]
    pub fn journal(&self) -> Option<JournalState> {
        let [flags, recovery_generation] = self.id1;
        self.flags
            .contains(DinodeFlags::JOURNAL)
            .then_some(JournalState { dirty: flags & 1 != 0, recovery_generation })
    }

    /// Counters of an allocator inode (chains or local window).
    #[must_use]
    pub fn bitmap_usage(&self) -> Option<BitmapUsage> {
        let [used, total] = self.id1;
        self.flags.contains(DinodeFlags::BITMAP).then_some(BitmapUsage { used, total })
    }
}

fn timestamp(
    input: &Input<'_, '_>,
    field: &'static str,
    seconds: U64,
    nanos: U32,
) -> Result<Timestamp, Corrupt> {
    let nanos = nanos.get();
    input.count(field, nanos, 999_999_999)?;
    Ok(Timestamp { seconds: seconds.get().cast_signed(), nanos })
}

fn check_features(input: &Input<'_, '_>, features: DynFeatures) -> Result<(), Corrupt> {
    let needs = [
        (DynFeatures::INLINE_DATA, "INLINE_DATA", Incompat::INLINE_DATA, "inline-data"),
        (DynFeatures::HAS_XATTR, "HAS_XATTR", Incompat::XATTR, "xattr"),
        (DynFeatures::INLINE_XATTR, "INLINE_XATTR", Incompat::XATTR, "xattr"),
        (DynFeatures::INDEXED_DIR, "INDEXED_DIR", Incompat::INDEXED_DIRS, "indexed-dirs"),
        (DynFeatures::HAS_REFCOUNT, "HAS_REFCOUNT", Incompat::REFCOUNT_TREE, "refcount"),
    ];
    for (bit, flag, needed, feature) in needs {
        let ok = !features.contains(bit) || input.volume.has(needed);
        input.ensure(ok, Check::FlagWithoutFeature { flags: features.bits(), flag, feature })?;
    }
    Ok(())
}

/// Checks the size of the inline xattr area: it must leave room for the smallest body.
fn inline_xattr_len(input: &Input<'_, '_>, features: DynFeatures, found: u16) -> Result<u16, Corrupt> {
    if !features.contains(DynFeatures::INLINE_XATTR) {
        return Ok(0);
    }
    let block_size = input.volume.geometry.block_size;
    let fits = (16..=block_size.room(0xd0, 1)).contains(&usize::from(found)) && found.is_multiple_of(16);
    input.ensure(fits, Check::InlineXattrSize { found, block_size: block_size.bytes() })?;
    Ok(found)
}

#[cfg(test)]
mod tests;
