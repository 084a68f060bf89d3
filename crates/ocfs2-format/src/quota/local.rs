//! A slot's local quota file: changes not yet in the global file, in chunks of entry blocks.

use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{QuotaKind, RawQuotaHeader, usable};
use crate::bitmap::Bitmap;
use crate::error::{Corrupt, Structure};
use crate::raw::{Input, layout};
use crate::units::BlockNum;
use crate::volume::Volume;

/// Information after the header of block 0 as it lies on disk (`struct ocfs2_local_disk_dqinfo`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawLocalQuotaInfo {
    /// `dqi_flags`: bit 0 = clean.
    pub flags: U32,
    /// `dqi_chunks`.
    pub chunks: U32,
    /// `dqi_blocks`.
    pub blocks: U32,
}
layout!(RawLocalQuotaInfo, 12, { blocks: 8 });

/// An entry as it lies on disk (`struct ocfs2_local_disk_dqblk`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawLocalQuotaEntry {
    /// `dqb_id`.
    pub id: U64,
    /// `dqb_spacemod`: change of space in bytes.
    pub spacemod: I64,
    /// `dqb_inodemod`: change of inodes.
    pub inodemod: I64,
}
layout!(RawLocalQuotaEntry, 24, { spacemod: 8, inodemod: 16 });

/// Checked information of a local quota file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalQuotaInfo {
    /// Whether all changes are in the global file.
    pub clean: bool,
    /// Chunks of entries.
    pub chunks: u32,
    /// Blocks of the file.
    pub blocks: u32,
}

impl LocalQuotaInfo {
    /// Magic of the file.
    #[must_use]
    pub fn magic(kind: QuotaKind) -> u32 {
        match kind {
            QuotaKind::User => 0x0cf5_24c0,
            QuotaKind::Group => 0x0cf5_24c1,
        }
    }

    /// Checks block 0 of a local quota file, block `block` of the volume.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(volume: &Volume, block: BlockNum, data: &[u8], kind: QuotaKind) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::QuotaHeader, data)?;
        let header: &RawQuotaHeader = input.at(0)?;
        header.check(&input, Self::magic(kind))?;
        let raw: &RawLocalQuotaInfo = input.at(size_of::<RawQuotaHeader>())?;
        input.used(("dqi_chunks", raw.chunks.get()), ("dqi_blocks", raw.blocks.get()))?;
        Ok(Self { clean: raw.flags.get() & 1 != 0, chunks: raw.chunks.get(), blocks: raw.blocks.get() })
    }
}

/// A checked chunk header: which entries of the blocks after it are in use.
#[derive(Clone, Copy, Debug)]
pub struct QuotaChunk<'a> {
    /// Free entries in the blocks the file has so far, as counted on disk.
    pub free: u32,
    /// One bit for each entry.
    pub bitmap: Bitmap<'a>,
}

impl<'a> QuotaChunk<'a> {
    /// Entries in a block: 21, 42, 85 or 170.
    #[must_use]
    pub fn entries_per_block(volume: &Volume) -> usize {
        usable(volume).checked_div(size_of::<RawLocalQuotaEntry>()).unwrap_or(0)
    }

    /// Entry blocks of a full chunk: about 190.
    #[must_use]
    pub fn blocks_per_chunk(volume: &Volume) -> usize {
        let bits = usable(volume).saturating_sub(4).saturating_mul(8);
        bits.checked_div(Self::entries_per_block(volume)).unwrap_or(0)
    }

    /// Entries of a full chunk.
    #[must_use]
    pub fn entries_per_chunk(volume: &Volume) -> u32 {
        let entries = Self::blocks_per_chunk(volume).saturating_mul(Self::entries_per_block(volume));
        u32::try_from(entries).unwrap_or(0)
    }

    /// Byte of a header at which the bitmap begins.
    pub const BITMAP_OFFSET: usize = 4;

    /// Block of the file that is the header of chunk `chunk`.
    #[must_use]
    pub fn header_block(volume: &Volume, chunk: u32) -> u64 {
        let stride = u64::try_from(Self::blocks_per_chunk(volume)).unwrap_or(u64::MAX).saturating_add(1);
        stride.saturating_mul(u64::from(chunk)).saturating_add(1)
    }

    /// Checks a chunk header, block `block` of the volume.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(volume: &Volume, block: BlockNum, data: &'a [u8]) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::QuotaChunk, data)?;
        let free: &U32 = input.at(0)?;
        let entries = Self::entries_per_chunk(volume);
        input.count("dqc_free", free.get(), usize::try_from(entries).unwrap_or(0))?;
        let bytes =
            input.bytes_at(Self::BITMAP_OFFSET, usable(volume).saturating_sub(Self::BITMAP_OFFSET))?;
        Ok(Self { free: free.get(), bitmap: Bitmap::new(bytes, entries) })
    }
}

/// Where an entry of a local file lies. Entries are numbered through, chunk by chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaPlace {
    /// Block of the file that is the header of its chunk.
    pub header: u64,
    /// Its bit in the chunk's bitmap.
    pub bit: u32,
    /// Block of the file that holds it.
    pub block: u64,
    /// Byte of that block.
    pub offset: usize,
}

impl QuotaPlace {
    /// Where entry `number` lies.
    #[must_use]
    pub fn of(volume: &Volume, number: u32) -> Self {
        let in_block = u32::try_from(QuotaChunk::entries_per_block(volume)).unwrap_or(0);
        let in_chunk = QuotaChunk::entries_per_chunk(volume);
        // No block is so small that there are none, but then all would be the first.
        let split =
            |number: u32, of: u32| (number.checked_div(of).unwrap_or(0), number.checked_rem(of).unwrap_or(0));
        let (chunk, bit) = split(number, in_chunk);
        let (block, index) = split(bit, in_block);
        let header = QuotaChunk::header_block(volume, chunk);
        let index = usize::try_from(index).unwrap_or(0);
        Self {
            header,
            bit,
            block: header.saturating_add(1).saturating_add(u64::from(block)),
            offset: index.saturating_mul(size_of::<RawLocalQuotaEntry>()),
        }
    }
}

/// A checked entry: what a slot has changed for one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalQuotaEntry {
    /// User or group id.
    pub id: u64,
    /// Change of space in bytes.
    pub space: i64,
    /// Change of inodes.
    pub inodes: i64,
}

impl LocalQuotaEntry {
    /// Reads all entries of an entry block, block `block` of the volume; the chunk's bitmap says which are in use.
    ///
    /// # Errors
    /// [`Corrupt`] when the block is short.
    pub fn parse_block<'a>(
        volume: &Volume,
        block: BlockNum,
        data: &'a [u8],
    ) -> Result<impl ExactSizeIterator<Item = Self> + use<'a>, Corrupt> {
        let input = Input::new(volume, block, Structure::QuotaData, data)?;
        let entries: &'a [RawLocalQuotaEntry] = input.slice_at(0, QuotaChunk::entries_per_block(volume))?;
        Ok(entries.iter().map(|raw| Self {
            id: raw.id.get(),
            space: raw.spacemod.get(),
            inodes: raw.inodemod.get(),
        }))
    }
}
