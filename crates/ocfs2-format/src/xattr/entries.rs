//! Xattr header and entries, as in all three places.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::BUCKET_LEN;
use super::name::NameIndex;
use super::value::{MAX_LOCAL_VALUE, XattrValue, XattrValueRoot, pair_len};
use crate::dinode::Dinode;
use crate::ecc::RawBlockCheck;
use crate::error::{Check, Corrupt, Structure};
use crate::raw::{Input, index16, layout};
use crate::units::BlockNum;
use crate::volume::Volume;

/// An xattr header as it lies on disk (`struct ocfs2_xattr_header`); entries follow.
///
/// All but the count is used in buckets only.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawXattrHeader {
    /// `xh_count`: entries.
    pub count: U16,
    /// `xh_free_start`: lowest byte in use by names and values.
    pub free_start: U16,
    /// `xh_name_value_len`: bytes in use by names and values.
    pub name_value_len: U16,
    /// `xh_num_buckets`: buckets in use, in the first bucket of an extent; else 0.
    pub num_buckets: U16,
    /// `xh_check`.
    pub check: RawBlockCheck,
}
layout!(RawXattrHeader, 16, { num_buckets: 6, check: 8 });

/// An xattr entry as it lies on disk (`struct ocfs2_xattr_entry`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawXattrEntry {
    /// `xe_name_hash`.
    pub name_hash: U32,
    /// `xe_name_offset`: from the start of the header.
    pub name_offset: U16,
    /// `xe_name_len`: without the prefix.
    pub name_len: u8,
    /// `xe_type`: the prefix, and bit 7 when the value is beside the name.
    pub kind: u8,
    /// `xe_value_size`.
    pub value_size: U64,
}
layout!(RawXattrEntry, 16, { name_offset: 4, kind: 7, value_size: 8 });

impl RawXattrEntry {
    /// Bit of `xe_type`: the value is beside the name.
    pub const LOCAL: u8 = 0x80;
}

/// A checked entry.
#[derive(Clone, Copy, Debug)]
pub struct XattrEntry<'a> {
    /// Hash of the name's rest, as written down.
    pub hash: u32,
    /// The prefix.
    pub index: NameIndex,
    /// The rest of the name; empty for ACLs.
    pub name: &'a [u8],
    /// The value.
    pub value: XattrValue<'a>,
}

impl XattrEntry<'_> {
    /// Length of the value on disk; 0 for one that was cut.
    #[must_use]
    pub fn value_len(&self) -> u64 {
        match self.value {
            XattrValue::Local(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            XattrValue::Outside { size, .. } => size,
            XattrValue::Cut(_) => 0,
        }
    }

    /// Bytes of the full name with its prefix; `None` when the prefix is not known.
    #[must_use]
    pub fn full_name(&self) -> Option<Vec<u8>> {
        let mut name = self.index.prefix()?.as_bytes().to_vec();
        name.extend_from_slice(self.name); // at most 255 bytes
        Some(name)
    }
}

/// A checked set of entries in one place.
#[derive(Clone, Copy, Debug)]
pub struct XattrEntries<'a> {
    header: RawXattrHeader,
    input_structure: Structure,
    volume: Volume,
    block: BlockNum,
    area: &'a [u8],
    entries: &'a [RawXattrEntry],
}

impl<'a> XattrEntries<'a> {
    /// The entries at the end of a dinode; `None` when it has no such area.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails.
    pub fn inline(volume: &Volume, dinode: &Dinode, data: &'a [u8]) -> Result<Option<Self>, Corrupt> {
        let len = usize::from(dinode.inline_xattr_len);
        if len == 0 {
            return Ok(None);
        }
        let input = Input::new(volume, dinode.block, Structure::InlineXattr, data)?;
        let area = input.bytes_at(volume.block_len().saturating_sub(len), len)?;
        Self::parse(&Input { data: area, ..input }).map(Some)
    }

