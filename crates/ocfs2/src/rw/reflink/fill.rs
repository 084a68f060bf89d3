//! Filling a clone that has no name yet.

use ocfs2_format::{
    BlockKind, BlockNum, DynFeatures, ExtentList, RawDinode, RawExtentList, RawExtentRec, Timestamp,
};
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32, U64};

use crate::Error;
use crate::rw::acl::Inherited;
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::rw::refcount::{RefcountTree, Sharing, share};
use crate::rw::xattr::XattrClone;
use crate::txn::Blocks;

/// What becomes a clone of what. The locks of both inodes are held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cloning {
    pub(super) from: BlockNum,
    pub(super) to: BlockNum,
    /// Owner, permissions and mtime as well.
    pub(super) preserve: bool,
    pub(super) now: Timestamp,
}

impl Operation<'_> {
    /// Makes the empty inode a clone, but for its name.
    pub(super) async fn fill_clone(
        &mut self,
        cloning: Cloning,
        inherited: Option<&Inherited>,
    ) -> Result<(), Error> {
        let generation = self.fs().next_generation();
        loop {
            let mut change = self.begin().await?;
            let done = begin(&mut change, cloning, generation).await;
            if change.end(done).await?.is_some() {
                break;
            }
        }
        let Cloning { from, to, .. } = cloning;
        let sharing = Sharing { from, to, start: 0, target: 0, end: 1 << 32 };
        let mut at = 0;
        while at < sharing.end {
            let mut change = self.begin().await?;
            let done = share(&mut change, &sharing, at).await;
            if let Some(next) = change.end(done).await? {
                at = next;
            }
        }
        self.clone_xattrs(XattrClone { from, to, all: cloning.preserve }).await?;
        loop {
            let mut change = self.begin().await?;
            let done = finish(&mut change, cloning, inherited).await;
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }
}

/// Attaches both inodes to one tree, and gives the clone a body like its original's: what is kept in the inode, or room
/// for as many extents beside as large an area for attributes.
async fn begin(change: &mut Change<'_>, cloning: Cloning, generation: u32) -> Result<(), Error> {
    let original = change.inode(cloning.from).await?;
    let tree = match original.dinode().refcount_root {
        Some(_) => RefcountTree::of(change, cloning.from).await?,
        None => RefcountTree::create(change, cloning.from, generation).await?,
    };
    tree.attach(change, cloning.to).await?;
    let block_size = change.blocks().volume().geometry.block_size;
    let xattrs = original.dinode().inline_xattr_len;
    let features = original.dinode().dyn_features;
    let bytes = original.block().bytes();
    let body = bytes.get(RawDinode::BODY_OFFSET..).unwrap_or_default();
    let (raw, target) = change.dinode_and_body(cloning.to).await?;
    let mut same = features & DynFeatures::INLINE_XATTR;
    if features.contains(DynFeatures::INLINE_XATTR) {
        same |= DynFeatures::HAS_XATTR;
        raw.xattr_inline_size = U16::new(xattrs);
    }
    let kept = body.len().saturating_sub(usize::from(xattrs));
    if features.contains(DynFeatures::INLINE_DATA) {
        same |= DynFeatures::INLINE_DATA;
        let (target, body) = (target.get_mut(..kept), body.get(..kept));
        if let (Some(target), Some(body)) = (target, body) {
            target.copy_from_slice(body);
        }
        raw.size = U64::new(original.size());
    } else if let Ok((list, _)) = RawExtentList::mut_from_prefix(target) {
        let taken = usize::from(xattrs) / size_of::<RawExtentRec>();
        let room = ExtentList::room_in_dinode(block_size);
        list.count = U16::new(u16::try_from(room.saturating_sub(taken)).unwrap_or(0));
    }
    target.get_mut(kept..).unwrap_or_default().fill(0);
    raw.dyn_features = U16::new(raw.dyn_features.get() | same.bits());
    Ok(())
}

/// Sets what of the inode says what has been filled in, and who may do what with it.
async fn finish(
    change: &mut Change<'_>,
    cloning: Cloning,
    inherited: Option<&Inherited>,
) -> Result<(), Error> {
    let from = change.blocks().get(cloning.from, cloning.from, BlockKind::Dinode).await?;
    let wrong = Error::Stale { ino: cloning.from };
    let (original, _) = RawDinode::read_from_prefix(from.bytes()).map_err(|_| wrong)?;
    let raw = change.dinode(cloning.to).await?;
    raw.size = original.size;
    raw.attr = original.attr;
    if cloning.preserve {
        (raw.uid, raw.gid, raw.mode) = (original.uid, original.gid, original.mode);
        (raw.mtime, raw.mtime_nsec) = (original.mtime, original.mtime_nsec);
    }
    raw.ctime = U64::new(cloning.now.seconds.cast_unsigned());
    raw.ctime_nsec = U32::new(cloning.now.nanos);
    match inherited {
        Some(inherited) => inherited.give(change, cloning.to).await,
        None => Ok(()),
    }
}
