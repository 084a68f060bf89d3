//! Attributes in buckets: sorted by hash, found through a tree, and cut in two when they are full.
//!
//! An extent of the tree is a run of buckets in ascending order. Its first bucket says how many of it are in use, and the
//! tree says from which hash on it is to be asked.

use ocfs2_format::xattr::{BUCKET_LEN, RawXattrEntry, RawXattrHeader};
use ocfs2_format::{BlockKind, BlockNum, Extent, ExtentFlags, ExtentRoot, XattrEntries};
use zerocopy::FromBytes;
use zerocopy::little_endian::U16;

use super::area::{Pair, cut, pack};
use super::place::{Place, Places, begin_tree};
use crate::Error;
use crate::extents::Extents;
use crate::rw::change::Change;
use crate::tree::ExtentTree;
use crate::txn::Blocks;

/// Buckets of one extent: 64 KiB, as in the kernel where clusters are not larger. More would be slow to move.
const MOST: u64 = 16;
/// Extents are halved so often for one attribute, at the most: each time there are half as many buckets to go on with.
const HALVINGS: usize = 24;

/// A bucket's key, and how many buckets its extent has in use, if it is the first.
pub(super) fn head(bucket: &[u8]) -> (u32, u16) {
    let header = RawXattrHeader::read_from_prefix(bucket).map(|(header, _)| header).unwrap_or_default();
    let first = bucket.get(size_of::<RawXattrHeader>()..).unwrap_or_default();
    let key = RawXattrEntry::ref_from_prefix(first).map_or(0, |(entry, _)| entry.name_hash.get());
    (key, header.num_buckets.get())
}

/// Says how many buckets are in use.
pub(super) fn set_count(bucket: &mut [u8], count: u16) {
    if let Ok((header, _)) = RawXattrHeader::mut_from_prefix(bucket) {
        header.num_buckets = U16::new(count);
    }
}

/// The bucket that `hash` belongs to: its extent, the bucket, and its number in the extent. `None` without extents.
pub(super) async fn locate(
    blocks: &impl Blocks,
    ino: BlockNum,
    tree: &ExtentTree,
    hash: u32,
) -> Result<Option<(Extent, Place, u64)>, Error> {
    let leaf = tree.leaf(blocks, hash, false).await?;
    let Some(extent) = leaf.at_or_before(hash) else { return Ok(None) };
    let (mut low, mut high) = (0, in_use(blocks, ino, &extent).await?);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let place = nth(blocks.volume(), ino, &extent, middle);
        let data = blocks.get(ino, place.block, BlockKind::XattrBucket).await?;
        let key = XattrEntries::bucket(blocks.volume(), place.block, data.bytes())?.bucket_key();
        if key <= hash { low = middle } else { high = middle }
    }
    Ok(Some((extent, nth(blocks.volume(), ino, &extent, low), low)))
}

/// How many buckets of `extent` are in use: 1 to as many as it has room for.
pub(super) async fn in_use(blocks: &impl Blocks, ino: BlockNum, extent: &Extent) -> Result<u64, Error> {
    let data = blocks.get(ino, extent.block, BlockKind::XattrBucket).await?;
    let count = u64::from(XattrEntries::bucket(blocks.volume(), extent.block, data.bytes())?.num_buckets());
    let max = room(blocks.volume(), extent);
    if count == 0 || count > max {
        return Err(Error::BucketCount { block: extent.block, count, max });
    }
    Ok(count)
}

fn room(volume: &ocfs2_format::Volume, extent: &Extent) -> u64 {
    (u64::from(extent.clusters) << volume.geometry.cluster_size.bits()) / BUCKET_LEN as u64
}

/// Bucket number `n` of `extent`.
pub(super) fn nth(volume: &ocfs2_format::Volume, ino: BlockNum, extent: &Extent, n: u64) -> Place {
    let step = (BUCKET_LEN as u64 / volume.geometry.block_size.bytes()).max(1);
    Place::bucket(volume, ino, BlockNum(extent.block.0 + n * step))
}

/// Moves the attributes of the block `old` to a first bucket.
pub(super) async fn begin(change: &mut Change<'_>, old: Place) -> Result<(), Error> {
    let mut pairs = old.pairs(change.blocks()).await?;
    pairs.sort_by_key(|pair| pair.hash);
    let root = begin_tree(change, old.ino, old.block).await?;
    // What fits a block fits a bucket, but where no pair may lie in two blocks: those blocks hold so much less.
    add_bucket(change, (old.ino, old.block, root), 0, &pairs).await
}

/// Adds an extent with one bucket, `pairs`, to be asked from `hash` on.
async fn add_bucket(
    change: &mut Change<'_>,
    root: (BlockNum, BlockNum, ExtentRoot),
    hash: u32,
    pairs: &[Pair],
) -> Result<(), Error> {
    let extent = add_extent(change, root, hash).await?;
    let place = nth(change.blocks().volume(), root.0, &extent, 0);
    fill(change, place, pairs, hash)?;
    set_in_use(change, root.0, &extent, 1).await
}

