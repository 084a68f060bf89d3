//! The value block of a quota file's lock: what the file's first block says.

use ocfs2_format::quota::QuotaInfo;
use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::lvb::{LVB_LEN, Lvb};

/// Value block of a quota information lock as it travels (`struct ocfs2_qinfo_lvb`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawQuotaLvb {
    /// `lvb_version`: 1, or 0 when nothing in it counts.
    pub version: u8,
    /// Reserved.
    pub reserved0: [u8; 3],
    /// `lvb_bgrace`.
    pub bgrace: U32,
    /// `lvb_igrace`.
    pub igrace: U32,
    /// `lvb_syncms`.
    pub syncms: U32,
    /// `lvb_blocks`.
    pub blocks: U32,
    /// `lvb_free_blk`.
    pub free_blk: U32,
    /// `lvb_free_entry`.
    pub free_entry: U32,
    /// The rest of every value block.
    pub reserved1: [U32; 9],
}
const _: () = assert!(size_of::<RawQuotaLvb>() == LVB_LEN);
const _: () = assert!(std::mem::offset_of!(RawQuotaLvb, bgrace) == 0x04);
const _: () = assert!(std::mem::offset_of!(RawQuotaLvb, free_entry) == 0x18);

impl RawQuotaLvb {
    /// The version that is written, and the only one that counts.
    pub const VERSION: u8 = 1;

    /// The value block that says the same as the file.
    #[must_use]
    pub fn pack(info: &QuotaInfo) -> Lvb {
        let raw = Self {
            version: Self::VERSION,
            bgrace: U32::new(info.block_grace),
            igrace: U32::new(info.inode_grace),
            syncms: U32::new(info.sync_ms),
            blocks: U32::new(info.blocks),
            free_blk: U32::new(info.free_block.unwrap_or(0)),
            free_entry: U32::new(info.free_entry.unwrap_or(0)),
            ..Self::default()
        };
        zerocopy::transmute!(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_lie_where_the_kernel_has_them() {
        let info = QuotaInfo {
            block_grace: 604_800,
            inode_grace: 1,
            sync_ms: 10_000,
            blocks: 7,
            free_block: None,
            free_entry: Some(5),
        };
        let lvb = RawQuotaLvb::pack(&info);
        assert_eq!(lvb[..8], [1, 0, 0, 0, 0, 9, 0x3a, 0x80]);
        assert_eq!((lvb[0x0b], lvb[0x13], lvb[0x17], lvb[0x1b]), (1, 7, 0, 5));
        assert!(lvb[0x1c..].iter().all(|byte| *byte == 0));
    }
}
