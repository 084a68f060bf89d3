//! Data that is kept in the inode itself.

use block::Buf;
use ocfs2_format::{BlockNum, DynFeatures, ExtentFlags, Incompat, RawDinode, RawExtentList, RawInlineData};
use zerocopy::FromBytes;
use zerocopy::little_endian::U16;

use super::claim::claim_into;
use super::device::{Piece, zeroes};
use super::map::{Kind, Segment};
use super::{PAGE, align_up};
use crate::inode::{Body, Inode};
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::rw::setattr::touch;
use crate::{Error, Volume};

/// Bytes of the head of inline data, in the body.
const HEAD: usize = size_of::<RawInlineData>();

impl Inode {
    /// How many bytes of data the inode itself has room for: where it has data in it, or could have, since it has none
    /// at all (`ocfs2_try_to_write_inline_data` of `fs/ocfs2/aops.c`).
    pub(super) fn inline_room(&self, volume: &Volume) -> Option<u64> {
        let dinode = self.dinode();
        match self.body() {
            Body::Inline(room) => Some(room.len() as u64),
            Body::Tree(_) if volume.meta().volume().has(Incompat::INLINE_DATA) => {
                (dinode.clusters == 0 && self.size() == 0).then(|| room_of(self, volume))
            }
            _ => None,
        }
    }
}

fn room_of(inode: &Inode, volume: &Volume) -> u64 {
    let whole = RawInlineData::room(volume.geometry().block_size);
    whole.saturating_sub(usize::from(inode.dinode().inline_xattr_len)) as u64
}

/// Puts `bytes` into the inode at byte `at` of its data, which becomes inline if it is not. What lies between the end
/// of the file and `at` is zero.
pub(super) async fn put(change: &mut Change<'_>, ino: BlockNum, at: u64, bytes: &[u8]) -> Result<(), Error> {
    let inode = change.inode(ino).await?;
    if matches!(inode.body(), Body::Tree(_)) {
        let room = room_of(&inode, change.fs().volume());
        let (raw, body) = change.dinode_and_body(ino).await?;
        let len = HEAD + usize::try_from(room).unwrap_or(0);
        body.get_mut(..len).unwrap_or_default().fill(0);
        raw.dyn_features = U16::new(raw.dyn_features.get() | DynFeatures::INLINE_DATA.bits());
        if let Ok((head, _)) = RawInlineData::mut_from_prefix(body) {
            head.count = U16::new(u16::try_from(room).unwrap_or(0));
        }
    }
    clear(change, ino, (inode.size().min(at), at)).await?;
    let (_, body) = change.dinode_and_body(ino).await?;
    let start = HEAD.saturating_add(usize::try_from(at).unwrap_or(usize::MAX));
    // The caller has looked at the room.
    let place = body.get_mut(start..start.saturating_add(bytes.len()));
    place.ok_or(Error::InlineRoom { ino })?.copy_from_slice(bytes);
    Ok(())
}

/// Zeroes the bytes `start` to `end` of inline data.
pub(super) async fn clear(
    change: &mut Change<'_>,
    ino: BlockNum,
    (start, end): (u64, u64),
) -> Result<(), Error> {
    let Body::Inline(room) = change.inode(ino).await?.body().clone() else { return Ok(()) };
    let (_, body) = change.dinode_and_body(ino).await?;
    let place = |at: u64| HEAD + usize::try_from(at).unwrap_or(usize::MAX).min(room.len());
    body.get_mut(place(start)..place(end)).unwrap_or_default().fill(0);
    Ok(())
}

impl Operation<'_> {
    /// Moves data that is kept in inode `ino` out to a cluster. The locks are held exclusively.
    pub(super) async fn move_out(&mut self, ino: BlockNum) -> Result<(), Error> {
        let fs = self.fs();
        let inode = fs.volume().inode(ino).await?;
        let Body::Inline(room) = inode.body() else { return Ok(()) };
        let used = usize::try_from(inode.size()).unwrap_or(usize::MAX).min(room.len());
        let bytes = inode.block().bytes().get(room.start..room.start + used).unwrap_or_default();
        let mut first = Segment { start: 0, end: 1, kind: Kind::Hole, block: BlockNum(0) };
        let kept = if used > 0 { self.take_clusters(&inode, &mut first).await? } else { None };
        if kept.is_some() {
            fs.put(ino, vec![whole_pages(fs.byte_at(&first, 0), bytes)]).await?;
        }
        loop {
            let mut change = self.begin().await?;
            let steps = async {
                drop_inline(&mut change, ino).await?;
                match &kept {
                    _ if used == 0 => {}
                    Some(taken) => taken.claim(&mut change, ino).await?,
                    None => {
                        let new = claim_into(&mut change, ino, first, ExtentFlags::empty()).await?;
                        fs.put(ino, vec![whole_pages(fs.byte_at(&new, 0), bytes)]).await?;
                    }
                }
                touch(change.dinode(ino).await?, fs.clock().now());
                Ok(())
            };
            let done = steps.await;
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }
}

/// `bytes` for byte `at` of the device, with zeroes up to the end of a page.
fn whole_pages(at: u64, bytes: &[u8]) -> Piece {
    let len = bytes.len() as u64;
    let mut bufs = Buf::copy_of(bytes).into_bufs();
    bufs.extend(zeroes(align_up(len, PAGE) - len));
    Piece::new(at, bufs)
}

/// Makes the body of inode `ino` an empty tree.
async fn drop_inline(change: &mut Change<'_>, ino: BlockNum) -> Result<(), Error> {
    let inode = change.inode(ino).await?;
    let capacity = capacity_of(&inode, change.fs().volume());
    let (raw, body): (&mut RawDinode, &mut [u8]) = change.dinode_and_body(ino).await?;
    raw.dyn_features = U16::new(raw.dyn_features.get() & !DynFeatures::INLINE_DATA.bits());
    // The attributes behind it stay.
    let kept = usize::from(inode.dinode().inline_xattr_len);
    let len = body.len().saturating_sub(kept);
    body.get_mut(..len).unwrap_or_default().fill(0);
    RawExtentList::format(ino, body, capacity)?;
    Ok(())
}

/// Extents that fit the inode beside its inline attributes.
fn capacity_of(inode: &Inode, volume: &Volume) -> usize {
    let block = volume.geometry().block_size;
    let taken = usize::from(inode.dinode().inline_xattr_len) / size_of::<ocfs2_format::RawExtentRec>();
    ocfs2_format::ExtentList::room_in_dinode(block).saturating_sub(taken)
}
