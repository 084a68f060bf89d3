//! The answer to READDIR and READDIRPLUS while it fills.

use zerocopy::{FromZeros, IntoBytes};

use crate::abi::{DIR_ALIGN, RawDirent, RawEntryOut};
use crate::reply::raw_entry;
use crate::{Entry, FileKind, Ino};

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// The inode it leads to.
    pub ino: Ino,
    /// Its kind, or [`FileKind::Unknown`].
    pub kind: FileKind,
    /// Its name.
    pub name: &'a [u8],
    /// Where a later listing goes on after this entry; never 0.
    pub next_offset: u64,
}

/// A page of directory entries on its way to the kernel, as large as the kernel has room for.
#[derive(Debug)]
pub struct Listing {
    bytes: Vec<u8>,
    room: usize,
    plus: bool,
    root: Ino,
    given: Vec<Ino>,
}

impl Listing {
    /// An empty listing of at most `room` bytes; with `plus`, entries carry their inodes.
    pub(crate) fn new(room: usize, plus: bool, root: Ino) -> Self {
        Self { bytes: Vec::new(), room, plus, root, given: Vec::new() }
    }

    /// Whether the kernel wants each entry's inode too ([`Self::push`]'s `entry`): a directory of many files is
    /// then read with its attributes in one request.
    pub fn wants_inodes(&self) -> bool {
        self.plus
    }

    /// Whether an entry with a name of `name_len` bytes still fits.
    pub fn has_room(&self, name_len: usize) -> bool {
        self.bytes.len() + self.record_len(name_len) <= self.room
    }

    /// How many entries with names of these lengths fit, one after the other.
    pub fn fitting(&self, name_lens: impl IntoIterator<Item = usize>) -> usize {
        let mut left = self.room - self.bytes.len();
        let fits = |len: usize| {
            let after = left.checked_sub(self.record_len(len));
            left = after.unwrap_or(0);
            after.is_some()
        };
        name_lens.into_iter().map(fits).take_while(|fits| *fits).count()
    }

    /// Appends an entry. `entry` is heeded when [`Self::wants_inodes`]; without it (an inode that cannot be read,
    /// say) the name is listed all the same, and looking it up will tell.
    ///
    /// Returns whether it was appended; false: there is no room, and this entry is the first of the next listing.
    #[must_use]
    pub fn push(&mut self, dirent: DirEntry<'_>, entry: Option<&Entry>) -> bool {
        let Ok(namelen) = u32::try_from(dirent.name.len()) else { return false };
        if !self.has_room(dirent.name.len()) {
            return false;
        }
        if self.plus {
            self.push_inode(dirent.name, entry);
        }
        let head = RawDirent {
            ino: dirent.ino.0,
            off: dirent.next_offset,
            namelen,
            kind: dirent.kind.dirent_type(),
        };
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(dirent.name);
        self.bytes.resize(self.bytes.len().next_multiple_of(DIR_ALIGN), 0);
        true
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes for the kernel, and the inodes it gets a reference to by them.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<Ino>) {
        (self.bytes, self.given)
    }

    /// The kernel takes no reference by `.` and `..`, nor by an entry without a node number.
    fn push_inode(&mut self, name: &[u8], entry: Option<&Entry>) {
        let raw = match entry {
            Some(entry) if name != b"." && name != b".." => {
                self.given.push(entry.attr.ino);
                raw_entry(entry, self.root)
            }
            _ => RawEntryOut::new_zeroed(),
        };
        self.bytes.extend_from_slice(raw.as_bytes());
    }

    fn record_len(&self, name_len: usize) -> usize {
        let inode = if self.plus { size_of::<RawEntryOut>() } else { 0 };
        inode.saturating_add(size_of::<RawDirent>()).saturating_add(name_len).next_multiple_of(DIR_ALIGN)
    }
}
