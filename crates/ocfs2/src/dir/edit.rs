//! The blocks of a directory, checked and then opened for change.

use std::ops::Range;

use ocfs2_format::{
    BlockKind, BlockNum, Corrupt, Dinode, DirTrailer, DxRoot, RawDinode, RawDirTrailer, RawDxRoot, Structure,
    entries_len,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::area::AreaMut;
use super::names::Names;
use super::read::kind_of;
use super::space::Space;
use crate::Error;
use crate::inode::{Body, Inode};
use crate::meta_block::Kind;
use crate::txn::Blocks;

/// The part of a block that holds entries.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) block: BlockNum,
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

impl<S: Space> Names<'_, '_, S> {
    /// The entries in `block` of the directory: one of its blocks, or its dinode when it is inline.
    pub(super) fn spot(&self, dir: &Inode, block: BlockNum) -> Spot {
        match dir.body() {
            Body::Inline(room) => {
                // The size is within the room: checked when the inode was parsed.
                let end = room.start + usize::try_from(dir.size()).unwrap_or(0);
                Spot { block, kind: BlockKind::Dinode.into(), range: room.start..end.min(room.end) }
            }
            _ => self.block_spot(block, kind_of(dir, self.handle.volume())),
        }
    }

    /// The entries in a directory block of this kind.
    pub(super) fn block_spot(&self, block: BlockNum, kind: Kind) -> Spot {
        let trailer = kind != Kind::PlainDir;
        Spot { block, kind, range: 0..entries_len(self.handle.volume(), trailer) }
    }

    /// Opens the entries at `spot`.
    pub(super) async fn area_mut(&mut self, spot: &Spot) -> Result<AreaMut<'_>, Error> {
        let volume = *self.handle.volume();
        let bytes = self.handle.edit(self.dir, spot.block, spot.kind).await?;
        let bytes = bytes.get_mut(spot.range.clone()).unwrap_or_default();
        Ok(AreaMut::new(&volume, spot.block, bytes))
    }

    /// The directory's dinode, checked.
    pub(super) async fn dinode_mut(&mut self) -> Result<&mut RawDinode, Error> {
        let (volume, ino) = (*self.handle.volume(), self.dir);
        let bytes = self.handle.edit(ino, ino, BlockKind::Dinode).await?;
        Dinode::parse(&volume, ino, bytes)?;
        Ok(raw_at(bytes, 0, ino, Structure::Dinode)?)
    }

    /// The root of the directory's index, checked.
    pub(super) async fn root_mut(&mut self, root: BlockNum) -> Result<&mut RawDxRoot, Error> {
        let (volume, ino) = (*self.handle.volume(), self.dir);
        let bytes = self.handle.edit(ino, root, BlockKind::DxRoot).await?;
        DxRoot::parse(&volume, root, bytes, Some(ino))?;
        Ok(raw_at(bytes, 0, root, Structure::DxRoot)?)
    }

    /// The trailer of one of the directory's blocks, checked.
    pub(super) async fn trailer(&self, block: BlockNum) -> Result<DirTrailer, Error> {
        let bytes = self.handle.get(self.dir, block, BlockKind::DirBlock).await?;
        Ok(DirTrailer::parse(self.handle.volume(), block, bytes.bytes(), Some(self.dir))?)
    }

    /// The same, to be changed.
    pub(super) async fn trailer_mut(&mut self, block: BlockNum) -> Result<&mut RawDirTrailer, Error> {
        let (volume, ino) = (*self.handle.volume(), self.dir);
        let bytes = self.handle.edit(ino, block, BlockKind::DirBlock).await?;
        DirTrailer::parse(&volume, block, bytes, Some(ino))?;
        Ok(raw_at(bytes, entries_len(&volume, true), block, Structure::DirTrailer)?)
    }
}

/// The structure at byte `offset` of `block`, to be changed.
pub(super) fn raw_at<T>(
    bytes: &mut [u8],
    offset: usize,
    block: BlockNum,
    structure: Structure,
) -> Result<&mut T, Corrupt>
where
    T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned,
{
    let (len, want) = (bytes.len(), offset + size_of::<T>());
    let tail = bytes.get_mut(offset..).and_then(|tail| T::mut_from_prefix(tail).ok());
    let short = ocfs2_format::Check::Short { structure, len, want };
    tail.map(|(raw, _)| raw).ok_or(Corrupt { block, what: short })
}
