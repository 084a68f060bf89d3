//! Extent lists: the nodes of every B-tree on the volume.
//!
//! One list format serves five trees (file data, xattr values, xattr index,
//! directory index, refcount records). With depth 0 its records name data;
//! above, they name extent blocks, and the same 16 bytes are cut differently.

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::dinode::RawDinode;
use crate::error::{Check, Corrupt, Structure};
use crate::raw::{Input, head_mut, index16, layout, slice_mut};
use crate::units::{BlockNum, BlockSize};

/// Deepest tree that the kernel can walk (`OCFS2_MAX_PATH_DEPTH`).
pub const MAX_TREE_DEPTH: u16 = 5;

/// Header of an extent list as it lies on disk (`struct ocfs2_extent_list`, 16 bytes before the records).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawExtentList {
    /// `l_tree_depth`: 0 = the records are extents, else they name extent blocks.
    pub tree_depth: U16,
    /// `l_count`: records that fit.
    pub count: U16,
    /// `l_next_free_rec`: records in use.
    pub next_free_rec: U16,
    /// Reserved.
    pub reserved1: U16,
    /// Reserved.
    pub reserved2: U64,
}
layout!(RawExtentList, 16, { count: 2, next_free_rec: 4 });

impl RawExtentList {
    /// An empty list of depth 0 with room for `room` records, as in [`ExtentList::room_in_dinode`] and
    /// [`ExtentBlock::capacity`](crate::ExtentBlock::capacity).
    #[must_use]
    pub fn empty(room: usize) -> Self {
        Self { count: U16::new(index16(room)), ..Self::default() }
    }

    /// The list at the start of `data`, in block `block`, to be changed: head and all `l_count` records.
    ///
    /// # Errors
    /// [`Check::Short`] when `data` is shorter than it says. The caller has checked the list.
    pub fn mut_from(block: BlockNum, data: &mut [u8]) -> Result<(&mut Self, &mut [RawExtentRec]), Corrupt> {
        let (head, tail) = head_mut::<Self>(block, Structure::ExtentList, data)?;
        let records = slice_mut(block, Structure::ExtentList, tail, head.count.get())?;
        Ok((head, records))
    }

    /// Makes an empty list with room for `capacity` records at the start of `data`.
    ///
    /// # Errors
    /// [`Check::Short`] when so many records do not fit.
    pub fn format(
        block: BlockNum,
        data: &mut [u8],
        capacity: usize,
    ) -> Result<(&mut Self, &mut [RawExtentRec]), Corrupt> {
        let (head, _) = head_mut::<Self>(block, Structure::ExtentList, data)?;
        *head = Self::empty(capacity);
        let (head, records) = Self::mut_from(block, data)?;
        records.fill(RawExtentRec::default());
        Ok((head, records))
    }
}

/// Extent record of a leaf as it lies on disk (`struct ocfs2_extent_rec`, 16 bytes).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawExtentRec {
    /// `e_cpos`: first cluster within the file, or the hash for the index trees.
    pub cpos: U32,
    /// `e_leaf_clusters`.
    pub leaf_clusters: U16,
    /// `e_reserved1`.
    pub reserved: u8,
    /// `e_flags`: [`ExtentFlags`].
    pub flags: u8,
    /// `e_blkno`: first block on the volume.
    pub blkno: U64,
}
layout!(RawExtentRec, 16, { leaf_clusters: 4, flags: 7, blkno: 8 });

impl RawExtentRec {
    /// The same record read as one of an interior list, where the length has 32 bits.
    #[must_use]
    pub fn int_clusters(&self) -> u32 {
        let [a, b] = self.leaf_clusters.to_bytes();
        u32::from_le_bytes([a, b, self.reserved, self.flags])
    }

    /// Encodes a leaf record.
    #[must_use]
    pub fn from_extent(extent: &Extent) -> Self {
        Self {
            cpos: U32::new(extent.cpos),
            leaf_clusters: U16::new(extent.clusters),
            reserved: 0,
            flags: extent.flags.bits(),
            blkno: U64::new(extent.block.0),
        }
    }

    /// Encodes an interior record.
    #[must_use]
    pub fn from_child(child: &Child) -> Self {
        let [a, b, reserved, flags] = child.clusters.to_le_bytes();
        Self {
            cpos: U32::new(child.cpos),
            leaf_clusters: U16::from_bytes([a, b]),
            reserved,
            flags,
            blkno: U64::new(child.block.0),
        }
    }

