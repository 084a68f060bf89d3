//! Directories of a fresh volume: inline, or in blocks of their own.

use ocfs2_format::{
    BlockNum, FileType, RawDirEntry, RawDirTrailer, RawInlineData, Suballoc, TRAILER_LEN, Volume, rec_len,
    write_entry,
};
use zerocopy::IntoBytes as _;

use super::clusters::ClusterRun;
use super::files::{Body, File};

/// A directory of the volume.
#[derive(Clone, Debug)]
pub(super) struct Dir {
    /// Its inode; size, body and links follow from the rest: see [`Self::inode`].
    pub(super) file: File,
    pub(super) names: Directory,
    /// Its clusters; none of an inline directory.
    pub(super) run: Option<ClusterRun>,
    /// Its index: the dx root, and what the trailers say of the largest hole. That is what was left when the index
    /// was made.
    pub(super) index: Option<((BlockNum, Suballoc), u16)>,
}

impl Dir {
    /// The blocks with its names; none of an inline directory.
    pub(super) fn places(&self, volume: &Volume) -> Vec<BlockNum> {
        let Some(run) = self.run else { return Vec::new() };
        let first = volume.geometry.clusters_to_blocks(u64::from(run.start.0));
        (first..).map(BlockNum).take(self.names.blocks()).collect()
    }

    /// Its inode as it is written.
    pub(super) fn inode(&self, volume: &Volume) -> File {
        let mut file = self.file.clone();
        file.links = self.names.links;
        file.dx_root = self.index.map(|((block, _), _)| block);
        (file.body, file.size) = match self.run {
            None => (Body::Inline(self.names.inline_area().to_vec()), as_u64(self.names.len)),
            Some(run) => (Body::run(volume, run), as_u64(self.names.blocks() * volume.block_len())),
        };
        file
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a usize has 64 bits at most")
}

/// A directory being filled.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// Areas of entries: one of an inline directory, else one a block.
    areas: Vec<Area>,
    /// Bytes of an area.
    len: usize,
    /// Entries that are directories, `.` and `..` too.
    pub(super) links: u32,
    /// Entries.
    names: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct Area {
    bytes: Vec<u8>,
    /// Byte of the last entry, and what it needs.
    last: (usize, usize),
}

impl Directory {
    /// An empty directory that lives in its inode.
    pub(super) fn inline(volume: &Volume) -> Self {
        Self::with_area(RawInlineData::room(volume.geometry.block_size))
    }

    /// An empty directory in blocks, which end in trailers where the volume's features want them.
    pub(super) fn in_blocks(volume: &Volume) -> Self {
        Self::with_area(volume.block_len() - if has_trailers(volume) { TRAILER_LEN } else { 0 })
    }

    fn with_area(len: usize) -> Self {
        Self { areas: Vec::new(), len, links: 0, names: Vec::new() }
    }

    /// Adds a name at the end.
    pub(super) fn add(&mut self, name: &[u8], inode: BlockNum, file_type: FileType) {
        let need = rec_len(name.len());
        if self.areas.last().is_none_or(|area| area.last.0 + area.last.1 + need > self.len) {
            self.areas.push(Area { bytes: vec![0; self.len], last: (0, 0) });
        }
        let area = self.areas.last_mut().expect("one was just pushed if there was none");
        let (at, used) = area.last;
        if used > 0 {
            let short = u16::try_from(used).expect("an entry has 268 bytes at most");
            area.bytes[at + REC_LEN_OFFSET..][..2].copy_from_slice(&short.to_le_bytes());
        }
        let place = at + used;
        let rest = u16::try_from(self.len - place).expect("a block has 4096 bytes at most");
        let written = write_entry(&mut area.bytes[place..], Some(inode), rest, Some(file_type), name);
        debug_assert!(written.is_some(), "there is room, or the area would be a new one");
        area.last = (place, need);
        self.links += u32::from(file_type == FileType::Directory);
        self.names.push((self.areas.len() - 1, name.to_vec()));
    }

    /// Blocks that it has, where it is not inline.
    pub(super) fn blocks(&self) -> usize {
        self.areas.len()
    }

    /// The names and the index of the block that each is in.
    pub(super) fn names(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.names.iter().map(|(block, name)| (*block, name.as_slice()))
    }

    /// The entries of an inline directory.
    pub(super) fn inline_area(&self) -> &[u8] {
        self.areas.first().map_or(&[], |area| &area.bytes)
    }

    /// Bytes that the last area has left for another name.
    pub(super) fn hole(&self) -> u16 {
        let left = self.areas.last().map_or(0, |area| self.len - area.last.0 - area.last.1);
        u16::try_from(left).expect("a block has 4096 bytes at most")
    }

    /// Block `index` of directory `dir`, not sealed; `free` is what its trailer says of its largest hole.
    pub(super) fn block(
        &self,
        volume: &Volume,
        (index, dir, block): (usize, BlockNum, BlockNum),
        free: u16,
    ) -> Vec<u8> {
        let mut data = self.areas[index].bytes.clone();
        if has_trailers(volume) {
            let mut trailer = RawDirTrailer::new(dir, block);
            trailer.free_rec_len.set(free);
            data.extend_from_slice(trailer.as_bytes());
        }
        data
    }
}

/// Whether directory blocks that mkfs makes have trailers: decided by the volume, indexed or not.
pub(super) fn has_trailers(volume: &Volume) -> bool {
    volume.features.meta_ecc() || volume.has(ocfs2_format::Incompat::INDEXED_DIRS)
}

const REC_LEN_OFFSET: usize = std::mem::offset_of!(RawDirEntry, rec_len);
