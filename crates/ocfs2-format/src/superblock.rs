//! The superblock: a dinode in block 2 with its own signature and body.

use std::fmt;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::dinode::{DinodeFlags, RawDinode};
use crate::ecc::{self, Verdict};
use crate::error::{Check, Corrupt, Structure};
use crate::features::{Access, Compat, Features, Incompat, Refused, RoCompat};
use crate::geometry::Geometry;
use crate::raw::{Input, layout};
use crate::suballoc::Suballoc;
use crate::units::{BlockNum, BlockSize, ClusterSize, Clusters};
use crate::uuid::Uuid;
use crate::volume::Volume;

/// Body of the superblock as it lies on disk at byte 0xC0 (`struct ocfs2_super_block`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawSuperblock {
    /// `s_major_rev_level`: 0.
    pub major_rev_level: U16,
    /// `s_minor_rev_level`: 90.
    pub minor_rev_level: U16,
    /// `s_mnt_count`: not used by the kernel.
    pub mnt_count: U16,
    /// `s_max_mnt_count`: fsck after so many mounts.
    pub max_mnt_count: U16,
    /// `s_state`: bit 0 = errors seen.
    pub state: U16,
    /// `s_errors`.
    pub errors: U16,
    /// `s_checkinterval`: seconds between checks, 0 = never.
    pub checkinterval: U32,
    /// `s_lastcheck`: Unix seconds.
    pub lastcheck: U64,
    /// `s_creator_os`: 0 = Linux.
    pub creator_os: U32,
    /// `s_feature_compat`.
    pub feature_compat: U32,
    /// `s_feature_incompat`.
    pub feature_incompat: U32,
    /// `s_feature_ro_compat`.
    pub feature_ro_compat: U32,
    /// `s_root_blkno`.
    pub root_blkno: U64,
    /// `s_system_dir_blkno`.
    pub system_dir_blkno: U64,
    /// `s_blocksize_bits`.
    pub blocksize_bits: U32,
    /// `s_clustersize_bits`.
    pub clustersize_bits: U32,
    /// `s_max_slots`.
    pub max_slots: U16,
    /// `s_tunefs_flag`: what an interrupted tunefs was doing.
    pub tunefs_flag: U16,
    /// `s_uuid_hash`.
    pub uuid_hash: U32,
    /// `s_first_cluster_group`.
    pub first_cluster_group: U64,
    /// `s_label`, NUL padded.
    pub label: [u8; 64],
    /// `s_uuid`.
    pub uuid: [u8; 16],
    /// `ci_stack`.
    pub cluster_stack: [u8; 4],
    /// `ci_stackflags`: bit 0 = global heartbeat.
    pub cluster_flags: u8,
    /// Reserved.
    pub reserved1: [u8; 3],
    /// `ci_cluster`, NUL padded, may fill all 16 bytes.
    pub cluster_name: [u8; 16],
    /// `s_xattr_inline_size`.
    pub xattr_inline_size: U16,
    /// Reserved.
    pub reserved2: U16,
    /// `s_dx_seed`; `s_uuid_hash` is the fourth word.
    pub dx_seed: [U32; 3],
    /// Reserved, to byte 0x200 of the block.
    pub reserved3: [u8; 120],
}
layout!(RawSuperblock, 0x140, {
    feature_compat: 0xdc - 0xc0, root_blkno: 0xe8 - 0xc0, blocksize_bits: 0xf8 - 0xc0, max_slots: 0x100 - 0xc0,
    uuid_hash: 0x104 - 0xc0, label: 0x110 - 0xc0, uuid: 0x150 - 0xc0, cluster_stack: 0x160 - 0xc0,
    cluster_name: 0x168 - 0xc0, xattr_inline_size: 0x178 - 0xc0, dx_seed: 0x17c - 0xc0, reserved3: 0x188 - 0xc0,
});

/// Cluster stack and name stored in the superblock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClusterInfo {
    stack: [u8; 4],
    /// Whether o2cb's heartbeat runs on devices of its own (`ci_stackflags` bit 0).
    pub global_heartbeat: bool,
    name: [u8; 16],
}