    fn extent(&self) -> Extent {
        Extent {
            cpos: self.cpos.get(),
            clusters: self.leaf_clusters.get(),
            flags: ExtentFlags::from_bits_retain(self.flags),
            block: BlockNum(self.blkno.get()),
        }
    }

    fn child(&self) -> Child {
        Child { cpos: self.cpos.get(), clusters: self.int_clusters(), block: BlockNum(self.blkno.get()) }
    }
}

bitflags! {
    /// `e_flags` of a leaf record.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ExtentFlags: u8 {
        /// Allocated, but reads as zeroes.
        const UNWRITTEN = 0x01;
        /// Shared with other files: see the refcount tree before writing.
        const REFCOUNTED = 0x02;
    }
}

/// A checked leaf record: `clusters` clusters of a file, contiguous on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First cluster within the file (or hash, for the index trees).
    pub cpos: u32,
    /// Length in clusters, at least 1.
    pub clusters: u16,
    /// Unwritten, shared.
    pub flags: ExtentFlags,
    /// First block on the volume; cluster aligned but in refcount trees.
    pub block: BlockNum,
}

impl Extent {
    /// The cluster (or hash) just past the extent, up to 2^32.
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.cpos).saturating_add(u64::from(self.clusters))
    }
}

/// A checked interior record: what lies below `block` begins at `cpos`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// First cluster (or hash) that the child may hold.
    pub cpos: u32,
    /// Length of the range in clusters, holes included. Not to be relied on in index trees.
    pub clusters: u32,
    /// The child extent block.
    pub block: BlockNum,
}

/// Which tree a list belongs to: decides what its records may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Data of a file, a directory or a system file.
    Data,
    /// An xattr value outside its entry.
    XattrValue,
    /// Xattr buckets, by name hash.
    XattrIndex,
    /// Directory index leaves, by major hash.
    DirIndex,
    /// Refcount blocks, by cluster number.
    Refcount,
}

/// A checked extent list, borrowed from its block.
#[derive(Clone, Copy, Debug)]
pub struct ExtentList<'a> {
    depth: u16,
    capacity: u16,
    records: &'a [RawExtentRec],
}

impl<'a> ExtentList<'a> {
    /// Records that fit into a dinode without inline xattrs, and into a dx root: 19, 51, 115 or 243.
    #[must_use]
    pub fn room_in_dinode(block_size: BlockSize) -> usize {
        let head = RawDinode::BODY_OFFSET.saturating_add(size_of::<RawExtentList>());
        block_size.room(head, size_of::<RawExtentRec>())
    }

    /// Parses the list whose header lies at byte `offset` and has room for `room` records.
    pub(crate) fn parse(
        input: &Input<'_, 'a>,
        offset: usize,
        room: usize,
        tree: Tree,
    ) -> Result<Self, Corrupt> {
        let raw: &RawExtentList = input.at(offset)?;
        let (count, used) = (raw.count.get(), raw.next_free_rec.get());
        let depth = raw.tree_depth.get();
        input.ensure(depth <= MAX_TREE_DEPTH, Check::TreeTooDeep { found: depth, max: MAX_TREE_DEPTH })?;
        input.count("l_count", count, room)?;
        input.used(("l_next_free_rec", used), ("l_count", count))?;
        let start = offset.saturating_add(size_of::<RawExtentList>());
        let records = input.slice_at(start, usize::from(used))?;
        let list = Self { depth, capacity: count, records };
        if depth == 0 {
            list.check_leaf(input, tree)?
        } else {
            list.check_interior(input)?
        }
        Ok(list)
    }

