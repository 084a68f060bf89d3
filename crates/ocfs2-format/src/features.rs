//! Feature words of the superblock, under the names that `mkfs.ocfs2` gives them.

use bitflags::bitflags;

bitflags! {
    /// `s_feature_compat`: unknown bits do no harm.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Compat: u32 {
        /// Copies of the superblock exist at 1 GiB, 4 GiB, ….
        const BACKUP_SB = 0x0001;
        /// Journal superblocks carry valid feature words.
        const JBD2_SB = 0x0002;
        const _ = !0;
    }

    /// `s_feature_incompat`: an unknown bit means that nothing here can be trusted to read right.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Incompat: u32 {
        /// A heartbeat-only device, no file system.
        const HEARTBEAT_DEV = 0x0002;
        /// An interrupted resize.
        const RESIZE_INPROG = 0x0004;
        /// One host only, no cluster stack.
        const LOCAL_MOUNT = 0x0008;
        /// Files may have holes.
        const SPARSE_ALLOC = 0x0010;
        /// An interrupted `tunefs.ocfs2`.
        const TUNEFS_INPROG = 0x0020;
        /// Small files and directories live in their dinode.
        const INLINE_DATA = 0x0040;
        /// The cluster stack is the one named in the superblock, not o2cb.
        const USERSPACE_STACK = 0x0080;
        /// Slot map entries of 8 bytes.
        const EXTENDED_SLOT_MAP = 0x0100;
        /// Extended attributes.
        const XATTR = 0x0200;
        /// Directories have a hash index.
        const INDEXED_DIRS = 0x0400;
        /// CRC and ECC on all metadata.
        const META_ECC = 0x0800;
        /// Files may share extents.
        const REFCOUNT_TREE = 0x1000;
        /// Suballocator groups may consist of several extents.
        const DISCONTIG_BG = 0x2000;
        /// The cluster information in the superblock is valid for any stack.
        const CLUSTERINFO = 0x4000;
        /// Appending direct writes leave `dio-` entries in the orphan directory.
        const APPEND_DIO = 0x8000;
        const _ = !0;
    }

    /// `s_feature_ro_compat`: with an unknown bit the volume may be read, not written.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RoCompat: u32 {
        /// Extents may be allocated yet read as zeroes.
        const UNWRITTEN = 0x0001;
        /// User quota.
        const USRQUOTA = 0x0002;
        /// Group quota.
        const GRPQUOTA = 0x0004;
        const _ = !0;
    }
}

/// Names of the bits, as the tools print them.
const COMPAT_NAMES: [(u32, &str); 2] = [(0x0001, "backup-super"), (0x0002, "strict-journal-super")];
const INCOMPAT_NAMES: [(u32, &str); 15] = [
    (0x0002, "heartbeat-dev"),
    (0x0004, "resize-inprog"),
    (0x0008, "local"),
    (0x0010, "sparse"),
    (0x0020, "tunefs-inprog"),
    (0x0040, "inline-data"),
    (0x0080, "userspace-stack"),
    (0x0100, "extended-slotmap"),
    (0x0200, "xattr"),
    (0x0400, "indexed-dirs"),
    (0x0800, "metaecc"),
    (0x1000, "refcount"),
    (0x2000, "discontig-bg"),
    (0x4000, "clusterinfo"),
    (0x8000, "append-dio"),
];
const RO_COMPAT_NAMES: [(u32, &str); 3] = [(0x0001, "unwritten"), (0x0002, "usrquota"), (0x0004, "grpquota")];

/// The three feature words of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// Bits that a reader or writer may ignore.
    pub compat: Compat,
    /// Bits that a reader must know.
    pub incompat: Incompat,
    /// Bits that a writer must know.
    pub ro_compat: RoCompat,
}

/// What the feature words allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All features are known.
    ReadWrite,
    /// Some `ro_compat` bits are not known: reading is right, writing would break them.
    ReadOnly {
        /// The unknown bits.
        unknown_ro_compat: u32,
    },
}

/// Why the feature words forbid any use of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A bit that this program does not know.
    #[error(
        "the volume has incompatible features this program does not know: bits {bits:#x} of s_feature_incompat"
    )]
    UnknownIncompat {
        /// The unknown bits.
        bits: u32,
    },
    /// A device made with `mkfs.ocfs2 -H`.
    #[error("the volume is a heartbeat device (feature heartbeat-dev) and holds no file system")]
    HeartbeatDevice,
    /// `tunefs.ocfs2` or an online resize stopped half-way.
    #[error("an operation on the volume was interrupted (feature {feature})")]
    Interrupted {
        /// `resize-inprog` or `tunefs-inprog`.
        feature: &'static str,
    },
}

