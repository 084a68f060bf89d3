//! Metadata on its way in: read, verified, repaired where the code can, cached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ocfs2_format::xattr::BUCKET_LEN;
use ocfs2_format::{BlockKind, BlockNum};

use crate::Error;
use crate::cache::Cache;
use crate::disk::Disk;
use crate::meta_block::{Bytes, Kind, MetaBlock};
use crate::pending::Ticket;

/// The disk, what is kept of it, and how it is checked.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) disk: Disk,
    pub(super) cache: Cache,
    pub(super) volume: ocfs2_format::Volume,
    pub(super) repaired: AtomicU64,
}

impl Store {
    /// Reads one block of inode `owner` and caches it; takes it from the cache if it has come there meanwhile.
    pub(super) async fn read(
        &self,
        owner: BlockNum,
        blkno: BlockNum,
        kind: Kind,
    ) -> Result<Arc<MetaBlock>, Error> {
        if let Some(block) = self.cache.get(blkno, kind) {
            return Ok(block);
        }
        let ticket = self.disk.pending().read();
        let bytes = self.disk.read_blocks(blkno.0, self.blocks_of(kind)).await?;
        self.admit(&ticket, owner, blkno, kind, &bytes)
    }

    /// Verifies what the read with this ticket brought, and caches it unless it has changed meanwhile.
    pub(super) fn admit(
        &self,
        ticket: &Ticket,
        owner: BlockNum,
        blkno: BlockNum,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<Arc<MetaBlock>, Error> {
        let block = self.checked(blkno, kind, bytes)?;
        let fresh = || ticket.is_fresh(owner, blkno, self.blocks_of(kind));
        self.cache.insert_if(owner, Arc::clone(&block), fresh);
        Ok(block)
    }

    /// Verifies a copy of what was read.
    pub(super) fn checked(&self, blkno: BlockNum, kind: Kind, bytes: &[u8]) -> Result<Arc<MetaBlock>, Error> {
        let mut bytes: Box<[u8]> = bytes.into();
        self.verify(blkno, kind, &mut bytes)?;
        Ok(Arc::new(MetaBlock::new(blkno, kind, Bytes::Own(bytes))))
    }

    /// Verifies the check of a block just read, and sets one wrong bit right.
    pub(super) fn verify(&self, blkno: BlockNum, kind: Kind, bytes: &mut [u8]) -> Result<(), Error> {
        if let Kind::Checked(kind) = kind
            && kind.verify(&self.volume, blkno, bytes)?
        {
            self.repaired.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(block = blkno.0, structure = %kind.structure(), "repaired one wrong bit in memory");
        }
        Ok(())
    }

    /// Blocks that make up one of `kind`.
    pub(super) fn blocks_of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Checked(BlockKind::XattrBucket) => (BUCKET_LEN as u64 / self.disk.block_size()).max(1),
            _ => 1,
        }
    }

    /// Fails for what does not lie on the volume.
    pub(super) fn check_range(&self, blkno: BlockNum, count: u64) -> Result<(), Error> {
        if self.volume.geometry.contains_run(blkno, count) {
            return Ok(());
        }
        Err(Error::BeyondVolume { block: blkno.0, count, blocks: self.volume.geometry.blocks().0 })
    }
}
