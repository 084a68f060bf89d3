//! A slot's local file: what its node has changed of each id's usage since it last told the global file.
//!
//! It is its slot's alone: no lock but being in that slot, or recovering it, is needed.

use ocfs2_format::quota::{
    LocalQuotaEntry, LocalQuotaInfo, QuotaChunk, QuotaKind, QuotaPlace, RawLocalQuotaEntry,
    RawLocalQuotaInfo, RawQuotaHeader,
};
use zerocopy::little_endian::{I64, U32, U64};

use super::file::QuotaFile;
use super::raw;
use crate::Error;
use crate::alloc::Allocators;
use crate::txn::{Blocks, Handle};

/// `OLQF_CLEAN`.
const CLEAN: u32 = 1;

/// The file.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalFile {
    pub(super) file: QuotaFile,
    pub(super) kind: QuotaKind,
}

impl LocalFile {
    /// What the file says of itself.
    pub(super) async fn info(&self, blocks: &impl Blocks) -> Result<LocalQuotaInfo, Error> {
        let (place, block) = self.file.get(blocks, 0).await?;
        let info = LocalQuotaInfo::parse(blocks.volume(), place, block.bytes(), self.kind)?;
        let last =
            info.chunks.checked_sub(1).map_or(0, |last| QuotaChunk::header_block(blocks.volume(), last));
        if u64::from(info.blocks) > self.file.len(blocks).await? || u64::from(info.blocks) <= last {
            return self.file.wrong(0_u32, "dqi_blocks is not what the file and its chunks have");
        }
        Ok(info)
    }

    /// Says whether all changes are in the global file, and nobody keeps any here.
    pub(super) async fn set_clean(&self, handle: &mut Handle<'_>, clean: bool) -> Result<(), Error> {
        self.edit_info(handle, |info| {
            let flags = info.flags.get() & !CLEAN;
            info.flags = U32::new(if clean { flags | CLEAN } else { flags });
        })
        .await
    }

    /// The numbers of the entries in use, with their contents.
    pub(super) async fn entries(&self, blocks: &impl Blocks) -> Result<Vec<(u32, LocalQuotaEntry)>, Error> {
        let info = self.info(blocks).await?;
        let mut found = Vec::new();
        for chunk in 0..info.chunks {
            let header = QuotaChunk::header_block(blocks.volume(), chunk);
            let (place, block) = self.file.get(blocks, header).await?;
            let parsed = QuotaChunk::parse(blocks.volume(), place, block.bytes())?;
            let first = chunk.saturating_mul(parsed.bitmap.len());
            let used: Vec<u32> = (0..parsed.bitmap.len()).filter(|bit| parsed.bitmap.get(*bit)).collect();
            for bit in used {
                found.push((first + bit, self.get(blocks, first + bit).await?));
            }
        }
        Ok(found)
    }

    /// Entry `number`, whether in use or not.
    pub(super) async fn get(&self, blocks: &impl Blocks, number: u32) -> Result<LocalQuotaEntry, Error> {
        let at = QuotaPlace::of(blocks.volume(), number);
        let (place, block) = self.file.get(blocks, at.block).await?;
        let index = at.offset / size_of::<RawLocalQuotaEntry>();
        let mut entries = LocalQuotaEntry::parse_block(blocks.volume(), place, block.bytes())?;
        match entries.nth(index) {
            Some(entry) => Ok(entry),
            None => self.file.wrong(at.block, "it has no such entry"),
        }
    }

    /// Takes an entry into use, for `id`. Gives its number.
    pub(super) async fn add(
        &self,
        handle: &mut Handle<'_>,
        alloc: &Allocators,
        id: u32,
    ) -> Result<u32, Error> {
        let number = match self.free_entry(handle).await? {
            Some(number) => number,
            None => self.extend(handle, alloc).await?,
        };
        self.mark(handle, number, true).await?;
        self.store(handle, number, LocalQuotaEntry { id: id.into(), space: 0, inodes: 0 }).await?;
        Ok(number)
    }

    /// Writes entry `number`.
    pub(super) async fn store(
        &self,
        handle: &mut Handle<'_>,
        number: u32,
        entry: LocalQuotaEntry,
    ) -> Result<(), Error> {
        let at = QuotaPlace::of(handle.volume(), number);
        let bytes = self.file.edit(handle, at.block).await?;
        raw(bytes, at.offset, |raw: &mut RawLocalQuotaEntry| {
            raw.id = U64::new(entry.id);
            raw.spacemod = I64::new(entry.space);
            raw.inodemod = I64::new(entry.inodes);
        });
        Ok(())
    }

