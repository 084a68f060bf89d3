//! The bitmaps of the extent allocators against the metadata blocks that were seen.

use futures_util::StreamExt;
use ocfs2_format::{Bitmap, BlockKind};

use super::Code;
use super::chains::Allocators;
use super::ctx::Ctx;
use super::finding::{Finding, Findings};
use super::groups::{Group, Kind};

/// Group descriptors that are read at once.
const READS: usize = 16;

/// Compares every group with `seen`, the metadata blocks that something claims, in any order.
pub(super) async fn check(ctx: &Ctx, out: &mut Findings, allocators: &Allocators, mut seen: Vec<u64>) {
    seen.sort_unstable();
    for pair in seen.windows(2).filter(|pair| pair[0] == pair[1]) {
        let message = format!("metadata block {} belongs to two structures", pair[0]);
        out.push(Finding::new(Code::ExtentAllocBit, message).block(pair[0]));
    }
    seen.dedup();
    let groups: Vec<&Group> = allocators.groups_of(Kind::Extents).collect();
    let mut reads = futures_util::stream::iter(groups)
        .map(|group| async move {
            // What is wrong with the descriptor was told in pass 0.
            let ino = allocators.of(group).map_or(0, |allocator| allocator.ino);
            let bytes =
                ctx.read(&mut Findings::default(), ino, group.block, BlockKind::GroupDescriptor).await;
            (group, ino, bytes)
        })
        .buffered(READS);
    while let Some((group, ino, bytes)) = reads.next().await {
        let Some(bytes) = bytes else { continue };
        let bitmap = Bitmap::new(bytes.get(0x40..).unwrap_or_default(), group.bits);
        for piece in &group.pieces {
            for n in 0..piece.bits {
                let (bit, block) = (piece.first_bit.saturating_add(n), piece.block + u64::from(n));
                let (set, used) = (bitmap.get(bit), bit == 0 || seen.binary_search(&block).is_ok());
                if set == used {
                    continue;
                }
                let what = if used { "in use, but its bit is clear" } else { "set, but nothing uses it" };
                let message =
                    format!("block {block} is {what}: bit {bit} of the group at block {}", group.block);
                let finding = Finding::new(Code::ExtentAllocBit, message).block(group.block).inode(ino);
                out.push(finding.values("bitmap", set.into(), used.into()));
            }
        }
    }
}
