//! Pass 1, a job of it: the blocks of an inode group, each against its bit.

use std::sync::Arc;

use ocfs2_format::{Bitmap, BlockKind, Dinode, DinodeFlags, RawDinode};

use super::chains::Allocators;
use super::ctx::{Ctx, view};
use super::finding::{Finding, Findings};
use super::groups::{Allocator, Group, Piece};
use super::part::Part;
use super::{Code, inode};

/// Bytes that are read at once.
const READ: u64 = 1 << 20;

/// A run of blocks of an inode group.
#[derive(Clone, Debug)]
pub(super) struct ScanJob {
    pub(super) ctx: Ctx,
    pub(super) allocators: Arc<Allocators>,
    /// Block of the group descriptor.
    pub(super) group: u64,
    pub(super) piece: Piece,
}

impl ScanJob {
    /// The jobs of a group.
    pub(super) fn of_group(ctx: &Ctx, allocators: &Arc<Allocators>, group: &Group) -> Vec<Self> {
        let step = u32::try_from(READ / ctx.geometry().block_size.bytes()).unwrap_or(256);
        let mut jobs = Vec::new();
        for piece in &group.pieces {
            let end = piece.bits.min(group.bits.saturating_sub(piece.first_bit));
            let mut at = 0;
            while at < end {
                let bits = step.min(end - at);
                let piece =
                    Piece { first_bit: piece.first_bit + at, bits, block: piece.block + u64::from(at) };
                jobs.push(Self {
                    ctx: ctx.clone(),
                    allocators: Arc::clone(allocators),
                    group: group.block,
                    piece,
                });
                at += bits;
            }
        }
        jobs
    }

    /// Looks at every block.
    pub(super) async fn run(self) -> Part {
        let mut part = Part { units: u64::from(self.piece.bits), ..Part::default() };
        let group = self.allocators.group_at(self.group);
        let Some((group, allocator)) = group.and_then(|group| Some((group, self.allocators.of(group)?)))
        else {
            return part;
        };
        // Whatever is wrong with the descriptor was told in pass 0.
        let mut told = Findings::default();
        let descriptor =
            self.ctx.read(&mut told, allocator.ino, group.block, BlockKind::GroupDescriptor).await;
        let bytes = descriptor.as_deref().unwrap_or_default();
        let bitmap = Bitmap::new(bytes.get(0x40..).unwrap_or_default(), group.bits);
        let count = u64::from(self.piece.bits);
        let run = self.ctx.read_run(&mut told, allocator.ino, self.piece.block, count).await;
        for n in 0..self.piece.bits {
            let (bit, block) = (self.piece.first_bit + n, self.piece.block + u64::from(n));
            if bit == 0 {
                continue; // the descriptor itself
            }
            let at = n as usize * self.ctx.block_len();
            let single;
            let bytes = match &run {
                Some(run) => run.get(at..at + self.ctx.block_len()).unwrap_or_default(),
                None => {
                    single = self.ctx.read_run(&mut part.out, allocator.ino, block, 1).await;
                    single.as_deref().unwrap_or_default()
                }
            };
            self.block(&mut part, allocator, (bit, bitmap.get(bit)), block, bytes).await;
        }
        part
    }

    async fn block(
        &self,
        part: &mut Part,
        allocator: &Allocator,
        (bit, set): (u32, bool),
        block: u64,
        bytes: &[u8],
    ) {
        let raw: Option<&RawDinode> = view(bytes, 0);
        let generation = self.ctx.format().fs_generation;
        let signed = raw.is_some_and(|raw| raw.signature == Dinode::SIGNATURE);
        let ours = raw.is_some_and(|raw| raw.fs_generation.get() == generation);
        let in_use = raw.is_some_and(|raw| {
            let flags = DinodeFlags::from_bits_retain(raw.flags.get());
            flags.contains(DinodeFlags::VALID) && !flags.contains(DinodeFlags::SUPER_BLOCK)
        });
        if signed && in_use && !ours && set {
            let found = raw.map_or(0, |raw| u64::from(raw.fs_generation.get()));
            let values = ("i_fs_generation", found, u64::from(generation));
            part.out.push(
                Finding::field(Code::InodeGen, format_args!("inode {block}"), block, values).inode(block),
            );
        }
        let valid = signed && ours && in_use;
        if valid != set {
            let (is, marked) = if valid { ("an inode in use", "free") } else { ("no inode in use", "used") };
            let message =
                format!("block {block} holds {is}, but its bit {bit} in {} says {marked}", allocator.name);
            let finding = Finding::new(Code::InodeAllocRepair, message).block(block).inode(block);
            part.out.push(finding.slot(allocator.slot()).values("bitmap", u64::from(set), u64::from(valid)));
        }
        if !valid {
            return;
        }
        let mut bytes = bytes.to_vec();
        self.ctx.verify(&mut part.out, block, block, BlockKind::Dinode, &mut bytes);
        let place = inode::Place { ino: block, bit, set, group: self.group, allocator };
        inode::check(&self.ctx, part, &self.allocators, &place, &bytes).await;
    }
}
