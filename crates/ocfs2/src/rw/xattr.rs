//! Setting and removing extended attributes.
//!
//! An attribute lies in the dinode if it fits there, else in the xattr block, else in buckets; a value of more than 80
//! bytes lies in clusters of its own, whatever holds its name. One that is replaced is taken out and put in anew, all in
//! one change: its new value has new clusters, so a power cut leaves the old one or the new one.

mod area;
mod buckets;
mod clone;
mod free;
mod place;
mod value;

use ocfs2_format::xattr::{MAX_LOCAL_VALUE, NameIndex};
use ocfs2_format::{BlockKind, BlockNum, Incompat};

use super::Writable;
use super::acl;
use super::change::Change;
use crate::lock::{Level, Rank};
use crate::txn::Blocks;
use crate::{Error, Inode};
use area::{Pair, drop_entry, hash_of};
pub(super) use clone::XattrClone;
use place::{Place, Places};

/// Longest value (`XATTR_SIZE_MAX`).
const MAX_VALUE: u64 = 65536;
/// Longest name without its prefix.
const MAX_NAME: usize = 255;

/// Whether an attribute that is set must be there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XattrHow {
    /// It may be there or not.
    #[default]
    Any,
    /// It must not be there (`XATTR_CREATE`).
    Create,
    /// It must be there (`XATTR_REPLACE`).
    Replace,
}

/// How an attribute is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetXattr {
    /// Whether it must be there already.
    pub how: XattrHow,
    /// With an access ACL: whether the set-group-id bit goes, for the caller is not in the file's group.
    pub kill_set_gid: bool,
}

impl Writable {
    /// Sets the attribute with the full name `name` of inode `ino` to `value`; ACLs in the form of the system calls, and
    /// then the permissions follow. Returns the inode as it is then. Who may do that is the caller's to judge.
    ///
    /// # Errors
    /// [`Error::Exists`] and [`Error::NoAttribute`] as `set` wants; [`Error::XattrName`] for a name that the volume
    /// cannot hold; [`Error::ValueSize`] for more than 64 KiB; [`Error::InvalidAcl`]; [`Error::Flagged`];
    /// [`Error::NoSpace`]; and what every change can fail with.
    pub async fn set_xattr(
        &self,
        ino: BlockNum,
        name: &[u8],
        value: &[u8],
        set: SetXattr,
    ) -> Result<Inode, Error> {
        self.judged(self.change_xattr(ino, name, Some(value), set).await)
    }

    /// Removes the attribute with the full name `name` of inode `ino`. Returns the inode as it is then.
    ///
    /// # Errors
    /// [`Error::NoAttribute`], [`Error::XattrName`], [`Error::Flagged`]; and what every change can fail with.
    pub async fn remove_xattr(&self, ino: BlockNum, name: &[u8]) -> Result<Inode, Error> {
        self.judged(self.change_xattr(ino, name, None, SetXattr::default()).await)
    }

    async fn change_xattr(
        &self,
        ino: BlockNum,
        name: &[u8],
        value: Option<&[u8]>,
        options: SetXattr,
    ) -> Result<Inode, Error> {
        let unknown = || Error::XattrName { name: String::from_utf8_lossy(name).into_owned() };
        let (index, rest) = NameIndex::split(name).ok_or_else(unknown)?;
        if rest.len() > MAX_NAME || !self.volume().meta().volume().has(Incompat::XATTR) {
            return Err(unknown());
        }
        let size = value.map_or(0, |value| value.len() as u64);
        if size > MAX_VALUE {
            return Err(Error::ValueSize { ino, size, max: MAX_VALUE });
        }
        let mut op = self.operation();
        op.lock_inode(Rank::Child, ino, Level::Exclusive).await?;
        let now = self.clock().now();
        loop {
            let mut change = op.begin().await?;
            let steps = async {
                let inode = change.inode(ino).await?;
                expect_changeable(&inode)?;
                match index.is_acl() {
                    true => acl::set(&mut change, &inode, index, value, options.kill_set_gid).await?,
                    false => set(&mut change, ino, (index, rest), value, options.how).await?,
                }
                super::setattr::touch(change.dinode(ino).await?, now);
                change.inode(ino).await
            };
            let done = steps.await;
            if let Some(inode) = change.end(done).await? {
                return Ok(inode);
            }
        }
    }
}

