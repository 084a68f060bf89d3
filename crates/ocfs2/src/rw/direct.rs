//! Changes that do not go through the journal: of blocks that say how the journals are, and what recovery brings home.

use std::sync::Arc;

use block::{BlockDeviceExt, Buf, Durability};
use ocfs2_format::{BlockKind, BlockNum, JournalState, RawDinode};
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use crate::meta_block::Kind;
use crate::{Error, Volume};

/// `ij_flags`: the slot is in use, or crashed.
const DIRTY: u32 = 1;

impl Volume {
    /// Writes block `block` of the volume in place. What is kept of it in memory is the caller's to drop.
    pub(super) async fn write_block(
        &self,
        block: BlockNum,
        what: &'static str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let written =
            self.device().write_at(self.byte_of(block), Buf::copy_of(bytes), Durability::Cached).await;
        written.map_err(|source| Error::Write { what, block, source: Arc::new(source) })
    }

    /// Makes all that was written so far stable.
    pub(super) async fn flush_device(&self) -> Result<(), Error> {
        Ok(self.device().flush().await?)
    }

    /// Writes the state of the journal whose inode is `ino`, and waits until it is on stable storage.
    pub(super) async fn write_journal_state(&self, ino: BlockNum, state: JournalState) -> Result<(), Error> {
        self.forget(ino);
        // Read and checked as what it is before a byte of it is written back.
        let inode = self.inode(ino).await?;
        let mut bytes = inode.block().bytes().to_vec();
        let head = RawDinode::mut_from_prefix(&mut bytes);
        let (Ok((raw, _)), Some(_)) = (head, inode.dinode().journal()) else {
            return Err(Error::NotJournal { ino });
        };
        let flags = raw.id1[0].get() & !DIRTY | if state.dirty { DIRTY } else { 0 };
        raw.id1 = [U32::new(flags), U32::new(state.recovery_generation)];
        let kind = BlockKind::Dinode;
        debug_assert_eq!(inode.block().kind(), Kind::Checked(kind));
        kind.seal(self.meta().volume(), &mut bytes);
        self.write_block(ino, "the inode of a journal", &bytes).await?;
        self.forget(ino);
        self.flush_device().await
    }
}
