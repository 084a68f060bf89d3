//! The three places of an inode's attributes, as a change sees and leaves them.

use ocfs2_format::xattr::{NameIndex, RawXattrBlock, RawXattrTreeRoot};
use ocfs2_format::{
    BlockKind, BlockNum, CharSign, Dinode, ExtentRoot, Incompat, RawDinode, RawInlineData, Tree, XattrBlock,
    XattrBody, XattrEntries, XattrEntry, XattrValue,
};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::area::{Layout, Pair, pack, unpack, value_offset};
use super::buckets;
use crate::Error;
use crate::alloc::Pool;
use crate::rw::change::Change;
use crate::tree::ExtentTree;
use crate::txn::Blocks;

/// Byte of an xattr block where its header, or the root of its tree, lies.
pub(super) const BLOCK_START: usize = size_of::<RawXattrBlock>();

/// One set of attributes: what it lies in, and from which byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Whose.
    pub(super) ino: BlockNum,
    /// The block, or the first one of a bucket.
    pub(super) block: BlockNum,
    pub(super) kind: BlockKind,
    /// Byte of the header.
    pub(super) start: usize,
    pub(super) layout: Layout,
}

/// Where an inode's attributes can be.
#[derive(Debug)]
pub(super) struct Places {
    /// The area in the dinode, where there is one.
    pub(super) inline: Option<Place>,
    pub(super) block: Option<BlockNum>,
    /// What the block holds: the attributes themselves,
    pub(super) entries: Option<Place>,
    /// or the tree of buckets.
    pub(super) tree: Option<ExtentTree>,
}

/// Where a value is.
#[derive(Debug)]
pub(super) enum Stored {
    /// Beside its name.
    Here,
    /// In clusters of its own.
    Outside(ExtentTree),
    /// Nowhere: a crash has cut it short.
    Cut,
}

impl Place {
    /// The bucket whose first block is `block`.
    pub(super) fn bucket(volume: &ocfs2_format::Volume, ino: BlockNum, block: BlockNum) -> Self {
        let layout = Layout::Bucket(volume.block_len());
        Self { ino, block, kind: BlockKind::XattrBucket, start: 0, layout }
    }

    /// Its attributes.
    pub(super) async fn pairs(&self, blocks: &impl Blocks) -> Result<Vec<Pair>, Error> {
        self.entries(blocks, |entries, area| unpack(entries, area, self.block)).await
    }

    /// Where the value of each of them is.
    pub(super) async fn stored(&self, blocks: &impl Blocks) -> Result<Vec<Stored>, Error> {
        let stored = |entry: XattrEntry<'_>| match entry.value {
            XattrValue::Local(_) => Stored::Here,
            XattrValue::Outside { root, .. } => {
                Stored::Outside(ExtentTree::new(self.ino, Tree::XattrValue, &root.list))
            }
            XattrValue::Cut(_) => Stored::Cut,
        };
        self.entries(blocks, |entries, _| Ok(entries.iter().map(stored).collect())).await
    }

    /// Reads its entries, and hands them on with its bytes from the header on.
    async fn entries<T: Default>(
        &self,
        blocks: &impl Blocks,
        read: impl FnOnce(&XattrEntries<'_>, &[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let data = blocks.get(self.ino, self.block, self.kind).await?;
        let volume = blocks.volume();
        let bytes = data.bytes();
        let area = bytes.get(self.start..).unwrap_or_default();
        match self.kind {
            BlockKind::XattrBucket => read(&XattrEntries::bucket(volume, self.block, bytes)?, area),
            BlockKind::XattrBlock => match XattrBlock::parse(volume, self.block, bytes)?.body {
                XattrBody::Entries(entries) => read(&entries, area),
                XattrBody::Tree { .. } => Err(Error::XattrArea { block: self.block }),
            },
            _ => {
                let (dinode, _) = Dinode::parse(volume, self.block, bytes)?;
                match XattrEntries::inline(volume, &dinode, bytes)? {
                    Some(entries) => read(&entries, area),
                    None => Ok(T::default()),
                }
            }
        }
    }

    /// Which of `pairs` has this name.
    pub(super) fn position(pairs: &[Pair], index: NameIndex, name: &[u8]) -> Option<usize> {
        pairs.iter().position(|pair| pair.index == index && pair.name == name)
    }

    /// Writes `pairs` where the others were; false, with nothing done, when they do not fit. What a bucket's header says
    /// of its extent stays.
    pub(super) async fn store(&self, change: &mut Change<'_>, pairs: &[Pair]) -> Result<bool, Error> {
        let bytes = change.blocks().edit(self.ino, self.block, self.kind).await?;
        let area = bytes.get_mut(self.start..).unwrap_or_default();
        let (key, buckets) = match self.layout {
            Layout::Bucket(_) => buckets::head(area),
            Layout::Plain(_) => (0, 0),
        };
        let Some(packed) = pack(pairs, self.layout, key) else { return Ok(false) };
        let Some(area) = area.get_mut(..packed.len()) else {
            return Err(Error::XattrArea { block: self.block });
        };
        area.copy_from_slice(&packed);
        if let Layout::Bucket(_) = self.layout {
            buckets::set_count(area, buckets);
        }
        Ok(true)
    }

    /// Where the root of pair number `at` lies, whose value is outside: block, kind, byte.
    pub(super) async fn root_of(
        &self,
        blocks: &impl Blocks,
        at: usize,
    ) -> Result<(BlockNum, BlockKind, u16), Error> {
        let data = blocks.get(self.ino, self.block, self.kind).await?;
        let offset = value_offset(data.bytes().get(self.start..).unwrap_or_default(), at);
        let offset = offset.and_then(|offset| u16::try_from(self.start + offset).ok());
        Ok((self.block, self.kind, offset.ok_or(Error::XattrArea { block: self.block })?))
    }
}

