//! POSIX ACLs: what they say of the permission bits, and what new inodes inherit.
//!
//! Rules: `fs/posix_acl.c` of the kernel. The permission bits of an inode with an access ACL are part of it, so the two
//! are always changed together.

use ocfs2_format::xattr::{NameIndex, RawAclEntry, acl_from_vfs};
use ocfs2_format::{BlockNum, FileType};
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

use super::change::Change;
use super::xattr::{self, XattrHow};
use crate::{Error, Inode};

const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

const SET_GID: u16 = 0o2000;

/// An ACL whose entries are in the order that the kernel wants.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Acl(Vec<RawAclEntry>);

impl Acl {
    /// Takes the entries as they lie on disk; `None` when they make no ACL (`posix_acl_valid`). No entries are one.
    fn parse(disk: &[u8]) -> Option<Self> {
        let entries = <[RawAclEntry]>::ref_from_bytes(disk).ok()?.to_vec();
        let rank = |tag| [OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHERS].iter().position(|of| *of == tag);
        let ranks: Vec<usize> = entries.iter().map(|entry| rank(entry.tag.get())).collect::<Option<_>>()?;
        let count = |tag| entries.iter().filter(|entry| entry.tag.get() == tag).count();
        let named = count(USER) + count(GROUP) > 0;
        let whole = count(OWNER) == 1 && count(OWNING_GROUP) == 1 && count(OTHERS) == 1;
        let sound = whole
            && count(MASK) <= 1
            && (!named || count(MASK) == 1)
            && ranks.is_sorted()
            && entries.iter().all(|entry| entry.perm.get() <= 7);
        (sound || entries.is_empty()).then_some(Self(entries))
    }

    fn as_disk(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn entry(&mut self, tag: u16) -> Option<&mut RawAclEntry> {
        self.0.iter_mut().find(|entry| entry.tag.get() == tag)
    }

    fn perm(&self, tag: u16) -> Option<u16> {
        self.0.iter().find(|entry| entry.tag.get() == tag).map(|entry| entry.perm.get())
    }

    /// What the group's permission bits stand for: the mask where there is one.
    fn class(&self) -> u16 {
        if self.perm(MASK).is_some() { MASK } else { OWNING_GROUP }
    }

    /// The permission bits.
    fn bits(&self) -> u16 {
        let of = |tag| self.perm(tag).unwrap_or(0);
        of(OWNER) << 6 | of(self.class()) << 3 | of(OTHERS)
    }

    /// Whether the permission bits say all of it (`posix_acl_equiv_mode`).
    fn is_bits(&self) -> bool {
        self.0.iter().all(|entry| matches!(entry.tag.get(), OWNER | OWNING_GROUP | OTHERS))
    }

    /// Makes the permission bits `bits` (`__posix_acl_chmod_masq`).
    fn set_bits(&mut self, bits: u16) {
        let class = self.class();
        for (tag, perm) in [(OWNER, bits >> 6), (class, bits >> 3), (OTHERS, bits)] {
            if let Some(entry) = self.entry(tag) {
                entry.perm = U16::new(perm & 7);
            }
        }
    }
}

/// Sets the ACL `index` of an inode, in the form of the system calls, or removes it. An access ACL that says no more than
/// permission bits is kept as those.
pub(super) async fn set(
    change: &mut Change<'_>,
    inode: &Inode,
    index: NameIndex,
    value: Option<&[u8]>,
    kill_set_gid: bool,
) -> Result<(), Error> {
    let ino = inode.ino();
    let parse =
        |value| acl_from_vfs(value).and_then(|disk| Acl::parse(&disk)).ok_or(Error::InvalidAcl { ino });
    let acl = value.map(parse).transpose()?.filter(|acl| !acl.0.is_empty());
    let stored = match (index, acl) {
        (NameIndex::POSIX_ACL_ACCESS, Some(acl)) => {
            let killed = if kill_set_gid { SET_GID } else { 0 };
            let perm = inode.attr().perm & 0o7000 & !killed | acl.bits();
            set_perm(change, inode, perm).await?;
            Some(acl).filter(|acl| !acl.is_bits())
        }
        (NameIndex::POSIX_ACL_DEFAULT, Some(_)) if !inode.is_dir() => return Err(Error::InvalidAcl { ino }),
        (_, acl) => acl,
    };
    store(change, ino, index, stored.as_ref()).await
}

async fn store(
    change: &mut Change<'_>,
    ino: BlockNum,
    index: NameIndex,
    acl: Option<&Acl>,
) -> Result<(), Error> {
    match xattr::set(change, ino, (index, b""), acl.map(Acl::as_disk), XattrHow::Any).await {
        Err(Error::NoAttribute) if acl.is_none() => Ok(()),
        done => done,
    }
}

async fn set_perm(change: &mut Change<'_>, inode: &Inode, perm: u16) -> Result<(), Error> {
    change.dinode(inode.ino()).await?.mode = U16::new(inode.attr().kind.mode_bits() | perm);
    Ok(())
}

/// The ACL `name` of `inode` as it was before this change.
async fn get(change: &Change<'_>, inode: &Inode, name: &[u8]) -> Result<Option<Acl>, Error> {
    let ino = inode.ino();
    match change.fs().volume().xattr(inode, name).await {
        Err(Error::NoAttribute) => Ok(None),
        Err(error) => Err(error),
        Ok(value) => {
            let acl = acl_from_vfs(&value).and_then(|disk| Acl::parse(&disk));
            acl.map(Some).ok_or(Error::BadAcl { ino, len: value.len() })
        }
    }
}

/// Lets the access ACL of `inode` follow its new permission bits `perm`.
pub(super) async fn chmod(change: &mut Change<'_>, inode: &Inode, perm: u16) -> Result<(), Error> {
    let Some(mut acl) = get(change, inode, b"system.posix_acl_access").await? else { return Ok(()) };
    acl.set_bits(perm);
    store(change, inode.ino(), NameIndex::POSIX_ACL_ACCESS, Some(&acl)).await
}

/// What a new inode gets of its directory.
#[derive(Clone, Debug)]
pub(super) struct Inherited {
    /// Permission, set-id and sticky bits.
    pub(super) perm: u16,
    access: Option<Acl>,
    default: Option<Acl>,
}

impl Inherited {
    /// What an inode of type `kind` gets that is made with `perm` in `dir` (`posix_acl_create`). `umask` counts where no
    /// default ACL says otherwise. A symlink gets nothing.
    pub(super) async fn of(
        change: &Change<'_>,
        dir: &Inode,
        kind: FileType,
        perm: u16,
        umask: u16,
    ) -> Result<Self, Error> {
        if kind == FileType::Symlink {
            return Ok(Self { perm, access: None, default: None });
        }
        let Some(default) = get(change, dir, b"system.posix_acl_default").await? else {
            return Ok(Self { perm: perm & !(umask & 0o777), access: None, default: None });
        };
        let mut access = default.clone();
        let bits = access.bits() & perm;
        access.set_bits(bits);
        Ok(Self {
            perm: perm & 0o7000 | bits,
            access: Some(access).filter(|acl| !acl.is_bits()),
            default: (kind == FileType::Directory).then_some(default),
        })
    }

