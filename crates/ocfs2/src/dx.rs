//! The index of a directory: from a name's hash to the block that holds the name.

use ocfs2_format::{BlockKind, BlockNum, CharSign, DxBody, DxHash, DxLeaf, DxRoot, Tree};

use crate::tree::ExtentTree;
use crate::{Dirent, Error, Inode, Volume};

impl Volume {
    /// Finds `name` through the index of `dir`, whose root is `root`.
    ///
    /// Names with bytes from 0x80 on are looked for under both hashes that kernels have given them. Where the index
    /// itself is damaged, the names are looked through one by one: only a name that is not found that way is an
    /// error.
    pub(crate) async fn lookup_indexed(
        &self,
        dir: &Inode,
        root: BlockNum,
        name: &[u8],
    ) -> Result<Option<Dirent>, Error> {
        for sign in CharSign::variants(name) {
            let hash = DxHash::of(name, self.meta().volume().dx_seed, sign);
            match self.lookup_hash(dir, root, hash, name).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(damage) => {
                    tracing::warn!(dir = dir.ino().0, %damage, "directory index damaged, looking at every name");
                    return match self.lookup_linear(dir, name).await {
                        Ok(None) | Err(_) => Err(damage),
                        found => found,
                    };
                }
            }
        }
        Ok(None)
    }

    /// Finds `name` among those with this hash.
    async fn lookup_hash(
        &self,
        dir: &Inode,
        root: BlockNum,
        hash: DxHash,
        name: &[u8],
    ) -> Result<Option<Dirent>, Error> {
        for block in self.blocks_for(dir, root, hash).await? {
            if let Some(found) = self.lookup_block(dir, block, name).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The directory blocks that hold names with this hash.
    async fn blocks_for(&self, dir: &Inode, root: BlockNum, hash: DxHash) -> Result<Vec<BlockNum>, Error> {
        let (meta, volume) = (self.meta(), self.meta().volume());
        let block = meta.get(dir.ino(), root, BlockKind::DxRoot).await?;
        let list = match DxRoot::parse(volume, root, block.bytes(), Some(dir.ino()))?.body {
            DxBody::Inline(entries) => return Ok(entries.blocks_for(hash).collect()),
            DxBody::Tree(list) => list,
        };
        let leaf = ExtentTree::new(dir.ino(), Tree::DirIndex, &list).leaf(meta, hash.major, false).await?;
        let leaf = leaf
            .at_or_before(hash.major)
            .and_then(|extent| DxLeaf::block_for(volume, &extent, hash))
            .ok_or(Error::Hole { ino: dir.ino(), what: "the directory index", cpos: hash.major })?;
        let block = meta.get(dir.ino(), leaf, BlockKind::DxLeaf).await?;
        Ok(DxLeaf::parse(volume, leaf, block.bytes())?.entries.blocks_for(hash).collect())
    }
}