impl ClusterInfo {
    /// `None` where the stack's name has not 4 bytes, or the cluster's has none or more than 16.
    #[must_use]
    pub fn new(stack: &[u8], name: &[u8], global_heartbeat: bool) -> Option<Self> {
        let mut padded = [0; 16];
        padded.get_mut(..name.len()).filter(|field| !field.is_empty())?.copy_from_slice(name);
        Some(Self { stack: stack.try_into().ok()?, global_heartbeat, name: padded })
    }

    /// Name of the stack, such as `o2cb` or `pcmk`.
    #[must_use]
    pub fn stack(&self) -> &[u8] {
        until_nul(&self.stack)
    }

    /// Name of the cluster, up to 16 bytes.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        until_nul(&self.name)
    }
}

impl fmt::Debug for ClusterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stack, name) = (self.stack().escape_ascii(), self.name().escape_ascii());
        write!(f, "ClusterInfo({stack}/{name}, global_heartbeat: {})", self.global_heartbeat)
    }
}

/// A checked superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Sizes of the volume.
    pub geometry: Geometry,
    /// Feature words. See [`Features::access`].
    pub features: Features,
    /// Dinode of the root directory.
    pub root: BlockNum,
    /// Dinode of the system directory.
    pub system_dir: BlockNum,
    /// Descriptor of cluster group 0.
    pub first_cluster_group: BlockNum,
    /// Node slots, 1 to 255.
    pub max_slots: u16,
    /// `i_fs_generation`.
    pub fs_generation: u32,
    /// Identity of the volume.
    pub uuid: Uuid,
    /// `s_uuid_hash`: seed of the xattr hash, and part of the directory hash's. 0 without those features.
    pub uuid_hash: u32,
    /// `s_dx_seed`.
    pub dx_seed: [u32; 3],
    /// Label bytes, NUL padded.
    pub label_raw: [u8; 64],
    /// Stack and name of the cluster, where the volume says.
    pub cluster: Option<ClusterInfo>,
    /// `s_xattr_inline_size`: bytes of an inline xattr area; 0 without xattrs.
    pub xattr_inline_size: u16,
    /// `s_state` bit 0: somebody saw errors on this volume.
    pub errors_seen: bool,
    /// `s_tunefs_flag`.
    pub tunefs_flag: u16,
    /// `s_lastcheck`, Unix seconds.
    pub last_check: u64,
    /// `s_checkinterval`, seconds.
    pub check_interval: u32,
    /// `s_mnt_count` and `s_max_mnt_count`.
    pub mount_counts: (u16, u16),
    /// When the volume was made, Unix seconds (`i_ctime`).
    pub made: u64,
}

/// What [`Superblock::probe`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The superblock.
    pub superblock: Superblock,
    /// Whether ECC had to repair one bit of it in memory.
    pub repaired: bool,
}

/// Why no superblock was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// No superblock signature where any block size would have it.
    #[error("not an OCFS2 volume: no superblock at bytes 1024, 2048, 4096 or 8192")]
    NotOcfs2,
    /// OCFS version 1.
    #[error("the volume is OCFS version 1, not OCFS2")]
    Ocfs1,
    /// No superblock at a backup's place.
    #[error("no backup superblock at byte {offset}")]
    NoBackup {
        /// Byte offset looked at.
        offset: u64,
    },
    /// A signature was found, but the superblock does not check.
    #[error("superblock damaged: {0}")]
    Corrupt(#[from] Corrupt),
}

impl ProbeError {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Corrupt(_) => Some("a backup superblock may be good: bytes 1 GiB, 4 GiB, 16 GiB, …"),
            _ => None,
        }
    }
}

impl Superblock {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"OCFSV2\0\0";
    /// The bytes of it that the kernel looks at.
    const SIGNED: &[u8] = b"OCFSV2";
    /// Block of the primary copy.
    pub const BLOCK: BlockNum = BlockNum(2);
    /// Bytes from the start of the volume that [`Self::probe`] wants to see.
    pub const PROBE_LEN: usize = 3 * 4096;
    /// Byte offsets of the backup copies (feature `backup-super`), each existing where the volume reaches it.
    pub const BACKUP_OFFSETS: [u64; 6] = [1 << 30, 1 << 32, 1 << 34, 1 << 36, 1 << 38, 1 << 40];

