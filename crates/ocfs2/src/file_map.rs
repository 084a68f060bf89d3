//! Where each block of a system file lies: for files that are used block by block and have no holes.

use ocfs2_format::{BlockNum, Extent};

use crate::inode::{Body, Inode};
use crate::{Error, Volume};

/// The blocks of a file on the volume.
#[derive(Debug)]
pub(crate) struct FileMap {
    ino: BlockNum,
    extents: Vec<Extent>,
    cluster_block_bits: u32,
}

impl FileMap {
    /// Where block `n` of the file lies.
    pub(crate) fn place(&self, n: u32) -> Result<BlockNum, Error> {
        let cpos = n >> self.cluster_block_bits;
        let after = self.extents.partition_point(|extent| extent.cpos <= cpos);
        let extent = after.checked_sub(1).and_then(|index| self.extents.get(index));
        match extent {
            Some(extent) if u64::from(cpos) < extent.end() => {
                let skip = u64::from(n) - (u64::from(extent.cpos) << self.cluster_block_bits);
                Ok(BlockNum(extent.block.0 + skip))
            }
            _ => Err(Error::Hole { ino: self.ino, what: "the system file", cpos }),
        }
    }
}

impl Volume {
    /// The map of the system file `inode`.
    pub(crate) async fn file_map(&self, inode: &Inode) -> Result<FileMap, Error> {
        let Body::Tree(tree) = inode.body() else {
            return Err(Error::Hole { ino: inode.ino(), what: "the system file", cpos: 0 });
        };
        let mut extents = Vec::new();
        let mut cursor = tree.cursor(0);
        while let Some(extent) = cursor.next(self.meta()).await? {
            extents.push(extent);
        }
        Ok(FileMap { ino: inode.ino(), extents, cluster_block_bits: self.geometry().cluster_block_bits() })
    }
}
