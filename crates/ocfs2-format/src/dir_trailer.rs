//! Trailer of a directory block: its checksum, and its place in the free list of an indexed directory.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ecc::RawBlockCheck;
use crate::error::{Check, Corrupt, Structure};
use crate::raw::{Input, layout};
use crate::units::BlockNum;
use crate::volume::Volume;

/// Bytes of a trailer.
pub const TRAILER_LEN: usize = size_of::<RawDirTrailer>();

/// A trailer as it lies on disk in the last 64 bytes of a directory block (`struct ocfs2_dir_block_trailer`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawDirTrailer {
    /// `db_compat_inode`: 0, so that the trailer looks like an unused entry.
    pub compat_inode: U64,
    /// `db_compat_rec_len`: 64.
    pub compat_rec_len: U16,
    /// `db_compat_name_len`: 0.
    pub compat_name_len: u8,
    /// Reserved.
    pub reserved0: u8,
    /// Reserved.
    pub reserved1: U16,
    /// `db_free_rec_len`: largest hole of the block; 0 = not in the free list.
    pub free_rec_len: U16,
    /// `db_signature`: [`DirTrailer::SIGNATURE`].
    pub signature: [u8; 8],
    /// Reserved.
    pub reserved2: U64,
    /// `db_free_next`: next block of the free list.
    pub free_next: U64,
    /// `db_blkno`.
    pub blkno: U64,
    /// `db_parent_dinode`: the directory.
    pub parent_dinode: U64,
    /// `db_check`.
    pub check: RawBlockCheck,
}
layout!(RawDirTrailer, 64, { compat_rec_len: 8, free_rec_len: 0x0e, signature: 0x10, free_next: 0x20, blkno: 0x28, parent_dinode: 0x30, check: 0x38 });

impl RawDirTrailer {
    /// A trailer for block `block` of directory `dir`, not in the free list.
    #[must_use]
    pub fn new(dir: BlockNum, block: BlockNum) -> Self {
        Self {
            compat_rec_len: U16::new(u16::try_from(TRAILER_LEN).unwrap_or(0)),
            signature: DirTrailer::SIGNATURE,
            blkno: U64::new(block.0),
            parent_dinode: U64::new(dir.0),
            ..Self::default()
        }
    }
}

/// A checked trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirTrailer {
    /// Largest hole of the block, as written down; a hint.
    pub free_rec_len: u16,
    /// Next block of the free list.
    pub free_next: Option<BlockNum>,
    /// The directory that owns the block.
    pub dir: BlockNum,
}

impl DirTrailer {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"DIRTRL1\0";

    /// Checks the trailer of directory block `block` of the directory `dir`, where that is known.
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(
        volume: &Volume,
        block: BlockNum,
        data: &[u8],
        dir: Option<BlockNum>,
    ) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::DirTrailer, data)?;
        let raw: &RawDirTrailer = input.at(volume.block_len().saturating_sub(TRAILER_LEN))?;
        input.signature(raw.signature, Self::SIGNATURE)?;
        input.self_block("db_blkno", raw.blkno.get())?;
        input.owner("db_parent_dinode", raw.parent_dinode.get(), dir)?;
        for (field, found, expected) in [
            ("db_compat_inode", raw.compat_inode.get(), 0),
            ("db_compat_rec_len", u64::from(raw.compat_rec_len.get()), 64),
            ("db_compat_name_len", u64::from(raw.compat_name_len), 0),
        ] {
            input.ensure(found == expected, Check::TrailerField { field, found, expected })?;
        }
        Ok(Self {
            free_rec_len: raw.free_rec_len.get(),
            free_next: input.pointer("db_free_next", raw.free_next.get())?,
            dir: BlockNum(raw.parent_dinode.get()),
        })
    }

    /// Byte of the check within a block.
    #[must_use]
    pub fn check_offset(volume: &Volume) -> usize {
        volume.block_len().saturating_sub(size_of::<RawBlockCheck>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_volume::{block_of, volume};

    #[test]
    fn a_new_trailer_parses_and_reads_as_an_unused_entry() {
        let volume = volume(9, 12);
        let raw = RawDirTrailer::new(BlockNum(70), BlockNum(900));
        let data = block_of(512, &[(448, raw.as_bytes())]);
        let trailer = DirTrailer::parse(&volume, BlockNum(900), &data, Some(BlockNum(70))).unwrap();
        assert_eq!(trailer, DirTrailer { free_rec_len: 0, free_next: None, dir: BlockNum(70) });
        let wrong = DirTrailer::parse(&volume, BlockNum(900), &data, Some(BlockNum(71))).unwrap_err();
        assert_eq!(wrong.to_string(), "block 900: directory block trailer: db_parent_dinode is 70, not 71");
        let mut entries = crate::DirEntries::new(&volume, BlockNum(900), &data[448..]);
        assert_eq!(entries.next().unwrap().unwrap().inode, None);
        assert_eq!(entries.next(), None);
    }
}
