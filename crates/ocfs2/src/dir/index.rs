//! Reading the index of a directory: from a name's hash to the block that holds the name.

use ocfs2_format::{BlockKind, BlockNum, CharSign, DxBody, DxHash, DxLeaf, DxRoot, Extent, Tree};

use super::read::{Found, Reader};
use crate::Error;
use crate::tree::ExtentTree;
use crate::txn::Blocks;

/// A name that was found through the index, and the hash that it has there.
#[derive(Debug)]
pub(super) struct Indexed {
    pub(super) found: Found,
    pub(super) hash: DxHash,
}

/// Where the index keeps a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the root.
    Root,
    /// In a leaf.
    Leaf(LeafPlace),
}

/// A leaf of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeafPlace {
    /// Its block.
    pub(super) block: BlockNum,
    /// First block of its cluster.
    pub(super) cluster: BlockNum,
    /// The least major hash of that cluster.
    pub(super) cpos: u32,
    /// The least major hash that is not that cluster's, up to 2^32.
    pub(super) end: u64,
}

impl LeafPlace {
    /// Whether names with this major hash belong into the leaf's cluster.
    pub(super) fn holds(&self, major: u32) -> bool {
        (u64::from(self.cpos)..self.end).contains(&u64::from(major))
    }
}

impl<B: Blocks> Reader<'_, B> {
    /// Finds `name` through the index whose root is `root`.
    ///
    /// Names with bytes from 0x80 on are looked for under both hashes that kernels have given them.
    pub(super) async fn lookup_indexed(&self, root: BlockNum, name: &[u8]) -> Result<Option<Indexed>, Error> {
        for sign in CharSign::variants(name) {
            let hash = DxHash::of(name, self.blocks.volume().dx_seed, sign);
            for block in self.blocks_for(root, hash).await? {
                if let Some(found) = self.lookup_block(block, name).await? {
                    return Ok(Some(Indexed { found, hash }));
                }
            }
        }
        Ok(None)
    }

    /// The directory blocks that hold names with this hash.
    async fn blocks_for(&self, root: BlockNum, hash: DxHash) -> Result<Vec<BlockNum>, Error> {
        let (volume, owner) = (self.blocks.volume(), self.dir.ino());
        let Place::Leaf(leaf) = self.index_place(root, hash).await? else {
            let block = self.blocks.get(owner, root, BlockKind::DxRoot).await?;
            return match DxRoot::parse(volume, root, block.bytes(), Some(owner))?.body {
                DxBody::Inline(entries) => Ok(entries.blocks_for(hash).collect()),
                DxBody::Tree(_) => Ok(Vec::new()),
            };
        };
        let block = self.blocks.get(owner, leaf.block, BlockKind::DxLeaf).await?;
        Ok(DxLeaf::parse(volume, leaf.block, block.bytes())?.entries.blocks_for(hash).collect())
    }

    /// Where the index whose root is `root` keeps `hash`.
    pub(super) async fn index_place(&self, root: BlockNum, hash: DxHash) -> Result<Place, Error> {
        let (volume, owner) = (self.blocks.volume(), self.dir.ino());
        let block = self.blocks.get(owner, root, BlockKind::DxRoot).await?;
        let tree = match DxRoot::parse(volume, root, block.bytes(), Some(owner))?.body {
            DxBody::Inline(_) => return Ok(Place::Root),
            DxBody::Tree(list) => ExtentTree::new(owner, Tree::DirIndex, &list),
        };
        let leaf = tree.leaf(self.blocks, hash.major, false).await?;
        let after = leaf.after(hash.major);
        let place = leaf.at_or_before(hash.major).and_then(|extent| leaf_place(volume, &extent, after, hash));
        let hole = Error::Hole { ino: owner, what: "the directory index", cpos: hash.major };
        place.map(Place::Leaf).ok_or(hole)
    }
}

/// The leaf for `hash` in the extent that the tree gives for it; the next extent begins at `after`.
fn leaf_place(volume: &ocfs2_format::Volume, extent: &Extent, after: u64, hash: DxHash) -> Option<LeafPlace> {
    let block = DxLeaf::block_for(volume, extent, hash)?;
    // Hashes past the extent belong to its last cluster.
    let last = extent.cpos.saturating_add(u32::from(extent.clusters) - 1);
    let cpos = hash.major.min(last);
    let within = hash.minor & (volume.geometry.blocks_per_cluster() - 1);
    let end = if cpos < last { u64::from(cpos) + 1 } else { after };
    Some(LeafPlace { block, cluster: BlockNum(block.0 - u64::from(within)), cpos, end })
}
