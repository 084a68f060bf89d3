//! Blocks of metadata: inodes, and all else, each from its slot's allocator.

use ocfs2_format::{BlockKind, BlockNum, GroupDescriptor, Suballoc};

use super::Allocators;
use super::chain::{ChainAllocator, Found};
use super::search::Want;
use crate::txn::{Blocks, Handle};
use crate::{Error, SystemFile};

/// Which allocator a block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// `inode_alloc:SLOT`, for dinodes; `global_inode_alloc` with [`Suballoc::GLOBAL`].
    Inode(u16),
    /// `extent_alloc:SLOT`, for extent, xattr, dx root and refcount blocks.
    Extent(u16),
}

impl Pool {
    /// The system file.
    #[must_use]
    pub fn file(self) -> SystemFile {
        match self {
            Self::Inode(Suballoc::GLOBAL) => SystemFile::GlobalInodeAlloc,
            Self::Inode(slot) => SystemFile::InodeAlloc(slot),
            Self::Extent(slot) => SystemFile::ExtentAlloc(slot),
        }
    }

    /// The number to be stamped on its blocks.
    #[must_use]
    pub fn slot(self) -> u16 {
        let (Self::Inode(slot) | Self::Extent(slot)) = self;
        slot
    }

    fn what(self) -> &'static str {
        match self {
            Self::Inode(_) => "inodes",
            Self::Extent(_) => "blocks of metadata",
        }
    }
}

/// A block that was claimed: free until now, its contents unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// The block.
    pub block: BlockNum,
    /// What is to be stamped on it.
    pub suballoc: Suballoc,
}

impl Allocators {
    /// Claims one block. The allocator grows when it is full.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when it is full and cannot grow; the handle is as it was then, and the caller may try the
    /// allocator of another slot, whose lock it has taken. Others as reading does.
    pub async fn claim_block(&self, handle: &mut Handle<'_>, pool: Pool) -> Result<NewBlock, Error> {
        let ino = self.file(pool.file())?;
        let want = Want::exactly(1);
        let mut allocator = ChainAllocator::load(handle, ino).await?;
        let hint = self.hint(handle, ino);
        let found = match allocator.find(handle, want, hint, None).await? {
            Some(found) => found,
            None => {
                self.grow(handle, pool).await?;
                allocator = ChainAllocator::load(handle, ino).await?;
                let found = allocator.find(handle, want, None, None).await?;
                found.ok_or(Error::NoSpace { what: pool.what(), want: 1 })?
            }
        };
        let new = self.block_of(handle, ino, pool, &found).await?;
        allocator.claim(handle, &found).await?;
        handle.set_hint(ino, found.group);
        Ok(new)
    }

    /// What the one bit that was found stands for.
    async fn block_of(
        &self,
        handle: &Handle<'_>,
        ino: BlockNum,
        pool: Pool,
        found: &Found,
    ) -> Result<NewBlock, Error> {
        let group = found.group;
        let bytes = handle.get(ino, group, BlockKind::GroupDescriptor).await?;
        let parsed = GroupDescriptor::parse(handle.volume(), group, bytes.bytes(), Some(ino))?;
        let bit = u16::try_from(found.bits.start).unwrap_or(u16::MAX);
        let block = parsed.block_of_bit(handle.volume(), u32::from(bit));
        let block = block.ok_or(Error::NotItsBit { block: group, group, bit })?;
        let loc = parsed.pieces.is_some().then_some(group);
        Ok(NewBlock { block, suballoc: Suballoc { slot: pool.slot(), bit, group: loc } })
    }

    /// Frees `block`, which says of itself that it came from `suballoc`; `pool` says which kind of allocator that is,
    /// its slot is not looked at. The handle forgets what was changed in the block, unless it is an inode: that is
    /// written once more, as no longer in use.
    ///
    /// # Errors
    /// [`Error::NotItsBit`] and [`Error::Bits`] when the block and its allocator do not agree. Others as reading does.
    pub async fn free_block(
        &self,
        handle: &mut Handle<'_>,
        pool: Pool,
        block: BlockNum,
        suballoc: Suballoc,
    ) -> Result<(), Error> {
        let pool = match pool {
            Pool::Inode(_) => Pool::Inode(suballoc.slot),
            Pool::Extent(_) => Pool::Extent(suballoc.slot),
        };
        let ino = self.file(pool.file())?;
        handle.expect_locked(ino)?;
        let Suballoc { bit, .. } = suballoc;
        let group = suballoc.group_of(block).unwrap_or(BlockNum(0));
        let wrong = Error::NotItsBit { block, group, bit };
        let bytes = handle.get(ino, group, BlockKind::GroupDescriptor).await?;
        let parsed = GroupDescriptor::parse(handle.volume(), group, bytes.bytes(), Some(ino))?;
        if parsed.block_of_bit(handle.volume(), u32::from(bit)) != Some(block) || block == group {
            return Err(wrong);
        }
        drop(bytes);
        let mut allocator = ChainAllocator::load(handle, ino).await?;
        allocator.free(handle, group, u32::from(bit)..u32::from(bit) + 1).await?;
        if let Pool::Extent(_) = pool {
            handle.discard(block);
        }
        Ok(())
    }

    /// The slots whose allocators could be asked when the own one is full, the own first.
    pub fn slots(&self) -> impl Iterator<Item = u16> + use<> {
        let (own, all) = (self.slot, 0..self.max_slots);
        [own].into_iter().chain(all.filter(move |slot| *slot != own))
    }
}
