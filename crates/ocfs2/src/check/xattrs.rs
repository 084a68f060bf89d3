//! Extended attributes of an inode: in it, in a block, in buckets.

use ocfs2_format::xattr::{BUCKET_LEN, RawXattrBlock, RawXattrTreeRoot, RawXattrValueRoot};
use ocfs2_format::{BlockKind, DynFeatures, Extent, Incompat, Tree, XattrBlock};

use super::ctx::view;
use super::extents::{self, Root, Walked};
use super::finding::Finding;
use super::inode::Inode;
use super::part::Part;
use super::xattr_area::{Area, Outside, Storage, check_area};
use super::{Code, suballoc};

/// Checks all extended attributes of an inode.
pub(super) async fn check(inode: &mut Inode<'_>, part: &mut Part) {
    if inode.xattr_len > 0 {
        let start = inode.bytes.len().saturating_sub(inode.xattr_len);
        let bytes = inode.bytes;
        let area = Area {
            bytes: bytes.get(start..).unwrap_or_default(),
            block: inode.ino,
            storage: Storage::Inline,
        };
        entries(inode, part, bytes, (start, area)).await;
    }
    let loc = inode.raw.xattr_loc.get();
    if loc == 0
        || !inode.features.contains(DynFeatures::HAS_XATTR)
        || !inode.ctx.format().has(Incompat::XATTR)
    {
        return;
    }
    block(inode, part, loc).await;
}

/// Checks the entries of one area and the values that lie outside of it. `start` is the byte of `bytes` where it begins.
async fn entries(inode: &mut Inode<'_>, part: &mut Part, bytes: &[u8], (start, area): (usize, Area<'_>)) {
    let outside = check_area(inode.ctx, &mut part.out, inode.ino, &area);
    for Outside { offset, size } in outside {
        value(inode, part, bytes, area.block, (start + offset, size)).await;
    }
}

/// A value with clusters of its own, whose root lies at byte `offset`.
async fn value(
    inode: &mut Inode<'_>,
    part: &mut Part,
    bytes: &[u8],
    block: u64,
    (offset, size): (usize, u64),
) {
    let Some(raw) = view::<RawXattrValueRoot>(bytes, offset) else { return };
    let root = Root {
        ino: inode.ino,
        block,
        bytes,
        offset: offset + 16,
        room: 1,
        tree: Tree::XattrValue,
        last: ("xr_last_eb_blk", raw.last_eb_blk.get()),
        dense: true,
        sharing: inode.refcount_root.is_some(),
    };
    let walked = extents::walk(inode.ctx, &mut part.out, inode.allocators, &root).await;
    let clusters = u64::from(raw.clusters.get());
    if !walked.broken {
        let what = ("xattr value of inode", inode.ino);
        part.out.expect(Code::XattrValueInvalid, what, block, ("xr_clusters", clusters, walked.clusters));
        let need = inode.ctx.geometry().clusters_for(size);
        if need > walked.clusters {
            let what = format_args!("xattr value of inode {}", inode.ino);
            let values = ("xe_value_size", size, walked.clusters << inode.ctx.geometry().cluster_size.bits());
            part.out.push(Finding::field(Code::XattrValueInvalid, what, block, values).inode(inode.ino));
        }
    }
    inode.hold(part, &walked);
}

