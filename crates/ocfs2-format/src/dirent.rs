//! Directory entries.
//!
//! Entries cover an area (a directory block, less its trailer, or the inline
//! data of a dinode) without gaps; an entry with inode 0 is a hole.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Check, Corrupt};
use crate::file_type::FileType;
use crate::raw::layout;
use crate::units::BlockNum;
use crate::volume::Volume;

/// Head of a directory entry as it lies on disk (`struct ocfs2_dir_entry`); the name follows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawDirEntry {
    /// `inode`: 0 = unused entry.
    pub inode: U64,
    /// `rec_len`: bytes to the next entry.
    pub rec_len: U16,
    /// `name_len`.
    pub name_len: u8,
    /// `file_type`: see [`FileType::from_dirent`].
    pub file_type: u8,
}
layout!(RawDirEntry, 12, { rec_len: 8, name_len: 10, file_type: 11 });

/// Longest name.
pub const MAX_NAME_LEN: usize = 255;

/// Smallest entry: one with a name of one byte.
pub const MIN_REC_LEN: usize = 16;

/// Bytes that an entry with a name of `name_len` bytes needs, a multiple of 4.
#[must_use]
pub fn rec_len(name_len: usize) -> usize {
    name_len.saturating_add(size_of::<RawDirEntry>()).next_multiple_of(4)
}

/// Writes an entry with `rec_len` bytes at the start of `area`. Bytes past the name are left alone.
///
/// `inode` `None` and an empty name make a hole. Returns `None`, with nothing
/// written, when name or `rec_len` do not fit.
pub fn write_entry(
    area: &mut [u8],
    inode: Option<BlockNum>,
    rec_len: u16,
    file_type: Option<FileType>,
    name: &[u8],
) -> Option<()> {
    let area = area.get_mut(..usize::from(rec_len))?;
    let raw = RawDirEntry {
        inode: U64::new(inode.map_or(0, BlockNum::get)),
        rec_len: U16::new(rec_len),
        name_len: u8::try_from(name.len()).ok()?,
        file_type: file_type.map_or(0, FileType::dirent_code),
    };
    let (head, tail) = area.split_at_mut_checked(size_of::<RawDirEntry>())?;
    let tail = tail.get_mut(..name.len())?;
    raw.write_to(head).ok()?;
    tail.copy_from_slice(name);
    Some(())
}

/// A checked directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Byte within the area.
    pub offset: usize,
    /// The inode it names; `None` for an unused entry.
    pub inode: Option<BlockNum>,
    /// Bytes to the next entry.
    pub rec_len: u16,
    /// Type of the inode, where the entry tells.
    pub file_type: Option<FileType>,
    /// The name: 1 to 255 bytes without NUL and `/`. What an unused entry holds is not checked.
    pub name: &'a [u8],
}

impl DirEntry<'_> {
    /// Bytes of this entry that a new one could have.
    #[must_use]
    pub fn hole(&self) -> usize {
        let needed = if self.inode.is_some() { rec_len(self.name.len()) } else { 0 };
        usize::from(self.rec_len).saturating_sub(needed)
    }

    /// Whether it is `.` or `..`.
    #[must_use]
    pub fn is_dot(&self) -> bool {
        matches!(self.name, b"." | b"..")
    }
}

/// Walks the entries of one area. Ends after the last, or after an error that leaves the next entry's place unknown.
///
/// An entry whose own contents are wrong (name, inode) is reported and the walk goes on.
#[derive(Clone, Debug)]
pub struct DirEntries<'a> {
    volume: Volume,
    block: BlockNum,
    area: &'a [u8],
    offset: usize,
}

impl<'a> DirEntries<'a> {
    /// Entries of `area`, part of block `block`.
    #[must_use]
    pub fn new(volume: &Volume, block: BlockNum, area: &'a [u8]) -> Self {
        Self { volume: *volume, block, area, offset: 0 }
    }

    /// Entries of a directory block of an extent-based directory; `trailer` as
    /// [`Dinode::has_dir_trailers`](crate::Dinode::has_dir_trailers) says.
    #[must_use]
    pub fn of_block(volume: &Volume, block: BlockNum, data: &'a [u8], trailer: bool) -> Self {
        let len = entries_len(volume, trailer).min(data.len());
        Self::new(volume, block, data.get(..len).unwrap_or_default())
    }

    fn parse_next(&mut self) -> Result<Result<DirEntry<'a>, Check>, Check> {
        let place = self.offset;
        let tail = self.area.get(place..).unwrap_or_default();
        let offset = number(place);
        let Ok((raw, after)) = RawDirEntry::ref_from_prefix(tail) else {
            return Err(Check::DirTail { offset, left: number(tail.len()) });
        };
        let (stored_len, name_len) = (raw.rec_len.get(), usize::from(raw.name_len));
        let step = usize::from(stored_len);
        let wrong = |why| Err(Check::DirRecLen { offset, rec_len: stored_len, why });
        let left = tail.len();
        if step < MIN_REC_LEN {
            return wrong("is less than the smallest entry, 16");
        } else if step % 4 != 0 {
            return wrong("is not a multiple of 4");
        } else if step < rec_len(name_len) {
            return wrong("is too small for its name");
        } else if step > left {
            return wrong("runs past the end of the block");
        } else if (1..MIN_REC_LEN).contains(&left.saturating_sub(step)) {
            return wrong("leaves less than an entry at the end of the block");
        }
        self.offset = place.saturating_add(step);
        let name = after.get(..name_len).unwrap_or_default();
        let inode = BlockNum::nonzero(raw.inode.get());
        let file_type = FileType::from_dirent(raw.file_type);
        let entry = DirEntry { offset: place, inode, rec_len: stored_len, file_type, name };
        Ok(self.check_contents(&entry).map(|()| entry))
    }

    fn check_contents(&self, entry: &DirEntry<'_>) -> Result<(), Check> {
        let Some(inode) = entry.inode else { return Ok(()) };
        let offset = number(entry.offset);
        if entry.name.is_empty() {
            return Err(Check::DirNoName { offset, inode: inode.0 });
        }
        if let Some(position) = entry.name.iter().position(|byte| matches!(byte, 0 | b'/')) {
            let byte = entry.name.get(position).copied().unwrap_or(0);
            return Err(Check::DirNameByte {
                offset,
                position: u8::try_from(position).unwrap_or(u8::MAX),
                byte,
            });
        }
        if !self.volume.geometry.contains(inode) {
            return Err(Check::DirInode { offset, inode: inode.0 });
        }
        Ok(())
    }
}

impl<'a> Iterator for DirEntries<'a> {
    type Item = Result<DirEntry<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.area.len() {
            return None;
        }
        let block = self.block;
        let entry = self.parse_next().unwrap_or_else(|what| {
            self.offset = self.area.len(); // where the next entry begins cannot be known
            Err(what)
        });
        Some(entry.map_err(|what| Corrupt { block, what }))
    }
}

/// Bytes of a directory block that hold entries: all, or all before the trailer.
#[must_use]
pub fn entries_len(volume: &Volume, trailer: bool) -> usize {
    let trailer = if trailer { crate::dir_trailer::TRAILER_LEN } else { 0 };
    volume.block_len().saturating_sub(trailer)
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
