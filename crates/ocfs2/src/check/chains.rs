//! Pass 0: the chains of every allocator, and where cluster groups must lie.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use ocfs2_format::{
    BlockKind, DinodeFlags, GroupDescriptor, RawChainList, RawChainRec, RawDinode, RawGroupDescriptor,
};

use super::Code;
use super::ctx::{Ctx, view, views};
use super::finding::{Finding, Findings, Sink};
use super::groups::{Allocator, Described, Group, Kind, cluster_group, describe};
use crate::SystemFile;

/// Chains that are followed at once.
const CHAINS: usize = 32;

/// All allocators with all of their groups.
#[derive(Debug, Default)]
pub(super) struct Allocators {
    pub(super) list: Vec<Allocator>,
    /// In ascending order of their blocks.
    pub(super) groups: Vec<Group>,
}

impl Allocators {
    /// Groups of allocators of one kind.
    pub(super) fn groups_of(&self, kind: Kind) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(move |group| self.kind(group) == kind)
    }

    fn kind(&self, group: &Group) -> Kind {
        self.list.get(group.allocator).map_or(Kind::Clusters, |allocator| allocator.kind)
    }

    pub(super) fn of(&self, group: &Group) -> Option<&Allocator> {
        self.list.get(group.allocator)
    }

    /// The group at a block.
    pub(super) fn group_at(&self, block: u64) -> Option<&Group> {
        let index = self.groups.binary_search_by_key(&block, |group| group.block).ok()?;
        self.groups.get(index)
    }
}

/// What one chain holds.
#[derive(Default)]
struct Followed {
    groups: Vec<Described>,
    free: u64,
    total: u64,
    out: Findings,
}

/// An allocator inode's own numbers, and its chains.
struct Head {
    cpg: u16,
    bpc: u16,
    used: u64,
    total: u64,
    clusters: u64,
    size: u64,
    records: Vec<RawChainRec>,
}

/// Checks every allocator; gives them with their groups.
pub(super) async fn check(ctx: &Ctx, sink: &mut dyn Sink, count: &mut u64) -> Allocators {
    let mut all = Allocators::default();
    let mut out = Findings::default();
    all.list = allocators(ctx, &mut out);
    let mut seen = BTreeSet::new();
    for index in 0..all.list.len() {
        let allocator = all.list[index].clone();
        let groups = check_allocator(ctx, &mut out, (&allocator, index), &mut seen).await;
        all.groups.extend(groups);
        *count += out.drain(sink);
    }
    all.groups.sort_by_key(|group| group.block);
    expect_cluster_groups(ctx, &mut out, &all);
    *count += out.drain(sink);
    all
}

/// The allocators that the system directory names, in the order of the passes.
fn allocators(ctx: &Ctx, out: &mut Findings) -> Vec<Allocator> {
    let slots = ctx.format().max_slots;
    let mut files = vec![
        (SystemFile::GlobalBitmap, Kind::Clusters, u16::MAX),
        (SystemFile::GlobalInodeAlloc, Kind::Inodes, u16::MAX),
    ];
    files.extend((0..slots).map(|slot| (SystemFile::InodeAlloc(slot), Kind::Inodes, slot)));
    files.extend((0..slots).map(|slot| (SystemFile::ExtentAlloc(slot), Kind::Extents, slot)));
    let mut list: Vec<Allocator> = Vec::new();
    for (file, kind, slot) in files {
        let name = file.to_string();
        let Some(ino) = ctx.volume.system_file(file) else {
            let message = format!("the system directory has no {name}");
            out.push(Finding::new(Code::SystemFileMissing, message).slot((slot != u16::MAX).then_some(slot)));
            continue;
        };
        if list.iter().all(|other| other.ino != ino.0) {
            list.push(Allocator { ino: ino.0, kind, slot, name });
        }
    }
    list
}

