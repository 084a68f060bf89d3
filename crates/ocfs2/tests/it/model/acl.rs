//! ACLs in the form of the system calls: a version, then entries of tag, permissions and id.

/// The names under which they are kept.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

/// One with so many named users, and a named group and a mask where there are some.
pub(super) fn acl(bits: u16, users: u32) -> Vec<u8> {
    let mut entries = vec![(OWNER, bits >> 6, u32::MAX)];
    entries.extend((0..users).map(|user| (USER, 5, 1000 + user)));
    entries.push((OWNING_GROUP, 6, u32::MAX));
    if users > 0 {
        entries.extend([(GROUP, 3, 77), (MASK, bits >> 3, u32::MAX)]);
    } else {
        entries[1].1 = bits >> 3;
    }
    entries.push((OTHERS, bits, u32::MAX));
    let entry = |(tag, perm, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &(perm & 7).to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(entry).collect()].concat()
}

/// Whether it says no more than the permission bits.
pub(super) fn is_bits(acl: &[u8]) -> bool {
    acl.len() == 4 + 3 * 8
}

/// The place of the permissions of the entry with `tag`.
fn place(acl: &[u8], tag: u16) -> Option<usize> {
    (4..acl.len()).step_by(8).find(|at| acl[*at..at + 2] == tag.to_le_bytes()).map(|at| at + 2)
}

/// The places of what the permission bits stand for: owner, group or mask, others.
fn places(acl: &[u8]) -> [usize; 3] {
    let at = |tag| place(acl, tag);
    let class = at(MASK).or(at(OWNING_GROUP));
    [at(OWNER), class, at(OTHERS)].map(|at| at.expect("every ACL has it"))
}

/// The permission bits.
pub(super) fn bits(acl: &[u8]) -> u16 {
    places(acl).into_iter().fold(0, |bits, at| bits << 3 | u16::from(acl[at]))
}

/// The same with other permission bits.
pub(super) fn with_bits(acl: &[u8], bits: u16) -> Vec<u8> {
    let mut changed = acl.to_vec();
    for (at, shift) in places(acl).into_iter().zip([6, 3, 0]) {
        changed[at] = (bits >> shift & 7) as u8;
    }
    changed
}
