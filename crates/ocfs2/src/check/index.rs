//! The index of a directory against its names.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use ocfs2_format::{
    BlockKind, DxHash, DxLeaf, DxRoot, Extent, RawDxEntry, RawDxEntryList, RawDxLeaf, RawDxRoot, Tree,
    rec_len,
};

use super::Code;
use super::chains::Allocators;
use super::ctx::{Ctx, view, views};
use super::dirs::runs;
use super::entries::{Hashed, Names};
use super::extents::{self, Root};
use super::finding::{Finding, Findings};

/// Reads of leaves on their way.
const READS: usize = 8;

/// An index while its leaves are read.
struct Index<'a> {
    ctx: &'a Ctx,
    ino: u64,
    entries: Vec<(DxHash, u64)>,
    broken: bool,
}

/// Checks the index at `root` of directory `ino` against its names. `broken`: not all names could be read.
pub(super) async fn check(
    ctx: &Ctx,
    out: &mut Findings,
    ino: u64,
    root: u64,
    names: &mut Names,
    broken: bool,
) {
    // What is wrong with the root's own fields was told in pass 1.
    let mut told = Findings::default();
    let Some(bytes) = ctx.read(&mut told, ino, root, BlockKind::DxRoot).await else { return };
    let Some(raw) = view::<RawDxRoot>(&bytes, 0).filter(|raw| raw.signature == DxRoot::SIGNATURE) else {
        return;
    };
    let mut index = Index { ctx, ino, entries: Vec::new(), broken: false };
    if raw.flags & DxRoot::FLAG_INLINE != 0 {
        index.list(out, root, &bytes, size_of::<RawDxRoot>());
    } else {
        index.tree(out, root, &bytes).await;
    }
    let count = index.entries.len() as u64;
    if !index.broken {
        let what = ("index of directory", ino);
        out.expect(
            Code::DxTreeCorrupt,
            what,
            root,
            ("dr_num_entries", u64::from(raw.num_entries.get()), count),
        );
    }
    if !broken {
        index.compare(out, root, names.hashed.take().unwrap_or_default());
        free_list(out, (ino, root), raw.free_blk.get(), names);
    }
}