async fn check_allocator(
    ctx: &Ctx,
    out: &mut Findings,
    (allocator, index): (&Allocator, usize),
    seen: &mut BTreeSet<u64>,
) -> Vec<Group> {
    let Some(head) = head(ctx, out, allocator).await else { return Vec::new() };
    let chains = head.records.iter().enumerate();
    let mut followed = futures_util::stream::iter(chains)
        .map(|(chain, record)| follow(ctx, (allocator, index), (chain, head.cpg), *record))
        .buffered(CHAINS);
    let mut groups = Vec::new();
    let (mut free, mut total) = (0_u64, 0_u64);
    while let Some(mut chain) = followed.next().await {
        free += chain.free;
        total += chain.total;
        out.absorb(&mut chain.out);
        for described in chain.groups {
            let block = described.group.block;
            if seen.insert(block) {
                groups.push(described.group);
            } else {
                let message = format!(
                    "{}: the group at block {block} is in another chain or allocator too",
                    allocator.name
                );
                let finding = Finding::new(Code::GroupDuplicate, message).block(block).inode(allocator.ino);
                out.push(finding.slot(allocator.slot()));
            }
        }
    }
    check_sums(ctx, out, allocator, &head, (free, total));
    groups
}

/// The inode's counters against the sums of its groups.
fn check_sums(ctx: &Ctx, out: &mut Findings, allocator: &Allocator, head: &Head, (free, total): (u64, u64)) {
    let ino = allocator.ino;
    let what = (allocator.name.as_str(), ino);
    let used = total.saturating_sub(free);
    // One of the two is enough to say.
    if out.expect(Code::ChainGroupBits, what, ino, ("i_used", head.used, used)) {
        out.expect(Code::ChainGroupBits, what, ino, ("i_total", head.total, total));
    }
    let clusters = total.checked_div(u64::from(head.bpc)).unwrap_or(0);
    out.expect(Code::ChainIClusters, what, ino, ("i_clusters", head.clusters, clusters));
    let size = clusters << ctx.geometry().cluster_size.bits();
    out.expect(Code::ChainISize, what, ino, ("i_size", head.size, size));
    if allocator.kind == Kind::Clusters {
        let own = u64::from(ctx.geometry().clusters.get());
        out.expect(
            Code::SuperblockClusters,
            ("superblock against inode", ino),
            2,
            ("i_clusters", own, head.total),
        );
        let cpg = u64::from(ctx.geometry().clusters_per_group());
        out.expect(Code::ChainCpg, what, ino, ("cl_cpg", u64::from(head.cpg), cpg));
    }
}

/// Reads the allocator's inode and checks its chain list.
async fn head(ctx: &Ctx, out: &mut Findings, allocator: &Allocator) -> Option<Head> {
    let ino = allocator.ino;
    let bytes = ctx.read(out, ino, ino, BlockKind::Dinode).await?;
    let (raw, list): (&RawDinode, &RawChainList) = (view(&bytes, 0)?, view(&bytes, RawDinode::BODY_OFFSET)?);
    let flags = DinodeFlags::from_bits_retain(raw.flags.get());
    let known = DinodeFlags::CHAIN | DinodeFlags::BITMAP | DinodeFlags::VALID;
    if raw.signature != ocfs2_format::Dinode::SIGNATURE || !flags.contains(known) {
        let message = format!("{}: block {ino} is no inode of an allocator", allocator.name);
        let finding = Finding::new(Code::SystemFileMissing, message).block(ino).inode(ino);
        out.push(finding.slot(allocator.slot()));
        return None;
    }
    let what = (allocator.name.as_str(), ino);
    let bpc = if allocator.kind == Kind::Clusters { 1 } else { ctx.per_cluster() };
    out.expect(Code::ChainCpg, what, ino, ("cl_bpc", u64::from(list.bpc.get()), bpc));
    let room = ctx.room(0xd0, 16);
    let count = u64::from(list.count.get());
    out.expect(Code::ChainCount, what, ino, ("cl_count", count, room));
    let used = u64::from(list.next_free_rec.get());
    if used > room {
        out.expect(Code::ChainNextFree, what, ino, ("cl_next_free_rec", used, room));
    } else if used > count {
        out.expect(Code::ChainNextFree, what, ino, ("cl_next_free_rec", used, count));
    }
    Some(Head {
        cpg: list.cpg.get(),
        bpc: u16::try_from(bpc).unwrap_or(1),
        used: u64::from(raw.id1[0].get()),
        total: u64::from(raw.id1[1].get()),
        clusters: u64::from(raw.clusters.get()),
        size: raw.size.get(),
        records: views(&bytes, 0xd0, used.min(room)).to_vec(),
    })
}