    /// Gives entry `number` up.
    pub(super) async fn remove(&self, handle: &mut Handle<'_>, number: u32) -> Result<(), Error> {
        self.mark(handle, number, false).await
    }

    async fn edit_info(
        &self,
        handle: &mut Handle<'_>,
        change: impl FnOnce(&mut RawLocalQuotaInfo),
    ) -> Result<(), Error> {
        let bytes = self.file.edit(handle, 0).await?;
        raw(bytes, size_of::<RawQuotaHeader>(), change);
        Ok(())
    }

    /// Sets or clears the bit of an entry.
    async fn mark(&self, handle: &mut Handle<'_>, number: u32, used: bool) -> Result<(), Error> {
        let at = QuotaPlace::of(handle.volume(), number);
        let (place, block) = self.file.get(handle, at.header).await?;
        let chunk = QuotaChunk::parse(handle.volume(), place, block.bytes())?;
        let free = if used { chunk.free.checked_sub(1) } else { chunk.free.checked_add(1) };
        let Some(free) = free.filter(|_| chunk.bitmap.get(at.bit) != used) else {
            return self.file.wrong(at.header, "its bitmap and its count of free entries do not agree");
        };
        let bytes = self.file.edit(handle, at.header).await?;
        raw(bytes, 0, |count: &mut U32| *count = U32::new(free));
        let byte = QuotaChunk::BITMAP_OFFSET + usize::try_from(at.bit / 8).unwrap_or(0);
        raw(bytes, byte, |byte: &mut u8| *byte ^= 1 << (at.bit % 8));
        Ok(())
    }

    /// A free entry of the blocks that the file has.
    async fn free_entry(&self, blocks: &impl Blocks) -> Result<Option<u32>, Error> {
        let info = self.info(blocks).await?;
        for chunk in 0..info.chunks {
            let header = QuotaChunk::header_block(blocks.volume(), chunk);
            let (place, block) = self.file.get(blocks, header).await?;
            let parsed = QuotaChunk::parse(blocks.volume(), place, block.bytes())?;
            if parsed.free == 0 {
                continue;
            }
            let have = self.entries_of(blocks, &info, header);
            match parsed.bitmap.free_runs(0..have).next() {
                Some(run) => return Ok(Some(chunk * parsed.bitmap.len() + run.start)),
                None => return self.file.wrong(header, "it counts free entries, and has none"),
            }
        }
        Ok(None)
    }

    /// Entries in the blocks that the chunk with its header at `header` has so far.
    fn entries_of(&self, blocks: &impl Blocks, info: &LocalQuotaInfo, header: u64) -> u32 {
        let full = QuotaChunk::entries_per_chunk(blocks.volume());
        let in_block = QuotaChunk::entries_per_block(blocks.volume()) as u64;
        let have = u64::from(info.blocks).saturating_sub(header + 1).saturating_mul(in_block);
        u32::try_from(have).map_or(full, |have| have.min(full))
    }

    /// Adds a block of entries, and before it another chunk where the last one is full. Gives the first of the entries.
    async fn extend(&self, handle: &mut Handle<'_>, alloc: &Allocators) -> Result<u32, Error> {
        let volume = *handle.volume();
        let mut info = self.info(handle).await?;
        let full = QuotaChunk::entries_per_chunk(&volume);
        let in_block = u32::try_from(QuotaChunk::entries_per_block(&volume)).unwrap_or(0);
        let last = info.chunks.checked_sub(1).map(|last| {
            let header = QuotaChunk::header_block(&volume, last);
            (last, header, self.entries_of(handle, &info, header))
        });
        let (chunk, header, have) = match last {
            Some((chunk, header, have)) if have < full => (chunk, header, have),
            _ => {
                let header = QuotaChunk::header_block(&volume, info.chunks);
                if header != u64::from(info.blocks) {
                    return self.file.wrong(header, "the header of a new chunk is not the next block");
                }
                self.file.add(handle, alloc, header).await?;
                (info.chunks, header, 0)
            }
        };
        info.chunks = info.chunks.max(chunk + 1);
        let block = header + 1 + u64::from(have / in_block.max(1));
        self.file.add(handle, alloc, block).await?;
        let bytes = self.file.edit(handle, header).await?;
        raw(bytes, 0, |free: &mut U32| *free = U32::new(free.get().saturating_add(in_block)));
        let blocks =
            u32::try_from(block + 1).map_err(|_| Error::NoSpace { what: "quota blocks", want: 1 })?;
        self.edit_info(handle, |raw| {
            raw.chunks = U32::new(info.chunks);
            raw.blocks = U32::new(blocks);
        })
        .await?;
        Ok(chunk * full + have)
    }
}