/// Adds an extent of one cluster, whose buckets are still to be written, to be asked from `hash` on.
async fn add_extent(
    change: &mut Change<'_>,
    (ino, root_block, root): (BlockNum, BlockNum, ExtentRoot),
    hash: u32,
) -> Result<Extent, Error> {
    let (blocks, alloc) = change.blocks_and_space();
    let run = alloc.claim_clusters(blocks, 1, 1).await?;
    let block = blocks.volume().geometry.cluster_start(run.start);
    let extent = Extent { cpos: hash, clusters: 1, flags: ExtentFlags::empty(), block };
    Extents::new(alloc, ino, root_block, root).insert(blocks, extent).await?;
    Ok(extent)
}

/// Writes `pairs` into a bucket whose contents, if it had any, mean nothing. Without any it has the key `key`.
pub(super) fn fill(change: &mut Change<'_>, place: Place, pairs: &[Pair], key: u32) -> Result<(), Error> {
    let packed = pack(pairs, place.layout, key);
    let packed = packed.ok_or(Error::XattrArea { block: place.block })?;
    change.blocks().fresh(place.ino, place.block, BlockKind::XattrBucket).copy_from_slice(&packed);
    Ok(())
}

pub(super) async fn set_in_use(
    change: &mut Change<'_>,
    ino: BlockNum,
    extent: &Extent,
    count: u64,
) -> Result<(), Error> {
    let bytes = change.blocks().edit(ino, extent.block, BlockKind::XattrBucket).await?;
    set_count(bytes, u16::try_from(count).unwrap_or(u16::MAX));
    Ok(())
}

/// Puts `pair` into its bucket, which is cut in two when it is full.
pub(super) async fn put(change: &mut Change<'_>, ino: BlockNum, pair: &Pair) -> Result<(), Error> {
    for _ in 0..HALVINGS {
        let places = Places::of(change.blocks(), ino).await?;
        let (Some(tree), Some(block)) = (&places.tree, places.block) else { break };
        let found = locate(change.blocks(), ino, tree, pair.hash).await?;
        let Some((extent, place, n)) = found else { break };
        let mut pairs = place.pairs(change.blocks()).await?;
        pairs.insert(pairs.partition_point(|other| other.hash <= pair.hash), pair.clone());
        if place.store(change, &pairs).await? {
            return Ok(());
        }
        let none = Error::NoSpace { what: "room for attributes whose names have one hash", want: 1 };
        let root = (ino, block, ExtentRoot::XattrBlock);
        let count = in_use(change.blocks(), ino, &extent).await?;
        let most = room(change.blocks().volume(), &extent).min(MOST);
        if count < most {
            let upper = pairs.split_off(cut(&pairs, place.layout).ok_or(none)?);
            return split_within(change, (extent, place, n, count), &pairs, &upper).await;
        }
        if count == 1 {
            let upper = pairs.split_off(cut(&pairs, place.layout).ok_or(none)?);
            if !place.store(change, &pairs).await? {
                return Err(Error::XattrArea { block: place.block });
            }
            let hash = upper.first().map_or(0, |pair| pair.hash);
            return add_bucket(change, root, hash, &upper).await;
        }
        halve(change, root, &extent, count).await?;
    }
    Err(Error::Hole { ino, what: "the tree of attributes", cpos: pair.hash })
}

/// Makes bucket `n` two: those behind it move on by one.
async fn split_within(
    change: &mut Change<'_>,
    (extent, place, n, count): (Extent, Place, u64, u64),
    lower: &[Pair],
    upper: &[Pair],
) -> Result<(), Error> {
    let volume = *change.blocks().volume();
    let ino = place.ino;
    for from in (n + 1..count).rev() {
        let (old, new) = (nth(&volume, ino, &extent, from), nth(&volume, ino, &extent, from + 1));
        let bytes = change.blocks().get(ino, old.block, BlockKind::XattrBucket).await?;
        change.blocks().fresh(ino, new.block, BlockKind::XattrBucket).copy_from_slice(bytes.bytes());
    }
    if !place.store(change, lower).await? {
        return Err(Error::XattrArea { block: place.block });
    }
    let key = upper.first().map_or(0, |pair| pair.hash);
    fill(change, nth(&volume, ino, &extent, n + 1), upper, key)?;
    set_in_use(change, ino, &extent, count + 1).await
}

/// Moves the upper half of the buckets of a full extent to one of their own.
async fn halve(
    change: &mut Change<'_>,
    root: (BlockNum, BlockNum, ExtentRoot),
    extent: &Extent,
    count: u64,
) -> Result<(), Error> {
    let volume = *change.blocks().volume();
    let ino = root.0;
    let per_cluster = (volume.geometry.cluster_size.bytes() / BUCKET_LEN as u64).max(1);
    let moving = (count / 2).clamp(1, per_cluster);
    let first = nth(&volume, ino, extent, count - moving);
    let data = change.blocks().get(ino, first.block, BlockKind::XattrBucket).await?;
    let key = XattrEntries::bucket(&volume, first.block, data.bytes())?.bucket_key();
    let new = add_extent(change, root, key).await?;
    for n in 0..moving {
        let (old, place) = (nth(&volume, ino, extent, count - moving + n), nth(&volume, ino, &new, n));
        // As it is: an empty one must keep its key.
        let bytes = change.blocks().get(ino, old.block, BlockKind::XattrBucket).await?;
        change.blocks().fresh(ino, place.block, BlockKind::XattrBucket).copy_from_slice(bytes.bytes());
    }
    set_in_use(change, ino, &new, moving).await?;
    set_in_use(change, ino, extent, count - moving).await
}