/// The xattr block.
async fn block(inode: &mut Inode<'_>, part: &mut Part, loc: u64) {
    let invalid = |why: &str| {
        let message = format!("inode {}: i_xattr_loc {loc} {why}", inode.ino);
        let finding = Finding::new(Code::XattrBlockInvalid, message).block(loc).inode(inode.ino);
        finding.values("i_xattr_loc", loc, 0)
    };
    if !inode.ctx.holds(loc) {
        part.out.push(invalid("lies outside the volume"));
        return;
    }
    let Some(bytes) = inode.ctx.read(&mut part.out, inode.ino, loc, BlockKind::XattrBlock).await else {
        return;
    };
    let Some(raw) = view::<RawXattrBlock>(&bytes, 0) else { return };
    if raw.signature != XattrBlock::SIGNATURE {
        part.out.push(invalid("leads to a block that is no xattr block"));
        return;
    }
    part.metadata.push(loc);
    let what = ("xattr block of inode", inode.ino);
    let generation = u64::from(inode.ctx.format().fs_generation);
    for (field, found, expected) in [
        ("xb_blkno", raw.blkno.get(), loc),
        ("xb_fs_generation", u64::from(raw.fs_generation.get()), generation),
    ] {
        part.out.expect(Code::XattrBlockInvalid, what, loc, (field, found, expected));
    }
    let from = (raw.suballoc_slot.get(), raw.suballoc_bit.get(), raw.suballoc_loc.get());
    suballoc::check(&mut part.out, inode.allocators, (inode.ino, loc), from);
    let start = size_of::<RawXattrBlock>();
    if raw.flags.get() & XattrBlock::FLAG_INDEXED == 0 {
        let area =
            Area { bytes: bytes.get(start..).unwrap_or_default(), block: loc, storage: Storage::Block };
        entries(inode, part, &bytes, (start, area)).await;
        return;
    }
    let Some(tree) = view::<RawXattrTreeRoot>(&bytes, start) else { return };
    let root = Root {
        ino: inode.ino,
        block: loc,
        bytes: &bytes,
        offset: start + 16,
        room: inode.ctx.room(0x50, 16),
        tree: Tree::XattrIndex,
        last: ("xt_last_eb_blk", tree.last_eb_blk.get()),
        dense: false,
        sharing: false,
    };
    let walked = extents::walk(inode.ctx, &mut part.out, inode.allocators, &root).await;
    if !walked.broken {
        // The kernel counts the first cluster twice where a block is smaller than a bucket.
        let told = u64::from(tree.clusters.get());
        if told != walked.clusters + 1 {
            part.out.expect(Code::XattrBlockInvalid, what, loc, ("xt_clusters", told, walked.clusters));
        }
    }
    inode.hold(part, &walked);
    buckets(inode, part, &walked).await;
}

/// The buckets of every extent.
async fn buckets(inode: &mut Inode<'_>, part: &mut Part, walked: &Walked) {
    let mut last_hash = 0;
    for extent in &walked.extents {
        run_of_buckets(inode, part, extent, &mut last_hash).await;
    }
}

async fn run_of_buckets(inode: &mut Inode<'_>, part: &mut Part, extent: &Extent, last_hash: &mut u32) {
    let geometry = inode.ctx.geometry();
    let held = (u64::from(extent.clusters) << geometry.cluster_size.bits()) / BUCKET_LEN as u64;
    let step = BUCKET_LEN as u64 / geometry.block_size.bytes();
    let (mut count, mut index) = (1, 0);
    while index < count {
        let block = extent.block.0 + index * step;
        let Some(bytes) = inode.ctx.read(&mut part.out, inode.ino, block, BlockKind::XattrBucket).await
        else {
            return;
        };
        let bytes = bytes.get(..BUCKET_LEN).unwrap_or_default();
        let area = Area { bytes, block, storage: Storage::Bucket };
        if index == 0 {
            let told = u64::from(area.num_buckets());
            count = told.clamp(1, held.max(1));
            if told != count {
                let what = ("xattr bucket of inode", inode.ino);
                part.out.expect(Code::XattrBucketCountInvalid, what, block, ("xh_num_buckets", told, count));
            }
        }
        if let Some((first, last)) = area.hashes() {
            if first < *last_hash || (index == 0 && first < extent.cpos) {
                let expected = u64::from(extent.cpos.max(*last_hash));
                let what = format_args!("xattr bucket of inode {}", inode.ino);
                let values = ("xe_name_hash", u64::from(first), expected);
                part.out.push(Finding::field(Code::XattrHashInvalid, what, block, values).inode(inode.ino));
            }
            *last_hash = last;
        }
        entries(inode, part, bytes, (0, area)).await;
        index += 1;
    }
}
