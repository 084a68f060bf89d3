//! Reading directories, on the volume and as an operation is about to leave them.

use std::ops::Range;
use std::sync::Arc;

use ocfs2_format::{BlockKind, BlockNum, Corrupt, DirEntries, DirEntry, DirTrailer, FileType, MAX_NAME_LEN};

use crate::inode::{Body, Inode};
use crate::meta_block::{Kind, MetaBlock};
use crate::tree::ExtentTree;
use crate::txn::Blocks;
use crate::{Error, Volume};

/// Blocks that are read along with one that is not cached when a directory is read in order.
const AHEAD: u64 = 32;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirent {
    /// The inode it names.
    pub ino: BlockNum,
    /// What that is, where the entry tells.
    pub kind: Option<FileType>,
    /// The name: 1 to 255 bytes, neither NUL nor `/` among them.
    pub name: Vec<u8>,
    /// Position to go on from after this entry; see [`Volume::readdir`].
    pub next: u64,
}

impl Dirent {
    /// Whether it is `.` or `..`.
    #[must_use]
    pub fn is_dot(&self) -> bool {
        matches!(self.name.as_slice(), b"." | b"..")
    }

    fn new(entry: &DirEntry<'_>, ino: BlockNum, base: u64) -> Self {
        let next = base + entry.offset as u64 + u64::from(entry.rec_len);
        Self { ino, kind: entry.file_type, name: entry.name.to_vec(), next }
    }
}

/// Some names of a directory: those of one block.
#[derive(Debug, Default)]
pub struct DirPage {
    /// The names, in the order in which they lie.
    pub entries: Vec<Dirent>,
    /// Entries that did not check and are left out.
    pub damage: Vec<Corrupt>,
    /// Position of the next page; `None` after the last.
    pub next: Option<u64>,
}

/// A directory block with the part of it that holds entries.
pub(super) struct Area {
    pub(super) block: Arc<MetaBlock>,
    pub(super) range: Range<usize>,
    /// Position of the first byte of the range.
    pub(super) base: u64,
}

impl Area {
    /// Its entries.
    pub(super) fn entries(&self, volume: &ocfs2_format::Volume) -> DirEntries<'_> {
        let bytes = self.block.bytes().get(self.range.clone()).unwrap_or_default();
        DirEntries::new(volume, self.block.blkno(), bytes)
    }

    fn has_room(&self, volume: &ocfs2_format::Volume, need: usize) -> Result<bool, Error> {
        let mut room = false;
        for entry in self.entries(volume) {
            room |= entry?.hole() >= need;
        }
        Ok(room)
    }

    /// Looks for `name`. Damage elsewhere in the block counts only when the name is not found.
    fn find(&self, volume: &ocfs2_format::Volume, name: &[u8]) -> Result<Option<Found>, Error> {
        let mut damage = None;
        for entry in self.entries(volume) {
            match entry {
                Ok(entry) if entry.name == name => {
                    if let Some(ino) = entry.inode {
                        let dirent = Dirent::new(&entry, ino, self.base);
                        return Ok(Some(Found { block: self.block.blkno(), offset: entry.offset, dirent }));
                    }
                }
                Ok(_) => {}
                Err(error) => damage = damage.or(Some(error)),
            }
        }
        damage.map_or(Ok(None), |error| Err(error.into()))
    }
}

/// A name that was found, and where.
#[derive(Debug)]
pub(super) struct Found {
    /// The block of the volume: a directory block, or the dinode.
    pub(super) block: BlockNum,
    /// Byte of the entry in the part of the block that holds entries.
    pub(super) offset: usize,
    pub(super) dirent: Dirent,
}

/// A directory, read through `B`.
#[derive(Debug)]
pub(super) struct Reader<'r, B> {
    pub(super) blocks: &'r B,
    pub(super) dir: &'r Inode,
}

