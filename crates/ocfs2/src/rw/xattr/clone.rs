//! The attributes of an inode, given to another: names and short values are copied, the clusters of long values shared.
//!
//! Place by place, each as it lies: a bucket that the kernel has packed may be too full to be packed anew.

use ocfs2_format::xattr::{BUCKET_LEN, NameIndex};
use ocfs2_format::{BlockKind, BlockNum, Extent, ExtentFlags, ExtentRoot, XattrEntries};

use super::area::{Layout, Pair, drop_entry, value_offset};
use super::place::{Place, Places, Stored, add_block, begin_tree};
use super::{buckets, value};
use crate::Error;
use crate::extents::Extents;
use crate::rw::change::Change;
use crate::rw::operation::Operation;
use crate::rw::refcount::{ENOUGH, RefcountTree};
use crate::tree::ExtentTree;
use crate::txn::Blocks;

/// Whose attributes become whose. Both inodes are attached to one refcount tree and locked.
#[derive(Clone, Copy, Debug)]
pub(in crate::rw) struct XattrClone {
    pub(in crate::rw) from: BlockNum,
    /// It has no attributes yet, and an area for them in its dinode where the other one has it.
    pub(in crate::rw) to: BlockNum,
    /// With those that say who may do what: ACLs and `security.*`.
    pub(in crate::rw) all: bool,
}

/// Buckets of the copy that lie side by side.
#[derive(Clone, Copy, Debug)]
struct Row {
    extent: Extent,
    used: u64,
}

/// A bucket that is to be copied.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    place: Place,
    /// What its extent is to be asked for from, if it begins one.
    key: u32,
    /// Buckets from it on, with itself, that are copied in a row.
    left: u64,
}

impl Operation<'_> {
    /// Copies the attributes. Many changes, each of which leaves two sound inodes; one whose value a crash has cut short
    /// cannot be had, and is not copied.
    pub(in crate::rw) async fn clone_xattrs(&mut self, clone: XattrClone) -> Result<(), Error> {
        let meta = self.fs().volume().meta();
        let from = Places::of(meta, clone.from).await?;
        let to = Places::of(meta, clone.to).await?;
        if let (Some(from), Some(to)) = (from.inline, to.inline) {
            self.clone_place(clone, from, to).await?;
        }
        if from.block.is_none() {
            return Ok(());
        }
        let to = loop {
            let mut change = self.begin().await?;
            let done = new_block(&mut change, clone.to, from.tree.is_some()).await;
            if let Some(block) = change.end(done).await? {
                break block;
            }
        };
        match (from.entries, &from.tree) {
            (Some(entries), _) => self.clone_place(clone, entries, to).await,
            (None, Some(tree)) => self.clone_buckets(clone, tree, to.block).await,
            (None, None) => Ok(()),
        }
    }

    /// Copies what is in one place to another, which is there already.
    async fn clone_place(&mut self, clone: XattrClone, from: Place, to: Place) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let done = copy_some(&mut change, clone, from, to).await;
            if let Some(true) = change.end(done).await? {
                return Ok(());
            }
        }
    }

    async fn clone_buckets(
        &mut self,
        clone: XattrClone,
        tree: &ExtentTree,
        root: BlockNum,
    ) -> Result<(), Error> {
        let meta = self.fs().volume().meta();
        let mut cursor = tree.cursor(0);
        while let Some(extent) = cursor.next(meta).await? {
            let count = buckets::in_use(meta, clone.from, &extent).await?;
            let mut row = None;
            for n in 0..count {
                let place = buckets::nth(meta.volume(), clone.from, &extent, n);
                let data = meta.get(clone.from, place.block, BlockKind::XattrBucket).await?;
                let own = XattrEntries::bucket(meta.volume(), place.block, data.bytes())?.bucket_key();
                let key = if n == 0 { extent.cpos } else { own };
                let bucket = Bucket { place, key, left: count - n };
                row = Some(self.clone_bucket(clone, bucket, row, root).await?);
            }
        }
        Ok(())
    }

    /// Copies a bucket to the end of `row`, or where that is full, to another one.
    async fn clone_bucket(
        &mut self,
        clone: XattrClone,
        bucket: Bucket,
        row: Option<Row>,
        root: BlockNum,
    ) -> Result<Row, Error> {
        let (row, to) = loop {
            let mut change = self.begin().await?;
            let steps = async {
                let row = add_bucket(&mut change, clone.to, &bucket, row, root).await?;
                let to = buckets::nth(change.blocks().volume(), clone.to, &row.extent, row.used - 1);
                Ok((row, to))
            };
            let done = steps.await;
            if let Some(done) = change.end(done).await? {
                break done;
            }
        };
        self.clone_place(clone, bucket.place, to).await?;
        Ok(row)
    }
}

/// Gives inode `ino` a block for attributes, empty: their place, or the root of a tree.
async fn new_block(change: &mut Change<'_>, ino: BlockNum, tree: bool) -> Result<Place, Error> {
    let place = add_block(change, ino).await?;
    if tree {
        begin_tree(change, ino, place.block).await?;
    }
    Ok(place)
}

