//! Where a file's data and holes begin (`SEEK_DATA`, `SEEK_HOLE`).

use ocfs2_format::ExtentFlags;

use crate::inode::{Body, Inode};
use crate::{Error, Volume};

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// Bytes that were written.
    Data,
    /// A hole, an unwritten extent, or the end of the file.
    Hole,
}

impl Volume {
    /// The first byte at or after `offset` that is what `seek` says.
    ///
    /// `None` where a system call gives ENXIO: `offset` at or past the end of the file, or no data after it.
    ///
    /// # Errors
    /// [`Error::NotFile`], or when the extent tree cannot be read.
    pub async fn seek(&self, inode: &Inode, offset: u64, seek: Seek) -> Result<Option<u64>, Error> {
        inode.expect_file()?;
        let size = inode.size();
        if offset >= size {
            return Ok(None);
        }
        let tree = match (inode.body(), seek) {
            (Body::Tree(tree), _) => tree,
            (Body::Inline(_), Seek::Data) => return Ok(Some(offset)),
            (Body::Inline(_), Seek::Hole) => return Ok(Some(size)),
            _ => return Err(Error::NotFile { ino: inode.ino(), kind: inode.attr().kind }),
        };
        let bits = self.geometry().cluster_size.bits();
        let Ok(cpos) = u32::try_from(offset >> bits) else { return Ok(None) };
        let mut cursor = tree.cursor(cpos);
        let mut at = offset;
        while let Some(extent) = cursor.next(self.meta()).await? {
            let (start, end) = (u64::from(extent.cpos) << bits, extent.end() << bits);
            if start >= size {
                break;
            }
            let written = !extent.flags.contains(ExtentFlags::UNWRITTEN);
            match seek {
                Seek::Data if written => return Ok(Some(start.max(offset))),
                Seek::Data => {}
                Seek::Hole if start > at || !written => return Ok(Some(at)),
                Seek::Hole => at = end,
            }
        }
        Ok(match seek {
            Seek::Data => None,
            Seek::Hole => Some(at.min(size)),
        })
    }
}
