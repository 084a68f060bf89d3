//! Answers: from what the filesystem says to what the kernel reads.

use rustix::io::Errno;
use smallvec::SmallVec;
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::abi::{
    OpenFlags, ROOT_NODE, RawAttr, RawAttrOut, RawEntryOut, RawGetXattrOut, RawLseekOut, RawOpenOut,
    RawStatfsOut, RawWriteOut,
};
use crate::{Attr, Attributes, Data, Entry, Ino, Lookup, Opened, VolumeStat};

/// The body of an answer without an error.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A structure, or nothing; the largest is the answer to CREATE, of 144 bytes.
    Small(SmallVec<[u8; 144]>),
    /// Bytes of a length of their own: a link's target, a listing, an xattr.
    Bytes(Vec<u8>),
    /// The contents of a file.
    Data(Data),
}

impl Reply {
    pub(crate) fn empty() -> Self {
        Self::Small(SmallVec::new())
    }

    pub(crate) fn of(raw: &(impl IntoBytes + Immutable)) -> Self {
        Self::Small(SmallVec::from_slice(raw.as_bytes()))
    }

    pub(crate) fn lookup(lookup: &Lookup, root: Ino) -> Self {
        match lookup {
            Lookup::Found(entry) => Self::of(&raw_entry(entry, root)),
            Lookup::Missing(ttl) => {
                let mut raw = RawEntryOut::new_zeroed();
                (raw.entry_valid, raw.entry_valid_nsec) = (ttl.as_secs(), ttl.subsec_nanos());
                Self::of(&raw)
            }
        }
    }

    pub(crate) fn attributes(attributes: &Attributes) -> Self {
        Self::of(&RawAttrOut {
            attr_valid: attributes.ttl.as_secs(),
            attr_valid_nsec: attributes.ttl.subsec_nanos(),
            dummy: 0,
            attr: raw_attr(&attributes.attr),
        })
    }

    pub(crate) fn opened(opened: Opened, directory: bool) -> Self {
        Self::of(&raw_opened(opened, directory))
    }

    pub(crate) fn entry(entry: &Entry, root: Ino) -> Self {
        Self::of(&raw_entry(entry, root))
    }

    /// The answer to CREATE: two structures, one behind the other.
    pub(crate) fn created(entry: &Entry, opened: Opened, root: Ino) -> Self {
        let mut bytes = SmallVec::from_slice(raw_entry(entry, root).as_bytes());
        bytes.extend_from_slice(raw_opened(opened, false).as_bytes());
        Self::Small(bytes)
    }

    pub(crate) fn written(size: u32) -> Self {
        Self::of(&RawWriteOut { size, padding: 0 })
    }

    pub(crate) fn volume_stat(stat: &VolumeStat) -> Self {
        Self::of(&RawStatfsOut {
            blocks: stat.blocks,
            bfree: stat.free,
            bavail: stat.available,
            files: stat.files,
            ffree: stat.free_files,
            bsize: stat.block_size,
            namelen: stat.name_max,
            frsize: stat.block_size,
            padding: 0,
            spare: [0; 6],
        })
    }

    pub(crate) fn offset(offset: u64) -> Self {
        Self::of(&RawLseekOut { offset })
    }

    /// A value or list of names under the rules of getxattr(2): with no room asked for, only its length.
    pub(crate) fn sized(value: Vec<u8>, room: u32) -> Result<Self, Errno> {
        let size = u32::try_from(value.len()).map_err(|_| Errno::TOOBIG)?;
        match room {
            0 => Ok(Self::of(&RawGetXattrOut { size, padding: 0 })),
            room if size > room => Err(Errno::RANGE),
            _ => Ok(Self::Bytes(value)),
        }
    }
}