impl Volume {
    /// The names of `dir` from `position` on: 0 at first, then [`DirPage::next`] or any entry's [`Dirent::next`].
    ///
    /// Positions are the kernel's own, bytes into the directory, and stay good while the directory does not change;
    /// one that has come to lie within an entry goes on with the entry after it. A page may be empty and yet not be
    /// the last. `.` and `..` are among the names.
    ///
    /// # Errors
    /// [`Error::NotDir`], or when the page cannot be read at all: [`Self::next_dir_block`] is the way past it.
    pub async fn readdir(&self, dir: &Inode, position: u64) -> Result<DirPage, Error> {
        Reader { blocks: self.meta(), dir }.page(position).await
    }

    /// Position of the block after the one that `position` lies in; `None` after the last.
    #[must_use]
    pub fn next_dir_block(&self, dir: &Inode, position: u64) -> Option<u64> {
        Reader { blocks: self.meta(), dir }.next_block(position)
    }

    /// Finds `name` in `dir`, through its index where it has one. `.` and `..` are found like any other name.
    ///
    /// # Errors
    /// [`Error::NotDir`], [`Error::NameTooLong`], or when the blocks that could hold the name cannot be read.
    pub async fn lookup(&self, dir: &Inode, name: &[u8]) -> Result<Option<Dirent>, Error> {
        dir.expect_dir()?;
        if name.len() > MAX_NAME_LEN {
            return Err(Error::NameTooLong { len: name.len() });
        }
        let reader = Reader { blocks: self.meta(), dir };
        let found = match dir.dinode().dx_root {
            Some(root) => match reader.lookup_indexed(root, name).await {
                Ok(found) => found.map(|indexed| indexed.found),
                Err(damage) => {
                    tracing::warn!(dir = dir.ino().0, %damage, "directory index damaged, looking at every name");
                    // Only a name that is not found that way either is an error.
                    Some(reader.lookup_linear(name).await.ok().flatten().ok_or(damage)?)
                }
            },
            None => reader.lookup_linear(name).await?,
        };
        Ok(found.map(|found| found.dirent))
    }

    /// Finds `name` in `dir` by looking at every entry, whatever its index says.
    pub(crate) async fn lookup_linear(&self, dir: &Inode, name: &[u8]) -> Result<Option<Dirent>, Error> {
        let found = Reader { blocks: self.meta(), dir }.lookup_linear(name).await?;
        Ok(found.map(|found| found.dirent))
    }
}