impl Places {
    /// The places of inode `ino`.
    pub(super) async fn of(blocks: &impl Blocks, ino: BlockNum) -> Result<Self, Error> {
        let volume = *blocks.volume();
        let data = blocks.get(ino, ino, BlockKind::Dinode).await?;
        let (dinode, _) = Dinode::parse(&volume, ino, data.bytes())?;
        let len = usize::from(dinode.inline_xattr_len);
        let inline = (len > 0).then(|| Place {
            ino,
            block: ino,
            kind: BlockKind::Dinode,
            start: volume.block_len() - len,
            layout: Layout::Plain(len),
        });
        let mut places = Self { inline, block: dinode.xattr_block, entries: None, tree: None };
        if let Some(block) = dinode.xattr_block {
            let data = blocks.get(ino, block, BlockKind::XattrBlock).await?;
            match XattrBlock::parse(&volume, block, data.bytes())?.body {
                XattrBody::Entries(_) => places.entries = Some(entries_of(&volume, ino, block)),
                XattrBody::Tree { list, .. } => {
                    places.tree = Some(ExtentTree::new(ino, Tree::XattrIndex, &list));
                }
            }
        }
        Ok(places)
    }

    /// Finds the attribute: its place, everything in that place, and its number there.
    pub(super) async fn find(
        &self,
        blocks: &impl Blocks,
        ino: BlockNum,
        index: NameIndex,
        name: &[u8],
    ) -> Result<Option<(Place, Vec<Pair>, usize)>, Error> {
        for place in [self.inline, self.entries].into_iter().flatten() {
            let pairs = place.pairs(blocks).await?;
            if let Some(at) = Place::position(&pairs, index, name) {
                return Ok(Some((place, pairs, at)));
            }
        }
        let Some(tree) = &self.tree else { return Ok(None) };
        for sign in CharSign::variants(name) {
            let hash = ocfs2_format::xattr::name_hash(blocks.volume().uuid_hash, name, sign);
            let Some((_, bucket, _)) = buckets::locate(blocks, ino, tree, hash).await? else { continue };
            let pairs = bucket.pairs(blocks).await?;
            if let Some(at) = Place::position(&pairs, index, name) {
                return Ok(Some((bucket, pairs, at)));
            }
        }
        Ok(None)
    }
}

/// The set of attributes in an xattr block without buckets.
fn entries_of(volume: &ocfs2_format::Volume, ino: BlockNum, block: BlockNum) -> Place {
    let layout = Layout::Plain(volume.block_len() - BLOCK_START);
    Place { ino, block, kind: BlockKind::XattrBlock, start: BLOCK_START, layout }
}

