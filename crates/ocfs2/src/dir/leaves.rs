//! Changing the index of a directory: entries in and out, room for more.
//!
//! The entries lie in the root while they fit. Then they move to leaves: whole clusters, found by the major half of a
//! hash through an extent tree, the block in the cluster chosen by the minor half. A leaf that is full splits its whole
//! cluster at a major hash; what is at or above it moves to the same blocks of a new cluster.

use ocfs2_format::{
    BlockKind, BlockNum, DxBody, DxEntry, DxHash, DxLeaf, DxRoot, DynFeatures, ExtentList, ExtentRoot,
    RawDxEntryList, RawDxLeaf, RawDxRoot, RawExtentList, Structure,
};
use zerocopy::FromZeros;
use zerocopy::little_endian::{U16, U32, U64};

use super::dx_list::DxList;
use super::edit::raw_at;
use super::index::{LeafPlace, Place};
use super::names::Names;
use super::space::Space;
use crate::Error;
use crate::inode::Inode;
use crate::txn::Blocks;

/// Byte of the list in a root.
const ROOT_LIST: usize = size_of::<RawDxRoot>();
/// Byte of the list in a leaf.
const LEAF_LIST: usize = std::mem::offset_of!(RawDxLeaf, list);
/// Steps that can be needed until a hash has room: out of the root, then two splits. After that all entries in its way
/// have the same major hash.
const MOST_STEPS: usize = 4;

impl<S: Space> Names<'_, '_, S> {
    /// Gives the directory an index of `names`, all of which lie in `block`, its only one.
    pub(super) async fn attach_index(&mut self, block: BlockNum, names: &[DxEntry]) -> Result<(), Error> {
        let (volume, dir) = (*self.handle.volume(), self.dir);
        let (root, suballoc) = self.space.claim_root(self.handle).await?;
        let listed = self.trailer(block).await?.free_rec_len != 0;
        let list = RawDxEntryList::in_root(volume.geometry.block_size);
        let bytes = self.handle.fresh(dir, root, BlockKind::DxRoot);
        *raw_at(bytes, 0, root, Structure::DxRoot)? = RawDxRoot {
            num_entries: U32::new(u32::try_from(names.len()).unwrap_or(u32::MAX)),
            free_blk: U64::new(if listed { block.0 } else { 0 }),
            ..RawDxRoot::new_inline(&volume, root, suballoc, dir)
        };
        *raw_at(bytes, ROOT_LIST, root, Structure::DxRoot)? = list;
        // As the kernel: one entry is to be had without moving right away.
        if names.len() < usize::from(list.count.get()) {
            list_at(bytes, ROOT_LIST, dir)?.fill(names);
        } else {
            self.root_to_leaves(root, names).await?;
        }
        let head = self.dinode_mut().await?;
        head.dyn_features = U16::new(head.dyn_features.get() | DynFeatures::INDEXED_DIR.bits());
        head.dx_root = U64::new(root.0);
        Ok(())
    }

    /// Adds an entry, for which [`Self::make_index_room`] has made room.
    pub(super) async fn index_insert(
        &mut self,
        dir: &Inode,
        root: BlockNum,
        entry: DxEntry,
    ) -> Result<(), Error> {
        let place = self.reader(dir).index_place(root, entry.hash).await?;
        if !self.index_list(root, place).await?.push(&entry) {
            return Err(self.wrong("a list is full that had room"));
        }
        let count = &mut self.root_mut(root).await?.num_entries;
        *count = U32::new(count.get().saturating_add(1));
        Ok(())
    }

    /// Takes an entry out. Leaves that become empty stay.
    pub(super) async fn index_remove(
        &mut self,
        dir: &Inode,
        root: BlockNum,
        entry: DxEntry,
    ) -> Result<(), Error> {
        let place = self.reader(dir).index_place(root, entry.hash).await?;
        if !self.index_list(root, place).await?.remove(&entry) {
            return Err(self.wrong("a name is gone that was found through it"));
        }
        let wrong = self.wrong("it counts fewer names than it has");
        let count = &mut self.root_mut(root).await?.num_entries;
        *count = U32::new(count.get().checked_sub(1).ok_or(wrong)?);
        Ok(())
    }