    /// Looks for the superblock with every block size, ascending from `smallest`
    /// (the device's logical block size), in the first [`Self::PROBE_LEN`] bytes of the volume.
    ///
    /// A short `head` is a short volume.
    ///
    /// # Errors
    /// [`ProbeError`]; where several block sizes show a signature, the first error.
    pub fn probe(head: &[u8], smallest: BlockSize) -> Result<Probed, ProbeError> {
        let mut first_error = None;
        for size in BlockSize::ALL.into_iter().filter(|&size| size >= smallest) {
            let start = size.len().saturating_mul(2);
            let Some(data) = head.get(start..) else { continue };
            if !data.starts_with(Self::SIGNED) {
                continue;
            }
            match Self::parse_with_ecc(size, Self::BLOCK, data) {
                Ok(probed) => return Ok(probed),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        if let Some(corrupt) = first_error {
            return Err(corrupt.into());
        }
        let v1 = head.get(8..).is_some_and(|head| head.starts_with(b"OracleCFS"));
        Err(if v1 { ProbeError::Ocfs1 } else { ProbeError::NotOcfs2 })
    }

    /// Reads a backup copy: `data` are 4096 bytes (fewer at the volume's end) from `offset`, one of [`Self::BACKUP_OFFSETS`].
    ///
    /// # Errors
    /// [`ProbeError::NoBackup`] or [`ProbeError::Corrupt`].
    pub fn probe_backup(offset: u64, data: &[u8]) -> Result<Probed, ProbeError> {
        if !data.starts_with(Self::SIGNED) {
            return Err(ProbeError::NoBackup { offset });
        }
        let mut first_error = None;
        for size in BlockSize::ALL {
            let block = BlockNum(offset.wrapping_shr(size.bits()));
            match Self::parse_with_ecc(size, block, data) {
                Ok(probed) => return Ok(probed),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.map_or(ProbeError::NoBackup { offset }, ProbeError::from))
    }

    fn parse_with_ecc(size: BlockSize, block: BlockNum, data: &[u8]) -> Result<Probed, Corrupt> {
        let Some(data) = data.get(..size.len()) else {
            let what = Check::Short { structure: Structure::Superblock, len: data.len(), want: size.len() };
            return Err(Corrupt { block, what });
        };
        let mut data = data.to_vec(); // at most 4096 bytes
        let mut repaired = false;
        // The feature word is not yet to be trusted, but it is all there is to say whether a check exists.
        if body(block, &data)?.feature_incompat.get() & Incompat::META_ECC.bits() != 0 {
            match ecc::verify(&mut data, RawDinode::CHECK_OFFSET) {
                Verdict::Good => {}
                Verdict::Repaired { .. } => repaired = true,
                Verdict::Bad { stored, computed } => {
                    let structure = Structure::Superblock;
                    return Err(Corrupt { block, what: Check::Ecc { structure, stored, computed } });
                }
            }
        }
        let superblock = Self::parse(size, block, &data)?;
        Ok(Probed { superblock, repaired })
    }

    /// Checks a superblock at `block` of a volume with blocks of `size`. The ECC is not looked at.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The feature words are not judged: see [`Self::access`].
    pub fn parse(size: BlockSize, block: BlockNum, data: &[u8]) -> Result<Self, Corrupt> {
        let dinode = dinode(block, data)?;
        let raw = body(block, data)?;
        let geometry = geometry(size, dinode, raw).map_err(|what| Corrupt { block, what })?;
        let features = Features {
            compat: Compat::from_bits_retain(raw.feature_compat.get()),
            incompat: Incompat::from_bits_retain(raw.feature_incompat.get()),
            ro_compat: RoCompat::from_bits_retain(raw.feature_ro_compat.get()),
        };
        let this = Self {
            geometry,
            features,
            root: BlockNum(raw.root_blkno.get()),
            system_dir: BlockNum(raw.system_dir_blkno.get()),
            first_cluster_group: BlockNum(raw.first_cluster_group.get()),
            max_slots: raw.max_slots.get(),
            fs_generation: dinode.fs_generation.get(),
            uuid: Uuid(raw.uuid),
            uuid_hash: raw.uuid_hash.get(),
            dx_seed: raw.dx_seed.map(U32::get),
            label_raw: raw.label,
            cluster: features.cluster_info().then_some(ClusterInfo {
                stack: raw.cluster_stack,
                global_heartbeat: raw.cluster_flags & 1 != 0,
                name: raw.cluster_name,
            }),
            xattr_inline_size: raw.xattr_inline_size.get(),
            errors_seen: raw.state.get() & 1 != 0,
            tunefs_flag: raw.tunefs_flag.get(),
            last_check: raw.lastcheck.get(),
            check_interval: raw.checkinterval.get(),
            mount_counts: (raw.mnt_count.get(), raw.max_mnt_count.get()),
            made: dinode.ctime.get(),
        };
        this.check_pointers(block, data, dinode)?;
        Ok(this)
    }

    fn check_pointers(&self, block: BlockNum, data: &[u8], dinode: &RawDinode) -> Result<(), Corrupt> {
        let volume = self.volume();
        let input = Input::new(&volume, block, Structure::Superblock, data)?;
        input.self_block("i_blkno", dinode.blkno.get())?;
        let pointers = [
            ("s_root_blkno", self.root),
            ("s_system_dir_blkno", self.system_dir),
            ("s_first_cluster_group", self.first_cluster_group),
        ];
        for (field, pointer) in pointers {
            // A heartbeat device has no root directory; it is refused for what it is, not for this.
            if pointer.0 == 0 && !self.features.incompat.contains(Incompat::HEARTBEAT_DEV) {
                return input.fail(Check::PointerRange { structure: Structure::Superblock, field, found: 0 });
            }
            input.pointer(field, pointer.0)?;
        }
        Ok(())
    }

    /// The block that says this, at `block`: [`Self::BLOCK`], or a backup's place. It is not sealed.
    #[must_use]
    pub fn encode(&self, block: BlockNum) -> Vec<u8> {
        let flags = DinodeFlags::VALID | DinodeFlags::SYSTEM | DinodeFlags::SUPER_BLOCK;
        let suballoc = Suballoc { slot: Suballoc::GLOBAL, bit: u16::MAX, group: None };
        let dinode = RawDinode {
            signature: Self::SIGNATURE,
            clusters: U32::new(self.geometry.clusters.0),
            flags: U32::new(flags.bits()),
            ctime: U64::new(self.made),
            mtime: U64::new(self.made),
            ..RawDinode::new(&self.volume(), block, suballoc)
        };
        let mut data = Vec::with_capacity(self.geometry.block_size.len());
        data.extend_from_slice(dinode.as_bytes());
        data.extend_from_slice(self.encode_body().as_bytes());
        data.resize(self.geometry.block_size.len(), 0);
        data
    }

    fn encode_body(&self) -> RawSuperblock {
        let cluster = self.cluster;
        let (mnt_count, max_mnt_count) = self.mount_counts;
        RawSuperblock {
            minor_rev_level: U16::new(90),
            mnt_count: U16::new(mnt_count),
            max_mnt_count: U16::new(max_mnt_count),
            state: U16::new(u16::from(self.errors_seen)),
            checkinterval: U32::new(self.check_interval),
            lastcheck: U64::new(self.last_check),
            feature_compat: U32::new(self.features.compat.bits()),
            feature_incompat: U32::new(self.features.incompat.bits()),
            feature_ro_compat: U32::new(self.features.ro_compat.bits()),
            root_blkno: U64::new(self.root.0),
            system_dir_blkno: U64::new(self.system_dir.0),
            blocksize_bits: U32::new(self.geometry.block_size.bits()),
            clustersize_bits: U32::new(self.geometry.cluster_size.bits()),
            max_slots: U16::new(self.max_slots),
            tunefs_flag: U16::new(self.tunefs_flag),
            uuid_hash: U32::new(self.uuid_hash),
            first_cluster_group: U64::new(self.first_cluster_group.0),
            label: self.label_raw,
            uuid: self.uuid.0,
            cluster_stack: cluster.map_or([0; 4], |cluster| cluster.stack),
            cluster_flags: cluster.map_or(0, |cluster| u8::from(cluster.global_heartbeat)),
            cluster_name: cluster.map_or([0; 16], |cluster| cluster.name),
            xattr_inline_size: U16::new(self.xattr_inline_size),
            dx_seed: self.dx_seed.map(U32::new),
            ..zerocopy::FromZeros::new_zeroed()
        }
    }

    /// Judges the feature words: [`Features::access`].
    ///
    /// # Errors
    /// [`Refused`] when the volume must not even be read.
    pub fn access(&self) -> Result<Access, Refused> {
        self.features.access()
    }

    /// The context for parsing every other block.
    #[must_use]
    pub fn volume(&self) -> Volume {
        let [a, b, c] = self.dx_seed;
        Volume {
            geometry: self.geometry,
            fs_generation: self.fs_generation,
            features: self.features,
            max_slots: self.max_slots,
            dx_seed: [a, b, c, self.uuid_hash],
            uuid_hash: self.uuid_hash,
        }
    }

    /// The label, up to 64 bytes, mostly UTF-8.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        until_nul(&self.label_raw)
    }

    /// Blocks where the backup copies of this volume lie; none without the feature.
    pub fn backups(&self) -> impl Iterator<Item = BlockNum> + use<> {
        let (geometry, on) = (self.geometry, self.features.compat.contains(Compat::BACKUP_SB));
        Self::BACKUP_OFFSETS
            .into_iter()
            .map(move |offset| BlockNum(offset.wrapping_shr(geometry.block_size.bits())))
            .filter(move |&block| on && geometry.contains(block))
    }
}

fn dinode(block: BlockNum, data: &[u8]) -> Result<&RawDinode, Corrupt> {
    let (structure, want) = (Structure::Superblock, size_of::<RawDinode>());
    let short = Corrupt { block, what: Check::Short { structure, len: data.len(), want } };
    let (raw, _) = RawDinode::ref_from_prefix(data).map_err(|_| short)?;
    if raw.signature.starts_with(Superblock::SIGNED) {
        return Ok(raw);
    }
    let (found, expected) = (crate::Signature(raw.signature), crate::Signature(Superblock::SIGNATURE));
    Err(Corrupt { block, what: Check::Signature { structure, found, expected } })
}

fn body(block: BlockNum, data: &[u8]) -> Result<&RawSuperblock, Corrupt> {
    let (structure, want) = (Structure::Superblock, 0x200);
    let short = Corrupt { block, what: Check::Short { structure, len: data.len(), want } };
    let tail = data.get(size_of::<RawDinode>()..).ok_or(short)?;
    RawSuperblock::ref_from_prefix(tail).map(|(raw, _)| raw).map_err(|_| short)
}

/// Checks revision, sizes and counts.
fn geometry(size: BlockSize, dinode: &RawDinode, raw: &RawSuperblock) -> Result<Geometry, Check> {
    let (major, minor) = (raw.major_rev_level.get(), raw.minor_rev_level.get());
    if (major, minor) != (0, 90) {
        return Err(Check::Revision { major, minor });
    }
    let found = raw.blocksize_bits.get();
    if BlockSize::from_bits(found) != Some(size) {
        return Err(Check::BlockSizeBits { found, expected: size.bits() });
    }
    let found = raw.clustersize_bits.get();
    let Some(cluster_size) = ClusterSize::from_bits(found) else {
        return Err(Check::ClusterSizeBits { found });
    };
    let found = raw.max_slots.get();
    // A heartbeat device has no slots; it is refused for what it is, not for this.
    let heartbeat = raw.feature_incompat.get() & Incompat::HEARTBEAT_DEV.bits() != 0;
    if !(1..=255).contains(&found) && !heartbeat {
        return Err(Check::MaxSlots { found });
    }
    let found = raw.xattr_inline_size.get();
    if usize::from(found) > size.room(0xd0, 1) {
        return Err(Check::XattrInlineSize { found, block_size: size.bytes() });
    }
    match Clusters(dinode.clusters.get()) {
        Clusters(0) => Err(Check::NoClusters),
        clusters => Ok(Geometry { block_size: size, cluster_size, clusters }),
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

#[cfg(test)]
mod tests;