/// Sets an area for attributes aside at the end of the dinode, for the rest of the inode's life. `None` where its body
/// leaves no room (`ocfs2_xattr_has_space_inline`).
pub(super) async fn reserve_inline(change: &mut Change<'_>, ino: BlockNum) -> Result<Option<Place>, Error> {
    let volume = *change.blocks().volume();
    let len = usize::from(change.fs().volume().superblock().xattr_inline_size);
    if len == 0 || volume.block_len() <= 512 || !volume.has(Incompat::XATTR) {
        return Ok(None);
    }
    let inode = change.inode(ino).await?;
    let (dinode, body) = Dinode::parse(&volume, ino, inode.block().bytes())?;
    let end = volume.block_len() - len;
    let records = len / size_of::<ocfs2_format::RawExtentRec>();
    let fits = match body {
        ocfs2_format::Body::Inline { data, room } => usize::from(room) >= data.len() + len,
        ocfs2_format::Body::FastSymlink(target) => RawDinode::BODY_OFFSET + target.len() < end,
        ocfs2_format::Body::Extents(list) => usize::from(list.capacity()) >= list.len() + records,
        _ => false,
    };
    if !fits || dinode.inline_xattr_len != 0 {
        return Ok(None);
    }
    let inline = inode.dinode().dyn_features.contains(ocfs2_format::DynFeatures::INLINE_DATA);
    let symlink = matches!(body, ocfs2_format::Body::FastSymlink(_));
    let (head, body) = change.dinode_and_body(ino).await?;
    head.xattr_inline_size = U16::new(u16::try_from(len).unwrap_or(0));
    set_features(head, ocfs2_format::DynFeatures::INLINE_XATTR | ocfs2_format::DynFeatures::HAS_XATTR);
    let wrong = Error::XattrArea { block: ino };
    if inline {
        let (data, _) = RawInlineData::mut_from_prefix(body).map_err(|_| wrong)?;
        data.count = U16::new(data.count.get() - u16::try_from(len).unwrap_or(0));
    } else if !symlink {
        let (list, _) = ocfs2_format::RawExtentList::mut_from_prefix(body).map_err(|_| wrong)?;
        list.count = U16::new(list.count.get() - u16::try_from(records).unwrap_or(0));
    }
    body.get_mut(end - RawDinode::BODY_OFFSET..).unwrap_or_default().fill(0);
    Ok(Some(Place { ino, block: ino, kind: BlockKind::Dinode, start: end, layout: Layout::Plain(len) }))
}

/// Gives inode `ino` a block for attributes, empty.
pub(super) async fn add_block(change: &mut Change<'_>, ino: BlockNum) -> Result<Place, Error> {
    let (blocks, alloc) = change.blocks_and_space();
    let new = alloc.claim_block(blocks, Pool::Extent(alloc.slot())).await?;
    let volume = *blocks.volume();
    let head = RawXattrBlock {
        signature: XattrBlock::SIGNATURE,
        suballoc_slot: U16::new(new.suballoc.slot),
        suballoc_bit: U16::new(new.suballoc.bit),
        fs_generation: U32::new(volume.fs_generation),
        blkno: U64::new(new.block.0),
        suballoc_loc: U64::new(new.suballoc.group.map_or(0, |group| group.0)),
        ..RawXattrBlock::default()
    };
    let bytes = blocks.fresh(ino, new.block, BlockKind::XattrBlock);
    head.write_to_prefix(bytes).map_err(|_| Error::XattrArea { block: new.block })?;
    let raw = change.dinode(ino).await?;
    raw.xattr_loc = U64::new(new.block.0);
    set_features(raw, ocfs2_format::DynFeatures::HAS_XATTR);
    Ok(entries_of(&volume, ino, new.block))
}

/// Makes the block of attributes, whatever it holds, the root of an empty tree of buckets.
pub(super) async fn begin_tree(
    change: &mut Change<'_>,
    ino: BlockNum,
    block: BlockNum,
) -> Result<ExtentRoot, Error> {
    let volume = *change.blocks().volume();
    let bytes = change.blocks().edit(ino, block, BlockKind::XattrBlock).await?;
    let short = Error::XattrArea { block };
    bytes.get_mut(BLOCK_START..).unwrap_or_default().fill(0);
    let (head, rest) = RawXattrBlock::mut_from_prefix(bytes).map_err(|_| short.clone())?;
    head.flags = U16::new(head.flags.get() | XattrBlock::FLAG_INDEXED);
    let (root, _) = RawXattrTreeRoot::mut_from_prefix(rest).map_err(|_| short)?;
    let room = volume.geometry.block_size.room(BLOCK_START + size_of_val(root), 16);
    root.list.count = U16::new(u16::try_from(room).unwrap_or(0));
    Ok(ExtentRoot::XattrBlock)
}

pub(super) fn set_features(raw: &mut RawDinode, set: ocfs2_format::DynFeatures) {
    raw.dyn_features = U16::new(raw.dyn_features.get() | set.bits());
}