    fn check_leaf(&self, input: &Input<'_, '_>, tree: Tree) -> Result<(), Corrupt> {
        let known = match tree {
            Tree::Data | Tree::XattrValue => ExtentFlags::all().bits(),
            Tree::XattrIndex | Tree::DirIndex | Tree::Refcount => 0,
        };
        let geometry = &input.volume.geometry;
        let mut previous_end = 0;
        for (index, raw) in self.records.iter().enumerate() {
            let (index, extent) = (index16(index), raw.extent());
            let (cpos, blkno) = (extent.cpos, extent.block.0);
            if extent.clusters == 0 {
                // The kernel leaves an empty first record behind when it rotates a leaf.
                input.ensure(index == 0, Check::ExtentEmpty { index })?;
                continue;
            }
            let unknown = raw.flags & !known;
            input.ensure(unknown == 0, Check::ExtentFlags { index, flags: unknown })?;
            input
                .ensure(u64::from(cpos) >= previous_end, Check::ExtentOrder { index, cpos, previous_end })?;
            let clusters = u32::from(extent.clusters);
            let is_index = matches!(tree, Tree::XattrIndex | Tree::DirIndex);
            // In the index trees a position is a hash, of which only the order counts.
            previous_end = if is_index { u64::from(cpos).saturating_add(1) } else { extent.end() };
            let limit = u64::from(u32::MAX).saturating_add(1);
            input.ensure(previous_end <= limit, Check::ExtentEnd { index, cpos, clusters })?;
            let blocks = match tree {
                Tree::Refcount => 1,
                _ => geometry.clusters_to_blocks(u64::from(clusters)),
            };
            let inside = blkno != 0 && geometry.contains_run(extent.block, blocks);
            input.ensure(inside, Check::ExtentRange { index, blkno, clusters })?;
            let aligned = tree == Tree::Refcount || geometry.is_cluster_aligned(extent.block);
            input.ensure(aligned, Check::ExtentUnaligned { index, blkno })?;
        }
        Ok(())
    }

    fn check_interior(&self, input: &Input<'_, '_>) -> Result<(), Corrupt> {
        let mut previous_end = 0;
        for (index, raw) in self.records.iter().enumerate() {
            let (index, child) = (index16(index), raw.child());
            let (cpos, blkno) = (child.cpos, child.block.0);
            input
                .ensure(u64::from(cpos) >= previous_end, Check::ExtentOrder { index, cpos, previous_end })?;
            previous_end = u64::from(cpos).saturating_add(1);
            let inside = blkno != 0 && input.volume.geometry.contains(child.block);
            let clusters = child.clusters;
            input.ensure(inside, Check::ExtentRange { index, blkno, clusters })?;
        }
        Ok(())
    }

    /// Levels of extent blocks below this list; 0 = the records are extents.
    #[must_use]
    pub fn depth(&self) -> u16 {
        self.depth
    }

    /// `l_count`: records that fit.
    #[must_use]
    pub fn capacity(&self) -> u16 {
        self.capacity
    }

    /// Number of records, an empty first one included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records as they lie.
    #[must_use]
    pub fn raw(&self) -> &'a [RawExtentRec] {
        self.records
    }

    /// The extents of a leaf in ascending order, the empty first record left out; none above a leaf.
    pub fn extents(&self) -> impl DoubleEndedIterator<Item = Extent> + use<'a> {
        let records = if self.depth == 0 { self.records } else { &[] };
        records.iter().map(RawExtentRec::extent).filter(|extent| extent.clusters != 0)
    }

    /// The children of an interior list in ascending order; none in a leaf.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = Child> + use<'a> {
        let records = if self.depth == 0 { &[] } else { self.records };
        records.iter().map(RawExtentRec::child)
    }

    /// The child whose subtree holds `cpos`: the last that begins at or before it, else the first.
    #[must_use]
    pub fn child_for(&self, cpos: u32) -> Option<Child> {
        let records = if self.depth == 0 { &[] } else { self.records };
        let after = records.partition_point(|record| record.cpos.get() <= cpos);
        records.get(after.saturating_sub(1)).map(RawExtentRec::child)
    }

    /// The extent of a leaf that begins at or before `cpos`, last such one; it may end before it.
    #[must_use]
    pub fn extent_at_or_before(&self, cpos: u32) -> Option<Extent> {
        let records = if self.depth == 0 { self.records } else { &[] };
        // An empty first record has a stale position: it must not take part.
        let records = match records {
            [first, rest @ ..] if first.leaf_clusters.get() == 0 => rest,
            all => all,
        };
        let after = records.partition_point(|record| record.cpos.get() <= cpos);
        records.get(after.checked_sub(1)?).map(RawExtentRec::extent)
    }

    /// The extent of a leaf that holds `cpos`, if any.
    #[must_use]
    pub fn extent_for(&self, cpos: u32) -> Option<Extent> {
        self.extent_at_or_before(cpos).filter(|extent| u64::from(cpos) < extent.end())
    }
}

#[cfg(test)]
mod tests;
