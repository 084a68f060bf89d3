//! The index of a directory.

use ocfs2_format::BlockNum;

use crate::{Dirent, Error, Inode, Volume};

impl Volume {
    /// Finds `name` through the index of `dir`.
    pub(crate) async fn lookup_indexed(
        &self,
        dir: &Inode,
        _root: BlockNum,
        name: &[u8],
    ) -> Result<Option<Dirent>, Error> {
        self.lookup_linear(dir, name).await
    }
}