impl<B: Blocks> Reader<'_, B> {
    /// See [`Volume::readdir`].
    pub(super) async fn page(&self, position: u64) -> Result<DirPage, Error> {
        self.dir.expect_dir()?;
        let Some(area) = self.area(position).await? else { return Ok(DirPage::default()) };
        let mut page = DirPage::default();
        for entry in area.entries(self.blocks.volume()) {
            match entry {
                Ok(entry) => {
                    if area.base + entry.offset as u64 >= position
                        && let Some(ino) = entry.inode
                    {
                        page.entries.push(Dirent::new(&entry, ino, area.base));
                    }
                }
                Err(damage) => page.damage.push(damage),
            }
        }
        page.next = self.next_block(position);
        Ok(page)
    }

    /// Position of the block after the one that `position` lies in; `None` after the last.
    pub(super) fn next_block(&self, position: u64) -> Option<u64> {
        if matches!(self.dir.body(), Body::Inline(_)) {
            return None;
        }
        let block = self.block_size();
        Some((position / block + 1) * block).filter(|next| *next < self.dir.size())
    }

    /// Looks at every entry.
    pub(super) async fn lookup_linear(&self, name: &[u8]) -> Result<Option<Found>, Error> {
        let mut position = Some(0);
        while let Some(at) = position {
            let Some(area) = self.area(at).await? else { break };
            if let Some(found) = area.find(self.blocks.volume(), name)? {
                return Ok(Some(found));
            }
            position = self.next_block(at);
        }
        Ok(None)
    }

    /// Finds `name` in the one block `blkno` of an extent-based directory.
    pub(super) async fn lookup_block(&self, blkno: BlockNum, name: &[u8]) -> Result<Option<Found>, Error> {
        self.block(blkno, 0).await?.find(self.blocks.volume(), name)
    }

    /// Whether an entry of `need` bytes fits into the directory block `blkno`, all of whose entries must be sound.
    pub(super) async fn has_room(&self, blkno: BlockNum, need: usize) -> Result<bool, Error> {
        self.block(blkno, 0).await?.has_room(self.blocks.volume(), need)
    }

    /// The first block into which an entry of `need` bytes fits.
    pub(super) async fn first_with_room(&self, need: usize) -> Result<Option<BlockNum>, Error> {
        let mut position = Some(0);
        while let Some(at) = position {
            let Some(area) = self.area(at).await? else { break };
            if area.has_room(self.blocks.volume(), need)? {
                return Ok(Some(area.block.blkno()));
            }
            position = self.next_block(at);
        }
        Ok(None)
    }

    /// The block that `position` lies in, its successors read along with it; `None` past the end.
    pub(super) async fn area(&self, position: u64) -> Result<Option<Area>, Error> {
        let (dir, size) = (self.dir, self.dir.size());
        if position >= size {
            return Ok(None);
        }
        let tree = match dir.body() {
            Body::Inline(range) => {
                // The size is within the room: checked when the inode was parsed.
                let end = range.start + usize::try_from(size).unwrap_or(0);
                let range = range.start..end.min(range.end);
                return Ok(Some(Area { block: Arc::clone(dir.block()), range, base: 0 }));
            }
            Body::Tree(tree) => tree,
            _ => return Ok(None),
        };
        let block = self.block_size();
        let logical = position / block;
        let (blkno, follow) = self.blkno(tree, logical).await?;
        let kind = self.kind();
        if !self.blocks.has(blkno, kind) {
            let last = size.div_ceil(block) - logical;
            let wanted = (0..follow.min(AHEAD).min(last)).map(|n| (dir.ino(), BlockNum(blkno.0 + n)));
            self.blocks.prefetch(wanted.collect(), kind).await;
        }
        self.block(blkno, logical * block).await.map(Some)
    }

    /// Where block `logical` of the directory lies, and how many blocks from there on lie side by side.
    pub(super) async fn blkno(&self, tree: &ExtentTree, logical: u64) -> Result<(BlockNum, u64), Error> {
        let bits = self.blocks.volume().geometry.cluster_block_bits();
        // A directory's size is within its clusters, of which there are less than 2^32.
        let cpos = u32::try_from(logical >> bits).unwrap_or(u32::MAX);
        let leaf = tree.leaf(self.blocks, cpos, true).await?;
        match leaf.at_or_before(cpos) {
            Some(extent) if u64::from(cpos) < extent.end() => {
                let skip = logical - (u64::from(extent.cpos) << bits);
                let blocks = u64::from(extent.clusters) << bits;
                Ok((BlockNum(extent.block.0 + skip), blocks - skip))
            }
            _ => Err(Error::Hole { ino: self.dir.ino(), what: "the directory", cpos }),
        }
    }

    /// What the directory's blocks are checked as.
    pub(super) fn kind(&self) -> Kind {
        kind_of(self.dir, self.blocks.volume())
    }

    /// Reads and checks one block of an extent-based directory.
    pub(super) async fn block(&self, blkno: BlockNum, base: u64) -> Result<Area, Error> {
        let kind = self.kind();
        let block = self.blocks.get(self.dir.ino(), blkno, kind).await?;
        let volume = self.blocks.volume();
        let trailer = kind != Kind::PlainDir;
        if trailer {
            DirTrailer::parse(volume, blkno, block.bytes(), Some(self.dir.ino()))?;
        }
        Ok(Area { range: 0..ocfs2_format::entries_len(volume, trailer), block, base })
    }

    fn block_size(&self) -> u64 {
        self.blocks.volume().geometry.block_size.bytes()
    }
}

/// What the blocks of `dir` are checked as.
pub(super) fn kind_of(dir: &Inode, volume: &ocfs2_format::Volume) -> Kind {
    if dir.dinode().has_dir_trailers(volume) { BlockKind::DirBlock.into() } else { Kind::PlainDir }
}