    /// The entries of a bucket, 4096 bytes whose first block is `block`. Their hashes must ascend.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn bucket(volume: &Volume, block: BlockNum, data: &'a [u8]) -> Result<Self, Corrupt> {
        let input = Input::of_len(volume, block, Structure::XattrBucket, data, BUCKET_LEN)?;
        let this = Self::parse(&input)?;
        let mut previous = 0;
        for (index, entry) in this.entries.iter().enumerate() {
            let (index, hash) = (index16(index), entry.name_hash.get());
            let structure = input.structure;
            input.ensure(hash >= previous, Check::XattrOrder { structure, index, hash })?;
            previous = hash;
        }
        Ok(this)
    }

    /// The entries of `input.data`, an area that begins with the header.
    pub(super) fn parse(input: &Input<'_, 'a>) -> Result<Self, Corrupt> {
        let header: &RawXattrHeader = input.at(0)?;
        let count = header.count.get();
        let entries_at = size_of::<RawXattrHeader>();
        let room = input.data.len().saturating_sub(entries_at);
        let room = room.checked_div(size_of::<RawXattrEntry>()).unwrap_or(0);
        input.count("xh_count", count, room)?;
        let entries = input.slice_at(entries_at, usize::from(count))?;
        let this = Self {
            header: *header,
            input_structure: input.structure,
            volume: *input.volume,
            block: input.block,
            area: input.data,
            entries,
        };
        for index in 0..entries.len() {
            this.entry(index)?;
        }
        Ok(this)
    }

    /// Checks entry `index` and finds its name and value.
    fn entry(&self, index: usize) -> Result<XattrEntry<'a>, Corrupt> {
        let structure = self.input_structure;
        let input = Input { volume: &self.volume, block: self.block, structure, data: self.area };
        let entries_end = size_of::<RawXattrHeader>()
            .saturating_add(self.entries.len().saturating_mul(size_of::<RawXattrEntry>()));
        let Some(raw) = self.entries.get(index) else {
            let (structure, len) = (self.input_structure, self.entries.len());
            return input.fail(Check::Short { structure, len, want: index.saturating_add(1) });
        };
        let index = index16(index);
        let (offset, name_len, size) =
            (raw.name_offset.get(), usize::from(raw.name_len), raw.value_size.get());
        let start = usize::from(offset);
        let len = pair_len(name_len, size);
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let area = number(self.area.len());
        let what = Check::XattrRange { structure, index, offset, len: number(len), area };
        input.ensure(start.saturating_add(len) <= self.area.len(), what)?;
        let what = Check::XattrOverlap { structure, index, offset, entries_end: number(entries_end) };
        input.ensure(start >= entries_end, what)?;
        let local = raw.kind & RawXattrEntry::LOCAL != 0;
        let place = if local { "local" } else { "outside" };
        let what = Check::XattrPlace { structure, index, size, place };
        input.ensure(local == (size <= MAX_LOCAL_VALUE), what)?;
        let value_at = start.saturating_add(name_len.next_multiple_of(4));
        let value = if local {
            XattrValue::Local(input.bytes_at(value_at, usize::try_from(size).unwrap_or(usize::MAX))?)
        } else {
            let root = XattrValueRoot::parse(&input, value_at)?;
            let clusters = root.clusters;
            if self.volume.geometry.clusters_for(size) <= u64::from(clusters) {
                XattrValue::Outside { size, root }
            } else {
                let what = Check::XattrValueSize { structure, index, size, clusters };
                XattrValue::Cut(Corrupt { block: self.block, what })
            }
        };
        Ok(XattrEntry {
            hash: raw.name_hash.get(),
            index: NameIndex(raw.kind & !RawXattrEntry::LOCAL),
            name: input.bytes_at(start, name_len)?,
            value,
        })
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, as they lie.
    pub fn iter(&self) -> impl Iterator<Item = XattrEntry<'a>> + use<'a> {
        let this = *self;
        // All were checked when the set was parsed, so none is left out here.
        (0..this.entries.len()).filter_map(move |index| this.entry(index).ok())
    }

    /// The entry with this name.
    #[must_use]
    pub fn find(&self, index: NameIndex, name: &[u8]) -> Option<XattrEntry<'a>> {
        self.iter().find(|entry| entry.index == index && entry.name == name)
    }

    /// Buckets in use in this bucket's extent (`xh_num_buckets`), when it is the extent's first.
    #[must_use]
    pub fn num_buckets(&self) -> u16 {
        self.header.num_buckets.get()
    }

    /// Hash by which a bucket is found: its first entry's. An empty bucket keeps that of the last one it had.
    #[must_use]
    pub fn bucket_key(&self) -> u32 {
        let first = self.area.get(size_of::<RawXattrHeader>()..);
        let raw = first.and_then(|tail| RawXattrEntry::ref_from_prefix(tail).ok());
        raw.map_or(0, |(raw, _)| raw.name_hash.get())
    }

    /// The header as it lies.
    #[must_use]
    pub fn header(&self) -> RawXattrHeader {
        self.header
    }
}
