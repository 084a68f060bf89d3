//! POSIX ACLs: on disk an array of entries, for `getxattr` the same after a version number.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::raw::layout;

/// An ACL entry, on disk and in the xattr alike (`struct ocfs2_acl_entry`, `struct posix_acl_xattr_entry`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawAclEntry {
    /// `e_tag`: 1 owner, 2 user, 4 owning group, 8 group, 0x10 mask, 0x20 others.
    pub tag: U16,
    /// `e_perm`: 4 read, 2 write, 1 execute.
    pub perm: U16,
    /// `e_id`: user or group; all ones for the tags that name none.
    pub id: U32,
}
layout!(RawAclEntry, 8, { perm: 2, id: 4 });

impl RawAclEntry {
    /// A named user.
    const USER: u16 = 0x02;
    /// A named group.
    const GROUP: u16 = 0x08;

    /// The entry as both sides write it: no id where the tag names none.
    fn normal(mut self) -> Self {
        if !matches!(self.tag.get(), Self::USER | Self::GROUP) {
            self.id = U32::new(u32::MAX);
        }
        self
    }
}

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;

/// The value that `getxattr` gives for the ACL `disk`; `None` when its length is not whole entries.
#[must_use]
pub fn acl_to_vfs(disk: &[u8]) -> Option<Vec<u8>> {
    let entries = <[RawAclEntry]>::ref_from_bytes(disk).ok()?;
    let mut value = VERSION.to_le_bytes().to_vec();
    entries.iter().for_each(|entry| value.extend_from_slice(entry.normal().as_bytes()));
    Some(value)
}

/// The value to store for the ACL `value` that `setxattr` was given; `None` when it is none.
#[must_use]
pub fn acl_from_vfs(value: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = U32::read_from_prefix(value).ok()?;
    let entries = <[RawAclEntry]>::ref_from_bytes(rest).ok()?;
    if version.get() != VERSION {
        return None;
    }
    Some(entries.iter().flat_map(|entry| entry.normal().as_bytes().to_vec()).collect())
}