impl Refused {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownIncompat { .. } => Some("a newer version of this program may know them"),
            Self::HeartbeatDevice => None,
            Self::Interrupted { .. } => Some("let fsck.ocfs2 or tunefs.ocfs2 finish it first"),
        }
    }
}

impl Features {
    /// Judges the feature words before anything else on the volume is used.
    ///
    /// # Errors
    /// [`Refused`] when even reading would be wrong.
    pub fn access(&self) -> Result<Access, Refused> {
        let known = known_bits(&INCOMPAT_NAMES);
        let unknown = self.incompat.bits() & !known;
        if unknown != 0 {
            return Err(Refused::UnknownIncompat { bits: unknown });
        }
        if self.incompat.contains(Incompat::HEARTBEAT_DEV) {
            return Err(Refused::HeartbeatDevice);
        }
        for (bit, feature) in
            [(Incompat::RESIZE_INPROG, "resize-inprog"), (Incompat::TUNEFS_INPROG, "tunefs-inprog")]
        {
            if self.incompat.contains(bit) {
                return Err(Refused::Interrupted { feature });
            }
        }
        let unknown_ro_compat = self.ro_compat.bits() & !known_bits(&RO_COMPAT_NAMES);
        if unknown_ro_compat != 0 {
            return Ok(Access::ReadOnly { unknown_ro_compat });
        }
        Ok(Access::ReadWrite)
    }

    /// Names of the known bits set: compat, incompat, ro_compat, each by ascending bit.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let words = [
            (self.compat.bits(), &COMPAT_NAMES[..]),
            (self.incompat.bits(), &INCOMPAT_NAMES[..]),
            (self.ro_compat.bits(), &RO_COMPAT_NAMES[..]),
        ];
        words.into_iter().flat_map(|(word, names)| {
            names.iter().filter(move |(bit, _)| word & bit != 0).map(|&(_, name)| name)
        })
    }

    /// Whether metadata carries checksums (`metaecc`).
    #[must_use]
    pub fn meta_ecc(&self) -> bool {
        self.incompat.contains(Incompat::META_ECC)
    }

    /// Whether files may have holes (`sparse`).
    #[must_use]
    pub fn sparse(&self) -> bool {
        self.incompat.contains(Incompat::SPARSE_ALLOC)
    }

    /// Whether `s_cluster_info` is valid.
    #[must_use]
    pub fn cluster_info(&self) -> bool {
        self.incompat.intersects(Incompat::USERSPACE_STACK | Incompat::CLUSTERINFO)
    }
}

fn known_bits(names: &[(u32, &str)]) -> u32 {
    names.iter().fold(0, |known, (bit, _)| known | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(incompat: u32, ro_compat: u32) -> Features {
        Features {
            compat: Compat::from_bits_retain(0xffff_0003),
            incompat: Incompat::from_bits_retain(incompat),
            ro_compat: RoCompat::from_bits_retain(ro_compat),
        }
    }

    #[test]
    fn every_feature_level_of_mkfs_is_read_write() {
        for (incompat, ro) in [(0, 0), (0xb750, 1), (0xbf50, 7), (0xf750, 1), (0xb7d0, 1), (0xb758, 1)] {
            assert_eq!(with(incompat, ro).access(), Ok(Access::ReadWrite));
        }
    }

    #[test]
    fn unknown_and_unfinished_features_are_refused_by_name() {
        let unknown = with(0x1_b750, 1).access();
        assert_eq!(unknown, Err(Refused::UnknownIncompat { bits: 0x1_0000 }));
        assert_eq!(with(1, 0).access(), Err(Refused::UnknownIncompat { bits: 1 }));
        assert_eq!(with(2, 0).access(), Err(Refused::HeartbeatDevice));
        assert_eq!(with(0xb754, 1).access(), Err(Refused::Interrupted { feature: "resize-inprog" }));
        assert_eq!(with(0xb770, 1).access(), Err(Refused::Interrupted { feature: "tunefs-inprog" }));
        assert_eq!(with(0xb750, 9).access(), Ok(Access::ReadOnly { unknown_ro_compat: 8 }));
    }

    #[test]
    fn names_are_those_of_the_tools() {
        let names: Vec<_> = with(0xb758, 1).names().collect();
        assert_eq!(
            names.join(" "),
            "backup-super strict-journal-super local sparse inline-data extended-slotmap xattr indexed-dirs \
             refcount discontig-bg append-dio unwritten"
        );
    }
}
