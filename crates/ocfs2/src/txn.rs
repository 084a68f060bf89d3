//! Changing metadata: all of an operation, or nothing of it.
//!
//! An operation takes a [`Handle`], changes blocks in it with what [`alloc`](crate::alloc) and
//! [`extents`](crate::extents) offer, and seals it. The journal then makes the [`Sealed`] blocks lasting.

mod handle;

use std::future::Future;
use std::sync::Arc;

use ocfs2_format::BlockNum;

pub use crate::meta_block::{Kind, MetaBlock};
pub use handle::{Handle, Saved, Sealed};

use crate::meta::Meta;
use crate::{Error, Volume};

/// Where metadata is read from: the volume, or the volume as an operation is about to leave it.
pub trait Blocks: Sync {
    /// What the format's checks must know of the volume.
    fn volume(&self) -> &ocfs2_format::Volume;

    /// The block `blkno` of inode `owner`, verified as `kind`.
    fn get(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: impl Into<Kind> + Send,
    ) -> impl Future<Output = Result<Arc<MetaBlock>, Error>> + Send;

    /// Whether the block is in memory.
    fn has(&self, blkno: BlockNum, kind: Kind) -> bool;

    /// Reads those of `wanted` (owner, block) that are not in memory, all at once; errors are left for [`Self::get`].
    fn prefetch(
        &self,
        wanted: Vec<(BlockNum, BlockNum)>,
        kind: impl Into<Kind> + Send,
    ) -> impl Future<Output = ()> + Send;
}

impl Volume {
    /// Begins an operation's changes. The caller holds the volume's lock for changes: one handle at a time.
    #[must_use]
    pub fn change(&self) -> Handle<'_> {
        Handle::new(self.meta())
    }

    /// Makes what is sealed what every later read of this volume sees. Gives the new images (block, bytes) for the
    /// journal, which answers for their way home: then [`Self::at_home`].
    pub fn publish(&self, sealed: &Sealed) -> Vec<(u64, Arc<[u8]>)> {
        let images = self.meta().images(sealed.blocks());
        self.meta().publish(sealed.blocks(), images.clone());
        images
    }

    /// The image `bytes` of `block` is at home on stable storage: reads need it no more, if no newer one is there.
    pub fn at_home(&self, block: u64, bytes: &Arc<[u8]>) {
        self.meta().disk().pending().home(block, bytes);
    }

    /// Changed blocks that are not at home.
    #[must_use]
    pub fn pending_blocks(&self) -> usize {
        self.meta().disk().pending().len()
    }
}

impl Blocks for Meta {
    fn volume(&self) -> &ocfs2_format::Volume {
        self.volume()
    }

    async fn get(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: impl Into<Kind> + Send,
    ) -> Result<Arc<MetaBlock>, Error> {
        self.get(owner, blkno, kind).await
    }
    fn has(&self, blkno: BlockNum, kind: Kind) -> bool {
        self.cache().has(blkno, kind)
    }

    async fn prefetch(&self, wanted: Vec<(BlockNum, BlockNum)>, kind: impl Into<Kind> + Send) {
        self.prefetch(wanted, kind).await;
    }
}

#[cfg(test)]
mod tests {
    use block::{Backend, FileDevice};
    use ocfs2_format::{BlockKind, Dinode, RawDinode};
    use zerocopy::FromBytes;
    use zerocopy::little_endian::U32;

    use super::*;

    const USER: u32 = 4711;

    async fn volume(name: &str) -> Volume {
        let options = block::OpenOptions { read_only: true, backend: Backend::Inline, ..Default::default() };
        let device = FileDevice::open(fixtures::image(name), options).unwrap();
        Volume::open(Arc::new(device), crate::OpenOptions::default()).await.unwrap()
    }

    async fn change(handle: &mut Handle<'_>, ino: BlockNum) {
        let bytes = handle.edit(ino, ino, BlockKind::Dinode).await.unwrap();
        RawDinode::mut_from_prefix(bytes).unwrap().0.uid = U32::new(USER);
    }

    async fn owner(blocks: &impl Blocks, ino: BlockNum) -> u32 {
        let block = blocks.get(ino, ino, BlockKind::Dinode).await.unwrap();
        Dinode::parse(blocks.volume(), ino, block.bytes()).unwrap().0.uid
    }

    #[tokio::test]
    async fn changes_are_seen_in_their_handle_and_by_others_when_it_is_published() {
        let volume = volume("b").await;
        let ino = volume.root();
        let before = volume.inode(ino).await.unwrap().dinode().uid;
        assert_ne!(before, USER);
        let mut handle = volume.change();
        change(&mut handle, ino).await;
        assert_eq!((owner(&handle, ino).await, owner(volume.meta(), ino).await), (USER, before));
        drop(handle);
        assert_eq!(volume.inode(ino).await.unwrap().dinode().uid, before, "dropped: nothing happened");

        let mut handle = volume.change();
        let saved = handle.save();
        change(&mut handle, ino).await;
        handle.restore(saved);
        assert_eq!((owner(&handle, ino).await, handle.credits()), (before, 0), "taken back");
        change(&mut handle, ino).await;
        let images = volume.publish(&handle.seal());
        assert_eq!(images.len(), 1);
        assert_eq!(volume.inode(ino).await.unwrap().dinode().uid, USER);
        volume.forget(ino);
        assert_eq!(volume.inode(ino).await.unwrap().dinode().uid, USER, "read from the device, patched");
        volume.at_home(images[0].0, &images[0].1);
        volume.forget(ino);
        assert_eq!(volume.inode(ino).await.unwrap().dinode().uid, before, "this device was never written to");
    }

    #[tokio::test]
    async fn a_block_is_not_two_things_in_one_handle() {
        let volume = volume("b").await;
        let mut handle = volume.change();
        change(&mut handle, volume.root()).await;
        let other = BlockNum(1);
        let twice = handle.edit(other, volume.root(), BlockKind::DxRoot).await.unwrap_err();
        assert!(matches!(twice, Error::TwoUses { other: BlockNum(1), .. }), "{twice}");
    }
}