/// Follows one chain to its end.
async fn follow(
    ctx: &Ctx,
    (allocator, index): (&Allocator, usize),
    (chain, cpg): (usize, u16),
    record: RawChainRec,
) -> Followed {
    let mut this = Followed::default();
    let ino = allocator.ino;
    let number = u16::try_from(chain).unwrap_or(u16::MAX);
    let mut next = record.blkno.get();
    if next == 0 {
        let message = format!("{}: chain {chain} of inode {ino} is empty", allocator.name);
        this.out.push(Finding::new(Code::ChainEmpty, message).block(ino).inode(ino).slot(allocator.slot()));
        return this;
    }
    let mut seen = BTreeSet::new();
    let mut from = ino;
    while next != 0 {
        let code = if from == ino { Code::ChainHeadLinkRange } else { Code::ChainLinkRange };
        let place = |code, why: &str| {
            let message =
                format!("{}: chain {chain}: block {from} leads to block {next}, {why}", allocator.name);
            let field = if from == ino { "c_blkno" } else { "bg_next_group" };
            Finding::new(code, message).block(from).inode(ino).slot(allocator.slot()).values(field, next, 0)
        };
        if !ctx.holds(next) {
            this.out.push(place(code, "which lies outside the volume"));
            break;
        }
        if !seen.insert(next) {
            this.out.push(place(Code::GroupChainLoop, "which the chain has passed before"));
            break;
        }
        let Some(described) =
            group(ctx, &mut this.out, (allocator, index), (number, cpg), next, &place).await
        else {
            break;
        };
        from = next;
        next = described.next;
        if allocator.kind == Kind::Clusters && cluster_group(ctx, from).is_none() {
            let message = format!(
                "{}: chain {chain} holds block {from}, where no cluster group belongs",
                allocator.name
            );
            this.out.push(Finding::new(Code::GroupUnexpectedDesc, message).block(from).inode(ino));
            continue;
        }
        this.free += u64::from(described.free);
        this.total += u64::from(described.group.bits);
        this.groups.push(described);
    }
    let what = format!("{} chain {chain} of inode", allocator.name);
    let (free, total) = (u64::from(record.free.get()), u64::from(record.total.get()));
    this.out.expect(Code::ChainBits, (&what, ino), ino, ("c_free", free, this.free));
    this.out.expect(Code::ChainBits, (&what, ino), ino, ("c_total", total, this.total));
    this
}

/// Reads and checks one group of a chain.
async fn group(
    ctx: &Ctx,
    out: &mut Findings,
    allocator: (&Allocator, usize),
    chain: (u16, u16),
    block: u64,
    place: &impl Fn(Code, &str) -> Finding,
) -> Option<Described> {
    let ino = allocator.0.ino;
    let bytes = ctx.read(out, ino, block, BlockKind::GroupDescriptor).await?;
    let raw: &RawGroupDescriptor = view(&bytes, 0)?;
    if raw.signature != GroupDescriptor::SIGNATURE {
        out.push(place(Code::ChainLinkMagic, "which is no group descriptor"));
        return None;
    }
    if raw.generation.get() != ctx.format().fs_generation {
        out.push(place(Code::ChainLinkGen, "which has another volume's bg_generation"));
    }
    describe(ctx, out, allocator, chain, block, &bytes)
}

/// Every place of a cluster group must be in a chain.
fn expect_cluster_groups(ctx: &Ctx, out: &mut Findings, all: &Allocators) {
    let Some(bitmap) = all.list.iter().find(|allocator| allocator.kind == Kind::Clusters) else { return };
    let first = ctx.volume.superblock().first_cluster_group;
    for number in 0..ctx.geometry().cluster_groups() {
        let block = ctx.geometry().cluster_group_block(number, first).0;
        let found = all.group_at(block).and_then(|group| all.of(group));
        if found.is_none_or(|allocator| allocator.kind != Kind::Clusters) {
            let message = format!("{}: cluster group {number} at block {block} is in no chain", bitmap.name);
            out.push(Finding::new(Code::GroupExpectedDesc, message).block(block).inode(bitmap.ino));
        }
    }
}
