//! The value block of an inode's lock: the attributes, so that the next holder need not read the inode.

use ocfs2_format::{Dinode, DynFeatures, Timestamp};
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a value block.
pub const LVB_LEN: usize = 64;

/// A lock's value block as it travels.
pub type Lvb = [u8; LVB_LEN];

/// Value block of a meta lock as it travels (`struct ocfs2_meta_lvb`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawMetaLvb {
    /// `lvb_version`: 5, or 0 when nothing in it counts.
    pub version: u8,
    /// Reserved.
    pub reserved0: u8,
    /// `lvb_idynfeatures`.
    pub dyn_features: U16,
    /// `lvb_iclusters`.
    pub clusters: U32,
    /// `lvb_iuid`.
    pub uid: U32,
    /// `lvb_igid`.
    pub gid: U32,
    /// `lvb_iatime_packed`.
    pub atime: U64,
    /// `lvb_ictime_packed`: before `lvb_imtime_packed`.
    pub ctime: U64,
    /// `lvb_imtime_packed`.
    pub mtime: U64,
    /// `lvb_isize`.
    pub size: U64,
    /// `lvb_imode`.
    pub mode: U16,
    /// `lvb_inlink`: the low 16 bits.
    pub nlink: U16,
    /// `lvb_iattr`.
    pub attr: U32,
    /// `lvb_igeneration`.
    pub generation: U32,
    /// Reserved.
    pub reserved1: U32,
}
const _: () = assert!(size_of::<RawMetaLvb>() == LVB_LEN);
const _: () = assert!(std::mem::offset_of!(RawMetaLvb, atime) == 0x10);
const _: () = assert!(std::mem::offset_of!(RawMetaLvb, mode) == 0x30);
const _: () = assert!(std::mem::offset_of!(RawMetaLvb, generation) == 0x38);

/// The attributes in the value block of an inode's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaLvb {
    /// `i_dyn_features`.
    pub dyn_features: DynFeatures,
    /// `i_clusters`.
    pub clusters: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access. Seconds from 0 to 2^34 - 1: what lies outside arrives as the nearest of these.
    pub atime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Last change of the data.
    pub mtime: Timestamp,
    /// Length in bytes.
    pub size: u64,
    /// Type and permissions.
    pub mode: u16,
    /// Low 16 bits of the count of names: not to be relied on for a directory, which may have more.
    pub nlink: u16,
    /// File attributes.
    pub attr: u32,
    /// `i_generation`.
    pub generation: u32,
}

impl MetaLvb {
    /// The version that is written, and the only one that counts.
    pub const VERSION: u8 = 5;

    /// The value block that says nothing: for an inode that was deleted, and wherever the attributes are not known.
    pub const INVALID: Lvb = [0; LVB_LEN];

    /// The attributes of a dinode.
    #[must_use]
    pub fn of(dinode: &Dinode) -> Self {
        Self {
            dyn_features: dinode.dyn_features,
            clusters: dinode.clusters,
            uid: dinode.uid,
            gid: dinode.gid,
            atime: dinode.atime,
            ctime: dinode.ctime,
            mtime: dinode.mtime,
            size: dinode.size,
            mode: dinode.mode,
            nlink: low_half(dinode.links),
            attr: dinode.attr,
            generation: dinode.generation,
        }
    }

    /// As it travels.
    #[must_use]
    pub fn pack(&self) -> Lvb {
        let raw = RawMetaLvb {
            version: Self::VERSION,
            reserved0: 0,
            dyn_features: U16::new(self.dyn_features.bits()),
            clusters: U32::new(self.clusters),
            uid: U32::new(self.uid),
            gid: U32::new(self.gid),
            atime: U64::new(pack_time(self.atime)),
            ctime: U64::new(pack_time(self.ctime)),
            mtime: U64::new(pack_time(self.mtime)),
            size: U64::new(self.size),
            mode: U16::new(self.mode),
            nlink: U16::new(self.nlink),
            attr: U32::new(self.attr),
            generation: U32::new(self.generation),
            reserved1: U32::ZERO,
        };
        zerocopy::transmute!(raw)
    }

