//! Inodes: read once, checked, and then a value that does not change.

use std::ops::Range;
use std::sync::Arc;

use ocfs2_format::{self as format, BlockKind, BlockNum, Dinode, DynFeatures, FileType, Tree};

use crate::attr::Attr;
use crate::meta_block::MetaBlock;
use crate::tree::ExtentTree;
use crate::{Error, Volume};

/// Byte of inline data within a dinode.
const INLINE_DATA: usize = 0xc8;
/// The flags of `FS_IOC_GETFLAGS` that users see (`FS_FL_USER_VISIBLE`).
const VISIBLE_FLAGS: u32 = 0x0003_dfff;

/// An inode as it was when it was read.
#[derive(Clone, Debug)]
pub struct Inode {
    attr: Attr,
    dinode: Arc<Dinode>,
    body: Body,
    block: Arc<MetaBlock>,
}

/// Where an inode's contents are.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// In the dinode: the room for them, as a range of its bytes. The size says how much of it is used.
    Inline(Range<usize>),
    /// In clusters.
    Tree(Arc<ExtentTree>),
    /// The target of a short symlink, as a range of the dinode's bytes.
    FastSymlink(Range<usize>),
    /// A system inode's own structure.
    System,
}

impl Inode {
    /// Parses a dinode.
    pub(crate) fn parse(volume: &format::Volume, block: Arc<MetaBlock>) -> Result<Self, Error> {
        let ino = block.blkno();
        let (dinode, body) = Dinode::parse(volume, ino, block.bytes())?;
        let inline = dinode.dyn_features.contains(DynFeatures::INLINE_DATA);
        let body = match body {
            format::Body::Inline { room, .. } => Body::Inline(INLINE_DATA..INLINE_DATA + usize::from(room)),
            format::Body::Extents(list) => Body::Tree(Arc::new(ExtentTree::new(ino, Tree::Data, &list))),
            format::Body::FastSymlink(target) => {
                let start = format::RawDinode::BODY_OFFSET;
                Body::FastSymlink(start..start + target.len())
            }
            _ => Body::System,
        };
        let cluster_bits = volume.geometry.cluster_size.bits();
        let attr = Attr {
            ino,
            kind: dinode.file_type,
            perm: dinode.mode & 0o7777,
            nlink: dinode.links,
            uid: dinode.uid,
            gid: dinode.gid,
            size: dinode.size,
            blocks: if inline {
                dinode.size.div_ceil(512)
            } else {
                u64::from(dinode.clusters) << (cluster_bits - 9)
            },
            blksize: 1 << cluster_bits,
            atime: dinode.atime,
            mtime: dinode.mtime,
            ctime: dinode.ctime,
            rdev: match dinode.file_type {
                FileType::CharDevice | FileType::BlockDevice => dinode.rdev(),
                _ => (0, 0),
            },
            generation: dinode.generation,
            flags: dinode.attr & VISIBLE_FLAGS,
        };
        Ok(Self { attr, dinode: Arc::new(dinode), body, block })
    }

    /// Its number: the block that holds it.
    #[must_use]
    pub fn ino(&self) -> BlockNum {
        self.attr.ino
    }

    /// What `stat(2)` says of it. Its size is not to be relied on for reading: contents end where the dinode says.
    #[must_use]
    pub fn attr(&self) -> &Attr {
        &self.attr
    }

    /// The dinode's own fields.
    #[must_use]
    pub fn dinode(&self) -> &Dinode {
        &self.dinode
    }

    /// Size of its contents in bytes, as the dinode has it.
    pub(crate) fn size(&self) -> u64 {
        self.dinode.size
    }

    /// Where its contents are.
    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// The block it lies in.
    pub(crate) fn block(&self) -> &Arc<MetaBlock> {
        &self.block
    }

    /// Levels of extent blocks below its own extent list; `None` where its contents are not in extents.
    #[must_use]
    pub fn tree_depth(&self) -> Option<u16> {
        match &self.body {
            Body::Tree(tree) => Some(tree.depth()),
            _ => None,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.attr.kind == FileType::Directory
    }

    /// Fails unless it is a directory.
    pub(crate) fn expect_dir(&self) -> Result<(), Error> {
        if self.is_dir() { Ok(()) } else { Err(Error::NotDir { ino: self.ino(), kind: self.attr.kind }) }
    }

    /// Fails unless it is a regular file.
    pub(crate) fn expect_file(&self) -> Result<(), Error> {
        let ok = self.attr.kind == FileType::Regular;
        if ok { Ok(()) } else { Err(Error::NotFile { ino: self.ino(), kind: self.attr.kind }) }
    }
}

impl Volume {
    /// Reads and checks the inode `ino`.
    ///
    /// # Errors
    /// When its block lies outside the volume, cannot be read, or is not a sound inode in use.
    pub async fn inode(&self, ino: BlockNum) -> Result<Inode, Error> {
        self.inode_in(self.meta().get(ino, ino, BlockKind::Dinode).await?)
    }

    /// The inodes `inos`, in that order, neighbours in one read, all at once. The caller bounds the list.
    ///
    /// For inodes that are used once: they are taken from the cache, but not added to it, and each holds on to
    /// what was read together with it (at most 256 KiB) while it lives.
    ///
    /// # Errors
    /// As [`inode`](Self::inode), for each.
    pub async fn inodes(&self, inos: &[BlockNum]) -> Vec<Result<Inode, Error>> {
        let blocks = self.meta().read_all(inos, BlockKind::Dinode).await;
        blocks.into_iter().map(|block| self.inode_in(block?)).collect()
    }

    /// Parses the inode in `block`.
    fn inode_in(&self, block: Arc<MetaBlock>) -> Result<Inode, Error> {
        let mut inode = Inode::parse(self.meta().volume(), block)?;
        if inode.ino() == self.root()
            && let Some(attr) = self.root_attr()
        {
            inode.attr = *attr;
        }
        Ok(inode)
    }

    /// Reads the inodes `inos` that are not cached, neighbours in one read, all at once; [`Self::inode`] then finds
    /// them in memory. What cannot be read is left for it to report. The caller bounds the list.
    pub async fn prefetch_inodes(&self, inos: impl IntoIterator<Item = BlockNum>) {
        self.meta().prefetch(inos.into_iter().map(|ino| (ino, ino)), BlockKind::Dinode).await;
    }
}
