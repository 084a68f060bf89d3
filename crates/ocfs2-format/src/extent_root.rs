//! Roots of extent trees: the five structures that hold one, read and changed alike.

use zerocopy::little_endian::{U32, U64};

use crate::block_kind::BlockKind;
use crate::dinode::{Body, Dinode, RawDinode};
use crate::dx_root::{DxBody, DxRoot, RawDxRoot};
use crate::error::{Check, Corrupt, Structure};
use crate::extent_list::{ExtentList, RawExtentList, RawExtentRec, Tree};
use crate::raw::{Input, head_mut, slice_mut};
use crate::refcount::{RawRefcountBlock, RefcountBlock, RefcountBody};
use crate::units::BlockNum;
use crate::volume::Volume;
use crate::xattr::{
    RawXattrBlock, RawXattrTreeRoot, RawXattrValueRoot, XattrBlock, XattrBody, XattrValueRoot,
};

/// What holds the root of a tree, in a block whose number is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentRoot {
    /// A dinode: its data.
    Dinode,
    /// An xattr value outside its entry, anywhere in a block or bucket of this kind.
    XattrValue {
        /// A dinode, an xattr block or a bucket.
        within: BlockKind,
        /// Byte of the value root in it.
        offset: u16,
    },
    /// An xattr block: its buckets.
    XattrBlock,
    /// A dx root: the leaves of a directory's index.
    DxRoot,
    /// A refcount block: the leaves of the refcount tree.
    Refcount,
}

/// A checked root.
#[derive(Clone, Copy, Debug)]
pub struct ExtentRootView<'a> {
    /// `i_clusters` and its like: clusters in the tree's leaves.
    pub clusters: u32,
    /// `i_last_eb_blk` and its like: the rightmost leaf.
    pub last_leaf: Option<BlockNum>,
    /// The list.
    pub list: ExtentList<'a>,
}

/// A root to be changed.
#[derive(Debug)]
pub struct RawExtentRoot<'a> {
    /// `i_clusters` and its like.
    pub clusters: &'a mut U32,
    /// `i_last_eb_blk` and its like; 0 at depth 0.
    pub last_eb_blk: &'a mut U64,
    /// Head of the list.
    pub list: &'a mut RawExtentList,
    /// All `l_count` records.
    pub records: &'a mut [RawExtentRec],
}

impl ExtentRoot {
    /// The kind of block that holds it.
    #[must_use]
    pub fn kind(self) -> BlockKind {
        match self {
            Self::Dinode => BlockKind::Dinode,
            Self::XattrValue { within, .. } => within,
            Self::XattrBlock => BlockKind::XattrBlock,
            Self::DxRoot => BlockKind::DxRoot,
            Self::Refcount => BlockKind::RefcountBlock,
        }
    }

    /// The kind of tree below it.
    #[must_use]
    pub fn tree(self) -> Tree {
        match self {
            Self::Dinode => Tree::Data,
            Self::XattrValue { .. } => Tree::XattrValue,
            Self::XattrBlock => Tree::XattrIndex,
            Self::DxRoot => Tree::DirIndex,
            Self::Refcount => Tree::Refcount,
        }
    }

    /// Checks block `block` and gives the root in it.
    ///
    /// Of a value root only itself is checked: who knows its place has checked what lies around it.
    ///
    /// # Errors
    /// [`Corrupt`] when any check of the structure fails, [`Check::NoTree`] when it holds something else than a tree.
    pub fn parse<'a>(
        self,
        volume: &Volume,
        block: BlockNum,
        data: &'a [u8],
    ) -> Result<ExtentRootView<'a>, Corrupt> {
        let none = Corrupt { block, what: Check::NoTree { structure: self.kind().structure() } };
        match self {
            Self::Dinode => match Dinode::parse(volume, block, data)? {
                (Dinode { clusters, last_leaf, .. }, Body::Extents(list)) => {
                    Ok(ExtentRootView { clusters, last_leaf, list })
                }
                _ => Err(none),
            },
            Self::XattrValue { offset, .. } => {
                let input = Input::of_len(volume, block, Structure::XattrValueRoot, data, data.len())?;
                let XattrValueRoot { clusters, last_leaf, list } =
                    XattrValueRoot::parse(&input, usize::from(offset))?;
                Ok(ExtentRootView { clusters, last_leaf, list })
            }
            Self::XattrBlock => match XattrBlock::parse(volume, block, data)?.body {
                XattrBody::Tree { clusters, last_leaf, list } => {
                    Ok(ExtentRootView { clusters, last_leaf, list })
                }
                XattrBody::Entries(_) => Err(none),
            },
            Self::DxRoot => match DxRoot::parse(volume, block, data, None)? {
                DxRoot { clusters, last_leaf, body: DxBody::Tree(list), .. } => {
                    Ok(ExtentRootView { clusters, last_leaf, list })
                }
                _ => Err(none),
            },
            Self::Refcount => match RefcountBlock::parse(volume, block, data)? {
                RefcountBlock { leaves: clusters, last_leaf, body: RefcountBody::Tree(list), .. } => {
                    Ok(ExtentRootView { clusters, last_leaf, list })
                }
                _ => Err(none),
            },
        }
    }

    /// The root in `data`, to be changed. The caller has checked it with [`Self::parse`].
    ///
    /// # Errors
    /// [`Check::Short`] when `data` is no whole block.
    pub fn mut_from(self, block: BlockNum, data: &mut [u8]) -> Result<RawExtentRoot<'_>, Corrupt> {
        let structure = self.kind().structure();
        let (clusters, last_eb_blk, list, tail) = match self {
            Self::Dinode => {
                let (head, body) = RawDinode::mut_from(block, data)?;
                let (list, tail) = head_mut::<RawExtentList>(block, structure, body)?;
                (&mut head.clusters, &mut head.last_eb_blk, list, tail)
            }
            Self::XattrValue { offset, .. } => {
                let short = Check::Short { structure, len: data.len(), want: usize::from(offset) };
                let area = data.get_mut(usize::from(offset)..).ok_or(Corrupt { block, what: short })?;
                let (head, _) = head_mut::<RawXattrValueRoot>(block, structure, area)?;
                let RawXattrValueRoot { clusters, last_eb_blk, list, record, .. } = head;
                let records = std::slice::from_mut(record);
                return Ok(RawExtentRoot { clusters, last_eb_blk, list, records });
            }
            Self::XattrBlock => {
                let (_, tail) = head_mut::<RawXattrBlock>(block, structure, data)?;
                let (head, tail) = head_mut::<RawXattrTreeRoot>(block, structure, tail)?;
                (&mut head.clusters, &mut head.last_eb_blk, &mut head.list, tail)
            }
            Self::DxRoot => {
                let (head, tail) = head_mut::<RawDxRoot>(block, structure, data)?;
                let (list, tail) = head_mut::<RawExtentList>(block, structure, tail)?;
                (&mut head.clusters, &mut head.last_eb_blk, list, tail)
            }
            Self::Refcount => {
                let (head, tail) = head_mut::<RawRefcountBlock>(block, structure, data)?;
                let (list, tail) = head_mut::<RawExtentList>(block, structure, tail)?;
                (&mut head.clusters, &mut head.last_eb_blk, list, tail)
            }
        };
        let records = slice_mut(block, structure, tail, list.count.get())?;
        Ok(RawExtentRoot { clusters, last_eb_blk, list, records })
    }
}
