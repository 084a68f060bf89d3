//! Pass 2, a job of it: the blocks of some directories, their entries, and the index over them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use ocfs2_format::{BlockKind, DynFeatures, Extent, RawDinode};

use super::ctx::{Ctx, view};
use super::entries::{self, Names};
use super::extents;
use super::finding::{Finding, Findings};
use super::part::Part;
use super::table::Table;
use super::{Code, index};

/// Blocks of a directory that are read at once, and reads on their way.
const RUN: u64 = 64;
const READS: usize = 8;

/// Some directories.
#[derive(Clone, Debug)]
pub(super) struct DirJob {
    pub(super) ctx: Ctx,
    pub(super) table: Arc<Table>,
    /// Orphan directories with their slots.
    pub(super) orphan_dirs: Arc<BTreeMap<u64, u16>>,
    /// Indices in the table.
    pub(super) dirs: Vec<u32>,
}

/// What a directory says of others.
#[derive(Debug, Default)]
pub(super) struct DirPart {
    /// Index of the directory.
    pub(super) dir: u32,
    /// Where `..` leads; 0: nowhere.
    pub(super) dotdot: u64,
    /// Inodes that `.` and `..` name.
    pub(super) dots: Vec<u32>,
    /// Inodes that its other entries name.
    pub(super) names: Vec<u32>,
    /// Inodes that it lists as orphans.
    pub(super) orphans: Vec<u32>,
}

/// A directory while its blocks are read.
pub(super) struct Dir<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) table: &'a Table,
    pub(super) ino: u64,
    /// Its slot, when it is an orphan directory.
    pub(super) orphans_of: Option<u16>,
    pub(super) part: DirPart,
    pub(super) names: Names,
    /// Entries seen so far.
    pub(super) count: u64,
    /// Whether some of it could not be read as entries.
    pub(super) broken: bool,
}

impl DirJob {
    /// Looks at every directory.
    pub(super) async fn run(self) -> Part {
        let mut part = Part { units: self.dirs.len() as u64, ..Part::default() };
        let mut inodes = futures_util::stream::iter(self.dirs.iter().copied())
            .map(|index| {
                let (ctx, ino) = (&self.ctx, self.table.get(index).map_or(0, |state| state.ino));
                async move {
                    // The checksum was told in pass 1.
                    let bytes = ctx.read(&mut Findings::default(), ino, ino, BlockKind::Dinode).await;
                    (index, ino, bytes)
                }
            })
            .buffered(READS);
        while let Some((index, ino, bytes)) = inodes.next().await {
            let Some(bytes) = bytes else { continue };
            self.dir(&mut part, (index, ino), &bytes).await;
        }
        part
    }

    async fn dir(&self, part: &mut Part, (index, ino): (u32, u64), bytes: &[u8]) {
        let Some(raw) = view::<RawDinode>(bytes, 0) else { return };
        let features = DynFeatures::from_bits_retain(raw.dyn_features.get());
        let indexed = features.contains(DynFeatures::INDEXED_DIR);
        let mut dir = Dir {
            ctx: &self.ctx,
            table: &self.table,
            ino,
            orphans_of: self.orphan_dirs.get(&ino).copied(),
            part: DirPart { dir: index, ..DirPart::default() },
            names: Names::new(indexed),
            count: 0,
            broken: false,
        };
        if features.contains(DynFeatures::INLINE_DATA) {
            let room = self.ctx.room(0xc8, 1).min(raw.size.get());
            let area = bytes.get(0xc8..).and_then(|tail| tail.get(..usize::try_from(room).ok()?));
            entries::check(&mut dir, &mut part.out, (ino, 0), area.unwrap_or_default());
        } else {
            self.blocks(&mut dir, part, bytes, raw, indexed).await;
        }
        if dir.part.dots.is_empty() && dir.count == 0 && !dir.broken {
            let message = format!("directory {ino} has no entries, not even . and ..");
            part.out.push(Finding::new(Code::DirentNotDotty, message).block(ino).inode(ino));
        }
        dir.names.duplicates(ino, &mut part.out);
        if indexed && self.ctx.holds(raw.dx_root.get()) {
            index::check(&self.ctx, &mut part.out, ino, raw.dx_root.get(), &mut dir.names, dir.broken).await;
        }
        part.dirs.push(dir.part);
    }

    /// The blocks of a directory in clusters.
    async fn blocks(&self, dir: &mut Dir<'_>, part: &mut Part, bytes: &[u8], raw: &RawDinode, indexed: bool) {
        let (ctx, ino) = (&self.ctx, dir.ino);
        let trailers = indexed || ctx.format().features.meta_ecc();
        let extents = extents::walk_again(ctx, ino, bytes).await.extents;
        let blocks = raw.size.get().div_ceil(ctx.geometry().block_size.bytes());
        let mut reads = futures_util::stream::iter(runs(ctx, &extents, blocks))
            .map(|(logical, block, count)| async move {
                let mut found = Findings::default();
                let chunk = ctx.read_run(&mut found, ino, block, count).await;
                (logical, block, count, chunk, found)
            })
            .buffered(READS);
        while let Some((logical, first, count, chunk, mut found)) = reads.next().await {
            part.out.absorb(&mut found);
            let Some(mut chunk) = chunk else {
                dir.broken = true;
                continue;
            };
            for n in 0..count {
                let len = ctx.block_len();
                let at = usize::try_from(n).unwrap_or(usize::MAX).saturating_mul(len);
                let Some(bytes) = chunk.bytes_mut().get_mut(at..at.saturating_add(len)) else { break };
                let mut entries_end = len;
                if trailers {
                    ctx.verify(&mut part.out, ino, first + n, BlockKind::DirBlock, bytes);
                    entries::trailer(dir, &mut part.out, first + n, bytes);
                    entries_end = len - ocfs2_format::TRAILER_LEN;
                }
                let area = bytes.get(..entries_end).unwrap_or_default();
                entries::check(dir, &mut part.out, (first + n, logical + n), area);
            }
        }
    }
}

/// The first `blocks` blocks of `extents`, in runs that are read at once: (block of the file, of the volume, count).
pub(super) fn runs(ctx: &Ctx, extents: &[Extent], blocks: u64) -> Vec<(u64, u64, u64)> {
    let per = ctx.per_cluster();
    let mut runs = Vec::new();
    for extent in extents {
        let start = u64::from(extent.cpos) * per;
        let end = (extent.end() * per).min(blocks);
        let mut at = start;
        while at < end {
            let count = RUN.min(end - at);
            runs.push((at, extent.block.0 + (at - start), count));
            at += count;
        }
    }
    runs
}
