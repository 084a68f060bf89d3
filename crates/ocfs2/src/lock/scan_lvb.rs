//! The value block of the orphan scan's lock: how often the orphan directories have been scanned.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::lvb::{LVB_LEN, Lvb};

/// Value block of the orphan scan's lock as it travels (`struct ocfs2_orphan_scan_lvb`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawScanLvb {
    /// `lvb_version`: 1, or 0 when nothing in it counts.
    pub version: u8,
    /// Reserved.
    pub reserved0: [u8; 3],
    /// `lvb_os_seqno`.
    pub seqno: U32,
    /// The rest of every value block.
    pub reserved1: [U32; 14],
}
const _: () = assert!(size_of::<RawScanLvb>() == LVB_LEN);
const _: () = assert!(std::mem::offset_of!(RawScanLvb, seqno) == 0x04);

impl RawScanLvb {
    /// The version that is written, and the only one that counts.
    pub const VERSION: u8 = 1;

    /// The value block after `seqno` scans.
    #[must_use]
    pub fn pack(seqno: u32) -> Lvb {
        zerocopy::transmute!(Self { version: Self::VERSION, seqno: U32::new(seqno), ..Self::default() })
    }

    /// How many scans there were; `None` where it does not say.
    #[must_use]
    pub fn unpack(lvb: &Lvb) -> Option<u32> {
        let raw: Self = zerocopy::transmute!(*lvb);
        (raw.version == Self::VERSION).then(|| raw.seqno.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_big_endian() {
        let lvb = RawScanLvb::pack(0x0102_0304);
        assert_eq!(lvb[..9], [1, 0, 0, 0, 1, 2, 3, 4, 0]);
        assert_eq!(RawScanLvb::unpack(&lvb), Some(0x0102_0304));
        assert_eq!(RawScanLvb::unpack(&[0; LVB_LEN]), None);
    }
}
