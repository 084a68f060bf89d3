//! Values of extended attributes: beside the name when short, else in clusters of their own.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::Corrupt;
use crate::extent_list::{ExtentList, RawExtentList, RawExtentRec, Tree};
use crate::raw::{Input, layout};
use crate::units::BlockNum;

/// Longest value that lies beside its name.
pub const MAX_LOCAL_VALUE: u64 = 80;

/// Root of a value outside its entry as it lies on disk (`struct ocfs2_xattr_value_root` with its one record).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawXattrValueRoot {
    /// `xr_clusters`.
    pub clusters: U32,
    /// Reserved.
    pub reserved: U32,
    /// `xr_last_eb_blk`.
    pub last_eb_blk: U64,
    /// `xr_list`, with room for one record.
    pub list: RawExtentList,
    /// The record.
    pub record: RawExtentRec,
}
layout!(RawXattrValueRoot, 48, { last_eb_blk: 8, list: 0x10, record: 0x20 });

/// A checked value root.
#[derive(Clone, Copy, Debug)]
pub struct XattrValueRoot<'a> {
    /// Clusters of the value.
    pub clusters: u32,
    /// Rightmost leaf extent block.
    pub last_leaf: Option<BlockNum>,
    /// Root of the tree of the value's clusters.
    pub list: ExtentList<'a>,
}

impl<'a> XattrValueRoot<'a> {
    pub(crate) fn parse(input: &Input<'_, 'a>, offset: usize) -> Result<Self, Corrupt> {
        let raw: &RawXattrValueRoot = input.at(offset)?;
        let list = offset.saturating_add(std::mem::offset_of!(RawXattrValueRoot, list));
        Ok(Self {
            clusters: raw.clusters.get(),
            last_leaf: input.pointer("xr_last_eb_blk", raw.last_eb_blk.get())?,
            list: ExtentList::parse(input, list, 1, Tree::XattrValue)?,
        })
    }
}

/// A checked value.
#[derive(Clone, Copy, Debug)]
pub enum XattrValue<'a> {
    /// Beside the name, up to 80 bytes.
    Local(&'a [u8]),
    /// In clusters of its own.
    Outside {
        /// Length in bytes, no more than the clusters hold.
        size: u64,
        /// Where.
        root: XattrValueRoot<'a>,
    },
    /// Its clusters cannot hold its length: the machine died while the value was being removed or made, in several
    /// transactions. The value cannot be had; the attributes beside it are not touched by this.
    Cut(Corrupt),
}

/// Bytes that a name and its value take in the name-and-value area.
#[must_use]
pub fn pair_len(name_len: usize, value_len: u64) -> usize {
    let value = match usize::try_from(value_len) {
        Ok(len) if value_len <= MAX_LOCAL_VALUE => len.next_multiple_of(4),
        _ => size_of::<RawXattrValueRoot>(),
    };
    name_len.next_multiple_of(4).saturating_add(value)
}