    /// Gives the new inode `ino`, whose mode the caller has set, its ACLs.
    pub(super) async fn give(&self, change: &mut Change<'_>, ino: BlockNum) -> Result<(), Error> {
        for (index, acl) in
            [(NameIndex::POSIX_ACL_DEFAULT, &self.default), (NameIndex::POSIX_ACL_ACCESS, &self.access)]
        {
            if acl.is_some() {
                store(change, ino, index, acl.as_ref()).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::little_endian::U32;

    use super::*;

    fn acl(entries: &[(u16, u16)]) -> Option<Acl> {
        let entry = |(tag, perm): &(u16, u16)| RawAclEntry {
            tag: U16::new(*tag),
            perm: U16::new(*perm),
            id: U32::new(if matches!(*tag, USER | GROUP) { 1000 } else { u32::MAX }),
        };
        Acl::parse(entries.iter().map(entry).collect::<Vec<_>>().as_bytes())
    }

    #[test]
    fn an_acl_is_whole_and_in_order() {
        let base = [(OWNER, 6), (OWNING_GROUP, 4), (OTHERS, 0)];
        assert!(acl(&base).unwrap().is_bits());
        assert_eq!(acl(&base).unwrap().bits(), 0o640);
        assert!(acl(&[]).is_some());
        assert!(acl(&base[..2]).is_none());
        assert!(acl(&[(OWNING_GROUP, 4), (OWNER, 6), (OTHERS, 0)]).is_none());
        assert!(acl(&[(OWNER, 8), (OWNING_GROUP, 4), (OTHERS, 0)]).is_none());
        assert!(acl(&[(OWNER, 6), (USER, 7), (OWNING_GROUP, 4), (OTHERS, 0)]).is_none(), "no mask");
        let named = acl(&[(OWNER, 6), (USER, 7), (OWNING_GROUP, 4), (MASK, 5), (OTHERS, 0)]).unwrap();
        assert_eq!((named.bits(), named.is_bits()), (0o650, false));
    }

    #[test]
    fn the_groups_bits_are_the_masks() {
        let mut named = acl(&[(OWNER, 6), (USER, 7), (OWNING_GROUP, 4), (MASK, 5), (OTHERS, 0)]).unwrap();
        named.set_bits(0o777);
        assert_eq!(
            (named.perm(OWNER), named.perm(MASK), named.perm(OWNING_GROUP), named.perm(OTHERS)),
            (Some(7), Some(7), Some(4), Some(7))
        );
    }
}
