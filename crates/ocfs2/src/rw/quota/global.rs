//! The global file of users or groups: limits and usage of every id, in a tree that all nodes share.
//!
//! Whoever changes it holds the file's lock and that of its information, exclusively.

use ocfs2_format::quota::{
    QuotaEntry, QuotaInfo, QuotaKind, QuotaLeaf, RawQuotaEntry, RawQuotaHeader, RawQuotaInfo,
    RawQuotaLeafHeader, qtree_depth, qtree_index, qtree_refs, qtree_share, qtree_slot,
};
use zerocopy::little_endian::{U16, U32};

use super::file::QuotaFile;
use super::raw;
use crate::Error;
use crate::alloc::Allocators;
use crate::txn::{Blocks, Handle};

/// The file.
#[derive(Clone, Copy, Debug)]
pub(super) struct GlobalFile {
    pub(super) file: QuotaFile,
    pub(super) kind: QuotaKind,
}

/// Where the tree leads for an id.
#[derive(Debug)]
struct Path {
    /// The tree blocks from the root on, as far as there are any.
    blocks: Vec<u32>,
    /// The leaf, and which of its entries it is.
    entry: Option<(u32, usize, QuotaEntry)>,
}

impl GlobalFile {
    /// What the file says of itself.
    pub(super) async fn info(&self, blocks: &impl Blocks) -> Result<QuotaInfo, Error> {
        let (place, block) = self.file.get(blocks, 0).await?;
        let info = QuotaInfo::parse(blocks.volume(), place, block.bytes(), self.kind)?;
        let len = self.file.len(blocks).await?;
        if u64::from(info.blocks) > len || info.blocks <= QuotaInfo::TREE_ROOT {
            return self.file.wrong(0_u32, "dqi_blocks is not what the file has");
        }
        Ok(info)
    }

    /// Writes what of the information may change.
    pub(super) async fn store_info(&self, handle: &mut Handle<'_>, info: &QuotaInfo) -> Result<(), Error> {
        let bytes = self.file.edit(handle, 0).await?;
        raw(bytes, size_of::<RawQuotaHeader>(), |raw: &mut RawQuotaInfo| {
            raw.bgrace = U32::new(info.block_grace);
            raw.igrace = U32::new(info.inode_grace);
            raw.blocks = U32::new(info.blocks);
            raw.free_blk = U32::new(info.free_block.unwrap_or(0));
            raw.free_entry = U32::new(info.free_entry.unwrap_or(0));
        });
        Ok(())
    }

    /// The entry of `id`.
    pub(super) async fn find(&self, blocks: &impl Blocks, id: u32) -> Result<Option<QuotaEntry>, Error> {
        let info = self.info(blocks).await?;
        Ok(self.path(blocks, &info, id).await?.entry.map(|(_, _, entry)| entry))
    }

    /// The first entry of the ids from `from` on.
    pub(super) async fn next(&self, blocks: &impl Blocks, from: u32) -> Result<Option<QuotaEntry>, Error> {
        let info = self.info(blocks).await?;
        let volume = *blocks.volume();
        let (refs, depth) = (u64::from(qtree_refs(&volume)), qtree_depth(&volume));
        // Tree block, its level, and the first id below it: the one with the lowest ids is on top.
        let mut todo = vec![(QuotaInfo::TREE_ROOT, 0_u32, 0_u64)];
        while let Some((logical, level, base)) = todo.pop() {
            if level == depth {
                let id = u32::try_from(base).unwrap_or(u32::MAX);
                let Some((_, entry)) = self.entry_in(blocks, logical, id).await? else {
                    return self.file.wrong(logical, "the tree leads to it for an id that it does not have");
                };
                return Ok(Some(entry));
            }
            let (place, block) = self.file.get(blocks, logical.into()).await?;
            let share = qtree_share(&volume, level);
            let mut empty = true;
            for index in (0..refs).rev() {
                let first = base.saturating_add(index.saturating_mul(share));
                let Ok(id) = u32::try_from(first) else { continue };
                let child = qtree_index(&volume, place, block.bytes(), (level, id, info.blocks))?;
                let Some(child) = child else { continue };
                empty = false;
                if first + share > u64::from(from) {
                    todo.push((child, level + 1, first));
                }
            }
            // A tree has no such block, and one in which all blocks lead to it would be walked for ever.
            if empty && level > 0 {
                return self.file.wrong(logical, "a tree block that leads nowhere");
            }
        }
        Ok(None)
    }

