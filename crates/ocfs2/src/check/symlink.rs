//! Symlinks: the target, its end and its length.

use ocfs2_format::{DynFeatures, RawDinode};

use super::Code;
use super::extents::Walked;
use super::finding::Findings;
use super::inode::Inode;

/// Longest target, its NUL counted.
const MAX: u64 = 4096;

/// A target in the dinode.
pub(super) fn fast(inode: &Inode<'_>, out: &mut Findings) {
    if inode.features.contains(DynFeatures::INLINE_DATA) {
        let what = "a short symlink with the flag of inline data";
        inode.say(out, Code::LinkFastData, what, ("i_dyn_features", inode.features.bits().into(), 0));
        return;
    }
    let end = inode.bytes.len().saturating_sub(inode.xattr_len);
    let area = inode.bytes.get(RawDinode::BODY_OFFSET..end).unwrap_or_default();
    target(inode, out, area);
}

/// A target in clusters.
pub(super) async fn slow(inode: &Inode<'_>, out: &mut Findings, walked: &Walked) {
    let size = inode.raw.size.get();
    let held = walked.clusters << inode.ctx.geometry().cluster_size.bits();
    let whole = walked.extents.first().is_some_and(|extent| extent.cpos == 0);
    if !whole || size >= held {
        let what = format!("a symlink of {size} bytes has {held} bytes of clusters");
        inode.say(out, Code::LinkBlocks, &what, ("i_clusters", walked.clusters, 1));
        return;
    }
    let Some(first) = walked.extents.first() else { return };
    // A cluster holds every target that the kernel makes.
    let bytes = MAX.min(inode.ctx.geometry().cluster_size.bytes());
    let blocks = bytes / inode.ctx.geometry().block_size.bytes();
    let Some(chunk) = inode.ctx.read_run(out, inode.ino, first.block.0, blocks).await else { return };
    target(inode, out, &chunk);
}

/// Checks that the target ends, and where.
fn target(inode: &Inode<'_>, out: &mut Findings, area: &[u8]) {
    let size = inode.raw.size.get();
    match area.iter().position(|&byte| byte == 0) {
        None => {
            let what = format!("the symlink's target has no end within {} bytes", area.len());
            inode.say(out, Code::LinkNullterm, &what, ("i_size", size, area.len() as u64 - 1));
        }
        Some(len) if len as u64 != size => inode.field(out, Code::LinkSize, ("i_size", size, len as u64)),
        Some(_) => {}
    }
}