    /// What a value block says of the inode with `generation`; `None` when the disk must be asked. Trusted or not, all
    /// that is cached of the inode's blocks and extents is of no use after another node held the lock.
    #[must_use]
    pub fn unpack(lvb: &Lvb, generation: u32) -> Option<Self> {
        let raw: RawMetaLvb = zerocopy::transmute!(*lvb);
        if raw.version != Self::VERSION || raw.generation.get() != generation {
            return None;
        }
        Some(Self {
            dyn_features: DynFeatures::from_bits_retain(raw.dyn_features.get()),
            clusters: raw.clusters.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            atime: unpack_time(raw.atime.get())?,
            ctime: unpack_time(raw.ctime.get())?,
            mtime: unpack_time(raw.mtime.get())?,
            size: raw.size.get(),
            mode: raw.mode.get(),
            nlink: raw.nlink.get(),
            attr: raw.attr.get(),
            generation,
        })
    }
}

/// Bits of the nanoseconds in a packed time; the seconds have the rest.
const NANO_BITS: u32 = 30;
const MAX_SECONDS: u64 = (1 << 34) - 1;

fn pack_time(time: Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or(0).min(MAX_SECONDS);
    seconds << NANO_BITS | u64::from(time.nanos)
}

/// `None` for more nanoseconds than a second has.
fn unpack_time(packed: u64) -> Option<Timestamp> {
    let nanos = u32::try_from(packed & ((1 << NANO_BITS) - 1)).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Timestamp { seconds: (packed >> NANO_BITS).cast_signed(), nanos })
}

fn low_half(links: u32) -> u16 {
    u16::try_from(links & 0xffff).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> MetaLvb {
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        MetaLvb {
            dyn_features: DynFeatures::INLINE_DATA | DynFeatures::HAS_XATTR,
            clusters: 0x0102_0304,
            uid: 1000,
            gid: 0xffff_fffe,
            atime: time(0x6553_f100, 123_456_789),
            ctime: time(1, 0),
            mtime: time(0, 999_999_999),
            size: 1 << 40,
            mode: 0o100_644,
            nlink: 3,
            attr: 0x10,
            generation: 0xdead_beef,
        }
    }

    #[test]
    fn fields_lie_where_the_kernel_has_them() {
        let lvb = sample().pack();
        assert_eq!((lvb[0], lvb[1]), (5, 0));
        assert_eq!(lvb[4..8], [1, 2, 3, 4]);
        assert_eq!(lvb[0x10..0x18], 0x1954_fc40_075b_cd15_u64.to_be_bytes(), "the packed time of the format");
        assert_eq!(lvb[0x28..0x30], (1_u64 << 40).to_be_bytes());
        assert_eq!(lvb[0x30..0x34], [0x81, 0xa4, 0, 3]);
        assert_eq!(lvb[0x38..0x3c], [0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(MetaLvb::unpack(&lvb, 0xdead_beef), Some(sample()));
    }

    #[test]
    fn what_cannot_be_trusted_says_nothing() {
        let good = sample().pack();
        assert_eq!(MetaLvb::unpack(&good, 0xdead_beee), None, "another inode in the same block");
        assert_eq!(MetaLvb::unpack(&MetaLvb::INVALID, 0), None);
        let with = |at: usize, byte| {
            let mut lvb = good;
            lvb[at] = byte;
            MetaLvb::unpack(&lvb, 0xdead_beef)
        };
        assert_eq!(with(0, 4), None, "an older version");
        assert_eq!(with(0x14, 0x3f), None, "more than a second of nanoseconds");
    }

    #[test]
    fn times_out_of_range_travel_as_the_nearest() {
        let packed = |seconds| pack_time(Timestamp { seconds, nanos: 7 });
        assert_eq!(unpack_time(packed(-5)), Some(Timestamp { seconds: 0, nanos: 7 }));
        assert_eq!(unpack_time(packed(i64::MAX)), Some(Timestamp { seconds: (1 << 34) - 1, nanos: 7 }));
    }
}
