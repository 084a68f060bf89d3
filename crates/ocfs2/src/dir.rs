//! Directories: listing them, and finding a name in one.

use std::ops::Range;
use std::sync::Arc;

use ocfs2_format::{BlockKind, BlockNum, Corrupt, DirEntries, DirEntry, DirTrailer, FileType, MAX_NAME_LEN};

use crate::inode::{Body, Inode};
use crate::meta_block::{Kind, MetaBlock};
use crate::tree::ExtentTree;
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
struct Area {
    block: Arc<MetaBlock>,
    range: Range<usize>,
    /// Position of the first byte of the range.
    base: u64,
}

impl Area {
    fn entries(&self, volume: &Volume) -> DirEntries<'_> {
        let bytes = self.block.bytes().get(self.range.clone()).unwrap_or_default();
        DirEntries::new(volume.meta().volume(), self.block.blkno(), bytes)
    }
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
        dir.expect_dir()?;
        let Some(area) = self.dir_area(dir, position, true).await? else { return Ok(DirPage::default()) };
        let mut page = DirPage::default();
        for entry in area.entries(self) {
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
        page.next = self.next_dir_block(dir, position);
        Ok(page)
    }

    /// Position of the block after the one that `position` lies in; `None` after the last.
    #[must_use]
    pub fn next_dir_block(&self, dir: &Inode, position: u64) -> Option<u64> {
        if matches!(dir.body(), Body::Inline(_)) {
            return None;
        }
        let block = self.geometry().block_size.bytes();
        Some((position / block + 1) * block).filter(|next| *next < dir.size())
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
        match dir.dinode().dx_root {
            Some(root) => self.lookup_indexed(dir, root, name).await,
            None => self.lookup_linear(dir, name).await,
        }
    }

    /// Looks at every entry.
    pub(crate) async fn lookup_linear(&self, dir: &Inode, name: &[u8]) -> Result<Option<Dirent>, Error> {
        let mut position = Some(0);
        while let Some(at) = position {
            let Some(area) = self.dir_area(dir, at, true).await? else { break };
            if let Some(found) = find(area.entries(self), name, area.base)? {
                return Ok(Some(found));
            }
            position = self.next_dir_block(dir, at);
        }
        Ok(None)
    }

    /// Finds `name` in the one block `blkno` of an extent-based directory.
    pub(crate) async fn lookup_block(
        &self,
        dir: &Inode,
        blkno: BlockNum,
        name: &[u8],
    ) -> Result<Option<Dirent>, Error> {
        let area = self.dir_block(dir, blkno, 0).await?;
        find(area.entries(self), name, 0)
    }

    /// The block that `position` lies in; `None` past the end. With `ahead`, its successors are read along with it.
    async fn dir_area(&self, dir: &Inode, position: u64, ahead: bool) -> Result<Option<Area>, Error> {
        let size = dir.size();
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
        let block = self.geometry().block_size.bytes();
        let logical = position / block;
        let (blkno, follow) = self.dir_blkno(dir, tree, logical).await?;
        let kind = self.dir_kind(dir);
        if ahead && !self.meta().cache().has(blkno, kind) {
            let last = size.div_ceil(block) - logical;
            let wanted = (0..follow.min(AHEAD).min(last)).map(|n| (dir.ino(), BlockNum(blkno.0 + n)));
            self.meta().prefetch(wanted, kind).await;
        }
        self.dir_block(dir, blkno, logical * block).await.map(Some)
    }

    /// Where block `logical` of a directory lies, and how many blocks from there on lie side by side.
    async fn dir_blkno(
        &self,
        dir: &Inode,
        tree: &ExtentTree,
        logical: u64,
    ) -> Result<(BlockNum, u64), Error> {
        let bits = self.geometry().cluster_block_bits();
        // A directory's size is within its clusters, of which there are less than 2^32.
        let cpos = u32::try_from(logical >> bits).unwrap_or(u32::MAX);
        let leaf = tree.leaf(self.meta(), cpos, true).await?;
        match leaf.at_or_before(cpos) {
            Some(extent) if u64::from(cpos) < extent.end() => {
                let skip = logical - (u64::from(extent.cpos) << bits);
                let blocks = u64::from(extent.clusters) << bits;
                Ok((BlockNum(extent.block.0 + skip), blocks - skip))
            }
            _ => Err(Error::Hole { ino: dir.ino(), what: "the directory", cpos }),
        }
    }

    /// What the blocks of `dir` are checked as.
    fn dir_kind(&self, dir: &Inode) -> Kind {
        if dir.dinode().has_dir_trailers(self.meta().volume()) {
            BlockKind::DirBlock.into()
        } else {
            Kind::PlainDir
        }
    }

    /// Reads and checks one block of an extent-based directory.
    async fn dir_block(&self, dir: &Inode, blkno: BlockNum, base: u64) -> Result<Area, Error> {
        let kind = self.dir_kind(dir);
        let block = self.meta().get(dir.ino(), blkno, kind).await?;
        let volume = self.meta().volume();
        let trailer = kind != Kind::PlainDir;
        if trailer {
            DirTrailer::parse(volume, blkno, block.bytes(), Some(dir.ino()))?;
        }
        Ok(Area { range: 0..ocfs2_format::entries_len(volume, trailer), block, base })
    }
}

/// Looks for `name`. Damage elsewhere in the block counts only when the name is not found.
fn find(entries: DirEntries<'_>, name: &[u8], base: u64) -> Result<Option<Dirent>, Error> {
    let mut damage = None;
    for entry in entries {
        match entry {
            Ok(entry) if entry.name == name => {
                if let Some(ino) = entry.inode {
                    return Ok(Some(Dirent::new(&entry, ino, base)));
                }
            }
            Ok(_) => {}
            Err(error) => damage = damage.or(Some(error)),
        }
    }
    damage.map_or(Ok(None), |error| Err(error.into()))
}
