//! Changing the entries of one area: a directory block less its trailer, or the room in a dinode.
//!
//! Bytes in, bytes out. Every change begins by checking all entries of the area, and a change that does not fit leaves
//! the area alone.

use ocfs2_format::{BlockNum, Corrupt, DirEntries, DirEntry, FileType, MIN_REC_LEN, RawDirEntry, rec_len};
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U64};

/// What an entry says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'n> {
    pub(super) name: &'n [u8],
    pub(super) ino: BlockNum,
    pub(super) kind: FileType,
}

/// The entries of an area, to be changed.
#[derive(Debug)]
pub(super) struct AreaMut<'a> {
    bytes: &'a mut [u8],
    volume: ocfs2_format::Volume,
    block: BlockNum,
}

impl<'a> AreaMut<'a> {
    /// Takes the area `bytes` of block `block`.
    pub(super) fn new(volume: &ocfs2_format::Volume, block: BlockNum, bytes: &'a mut [u8]) -> Self {
        Self { bytes, volume: *volume, block }
    }

    /// Makes it one unused entry.
    pub(super) fn clear(&mut self) {
        let len = self.bytes.len();
        self.write(0, len, None);
    }

    /// Makes it the entries of a new directory: `.` is `dir`, `..` is `parent` and has the rest of the area.
    pub(super) fn begin(&mut self, dir: BlockNum, parent: BlockNum) {
        let (kind, rest) = (FileType::Directory, self.bytes.len() - MIN_REC_LEN);
        self.write(0, MIN_REC_LEN, Some(&Entry { name: b".", ino: dir, kind }));
        self.write(MIN_REC_LEN, rest, Some(&Entry { name: b"..", ino: parent, kind }));
    }

    /// Puts an entry into the first hole that is large enough: an unused entry, or what an entry does not need of its
    /// own length. Returns whether there was one.
    pub(super) fn insert(&mut self, entry: &Entry<'_>) -> Result<bool, Corrupt> {
        let need = rec_len(entry.name.len());
        let Some((offset, len, in_use)) = self.first_hole(need)? else { return Ok(false) };
        if in_use == 0 {
            self.write(offset, len, Some(entry));
        } else {
            self.set_rec_len(offset, in_use);
            self.write(offset + in_use, len - in_use, Some(entry));
        }
        Ok(true)
    }

    /// Frees the entry at `offset`: its bytes fall to the entry before it. The first of an area stays, unused.
    pub(super) fn remove(&mut self, offset: usize) -> Result<(), Corrupt> {
        let mut before = None;
        let mut found = None;
        for entry in self.entries() {
            let DirEntry { offset: at, rec_len, .. } = entry?;
            let place = (at, usize::from(rec_len));
            if at < offset {
                before = Some(place);
            } else if at == offset {
                found = Some(place);
            }
        }
        if let (Some((at, len)), Some((_, freed))) = (before, found) {
            self.set_rec_len(at, len + freed);
        }
        if found.is_some() {
            self.edit(offset, |head| head.inode = U64::new(0));
        }
        Ok(())
    }

    /// Points the entry at `offset` to another inode.
    pub(super) fn replace(&mut self, offset: usize, ino: BlockNum, kind: FileType) -> Result<(), Corrupt> {
        self.check()?;
        self.edit(offset, |head| {
            head.inode = U64::new(ino.0);
            head.file_type = kind.dirent_code();
        });
        Ok(())
    }

    /// Lets the last entry of an area whose first `old` bytes are entries reach to its end.
    pub(super) fn stretch(&mut self, old: usize) -> Result<(), Corrupt> {
        let whole = self.bytes.len();
        let mut last = 0;
        for entry in DirEntries::new(&self.volume, self.block, self.bytes.get(..old).unwrap_or_default()) {
            last = entry?.offset;
        }
        self.set_rec_len(last, whole - last);
        Ok(())
    }

    /// The largest hole; 0 when no name fits into it.
    pub(super) fn largest_hole(&self) -> Result<usize, Corrupt> {
        let mut largest = 0;
        for entry in self.entries() {
            largest = largest.max(entry?.hole());
        }
        Ok(if largest < MIN_REC_LEN { 0 } else { largest })
    }

    /// Checks every entry.
    fn check(&self) -> Result<(), Corrupt> {
        self.entries().try_for_each(|entry| entry.map(|_| ()))
    }

    /// The first entry with a hole of `need` bytes, as (offset, length, bytes of it in use).
    fn first_hole(&self, need: usize) -> Result<Option<(usize, usize, usize)>, Corrupt> {
        let mut first = None;
        for entry in self.entries() {
            let entry = entry?;
            if first.is_none() && entry.hole() >= need {
                let len = usize::from(entry.rec_len);
                first = Some((entry.offset, len, len - entry.hole()));
            }
        }
        Ok(first)
    }

    fn entries(&self) -> DirEntries<'_> {
        DirEntries::new(&self.volume, self.block, self.bytes)
    }

    fn write(&mut self, offset: usize, len: usize, entry: Option<&Entry<'_>>) {
        let area = self.bytes.get_mut(offset..).unwrap_or_default();
        let name = entry.map_or(&b""[..], |entry| entry.name);
        let (ino, kind) = (entry.map(|entry| entry.ino), entry.map(|entry| entry.kind));
        let written = ocfs2_format::write_entry(area, ino, length(len), kind, name);
        debug_assert!(written.is_some(), "the hole was measured");
    }

    fn set_rec_len(&mut self, offset: usize, len: usize) {
        self.edit(offset, |head| head.rec_len = U16::new(length(len)));
    }

    /// Changes the head of the entry at `offset`, which was found by walking the entries.
    fn edit(&mut self, offset: usize, change: impl FnOnce(&mut RawDirEntry)) {
        let tail = self.bytes.get_mut(offset..).unwrap_or_default();
        if let Ok((head, _)) = RawDirEntry::mut_from_prefix(tail) {
            change(head);
        }
    }
}

/// A length within a block, which is 4096 bytes at most.
fn length(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}