    /// Writes `entry` in place of the one of its id, or adds it.
    pub(super) async fn put(
        &self,
        handle: &mut Handle<'_>,
        alloc: &Allocators,
        entry: &QuotaEntry,
    ) -> Result<(), Error> {
        let mut info = self.info(handle).await?;
        let path = self.path(handle, &info, entry.id).await?;
        if let Some((leaf, index, _)) = path.entry {
            return self.write_entry(handle, leaf, index, RawQuotaEntry::new(entry)).await;
        }
        let mut child = self.add_entry(handle, alloc, &mut info, entry).await?;
        let depth = qtree_depth(handle.volume());
        let have = u32::try_from(path.blocks.len()).unwrap_or(0);
        for level in (have..depth).rev() {
            let block = self.take_block(handle, alloc, &mut info).await?;
            self.set_ref(handle, block, (level, entry.id), child).await?;
            child = block;
        }
        if let Some((last, level)) = path.blocks.last().zip(have.checked_sub(1)) {
            self.set_ref(handle, *last, (level, entry.id), child).await?;
        }
        self.store_info(handle, &info).await
    }

    /// Removes the entry of `id`, and the blocks that it leaves empty.
    pub(super) async fn remove(&self, handle: &mut Handle<'_>, id: u32) -> Result<(), Error> {
        let mut info = self.info(handle).await?;
        let path = self.path(handle, &info, id).await?;
        let Some((leaf, index, _)) = path.entry else { return Ok(()) };
        self.drop_entry(handle, &mut info, leaf, index).await?;
        for (level, block) in (0..).zip(path.blocks).collect::<Vec<_>>().into_iter().rev() {
            let empty = self.set_ref(handle, block, (level, id), 0).await?;
            if !empty || level == 0 {
                break;
            }
            self.free_block(handle, &mut info, block).await?;
        }
        self.store_info(handle, &info).await
    }

    async fn path(&self, blocks: &impl Blocks, info: &QuotaInfo, id: u32) -> Result<Path, Error> {
        let volume = *blocks.volume();
        let mut path = Path { blocks: Vec::new(), entry: None };
        let mut logical = QuotaInfo::TREE_ROOT;
        for level in 0..qtree_depth(&volume) {
            let (place, block) = self.file.get(blocks, logical.into()).await?;
            path.blocks.push(logical);
            match qtree_index(&volume, place, block.bytes(), (level, id, info.blocks))? {
                None => return Ok(path),
                Some(child) if child <= QuotaInfo::TREE_ROOT => {
                    return self.file.wrong(logical, "it leads to the root of the tree");
                }
                Some(child) => logical = child,
            }
        }
        match self.entry_in(blocks, logical, id).await? {
            Some((index, entry)) => path.entry = Some((logical, index, entry)),
            None => {
                return self.file.wrong(logical, "the tree leads to it for an id that it does not have");
            }
        }
        Ok(path)
    }

    async fn entry_in(
        &self,
        blocks: &impl Blocks,
        leaf: u32,
        id: u32,
    ) -> Result<Option<(usize, QuotaEntry)>, Error> {
        let (place, block) = self.file.get(blocks, leaf.into()).await?;
        let leaf = QuotaLeaf::parse(blocks.volume(), place, block.bytes())?;
        let mut slots = leaf.slots().enumerate();
        Ok(slots.find_map(|(index, entry)| Some((index, entry.filter(|entry| entry.id == id)?))))
    }

    /// Writes a reference of a tree block; true when it has none afterwards.
    async fn set_ref(
        &self,
        handle: &mut Handle<'_>,
        block: u32,
        (level, id): (u32, u32),
        child: u32,
    ) -> Result<bool, Error> {
        let volume = *handle.volume();
        let refs = usize::try_from(qtree_refs(&volume)).unwrap_or(0);
        let bytes = self.file.edit(handle, block.into()).await?;
        raw(bytes, 4 * qtree_slot(&volume, level, id), |at: &mut U32| *at = U32::new(child));
        Ok(bytes.get(..4 * refs).is_some_and(|refs| refs.iter().all(|byte| *byte == 0)))
    }

    async fn write_entry(
        &self,
        handle: &mut Handle<'_>,
        leaf: u32,
        index: usize,
        entry: RawQuotaEntry,
    ) -> Result<(), Error> {
        let bytes = self.file.edit(handle, leaf.into()).await?;
        raw(bytes, QuotaLeaf::offset(index), |raw: &mut RawQuotaEntry| *raw = entry);
        Ok(())
    }