/// Fails where the flags of `lsattr` forbid changes of attributes.
fn expect_changeable(inode: &Inode) -> Result<(), Error> {
    let flags = inode.dinode().attr;
    match flags & (super::setattr::IMMUTABLE | super::setattr::APPEND) {
        0 => Ok(()),
        _ => Err(Error::Flagged { ino: inode.ino(), flags }),
    }
}

/// Sets the attribute to `value`, or removes it. ACLs as they lie on disk.
pub(super) async fn set(
    change: &mut Change<'_>,
    ino: BlockNum,
    (index, name): (NameIndex, &[u8]),
    value: Option<&[u8]>,
    how: XattrHow,
) -> Result<(), Error> {
    let places = Places::of(change.blocks(), ino).await?;
    let found = places.find(change.blocks(), ino, index, name).await?;
    match (&found, value, how) {
        (Some(_), Some(_), XattrHow::Create) => return Err(Error::Exists),
        (None, Some(_), XattrHow::Replace) | (None, None, _) => return Err(Error::NoAttribute),
        _ => {}
    }
    if let Some((place, pairs, at)) = found {
        take_out(change, place, pairs, at).await?;
    }
    let Some(value) = value else { return Ok(()) };
    let hash = hash_of(change.blocks().volume(), name);
    let size = value.len() as u64;
    let mut pair = Pair { hash, index, name: name.to_vec(), size, value: value.to_vec() };
    if size <= MAX_LOCAL_VALUE {
        return put(change, ino, &pair).await;
    }
    let written = value::write(change, value).await?;
    pair.value = written.root();
    put(change, ino, &pair).await?;
    if written.has_more() {
        let places = Places::of(change.blocks(), ino).await?;
        let found = places.find(change.blocks(), ino, index, name).await?;
        let (place, _, at) = found.ok_or(Error::NoAttribute)?;
        let root = place.root_of(change.blocks(), at).await?;
        written.add_rest(change, ino, root).await?;
    }
    Ok(())
}

/// Takes pair number `at` out of its place, and gives up its clusters.
async fn take_out(
    change: &mut Change<'_>,
    place: Place,
    mut pairs: Vec<Pair>,
    at: usize,
) -> Result<(), Error> {
    if pairs.get(at).is_some_and(Pair::is_outside) {
        let root = place.root_of(change.blocks(), at).await?;
        value::free(change, place.ino, root).await?;
    }
    let wrong = Error::XattrArea { block: place.block };
    if place.kind == BlockKind::XattrBucket {
        let bytes = change.blocks().edit(place.ino, place.block, place.kind).await?;
        return drop_entry(bytes, at).ok_or(wrong);
    }
    pairs.remove(at);
    if place.store(change, &pairs).await? { Ok(()) } else { Err(wrong) }
}

/// Puts a pair whose name is nowhere yet where it fits.
async fn put(change: &mut Change<'_>, ino: BlockNum, pair: &Pair) -> Result<(), Error> {
    let mut places = Places::of(change.blocks(), ino).await?;
    if places.inline.is_none() {
        places.inline = place::reserve_inline(change, ino).await?;
    }
    if let Some(inline) = places.inline
        && add(change, inline, pair).await?
    {
        return Ok(());
    }
    let entries = match (places.entries, &places.tree) {
        (Some(entries), _) => entries,
        (None, Some(_)) => return buckets::put(change, ino, pair).await,
        (None, None) => place::add_block(change, ino).await?,
    };
    if add(change, entries, pair).await? {
        return Ok(());
    }
    buckets::begin(change, entries).await?;
    buckets::put(change, ino, pair).await
}

/// Adds a pair to a place outside the buckets; false when it has no room.
async fn add(change: &mut Change<'_>, place: Place, pair: &Pair) -> Result<bool, Error> {
    let mut pairs = place.pairs(change.blocks()).await?;
    pairs.push(pair.clone());
    place.store(change, &pairs).await
}