fn raw_opened(opened: Opened, directory: bool) -> RawOpenOut {
    let mut flags = OpenFlags::empty();
    flags.set(OpenFlags::KEEP_CACHE, opened.keep_cache);
    flags.set(OpenFlags::CACHE_DIR, opened.keep_cache && directory);
    flags.set(OpenFlags::DIRECT_IO, opened.direct_io && !directory);
    flags.set(OpenFlags::PARALLEL_DIRECT_WRITES, opened.parallel_writes && !directory);
    RawOpenOut { fh: opened.handle, open_flags: flags.bits(), padding: 0 }
}

/// An entry under the node number that the kernel knows it by.
pub(crate) fn raw_entry(entry: &Entry, root: Ino) -> RawEntryOut {
    RawEntryOut {
        nodeid: node_of(entry.attr.ino, root),
        generation: entry.generation,
        entry_valid: entry.entry_ttl.as_secs(),
        attr_valid: entry.attr_ttl.as_secs(),
        entry_valid_nsec: entry.entry_ttl.subsec_nanos(),
        attr_valid_nsec: entry.attr_ttl.subsec_nanos(),
        attr: raw_attr(&entry.attr),
    }
}

/// The kernel's number for an inode: its own, and 1 for the root.
pub(crate) fn node_of(ino: Ino, root: Ino) -> u64 {
    if ino == root { ROOT_NODE } else { ino.0 }
}

/// The inode of a kernel's number.
pub(crate) fn ino_of(node: u64, root: Ino) -> Ino {
    if node == ROOT_NODE { root } else { Ino(node) }
}

fn raw_attr(attr: &Attr) -> RawAttr {
    RawAttr {
        ino: attr.ino.0,
        size: attr.size,
        blocks: attr.blocks,
        atime: attr.atime.secs.cast_unsigned(),
        mtime: attr.mtime.secs.cast_unsigned(),
        ctime: attr.ctime.secs.cast_unsigned(),
        atimensec: attr.atime.nanos,
        mtimensec: attr.mtime.nanos,
        ctimensec: attr.ctime.nanos,
        mode: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: raw_device(attr.rdev),
        blksize: attr.block_size,
        flags: 0,
    }
}

/// The kernel's 32-bit form of a device number: 12 bits of major, 20 of minor, the minor's low byte at the end.
fn raw_device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xf_ff00) << 12)
}

/// The same, the other way.
pub(crate) fn device_of(raw: u32) -> (u32, u32) {
    ((raw >> 8) & 0xfff, (raw & 0xff) | ((raw >> 12) & 0xf_ff00))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_device_number_has_the_minor_on_both_sides_of_the_major() {
        assert_eq!(raw_device((8, 1)), 0x0801);
        assert_eq!(raw_device((0xabc, 0x12345)), 0x123a_bc45);
        assert_eq!(device_of(0x123a_bc45), (0xabc, 0x12345));
    }

    #[test]
    fn only_the_root_is_renumbered() {
        let root = Ino(5);
        assert_eq!(node_of(root, root), 1);
        assert_eq!(ino_of(1, root), root);
        assert_eq!(node_of(Ino(77), root), 77);
        assert_eq!(ino_of(77, root), Ino(77));
    }

    #[test]
    fn xattr_sizes_follow_getxattr() {
        let value = b"12345".to_vec();
        assert!(matches!(Reply::sized(value.clone(), 0), Ok(Reply::Small(b)) if b[..4] == *5u32.as_bytes()));
        assert!(matches!(Reply::sized(value.clone(), 4), Err(Errno::RANGE)));
        assert!(matches!(Reply::sized(value, 5), Ok(Reply::Bytes(b)) if b == b"12345"));
    }

    #[test]
    fn a_missing_name_is_node_0_with_its_ttl() {
        let Reply::Small(bytes) = Reply::lookup(&Lookup::Missing(Duration::new(7, 9)), Ino(5)) else {
            panic!("a structure")
        };
        assert_eq!(bytes.len(), 128);
        assert_eq!(bytes[..8], [0; 8]);
        assert_eq!(bytes[16..24], *7u64.as_bytes());
        assert_eq!(bytes[32..36], *9u32.as_bytes());
    }
}
