//! Group descriptors as they lie: one group of one chain.

use ocfs2_format::{
    Bitmap, BlockNum, GroupDescriptor, Incompat, RawExtentList, RawExtentRec, RawGroupDescriptor,
};

use super::Code;
use super::ctx::{Ctx, view, views};
use super::finding::{Finding, Findings};

/// What an allocator gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Clusters: the global bitmap.
    Clusters,
    /// Inodes.
    Inodes,
    /// Other metadata blocks.
    Extents,
}

/// An allocator inode.
#[derive(Clone, Debug)]
pub(super) struct Allocator {
    pub(super) ino: u64,
    pub(super) kind: Kind,
    /// `i_suballoc_slot` of what it gives out; 0xFFFF for the global one.
    pub(super) slot: u16,
    /// Its name in the system directory.
    pub(super) name: String,
}

impl Allocator {
    /// The slot, for findings.
    pub(super) fn slot(&self) -> Option<u16> {
        (self.slot != u16::MAX).then_some(self.slot)
    }
}

/// A run of bits of a group that stand for neighbouring blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first_bit: u32,
    pub(super) bits: u32,
    pub(super) block: u64,
}

/// A group of an allocator.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) block: u64,
    /// Index of its allocator.
    pub(super) allocator: usize,
    pub(super) bits: u32,
    /// Where its bits lie, in order; one piece for most. Empty for groups of clusters.
    pub(super) pieces: Vec<Piece>,
}

impl Group {
    /// The bit that stands for `block`.
    pub(super) fn bit_of(&self, block: u64) -> Option<u32> {
        let piece = self.pieces.iter().find(|piece| {
            (piece.block..piece.block.saturating_add(u64::from(piece.bits))).contains(&block)
        })?;
        Some(piece.first_bit + u32::try_from(block - piece.block).ok()?)
    }
}

/// What one group descriptor says.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) group: Group,
    pub(super) free: u32,
    pub(super) next: u64,
}

/// Checks the group descriptor `block` of chain `chain`, whose bytes are `bytes` and whose signature is right.
pub(super) fn describe(
    ctx: &Ctx,
    out: &mut Findings,
    (allocator, index): (&Allocator, usize),
    (chain, cpg): (u16, u16),
    block: u64,
    bytes: &[u8],
) -> Option<Described> {
    let raw: &RawGroupDescriptor = view(bytes, 0)?;
    let ino = allocator.ino;
    let generation = u64::from(ctx.format().fs_generation);
    for (code, field, found, expected) in [
        (Code::GroupGen, "bg_generation", u64::from(raw.generation.get()), generation),
        (Code::GroupParent, "bg_parent_dinode", raw.parent_dinode.get(), ino),
        (Code::GroupBlkno, "bg_blkno", raw.blkno.get(), block),
        (Code::GroupChain, "bg_chain", u64::from(raw.chain.get()), u64::from(chain)),
    ] {
        out.expect(code, ("group of allocator", ino), block, (field, found, expected));
    }
    let bits = bits(ctx, out, allocator, cpg, block, raw);
    let free = u32::from(raw.free_bits_count.get());
    let size = usize::from(raw.size.get()).min(bytes.len().saturating_sub(0x40));
    let bitmap = Bitmap::new(bytes.get(0x40..0x40 + size).unwrap_or_default(), bits);
    let unset = bits.saturating_sub(bitmap.ones());
    let what = ("group of allocator", ino);
    out.expect(Code::GroupFreeBits, what, block, ("bg_free_bits_count", u64::from(free), u64::from(unset)));
    let pieces = match allocator.kind {
        Kind::Clusters => Vec::new(),
        _ => pieces(ctx, out, (ino, cpg), block, (bits, bytes)),
    };
    let group = Group { block, allocator: index, bits, pieces };
    Some(Described { group, free, next: raw.next_group.get() })
}

/// The bits of a group, after `bg_size` and `bg_bits` were checked.
fn bits(
    ctx: &Ctx,
    out: &mut Findings,
    allocator: &Allocator,
    cpg: u16,
    block: u64,
    raw: &RawGroupDescriptor,
) -> u32 {
    let room = ctx.room(0x40, 1);
    let what = ("group of allocator", allocator.ino);
    let (size, bits) = (u64::from(raw.size.get()), u64::from(raw.bits.get()));
    let expected = match allocator.kind {
        Kind::Clusters => cluster_group(ctx, block).map(|(_, bits)| u64::from(bits)),
        _ => Some(u64::from(cpg).saturating_mul(ctx.per_cluster())),
    };
    // mkfs gives the global inode allocator groups of its own size.
    let expected = expected.filter(|_| allocator.slot != u16::MAX || allocator.kind == Kind::Clusters);
    if size > room || bits > size.saturating_mul(8) {
        let message = format!(
            "group of allocator {}, block {block}: bg_size is {size} and bg_bits {bits}, but {room} bytes fit",
            allocator.ino
        );
        let finding = Finding::new(Code::GroupSize, message).block(block).inode(allocator.ino);
        out.push(finding.values("bg_bits", bits, expected.unwrap_or(room * 8)));
    } else if let Some(expected) = expected {
        out.expect(Code::GroupSize, what, block, ("bg_bits", bits, expected));
    }
    u32::try_from(bits.min(size.min(room).saturating_mul(8))).unwrap_or(0)
}