impl Index<'_> {
    fn corrupt(&mut self, out: &mut Findings, block: u64, values: (&'static str, u64, u64)) {
        self.broken = true;
        let what = format_args!("index of directory {}", self.ino);
        out.push(Finding::field(Code::DxTreeCorrupt, what, block, values).inode(self.ino));
    }

    /// Takes the entries of a list at byte `offset`.
    fn list(&mut self, out: &mut Findings, block: u64, bytes: &[u8], offset: usize) -> usize {
        let Some(head) = view::<RawDxEntryList>(bytes, offset) else { return 0 };
        let start = offset + size_of::<RawDxEntryList>();
        let room = self.ctx.room(start, size_of::<RawDxEntry>());
        let (count, used) = (u64::from(head.count.get()), u64::from(head.num_used.get()));
        if count != room {
            self.corrupt(out, block, ("de_count", count, room));
        }
        if used > room {
            self.corrupt(out, block, ("de_num_used", used, room));
            return 0;
        }
        let entries: &[RawDxEntry] = views(bytes, start, used);
        self.entries.extend(entries.iter().map(|entry| {
            let hash = DxHash { major: entry.major_hash.get(), minor: entry.minor_hash.get() };
            (hash, entry.dirent_blk.get())
        }));
        entries.len()
    }

    /// Reads every leaf.
    async fn tree(&mut self, out: &mut Findings, root: u64, bytes: &[u8]) {
        let (ctx, ino) = (self.ctx, self.ino);
        let tree = Root {
            ino,
            block: root,
            bytes,
            offset: size_of::<RawDxRoot>(),
            room: ctx.room(0xd0, 16),
            tree: Tree::DirIndex,
            last: ("dr_last_eb_blk", 0),
            dense: false,
            sharing: false,
        };
        let walked = extents::walk(ctx, &mut Findings::default(), &Allocators::default(), &tree).await;
        self.broken |= walked.broken;
        match walked.extents.first() {
            Some(first) if first.cpos != 0 => self.corrupt(out, root, ("e_cpos", first.cpos.into(), 0)),
            None if !walked.broken => self.corrupt(out, root, ("l_next_free_rec", 0, 1)),
            _ => {}
        }
        for extent in &walked.extents {
            // The leaves of an extent, counted from its own start.
            let alone = Extent { cpos: 0, ..*extent };
            let mut reads = futures_util::stream::iter(runs(ctx, &[alone], u64::MAX))
                .map(|(_, block, count)| async move {
                    let mut found = Findings::default();
                    (block, count, ctx.read_run(&mut found, ino, block, count).await, found)
                })
                .buffered(READS);
            while let Some((first, count, chunk, mut found)) = reads.next().await {
                out.absorb(&mut found);
                let Some(mut chunk) = chunk else {
                    self.broken = true;
                    continue;
                };
                for n in 0..count {
                    let len = ctx.block_len();
                    let at = usize::try_from(n).unwrap_or(usize::MAX).saturating_mul(len);
                    let Some(bytes) = chunk.bytes_mut().get_mut(at..at.saturating_add(len)) else { break };
                    ctx.verify(out, ino, first + n, BlockKind::DxLeaf, bytes);
                    self.leaf(out, &walked.extents, first + n, bytes);
                }
            }
        }
    }

    fn leaf(&mut self, out: &mut Findings, extents: &[Extent], block: u64, bytes: &[u8]) {
        let Some(raw) = view::<RawDxLeaf>(bytes, 0) else { return };
        if raw.signature != DxLeaf::SIGNATURE {
            self.broken = true;
            let message = format!("index of directory {}: block {block} is no leaf of an index", self.ino);
            out.push(Finding::new(Code::DxTreeCorrupt, message).block(block).inode(self.ino));
            return;
        }
        if raw.blkno.get() != block {
            self.corrupt(out, block, ("dl_blkno", raw.blkno.get(), block));
        }
        let generation = self.ctx.format().fs_generation;
        if raw.fs_generation.get() != generation {
            self.corrupt(out, block, ("dl_fs_generation", raw.fs_generation.get().into(), generation.into()));
        }
        let count = self.list(out, block, bytes, std::mem::offset_of!(RawDxLeaf, list));
        let format = self.ctx.format();
        let start = self.entries.len() - count;
        let astray = self.entries[start..].iter().find(|(hash, _)| {
            let after = extents.partition_point(|extent| extent.cpos <= hash.major);
            let extent = after.checked_sub(1).and_then(|index| extents.get(index));
            extent
                .and_then(|extent| DxLeaf::block_for(format, extent, *hash))
                .is_none_or(|home| home.0 != block)
        });
        if let Some((hash, _)) = astray {
            let message = format!(
                "index of directory {}, block {block}: a lookup of hash {:#010x} {:#010x} does not come here",
                self.ino, hash.major, hash.minor
            );
            out.push(Finding::new(Code::DxLookupFailed, message).block(block).inode(self.ino));
        }
    }

    /// Every name must be in the index, and nothing else.
    fn compare(&mut self, out: &mut Findings, root: u64, names: Vec<Hashed>) {
        self.entries.sort_unstable();
        let mut taken = vec![false; self.entries.len()];
        let mut missing = 0_u64;
        let mut first = None;
        for name in &names {
            let found = [name.signed, name.unsigned]
                .into_iter()
                .any(|hash| self.take(&mut taken, (hash, name.block)));
            if !found {
                missing += 1;
                first = first.or(Some(name));
            }
        }
        if let Some(name) = first {
            let message = format!(
                "directory {}: {missing} of its {} names are not in its index (root {root}), one of them in block {}",
                self.ino,
                names.len(),
                name.block
            );
            let finding = Finding::new(Code::DxLookupFailed, message).block(root).inode(self.ino);
            out.push(finding.values("names", self.entries.len() as u64, names.len() as u64));
        }
        let spare = taken.iter().filter(|taken| !**taken).count() as u64;
        if spare > 0 {
            let message =
                format!("directory {}: {spare} entries of its index (root {root}) lead to no name", self.ino);
            let finding = Finding::new(Code::DxTreeCorrupt, message).block(root).inode(self.ino);
            out.push(finding.values("entries", self.entries.len() as u64, names.len() as u64));
        }
    }

    /// Marks an entry that equals `wanted`.
    fn take(&self, taken: &mut [bool], wanted: (DxHash, u64)) -> bool {
        let start = self.entries.partition_point(|entry| *entry < wanted);
        let same = self.entries[start..].iter().zip(&mut taken[start..]);
        for (_, taken) in same.take_while(|(entry, _)| **entry == wanted) {
            if !*taken {
                *taken = true;
                return true;
            }
        }
        false
    }
}

/// The list of blocks with free space. The kernel trusts it: a hole that is promised must be there.
fn free_list(out: &mut Findings, (ino, root): (u64, u64), first: u64, names: &Names) {
    let wrong = |block: u64, why: String| {
        let message = format!("directory {ino}, block {block}: {why}");
        Finding::new(Code::DxFreeList, message).block(block).inode(ino)
    };
    let mut seen = BTreeSet::new();
    let (mut from, mut next) = (root, first);
    while next != 0 {
        let Some(free) = names.free.get(&next) else {
            out.push(wrong(
                from,
                format!("the list of free blocks leads to block {next}, none of the directory's"),
            ));
            return;
        };
        if !seen.insert(next) {
            out.push(wrong(from, format!("the list of free blocks leads back to block {next}")));
            return;
        }
        // A name needs 268 bytes at most: what is promised beyond that does no harm.
        if usize::from(free.told).min(rec_len(255)) > usize::from(free.hole) {
            let why = format!("db_free_rec_len is {}, the largest hole {}", free.told, free.hole);
            out.push(wrong(next, why).values("db_free_rec_len", free.told.into(), free.hole.into()));
        }
        (from, next) = (next, free.next);
    }
}