    /// Frees up to `most` extents of the index of a directory that is going, and with the last of them the index.
    /// Returns whether it is gone; until then names can no longer be found, but all else is as it was.
    ///
    /// Each call is a whole step, which may be a transaction of its own, as the kernel's are.
    ///
    /// # Errors
    /// [`Error::TruncateLogFull`]: to be flushed, and the handle dropped; [`Error::NotDir`]; others when a block does
    /// not check.
    pub async fn free_index(&mut self, most: usize) -> Result<bool, Error> {
        let dir = self.inode().await?;
        let Some(root) = dir.dinode().dx_root else { return Ok(true) };
        let block = self.handle.get(self.dir, root, BlockKind::DxRoot).await?;
        let parsed = DxRoot::parse(self.handle.volume(), root, block.bytes(), Some(self.dir))?;
        let suballoc = parsed.suballoc;
        if let DxBody::Tree(_) = parsed.body {
            let tree = (root, ExtentRoot::DxRoot);
            if !self.space.free_extents(self.handle, self.dir, tree, most).await? {
                return Ok(false);
            }
        }
        let head = self.dinode_mut().await?;
        head.dyn_features = U16::new(head.dyn_features.get() & !DynFeatures::INDEXED_DIR.bits());
        head.dx_root = U64::new(0);
        self.space.free_root(self.handle, (root, suballoc)).await?;
        Ok(true)
    }

    /// Makes room for one more entry with this hash.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the volume is full, or when a leaf is full of entries with just this major hash.
    pub(super) async fn make_index_room(
        &mut self,
        dir: &Inode,
        root: BlockNum,
        hash: DxHash,
    ) -> Result<(), Error> {
        let volume = *self.handle.volume();
        for _ in 0..MOST_STEPS {
            let place = self.reader(dir).index_place(root, hash).await?;
            let bytes = self.handle.get(self.dir, root, BlockKind::DxRoot).await?;
            let parsed = DxRoot::parse(&volume, root, bytes.bytes(), Some(self.dir))?;
            if parsed.num_entries == u32::MAX || parsed.clusters == u32::MAX {
                return Err(no_room());
            }
            match (place, parsed.body) {
                (Place::Root, DxBody::Inline(list)) => {
                    let entries: Vec<DxEntry> = list.iter().collect();
                    if entries.len() < usize::from(list.capacity) {
                        return Ok(());
                    }
                    self.root_to_leaves(root, &entries).await?;
                }
                (Place::Leaf(leaf), DxBody::Tree(_)) => {
                    let (entries, capacity) = self.leaf(leaf.block).await?;
                    if entries.len() < capacity {
                        return Ok(());
                    }
                    let at = split_hash(&entries, leaf.cpos, hash.major).ok_or_else(no_room)?;
                    self.split(root, leaf, at).await?;
                }
                _ => return Err(self.wrong("its root is two things at once")),
            }
        }
        Err(no_room())
    }

    /// Moves `entries` from the root to a first cluster of leaves.
    async fn root_to_leaves(&mut self, root: BlockNum, entries: &[DxEntry]) -> Result<(), Error> {
        let (volume, dir) = (*self.handle.volume(), self.dir);
        let cluster = self.space.claim_cluster(self.handle).await?;
        let blocks = volume.geometry.blocks_per_cluster();
        for n in 0..blocks {
            let here: Vec<DxEntry> =
                entries.iter().filter(|entry| entry.hash.minor & (blocks - 1) == n).copied().collect();
            self.fresh_leaf(BlockNum(cluster.0 + u64::from(n)), &here)?;
        }
        self.root_mut(root).await?.flags &= !DxRoot::FLAG_INLINE;
        let bytes = self.handle.edit(dir, root, BlockKind::DxRoot).await?;
        bytes.get_mut(ROOT_LIST..).unwrap_or_default().zero();
        let room = ExtentList::room_in_dinode(volume.geometry.block_size);
        *raw_at(bytes, ROOT_LIST, root, Structure::DxRoot)? = RawExtentList::empty(room);
        self.add_extent(root, ExtentRoot::DxRoot, 0, cluster).await
    }

    /// Moves what is at or above the major hash `at`, in the cluster of `leaf`, to a new cluster.
    async fn split(&mut self, root: BlockNum, leaf: LeafPlace, at: u32) -> Result<(), Error> {
        let (geometry, dir) = (self.handle.volume().geometry, self.dir);
        let cluster = self.space.claim_cluster(self.handle).await?;
        for n in (0..geometry.blocks_per_cluster()).map(u64::from) {
            let old = BlockNum(leaf.cluster.0 + n);
            let (entries, _) = self.leaf(old).await?;
            if !entries.iter().all(|entry| leaf.holds(entry.hash.major)) {
                return Err(self.wrong("a leaf has a hash that belongs elsewhere"));
            }
            let (moved, kept): (Vec<DxEntry>, Vec<DxEntry>) =
                entries.into_iter().partition(|entry| entry.hash.major >= at);
            self.fresh_leaf(BlockNum(cluster.0 + n), &moved)?;
            if !moved.is_empty() {
                let bytes = self.handle.edit(dir, old, BlockKind::DxLeaf).await?;
                list_at(bytes, LEAF_LIST, dir)?.fill(&kept);
            }
        }
        self.add_extent(root, ExtentRoot::DxRoot, at, cluster).await
    }