/// Adds an empty bucket with the key of `bucket` behind those of `row`, in clusters of its own where that is full.
async fn add_bucket(
    change: &mut Change<'_>,
    ino: BlockNum,
    bucket: &Bucket,
    row: Option<Row>,
    root: BlockNum,
) -> Result<Row, Error> {
    let volume = *change.blocks().volume();
    let per_cluster = (volume.geometry.cluster_size.bytes() / BUCKET_LEN as u64).max(1);
    let full = |row: &Row| row.used >= u64::from(row.extent.clusters) * per_cluster;
    let mut row = match row.filter(|row| !full(row)) {
        Some(row) => row,
        None => {
            let want = u32::try_from(bucket.left.div_ceil(per_cluster)).unwrap_or(1);
            let (blocks, alloc) = change.blocks_and_space();
            let run = alloc.claim_clusters(blocks, want, 1).await?;
            let extent = Extent {
                cpos: bucket.key,
                clusters: u16::try_from(run.clusters).unwrap_or(u16::MAX),
                flags: ExtentFlags::empty(),
                block: volume.geometry.cluster_start(run.start),
            };
            let tree = Extents::new(alloc, ino, root, ExtentRoot::XattrBlock);
            tree.insert(blocks, extent).await?;
            Row { extent, used: 0 }
        }
    };
    let place = buckets::nth(&volume, ino, &row.extent, row.used);
    buckets::fill(change, place, &[], bucket.key)?;
    row.used += 1;
    buckets::set_in_use(change, ino, &row.extent, row.used).await?;
    Ok(row)
}

/// Makes `to` what `from` is, as far as one change should go: long values that it does not reach are left out. Whether
/// it has them all.
async fn copy_some(
    change: &mut Change<'_>,
    clone: XattrClone,
    from: Place,
    to: Place,
) -> Result<bool, Error> {
    let stored = from.stored(change.blocks()).await?;
    let there = to.pairs(change.blocks()).await?;
    let (mut kept, mut long, mut whole) = (Vec::new(), Vec::new(), true);
    for (at, mut pair) in from.pairs(change.blocks()).await?.into_iter().enumerate() {
        let tree = match stored.get(at) {
            _ if !clone.all && says_who_may(pair.index) => continue,
            Some(Stored::Here) => {
                kept.push((at, pair));
                continue;
            }
            Some(Stored::Outside(tree)) => tree,
            Some(Stored::Cut) | None => continue,
        };
        if let Some(place) = Place::position(&there, pair.index, &pair.name) {
            pair.value.clone_from(&there[place].value);
        } else if change.blocks().credits() < ENOUGH {
            let root = from.root_of(change.blocks(), at).await?;
            let counts = RefcountTree::of(change, clone.from).await?;
            let shared = value::share(change, clone.from, root, tree, counts).await?;
            pair.value = shared.root();
            long.push((pair.index, pair.name.clone(), shared));
        } else {
            whole = false;
            continue;
        }
        kept.push((at, pair));
    }
    write(change, from, to, &kept).await?;
    for (index, name, shared) in long.into_iter().filter(|(_, _, shared)| shared.has_more()) {
        let wrong = Error::XattrArea { block: to.block };
        let at = Place::position(&to.pairs(change.blocks()).await?, index, &name).ok_or(wrong)?;
        let root = to.root_of(change.blocks(), at).await?;
        shared.add_rest(change, clone.to, root).await?;
    }
    Ok(whole)
}

/// Attributes that are the owner's to give.
fn says_who_may(index: NameIndex) -> bool {
    index.is_acl() || index == NameIndex::SECURITY
}

/// Writes the pairs `kept`, with their numbers in `from`, to the place `to`.
async fn write(change: &mut Change<'_>, from: Place, to: Place, kept: &[(usize, Pair)]) -> Result<(), Error> {
    let wrong = Error::XattrArea { block: to.block };
    let Layout::Bucket(_) = to.layout else {
        let pairs: Vec<Pair> = kept.iter().map(|(_, pair)| pair.clone()).collect();
        return if to.store(change, &pairs).await? { Ok(()) } else { Err(wrong) };
    };
    let count = from.pairs(change.blocks()).await?.len();
    let mut bytes = change.blocks().get(from.ino, from.block, from.kind).await?.bytes().to_vec();
    for at in (0..count).rev().filter(|at| !kept.iter().any(|(kept, _)| kept == at)) {
        drop_entry(&mut bytes, at).ok_or(wrong.clone())?;
    }
    for (at, (_, pair)) in kept.iter().enumerate().filter(|(_, (_, pair))| pair.is_outside()) {
        let start = value_offset(&bytes, at);
        let root = start.and_then(|start| bytes.get_mut(start..start + pair.value.len()));
        root.ok_or(wrong.clone())?.copy_from_slice(&pair.value);
    }
    let target = change.blocks().edit(to.ino, to.block, to.kind).await?;
    buckets::set_count(&mut bytes, buckets::head(target).1);
    target.get_mut(..bytes.len()).ok_or(wrong)?.copy_from_slice(&bytes);
    Ok(())
}
