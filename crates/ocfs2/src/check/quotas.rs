//! Pass 5: the quota files against the usage that was found.

use std::collections::{BTreeMap, BTreeSet};

use ocfs2_format::quota::{
    LocalQuotaEntry, LocalQuotaInfo, QuotaChunk, QuotaInfo, QuotaKind, QuotaLeaf, qtree_depth, qtree_refs,
};
use ocfs2_format::{BlockKind, BlockNum, Corrupt, Dinode, Extent, RawDinode, RoCompat};
use zerocopy::little_endian::U32;

use super::Code;
use super::ctx::{Ctx, view, views};
use super::extents;
use super::finding::{Finding, Findings};
use super::part::Usage;
use crate::SystemFile;
use crate::disk::Chunk;

/// A quota file.
struct File<'a> {
    ctx: &'a Ctx,
    name: String,
    ino: u64,
    extents: Vec<Extent>,
    /// Blocks that `i_size` covers.
    blocks: u64,
}

/// What the files say of each id.
type Told = BTreeMap<u32, (i128, i128)>;

/// Checks the quota files of a volume that has them.
pub(super) async fn check(
    ctx: &Ctx,
    out: &mut Findings,
    users: &BTreeMap<u32, Usage>,
    groups: &BTreeMap<u32, Usage>,
) {
    let features = ctx.format().features.ro_compat;
    for (kind, feature, usage) in
        [(QuotaKind::User, RoCompat::USRQUOTA, users), (QuotaKind::Group, RoCompat::GRPQUOTA, groups)]
    {
        if features.contains(feature) {
            check_kind(ctx, out, kind, usage).await;
        }
    }
}

async fn check_kind(ctx: &Ctx, out: &mut Findings, kind: QuotaKind, usage: &BTreeMap<u32, Usage>) {
    let (global, local): (SystemFile, fn(u16) -> SystemFile) = match kind {
        QuotaKind::User => (SystemFile::UserQuota, SystemFile::LocalUserQuota),
        QuotaKind::Group => (SystemFile::GroupQuota, SystemFile::LocalGroupQuota),
    };
    let mut told = Told::new();
    let Some(file) = File::open(ctx, out, global).await else { return };
    let mut whole = file.tree(out, kind, &mut told).await.is_some();
    for slot in 0..ctx.format().max_slots {
        let Some(file) = File::open(ctx, out, local(slot)).await else {
            whole = false;
            continue;
        };
        whole &= file.changes(out, kind, &mut told).await.is_some();
    }
    if whole {
        compare(out, (&file.name, file.ino), usage, told);
    }
}

/// Usage that was found, and usage that the files tell.
fn compare(out: &mut Findings, (name, ino): (&str, u64), usage: &BTreeMap<u32, Usage>, told: Told) {
    let ids: BTreeSet<u32> = usage.keys().chain(told.keys()).copied().collect();
    for id in ids {
        let found = usage.get(&id).copied().unwrap_or_default();
        let (space, inodes) = told.get(&id).copied().unwrap_or_default();
        for (field, told, found) in
            [("dqb_curspace", space, found.space), ("dqb_curinodes", inodes, found.inodes)]
        {
            if told != i128::from(found) {
                let message =
                    format!("{name}: {field} of id {id} comes to {told}, but the files hold {found}");
                let finding = Finding::new(Code::QuotaUsage, message).block(ino).inode(ino);
                out.push(finding.values(field, u64::try_from(told).unwrap_or(0), found));
            }
        }
    }
}

impl<'a> File<'a> {
    async fn open(ctx: &'a Ctx, out: &mut Findings, file: SystemFile) -> Option<Self> {
        let name = file.to_string();
        let Some(ino) = ctx.volume.system_file(file).map(|ino| ino.0) else {
            out.push(Finding::new(Code::SystemFileMissing, format!("the system directory has no {name}")));
            return None;
        };
        // The inode was looked at in pass 1.
        let mut told = Findings::default();
        let bytes = ctx.read(&mut told, ino, ino, BlockKind::Dinode).await?;
        let raw: &RawDinode =
            view(&bytes, 0).filter(|raw: &&RawDinode| raw.signature == Dinode::SIGNATURE)?;
        let extents = extents::walk_again(ctx, ino, &bytes).await.extents;
        let blocks = raw.size.get() / ctx.geometry().block_size.bytes();
        Some(Self { ctx, name, ino, extents, blocks })
    }

    fn say(&self, out: &mut Findings, code: Code, block: u64, why: impl std::fmt::Display) {
        let message = format!("{} (inode {}), block {block}: {why}", self.name, self.ino);
        out.push(Finding::new(code, message).block(block).inode(self.ino));
    }

    fn corrupt<T>(&self, out: &mut Findings, code: Code, result: Result<T, Corrupt>) -> Option<T> {
        result.map_err(|corrupt| self.say(out, code, corrupt.block.0, corrupt.what)).ok()
    }