    /// Writes a new leaf.
    fn fresh_leaf(&mut self, block: BlockNum, entries: &[DxEntry]) -> Result<(), Error> {
        let (volume, dir) = (*self.handle.volume(), self.dir);
        let bytes = self.handle.fresh(dir, block, BlockKind::DxLeaf);
        *raw_at(bytes, 0, block, Structure::DxLeaf)? = RawDxLeaf::new(&volume, block);
        // A leaf holds more than a root, and no less than another leaf.
        let fits = list_at(bytes, LEAF_LIST, dir)?.fill(entries);
        if fits { Ok(()) } else { Err(no_room()) }
    }

    /// The entries of a leaf, and how many it can have.
    async fn leaf(&self, block: BlockNum) -> Result<(Vec<DxEntry>, usize), Error> {
        let bytes = self.handle.get(self.dir, block, BlockKind::DxLeaf).await?;
        let entries = DxLeaf::parse(self.handle.volume(), block, bytes.bytes())?.entries;
        Ok((entries.iter().collect(), usize::from(entries.capacity)))
    }

    /// The list at `place`, checked, to be changed.
    async fn index_list(&mut self, root: BlockNum, place: Place) -> Result<DxList<'_>, Error> {
        let (volume, dir) = (*self.handle.volume(), self.dir);
        match place {
            Place::Root => {
                self.root_mut(root).await?;
                let bytes = self.handle.edit(dir, root, BlockKind::DxRoot).await?;
                list_at(bytes, ROOT_LIST, dir)
            }
            Place::Leaf(leaf) => {
                let bytes = self.handle.edit(dir, leaf.block, BlockKind::DxLeaf).await?;
                DxLeaf::parse(&volume, leaf.block, bytes)?;
                list_at(bytes, LEAF_LIST, dir)
            }
        }
    }

    fn wrong(&self, what: &'static str) -> Error {
        Error::DirIndex { ino: self.dir, what }
    }
}

/// The list at byte `offset`.
fn list_at(bytes: &mut [u8], offset: usize, ino: BlockNum) -> Result<DxList<'_>, Error> {
    let list = bytes.get_mut(offset..).and_then(DxList::new);
    list.ok_or(Error::DirIndex { ino, what: "a list is longer than its block" })
}

fn no_room() -> Error {
    Error::NoSpace { what: "entries of the directory index", want: 1 }
}

/// The major hash at which the cluster of a full leaf is split, as the kernel chooses it; `None` when that cannot make
/// room for a name whose major hash is `insert`.
///
/// `cpos` is the least hash of the cluster. The result is greater than that.
fn split_hash(entries: &[DxEntry], cpos: u32, insert: u32) -> Option<u32> {
    let mut majors: Vec<u32> = entries.iter().map(|entry| entry.hash.major).collect();
    majors.sort_unstable();
    let (first, last) = (*majors.first()?, *majors.last()?);
    if first != last {
        let (_, upper) = majors.split_at(majors.len() / 2);
        return upper.iter().copied().find(|major| *major > cpos);
    }
    if first == insert {
        None
    } else if first == cpos {
        // The new name's hash is greater, and the leaf is its place: no other cluster begins at the next hash.
        cpos.checked_add(1)
    } else {
        // Either of the two then begins the new cluster.
        Some(first.max(insert))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(majors: &[u32], cpos: u32, insert: u32) -> Option<u32> {
        let entry = |major: &u32| DxEntry { hash: DxHash { major: *major, minor: 0 }, block: BlockNum(1) };
        split_hash(&majors.iter().map(entry).collect::<Vec<_>>(), cpos, insert)
    }

    #[test]
    fn a_full_leaf_is_split_where_the_kernel_does() {
        assert_eq!(split(&[9, 2, 7, 5], 0, 3), Some(7), "the median");
        assert_eq!(split(&[0, 0, 0, 5], 0, 3), Some(5), "past what the cluster begins with");
        assert_eq!(split(&[3, 3, 3, 5], 0, 4), Some(3));
        assert_eq!(split(&[4, 4, 4], 0, 4), None, "the new name belongs where there is no room");
        assert_eq!(
            split(&[4, 4, 4], 4, 9),
            Some(5),
            "right behind, so that the clusters may become one extent"
        );
        assert_eq!(split(&[4, 4, 4], 0, 2), Some(4));
        assert_eq!(split(&[4, 4, 4], 0, 7), Some(7));
        assert_eq!(split(&[u32::MAX; 3], u32::MAX, 1), None);
    }
}
