//! A file's extents as the kernel's FIEMAP reports them.

use ocfs2_format::{Extent, ExtentFlags};

use crate::inode::{Body, Inode};
use crate::tree::Cursor;
use crate::{Error, Volume};

/// One extent, in bytes (`struct fiemap_extent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiemapExtent {
    /// Where it begins in the file.
    pub logical: u64,
    /// Where it begins on the device.
    pub physical: u64,
    /// Its length.
    pub length: u64,
    /// The `FIEMAP_EXTENT_*` bits below.
    pub flags: u32,
}

impl FiemapExtent {
    /// No extent follows (`FIEMAP_EXTENT_LAST`).
    pub const LAST: u32 = 0x0001;
    /// The data does not begin at a block boundary (`FIEMAP_EXTENT_NOT_ALIGNED`).
    pub const NOT_ALIGNED: u32 = 0x0100;
    /// The data lies within the inode (`FIEMAP_EXTENT_DATA_INLINE`).
    pub const DATA_INLINE: u32 = 0x0200;
    /// Allocated, but reads as zeroes (`FIEMAP_EXTENT_UNWRITTEN`).
    pub const UNWRITTEN: u32 = 0x0800;
    /// Other files use the same clusters (`FIEMAP_EXTENT_SHARED`).
    pub const SHARED: u32 = 0x2000;
}

/// Goes through a file's extents; see [`Volume::fiemap`].
#[derive(Debug)]
pub struct Fiemap<'v> {
    volume: &'v Volume,
    source: Source<'v>,
}

#[derive(Debug)]
enum Source<'v> {
    Inline(Option<FiemapExtent>),
    Tree {
        cursor: Cursor<'v>,
        /// Read ahead by one, since an extent must say whether it is the last of the file.
        ahead: Option<Extent>,
        started: bool,
        /// First cluster past the range that was asked for.
        end: u64,
    },
}

impl Fiemap<'_> {
    /// The next extent that lies in the range in part or whole; `None` after the last.
    ///
    /// # Errors
    /// When the extent tree cannot be read.
    pub async fn next(&mut self) -> Result<Option<FiemapExtent>, Error> {
        let (cursor, ahead, started, end) = match &mut self.source {
            Source::Inline(extent) => return Ok(extent.take()),
            Source::Tree { cursor, ahead, started, end } => (cursor, ahead, started, end),
        };
        let meta = self.volume.meta();
        if !*started {
            *started = true;
            *ahead = cursor.next(meta).await?;
        }
        let Some(extent) = ahead.filter(|extent| u64::from(extent.cpos) < *end) else { return Ok(None) };
        *ahead = cursor.next(meta).await?;
        let mut reported = self.volume.report(&extent);
        if ahead.is_none() {
            reported.flags |= FiemapExtent::LAST;
        }
        Ok(Some(reported))
    }
}

impl Volume {
    /// The extents of `inode` that lie in the `len` bytes from byte `start` on, whole ones, in order.
    ///
    /// What is kept in the inode itself is one extent of the whole room for it. Extents that touch are not merged:
    /// the kernel reports the records of the tree as they are.
    pub fn fiemap<'v>(&'v self, inode: &'v Inode, start: u64, len: u64) -> Fiemap<'v> {
        let source = match inode.body() {
            Body::Inline(range) => Source::Inline((start < range.len() as u64).then(|| FiemapExtent {
                logical: 0,
                physical: self.byte_of(inode.ino()).saturating_add(range.start as u64),
                length: range.len() as u64,
                flags: FiemapExtent::LAST | FiemapExtent::DATA_INLINE | FiemapExtent::NOT_ALIGNED,
            })),
            Body::FastSymlink(_) | Body::System => Source::Inline(None),
            Body::Tree(tree) => {
                let bits = self.geometry().cluster_size.bits();
                let end = self.geometry().clusters_for(start.saturating_add(len));
                // Beyond the last cluster there is nothing to begin with.
                let (cpos, end) = u32::try_from(start >> bits).map_or((u32::MAX, 0), |cpos| (cpos, end));
                Source::Tree { cursor: tree.cursor(cpos), ahead: None, started: false, end }
            }
        };
        Fiemap { volume: self, source }
    }

    fn report(&self, extent: &Extent) -> FiemapExtent {
        let bits = self.geometry().cluster_size.bits();
        let mut flags = 0;
        if extent.flags.contains(ExtentFlags::UNWRITTEN) {
            flags |= FiemapExtent::UNWRITTEN;
        }
        if extent.flags.contains(ExtentFlags::REFCOUNTED) {
            flags |= FiemapExtent::SHARED;
        }
        FiemapExtent {
            logical: u64::from(extent.cpos) << bits,
            physical: self.byte_of(extent.block),
            length: u64::from(extent.clusters) << bits,
            flags,
        }
    }
}
