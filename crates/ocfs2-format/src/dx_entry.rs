//! Entry lists of the directory index, in an inline root and in leaves.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::dx_hash::DxHash;
use crate::dx_root::RawDxRoot;
use crate::error::{Check, Corrupt};
use crate::raw::{Input, index16, layout};
use crate::units::{BlockNum, BlockSize};

/// Head of an entry list as it lies on disk (`struct ocfs2_dx_entry_list`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawDxEntryList {
    /// Reserved.
    pub reserved: U32,
    /// `de_count`: entries that fit.
    pub count: U16,
    /// `de_num_used`.
    pub num_used: U16,
}
layout!(RawDxEntryList, 8, { count: 4, num_used: 6 });

/// An index entry as it lies on disk (`struct ocfs2_dx_entry`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawDxEntry {
    /// `dx_major_hash`.
    pub major_hash: U32,
    /// `dx_minor_hash`.
    pub minor_hash: U32,
    /// `dx_dirent_blk`: the directory block that holds the entry.
    pub dirent_blk: U64,
}
layout!(RawDxEntry, 16, { dirent_blk: 8 });

impl RawDxEntryList {
    /// The head of an empty list in a dx root.
    #[must_use]
    pub fn in_root(block_size: BlockSize) -> Self {
        let head = size_of::<RawDxRoot>().saturating_add(size_of::<Self>());
        let room = block_size.room(head, size_of::<RawDxEntry>());
        Self { count: U16::new(index16(room)), ..Self::default() }
    }
}

impl From<&DxEntry> for RawDxEntry {
    fn from(entry: &DxEntry) -> Self {
        let DxHash { major, minor } = entry.hash;
        Self { major_hash: U32::new(major), minor_hash: U32::new(minor), dirent_blk: U64::new(entry.block.0) }
    }
}

/// A checked index entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DxEntry {
    /// Hash of the name.
    pub hash: DxHash,
    /// The directory block (on the volume) that holds the entry.
    pub block: BlockNum,
}

/// Checked index entries, in no order.
#[derive(Clone, Copy, Debug)]
pub struct DxEntries<'a> {
    /// Entries that fit.
    pub capacity: u16,
    records: &'a [RawDxEntry],
}

impl<'a> DxEntries<'a> {
    pub(crate) fn parse(input: &Input<'_, 'a>, offset: usize) -> Result<Self, Corrupt> {
        let start = offset.saturating_add(size_of::<RawDxEntryList>());
        let raw: &RawDxEntryList = input.at(offset)?;
        let (count, used) = (raw.count.get(), raw.num_used.get());
        input.count("de_count", count, input.volume.geometry.block_size.room(start, 16))?;
        input.used(("de_num_used", used), ("de_count", count))?;
        let records: &[RawDxEntry] = input.slice_at(start, usize::from(used))?;
        for record in records {
            let found = record.dirent_blk.get();
            if input.pointer("dx_dirent_blk", found)?.is_none() {
                let (structure, field) = (input.structure, "dx_dirent_blk");
                return input.fail(Check::PointerRange { structure, field, found });
            }
        }
        Ok(Self { capacity: count, records })
    }

    /// The entries.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = DxEntry> + use<'a> {
        self.records.iter().map(|record| DxEntry {
            hash: DxHash { major: record.major_hash.get(), minor: record.minor_hash.get() },
            block: BlockNum(record.dirent_blk.get()),
        })
    }

    /// Directory blocks that may hold a name with this hash.
    pub fn blocks_for(&self, hash: DxHash) -> impl Iterator<Item = BlockNum> + use<'a> {
        self.iter().filter(move |entry| entry.hash == hash).map(|entry| entry.block)
    }
}