    /// Puts a new entry into a leaf with room; gives the leaf.
    async fn add_entry(
        &self,
        handle: &mut Handle<'_>,
        alloc: &Allocators,
        info: &mut QuotaInfo,
        entry: &QuotaEntry,
    ) -> Result<u32, Error> {
        let leaf = match info.free_entry {
            Some(leaf) => leaf,
            None => {
                let leaf = self.take_block(handle, alloc, info).await?;
                info.free_entry = Some(leaf);
                leaf
            }
        };
        let capacity = QuotaLeaf::capacity(handle.volume());
        let (used, index) = {
            let (place, block) = self.file.get(handle, leaf.into()).await?;
            let parsed = QuotaLeaf::parse(handle.volume(), place, block.bytes())?;
            let used = parsed.entries().count();
            if leaf <= QuotaInfo::TREE_ROOT || used != usize::from(parsed.used) {
                return self.file.wrong(leaf, "no leaf, or it does not count its entries right");
            }
            match parsed.slots().position(|entry| entry.is_none()) {
                Some(index) => (used, index),
                None => return self.file.wrong(leaf, "it should have a free entry, and has none"),
            }
        };
        if used + 1 >= capacity {
            self.unlist(handle, info, leaf).await?;
        }
        self.write_entry(handle, leaf, index, RawQuotaEntry::new(entry)).await?;
        self.edit_head(handle, leaf, |head| head.entries = U16::new(head.entries.get().saturating_add(1)))
            .await?;
        Ok(leaf)
    }

    /// Clears an entry of a leaf, and frees the leaf where it was the last.
    async fn drop_entry(
        &self,
        handle: &mut Handle<'_>,
        info: &mut QuotaInfo,
        leaf: u32,
        index: usize,
    ) -> Result<(), Error> {
        self.write_entry(handle, leaf, index, RawQuotaEntry::default()).await?;
        let mut left = 0;
        self.edit_head(handle, leaf, |head| {
            left = head.entries.get().saturating_sub(1);
            head.entries = U16::new(left);
        })
        .await?;
        let was_full = usize::from(left) + 1 >= QuotaLeaf::capacity(handle.volume());
        if left == 0 {
            if !was_full {
                self.unlist(handle, info, leaf).await?;
            }
            return self.free_block(handle, info, leaf).await;
        }
        if was_full {
            self.list(handle, info, leaf).await?;
        }
        Ok(())
    }

    async fn edit_head(
        &self,
        handle: &mut Handle<'_>,
        block: u32,
        change: impl FnOnce(&mut RawQuotaLeafHeader),
    ) -> Result<(), Error> {
        raw(self.file.edit(handle, block.into()).await?, 0, change);
        Ok(())
    }

    /// Puts a leaf in front of the list of those with free entries.
    async fn list(&self, handle: &mut Handle<'_>, info: &mut QuotaInfo, leaf: u32) -> Result<(), Error> {
        let next = info.free_entry.replace(leaf);
        if let Some(next) = next {
            self.edit_head(handle, next, |head| head.prev_free = U32::new(leaf)).await?;
        }
        self.edit_head(handle, leaf, |head| {
            head.next_free = U32::new(next.unwrap_or(0));
            head.prev_free = U32::ZERO;
        })
        .await
    }

    /// Takes a leaf out of that list.
    async fn unlist(&self, handle: &mut Handle<'_>, info: &mut QuotaInfo, leaf: u32) -> Result<(), Error> {
        let mut links = (0, 0);
        self.edit_head(handle, leaf, |head| {
            links = (head.prev_free.get(), head.next_free.get());
            (head.prev_free, head.next_free) = (U32::ZERO, U32::ZERO);
        })
        .await?;
        let (prev, next) = links;
        if prev >= info.blocks || next >= info.blocks {
            return self.file.wrong(leaf, "the list of leaves leads out of the file");
        }
        if next != 0 {
            self.edit_head(handle, next, |head| head.prev_free = U32::new(prev)).await?;
        }
        if prev != 0 {
            self.edit_head(handle, prev, |head| head.next_free = U32::new(next)).await?;
        } else {
            info.free_entry = Some(next).filter(|next| *next != 0);
        }
        Ok(())
    }

    /// A block that is not in use, zeroed.
    async fn take_block(
        &self,
        handle: &mut Handle<'_>,
        alloc: &Allocators,
        info: &mut QuotaInfo,
    ) -> Result<u32, Error> {
        let Some(free) = info.free_block else {
            let block = info.blocks;
            self.file.add(handle, alloc, block.into()).await?;
            info.blocks = block.checked_add(1).ok_or(Error::NoSpace { what: "quota blocks", want: 1 })?;
            return Ok(block);
        };
        if free <= QuotaInfo::TREE_ROOT {
            return self.file.wrong(free, "it is in the list of free blocks");
        }
        let mut next = 0;
        self.edit_head(handle, free, |head| next = head.next_free.get()).await?;
        if next >= info.blocks {
            return self.file.wrong(free, "the list of free blocks leads out of the file");
        }
        info.free_block = Some(next).filter(|next| *next != 0);
        self.file.edit(handle, free.into()).await?.fill(0);
        Ok(free)
    }

    async fn free_block(
        &self,
        handle: &mut Handle<'_>,
        info: &mut QuotaInfo,
        block: u32,
    ) -> Result<(), Error> {
        self.file.edit(handle, block.into()).await?.fill(0);
        let next = info.free_block.replace(block).unwrap_or(0);
        self.edit_head(handle, block, |head| head.next_free = U32::new(next)).await
    }
}
