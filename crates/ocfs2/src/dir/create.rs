//! A new directory's contents.

use ocfs2_format::{
    BlockNum, DynFeatures, ExtentRoot, Incompat, RawDinode, RawInlineData, Structure, entries_len,
};
use zerocopy::little_endian::{U16, U64};

use super::edit::{Spot, raw_at};
use super::grow::{index_entries, new_kind};
use super::names::Names;
use super::space::Space;
use crate::Error;
use crate::inode::Body;
use crate::meta_block::Kind;
use crate::txn::Blocks;

impl<S: Space> Names<'_, '_, S> {
    /// Gives a new directory, whose dinode has an empty extent list and no size yet, its contents: `.` and `..`, the
    /// latter for `parent`. They lie in the dinode where the volume has inline data, else in a block; that one is
    /// indexed where the volume has indexes. The link counts are the caller's.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::NotDir`]; others when a block does not check.
    pub async fn create(&mut self, parent: BlockNum) -> Result<(), Error> {
        let saved = self.handle.save();
        match self.create_contents(parent).await {
            Err(error @ Error::NoSpace { .. }) => {
                self.handle.restore(saved);
                Err(error)
            }
            done => done,
        }
    }

    async fn create_contents(&mut self, parent: BlockNum) -> Result<(), Error> {
        let volume = *self.handle.volume();
        if volume.has(Incompat::INLINE_DATA) {
            return self.create_inline(parent).await;
        }
        let cluster = self.space.claim_cluster(self.handle).await?;
        let kind = new_kind(&volume);
        self.handle.fresh(self.dir, cluster, kind);
        let spot = self.block_spot(cluster, kind);
        let dir = self.dir;
        self.area_mut(&spot).await?.begin(dir, parent);
        let indexed = volume.has(Incompat::INDEXED_DIRS);
        if kind != Kind::PlainDir {
            self.add_trailer(cluster, indexed).await?;
        }
        self.add_extent(self.dir, ExtentRoot::Dinode, 0, cluster).await?;
        self.dinode_mut().await?.size = U64::new(volume.geometry.block_size.bytes());
        if indexed {
            let bytes = self.handle.edit(dir, cluster, kind).await?;
            let area = bytes.get(..entries_len(&volume, true)).unwrap_or_default();
            let names = index_entries(&volume, cluster, area)?;
            self.attach_index(cluster, &names).await?;
        }
        Ok(())
    }

    /// The contents in the dinode, all of whose room they take.
    async fn create_inline(&mut self, parent: BlockNum) -> Result<(), Error> {
        let (block_size, ino) = (self.handle.volume().geometry.block_size, self.dir);
        let head = self.dinode_mut().await?;
        let room = RawInlineData::whole(block_size);
        head.dyn_features = U16::new(head.dyn_features.get() | DynFeatures::INLINE_DATA.bits());
        head.size = U64::new(u64::from(room.count.get()));
        let bytes = self.handle.edit(ino, ino, ocfs2_format::BlockKind::Dinode).await?;
        bytes.get_mut(RawDinode::BODY_OFFSET..).unwrap_or_default().fill(0);
        *raw_at(bytes, RawDinode::BODY_OFFSET, ino, Structure::Dinode)? = room;
        let dir = self.inode().await?;
        let spot: Spot = self.spot(&dir, ino);
        debug_assert!(matches!(dir.body(), Body::Inline(_)), "made so just now");
        self.area_mut(&spot).await?.begin(ino, parent);
        Ok(())
    }
}