/// Number and bits of the cluster group whose descriptor belongs at `block`.
pub(super) fn cluster_group(ctx: &Ctx, block: u64) -> Option<(u32, u32)> {
    let geometry = ctx.geometry();
    let first = ctx.volume.superblock().first_cluster_group;
    let number = if block == first.0 {
        0
    } else {
        geometry.cluster_of(BlockNum(block))?.0.checked_div(geometry.clusters_per_group())?
    };
    let right = geometry.cluster_group_block(number, first) == BlockNum(block);
    Some((number, geometry.cluster_group_bits(number)?)).filter(|_| right)
}

/// The pieces of a suballocator's group.
fn pieces(
    ctx: &Ctx,
    out: &mut Findings,
    (ino, cpg): (u64, u16),
    block: u64,
    (bits, bytes): (u32, &[u8]),
) -> Vec<Piece> {
    let whole = vec![Piece { first_bit: 0, bits, block }];
    let list = GroupDescriptor::LIST_OFFSET;
    let raw: Option<&RawGroupDescriptor> = view(bytes, 0);
    let short = raw.is_some_and(|raw| usize::from(raw.size.get()) == GroupDescriptor::DISCONTIG_BITMAP);
    let header: Option<&RawExtentList> = view(bytes, list);
    let Some(header) = header.filter(|_| short && ctx.format().has(Incompat::DISCONTIG_BG)) else {
        return whole;
    };
    let used = u64::from(header.next_free_rec.get());
    let room = ctx.room(list + 16, 16);
    if used == 0 && header.count.get() == 0 {
        return whole;
    }
    let what = ("group of allocator", ino);
    let depth = u64::from(header.tree_depth.get());
    out.expect(Code::DiscontigBgDepth, what, block, ("bg_list.l_tree_depth", depth, 0));
    let count = u64::from(header.count.get());
    out.expect(Code::DiscontigBgCount, what, block, ("bg_list.l_count", count, room));
    if used == 0 {
        return whole;
    }
    if used > room {
        let values = ("bg_list.l_next_free_rec", used, room);
        out.push(Finding::field(
            Code::DiscontigBgNextFreeRec,
            format_args!("group of allocator {ino}"),
            block,
            values,
        ));
    }
    let records: &[RawExtentRec] = views(bytes, list + 16, used.min(room));
    walk_pieces(ctx, out, (ino, cpg), block, records)
}

fn walk_pieces(
    ctx: &Ctx,
    out: &mut Findings,
    (ino, cpg): (u64, u16),
    block: u64,
    records: &[RawExtentRec],
) -> Vec<Piece> {
    let (per, mut cpos) = (ctx.per_cluster(), 0_u64);
    let mut pieces = Vec::new();
    let mut bad = 0;
    let wrong = |code, index: usize, why: String| {
        let message = format!("group of allocator {ino}, block {block}: piece {index} of bg_list {why}");
        Finding::new(code, message).block(block).inode(ino)
    };
    for (index, record) in records.iter().enumerate() {
        let (clusters, start) = (u64::from(record.leaf_clusters.get()), record.blkno.get());
        if clusters == 0 || clusters > u64::from(cpg) {
            bad += 1;
            let why = format!("has e_leaf_clusters {clusters}, not 1 to {cpg}");
            out.push(wrong(Code::DiscontigBgLeafClusters, index, why));
            continue;
        }
        let blocks = clusters * per;
        if start == 0 || !ctx.geometry().contains_run(BlockNum(start), blocks) {
            let why = format!("at block {start} lies outside the volume");
            out.push(wrong(Code::DiscontigBgRecRange, index, why).values("e_blkno", start, 0));
            cpos += clusters;
            continue;
        }
        let at_home = index > 0 || start == block;
        if u64::from(record.cpos.get()) != cpos || !at_home || start % per != 0 {
            let why = format!("has e_cpos {} and e_blkno {start}; {cpos} was due", record.cpos.get());
            out.push(wrong(Code::DiscontigBgRecCorrupt, index, why).values(
                "e_cpos",
                u64::from(record.cpos.get()),
                cpos,
            ));
        }
        // At most 65,535 clusters of 2,048 blocks for each of 235 records, cut to what a group can have.
        let first_bit = u32::try_from(cpos * per).unwrap_or(u32::MAX);
        pieces.push(Piece { first_bit, bits: u32::try_from(blocks).unwrap_or(0), block: start });
        cpos += clusters;
    }
    if bad > 1 {
        out.push(wrong(
            Code::DiscontigBgCorruptLeaves,
            0,
            format!("and {} more have lengths that cannot be", bad - 1),
        ));
    }
    let (code, expected) = match cpos.cmp(&u64::from(cpg)) {
        std::cmp::Ordering::Less => (Code::DiscontigBgLessClusters, u64::from(cpg)),
        std::cmp::Ordering::Greater => (Code::DiscontigBgClusters, u64::from(cpg)),
        std::cmp::Ordering::Equal => return pieces,
    };
    if bad == 0 {
        let message = format!(
            "group of allocator {ino}, block {block}: bg_list holds {cpos} clusters, cl_cpg is {cpg}"
        );
        out.push(Finding::new(code, message).block(block).inode(ino).values("bg_list", cpos, expected));
    }
    pieces
}