    /// Reads block `logical` of the file.
    async fn block(&self, out: &mut Findings, code: Code, logical: u64) -> Option<(BlockNum, Chunk)> {
        let per = self.ctx.per_cluster();
        let cpos = logical / per;
        let after = self.extents.partition_point(|extent| u64::from(extent.cpos) <= cpos);
        let extent = after.checked_sub(1).and_then(|index| self.extents.get(index));
        let Some(extent) = extent.filter(|extent| cpos < extent.end() && logical < self.blocks) else {
            self.say(out, code, self.ino, format_args!("the file has no block {logical}"));
            return None;
        };
        let block = extent.block.0 + (logical - u64::from(extent.cpos) * per);
        let bytes = self.ctx.read(out, self.ino, block, BlockKind::Quota).await?;
        Some((BlockNum(block), bytes))
    }

    /// Walks the tree of the global file. `None`: not all of it could be read.
    async fn tree(&self, out: &mut Findings, kind: QuotaKind, told: &mut Told) -> Option<()> {
        let format = self.ctx.format();
        let (block, bytes) = self.block(out, Code::QmagicInvalid, 0).await?;
        let info = self.corrupt(out, Code::QmagicInvalid, QuotaInfo::parse(format, block, &bytes, kind))?;
        let (refs, depth) = (u64::from(qtree_refs(format)), qtree_depth(format));
        let mut whole = true;
        // A block is read once, whoever leads to it: the walk ends after as many as the file has.
        let mut seen = BTreeSet::new();
        let mut todo = vec![(u64::from(QuotaInfo::TREE_ROOT), 0)];
        while let Some((logical, level)) = todo.pop() {
            if !seen.insert((logical, level == depth)) {
                continue;
            }
            let Some((block, bytes)) = self.block(out, Code::QtreeBlkInvalid, logical).await else {
                whole = false;
                continue;
            };
            if level == depth {
                whole &= self.leaf(out, block, &bytes, told).is_some();
                continue;
            }
            let children: &[U32] = views(&bytes, 0, refs);
            for child in children.iter().rev().map(|child| child.get()).filter(|child| *child != 0) {
                if child < 2 || child >= info.blocks {
                    self.say(
                        out,
                        Code::QtreeBlkInvalid,
                        block.0,
                        format_args!("leads to block {child} of the file"),
                    );
                    whole = false;
                } else {
                    todo.push((child.into(), level + 1));
                }
            }
        }
        whole.then_some(())
    }

    fn leaf(&self, out: &mut Findings, block: BlockNum, bytes: &[u8], told: &mut Told) -> Option<()> {
        let leaf =
            self.corrupt(out, Code::QtreeBlkInvalid, QuotaLeaf::parse(self.ctx.format(), block, bytes))?;
        let count = leaf.entries().count();
        if count != usize::from(leaf.used) {
            let why = format!("dqdh_entries is {}, but {count} entries are in use", leaf.used);
            self.say(out, Code::DqblkInvalid, block.0, why);
        }
        for entry in leaf.entries() {
            // It is a sum, and may be less than nothing as long as a local file has something to add.
            let told_of = (entry.space.cast_signed().into(), entry.inodes.cast_signed().into());
            if told.insert(entry.id, told_of).is_some() {
                self.say(
                    out,
                    Code::DupDqblkValid,
                    block.0,
                    format_args!("a second entry of id {}", entry.id),
                );
            }
        }
        Some(())
    }

    /// Adds the changes in a slot's file. `None`: not all of it could be read.
    async fn changes(&self, out: &mut Findings, kind: QuotaKind, told: &mut Told) -> Option<()> {
        let format = self.ctx.format();
        let (block, bytes) = self.block(out, Code::QmagicInvalid, 0).await?;
        let info =
            self.corrupt(out, Code::QmagicInvalid, LocalQuotaInfo::parse(format, block, &bytes, kind))?;
        let per_block = u32::try_from(QuotaChunk::entries_per_block(format)).unwrap_or(1).max(1);
        for chunk in 0..info.chunks {
            let head = QuotaChunk::header_block(format, chunk);
            let (block, bytes) = self.block(out, Code::DqblkInvalid, head).await?;
            let chunk = self.corrupt(out, Code::DqblkInvalid, QuotaChunk::parse(format, block, &bytes))?;
            let used: BTreeSet<u32> = (0..chunk.bitmap.len())
                .filter(|bit| chunk.bitmap.get(*bit))
                .map(|bit| bit / per_block)
                .collect();
            for at in used {
                let (block, bytes) = self.block(out, Code::DqblkInvalid, head + 1 + u64::from(at)).await?;
                let entries = LocalQuotaEntry::parse_block(format, block, &bytes);
                let entries = self.corrupt(out, Code::DqblkInvalid, entries)?;
                for (bit, entry) in (at * per_block..).zip(entries).filter(|(bit, _)| chunk.bitmap.get(*bit))
                {
                    let Ok(id) = u32::try_from(entry.id) else {
                        self.say(
                            out,
                            Code::DqblkInvalid,
                            block.0,
                            format_args!("entry {bit} has id {}", entry.id),
                        );
                        continue;
                    };
                    let (space, inodes) = told.entry(id).or_default();
                    *space += i128::from(entry.space);
                    *inodes += i128::from(entry.inodes);
                }
            }
        }
        Some(())
    }
}
