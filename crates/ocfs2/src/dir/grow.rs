//! A directory that needs more room: out of its dinode into blocks, and on by a block at a time.

use ocfs2_format::{
    BlockKind, BlockNum, CharSign, Corrupt, DirEntries, DxEntry, DxHash, DynFeatures, Extent, ExtentFlags,
    ExtentRoot, Incompat, RawDinode, RawDirTrailer, RawExtentList, RawExtentRec, Structure, entries_len,
};
use zerocopy::little_endian::{U16, U64};

use super::area::AreaMut;
use super::edit::{Spot, raw_at};
use super::free_list::length;
use super::names::Names;
use super::read::kind_of;
use super::space::Space;
use crate::Error;
use crate::inode::{Body, Inode};
use crate::meta_block::Kind;
use crate::txn::Blocks;

impl<S: Space> Names<'_, '_, S> {
    /// Moves the entries of an inline directory to a block of their own; the directory gets its index on the way where
    /// the volume has indexes.
    pub(super) async fn leave_inline(&mut self, dir: &Inode) -> Result<(), Error> {
        let volume = *self.handle.volume();
        let spot = self.spot(dir, self.dir);
        let old = dir.block().bytes().get(spot.range).unwrap_or_default().to_vec();
        let cluster = self.space.claim_cluster(self.handle).await?;
        let kind = new_kind(&volume);
        let area = entries_len(&volume, kind != Kind::PlainDir);
        let block = self.handle.fresh(self.dir, cluster, kind);
        if let Some(head) = block.get_mut(..old.len()) {
            head.copy_from_slice(&old);
        }
        AreaMut::new(&volume, cluster, block.get_mut(..area).unwrap_or_default()).stretch(old.len())?;
        let indexed = volume.has(Incompat::INDEXED_DIRS);
        if kind != Kind::PlainDir {
            self.add_trailer(cluster, indexed).await?;
        }
        self.dinode_to_tree().await?;
        self.add_extent(self.dir, ExtentRoot::Dinode, 0, cluster).await?;
        self.dinode_mut().await?.size = U64::new(volume.geometry.block_size.bytes());
        if indexed {
            let names = index_entries(&volume, cluster, &old)?;
            self.attach_index(cluster, &names).await?;
        }
        Ok(())
    }

    /// Adds a block, one unused entry from end to end, in front of the free list where there is one.
    pub(super) async fn add_block(&mut self, dir: &Inode) -> Result<Spot, Error> {
        let geometry = self.handle.volume().geometry;
        // A size that ends within a block, as mkfs.ocfs2 leaves it, is rounded up: that block is in use.
        let size = dir.size().next_multiple_of(geometry.block_size.bytes());
        let clusters = dir.dinode().clusters;
        let Body::Tree(tree) = dir.body() else {
            return Err(Error::Hole { ino: self.dir, what: "the directory", cpos: 0 });
        };
        let held = u64::from(clusters) << geometry.cluster_size.bits();
        let blkno = if size < held {
            self.reader(dir).blkno(tree, size / geometry.block_size.bytes()).await?.0
        } else {
            if clusters == u32::MAX {
                return Err(Error::NoSpace { what: "clusters in a directory", want: 1 });
            }
            let cluster = self.space.claim_cluster(self.handle).await?;
            self.add_extent(self.dir, ExtentRoot::Dinode, clusters, cluster).await?;
            cluster
        };
        let spot = self.block_spot(blkno, kind_of(dir, self.handle.volume()));
        self.handle.fresh(self.dir, blkno, spot.kind);
        self.area_mut(&spot).await?.clear();
        if spot.kind != Kind::PlainDir {
            self.add_trailer(blkno, dir.dinode().dx_root.is_some()).await?;
        }
        if let Some(root) = dir.dinode().dx_root {
            self.list_first(root, blkno).await?;
        }
        self.dinode_mut().await?.size = U64::new(size + geometry.block_size.bytes());
        Ok(spot)
    }

    /// Ends a new block with its trailer; what that says of the hole counts in a directory with an index only.
    pub(super) async fn add_trailer(&mut self, block: BlockNum, indexed: bool) -> Result<(), Error> {
        let (volume, dir) = (*self.handle.volume(), self.dir);
        let area = self.block_spot(block, BlockKind::DirBlock.into());
        let hole = if indexed { self.area_mut(&area).await?.largest_hole()? } else { 0 };
        let bytes = self.handle.edit(dir, block, BlockKind::DirBlock).await?;
        *raw_at(bytes, entries_len(&volume, true), block, Structure::DirTrailer)? =
            RawDirTrailer { free_rec_len: length(hole), ..RawDirTrailer::new(dir, block) };
        Ok(())
    }

    /// Adds one cluster to the tree whose root is in block `root`.
    pub(super) async fn add_extent(
        &mut self,
        root: BlockNum,
        kind: ExtentRoot,
        cpos: u32,
        block: BlockNum,
    ) -> Result<(), Error> {
        let extent = Extent { cpos, clusters: 1, flags: ExtentFlags::empty(), block };
        self.space.insert_extent(self.handle, self.dir, (root, kind), extent).await
    }

    /// Makes the body of the dinode an empty extent list. The size is 0 then: a directory has no holes.
    pub(super) async fn dinode_to_tree(&mut self) -> Result<(), Error> {
        let ino = self.dir;
        let head = self.dinode_mut().await?;
        let flags = DynFeatures::from_bits_retain(head.dyn_features.get()) - DynFeatures::INLINE_DATA;
        head.dyn_features = U16::new(flags.bits());
        head.size = U64::new(0);
        let xattrs = match flags.contains(DynFeatures::INLINE_XATTR) {
            true => usize::from(head.xattr_inline_size.get()),
            false => 0,
        };
        let bytes = self.handle.edit(ino, ino, BlockKind::Dinode).await?;
        // What was checked with the dinode: the xattr area leaves room for a list.
        let end = bytes.len() - xattrs;
        let body = bytes.get_mut(RawDinode::BODY_OFFSET..end).unwrap_or_default();
        body.fill(0);
        let room = (body.len() - size_of::<RawExtentList>()) / size_of::<RawExtentRec>();
        *raw_at(bytes, RawDinode::BODY_OFFSET, ino, Structure::Dinode)? = RawExtentList::empty(room);
        Ok(())
    }
}

/// What the blocks of a directory are that leaves its dinode now.
pub(super) fn new_kind(volume: &ocfs2_format::Volume) -> Kind {
    let trailers = volume.features.meta_ecc() || volume.has(Incompat::INDEXED_DIRS);
    if trailers { BlockKind::DirBlock.into() } else { Kind::PlainDir }
}

/// The index entries of all names in the area `area`, which lie, or are going to, in block `block`.
pub(super) fn index_entries(
    volume: &ocfs2_format::Volume,
    block: BlockNum,
    area: &[u8],
) -> Result<Vec<DxEntry>, Corrupt> {
    let mut names = Vec::new();
    for entry in DirEntries::new(volume, block, area) {
        let entry = entry?;
        if entry.inode.is_some() {
            let hash = DxHash::of(entry.name, volume.dx_seed, CharSign::Signed);
            names.push(DxEntry { hash, block });
        }
    }
    Ok(names)
}
