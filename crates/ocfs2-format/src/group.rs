//! Group descriptors: a bitmap of clusters or of metadata blocks.

use std::ops::Range;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bitmap::{Bitmap, set_bit};
use crate::ecc::RawBlockCheck;
use crate::error::{Check, Corrupt, Structure};
use crate::extent_list::{Extent, ExtentFlags, ExtentList, RawExtentList, RawExtentRec, Tree};
use crate::features::Incompat;
use crate::geometry::GROUP_HEADER;
use crate::raw::{Input, head_mut, index16, layout, slice_mut};
use crate::units::{BlockNum, ClusterNum, Clusters};
use crate::volume::Volume;

/// Head of a group descriptor as it lies on disk (`struct ocfs2_group_desc`); the bitmap follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawGroupDescriptor {
    /// `bg_signature`: [`GroupDescriptor::SIGNATURE`].
    pub signature: [u8; 8],
    /// `bg_size`: bytes of the bitmap.
    pub size: U16,
    /// `bg_bits`: bits of it that count.
    pub bits: U16,
    /// `bg_free_bits_count`.
    pub free_bits_count: U16,
    /// `bg_chain`: index of its chain.
    pub chain: U16,
    /// `bg_generation`: the volume's.
    pub generation: U32,
    /// `bg_contig_free_bits` of newer kernels: longest free run, 0 = not known.
    pub contig_free_bits: U16,
    /// Reserved.
    pub reserved1: U16,
    /// `bg_next_group`.
    pub next_group: U64,
    /// `bg_parent_dinode`: the allocator.
    pub parent_dinode: U64,
    /// `bg_blkno`.
    pub blkno: U64,
    /// `bg_check`.
    pub check: RawBlockCheck,
    /// Reserved.
    pub reserved2: U64,
}
layout!(RawGroupDescriptor, 0x40, {
    size: 0x08, chain: 0x0e, generation: 0x10, contig_free_bits: 0x14, next_group: 0x18, parent_dinode: 0x20,
    blkno: 0x28, check: 0x30,
});
const _: () = assert!(size_of::<RawGroupDescriptor>() == GROUP_HEADER);

impl RawGroupDescriptor {
    /// Descriptor of a contiguous group of `bits` bits, all free: the caller takes bit 0, which stands for the
    /// descriptor itself. `parent` is the allocator; chain 0, no group after it.
    #[must_use]
    pub fn new(volume: &Volume, block: BlockNum, parent: BlockNum, bits: u16, kind: GroupKind) -> Self {
        Self {
            signature: GroupDescriptor::SIGNATURE,
            size: U16::new(index16(kind.bitmap_bytes(volume))),
            bits: U16::new(bits),
            free_bits_count: U16::new(bits),
            generation: U32::new(volume.fs_generation),
            parent_dinode: U64::new(parent.0),
            blkno: U64::new(block.0),
            ..zerocopy::FromZeros::new_zeroed()
        }
    }

    /// The head of the group in `data`, to be changed, and its bitmap. The caller has checked the group.
    ///
    /// # Errors
    /// [`Check::Short`] when `data` is shorter than it says.
    pub fn mut_from(block: BlockNum, data: &mut [u8]) -> Result<(&mut Self, &mut [u8]), Corrupt> {
        let (head, tail) = head_mut::<Self>(block, Structure::GroupDescriptor, data)?;
        let bitmap = slice_mut(block, Structure::GroupDescriptor, tail, head.size.get())?;
        Ok((head, bitmap))
    }
}

/// Whose group it is, which decides how long its bitmap may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Of the cluster bitmap, or of the allocator of system inodes.
    Global,
    /// Of a slot's `inode_alloc` or `extent_alloc`.
    Suballocator,
}

impl GroupKind {
    /// `bg_size`: bytes of the bitmap.
    #[must_use]
    pub fn bitmap_bytes(self, volume: &Volume) -> usize {
        match self {
            Self::Suballocator if volume.has(Incompat::DISCONTIG_BG) => GroupDescriptor::DISCONTIG_BITMAP,
            _ => volume.geometry.block_size.room(GROUP_HEADER, 1),
        }
    }
}

/// A suballocator's group to be made: what its descriptor is to say.
#[derive(Clone, Copy, Debug)]
pub struct NewGroup<'p> {
    /// The allocator it is for.
    pub allocator: BlockNum,
    /// Index of the chain it will head.
    pub chain: u16,
    /// The head of that chain until now.
    pub next: Option<BlockNum>,
    /// The clusters it is made of, in the order of its bits; the descriptor is the first block of the first.
    pub pieces: &'p [(ClusterNum, Clusters)],
}

impl NewGroup<'_> {
    /// The most pieces that a discontiguous group may have: 11, 43, 107 or 235.
    #[must_use]
    pub fn pieces_that_fit(volume: &Volume) -> usize {
        volume.geometry.block_size.room(GroupDescriptor::LIST_OFFSET.saturating_add(16), 16)
    }

    /// Bits of the group: one for each block.
    #[must_use]
    pub fn bits(&self, volume: &Volume) -> u64 {
        let clusters = self.pieces.iter().fold(0_u64, |sum, (_, len)| sum.saturating_add(u64::from(len.0)));
        volume.geometry.clusters_to_blocks(clusters)
    }

    /// Writes the descriptor into `data`, its zeroed block `block`. Only its own bit is set.
    ///
    /// # Errors
    /// [`Corrupt`] when so many bits or pieces do not fit a descriptor.
    pub fn write(&self, volume: &Volume, block: BlockNum, data: &mut [u8]) -> Result<(), Corrupt> {
        let structure = Structure::GroupDescriptor;
        let room = GroupKind::Suballocator.bitmap_bytes(volume);
        let bits = self.bits(volume);
        let max = u64::try_from(room.saturating_mul(8)).unwrap_or(u64::MAX);
        let over = Corrupt { block, what: Check::Count { structure, field: "bg_bits", found: bits, max } };
        let bits = u16::try_from(bits).ok().filter(|_| bits > 0 && bits <= max).ok_or(over)?;
        let (head, tail) = head_mut::<RawGroupDescriptor>(block, structure, data)?;
        *head = RawGroupDescriptor::new(volume, block, self.allocator, bits, GroupKind::Suballocator);
        head.free_bits_count = U16::new(bits.saturating_sub(1));
        head.chain = U16::new(self.chain);
        head.next_group = U64::new(self.next.map_or(0, BlockNum::get));
        set_bit(tail, 0, true);
        match self.pieces {
            [_] => Ok(()),
            pieces => Self::write_pieces(pieces, volume, block, tail),
        }
    }

    /// Writes the extent list of a group of several pieces, which begins behind the bitmap in `tail`.
    fn write_pieces(
        pieces: &[(ClusterNum, Clusters)],
        volume: &Volume,
        block: BlockNum,
        tail: &mut [u8],
    ) -> Result<(), Corrupt> {
        let structure = Structure::GroupDescriptor;
        let room = Self::pieces_that_fit(volume);
        let found = u64::try_from(pieces.len()).unwrap_or(u64::MAX);
        let max = u64::try_from(room).unwrap_or(u64::MAX);
        let over = Corrupt { block, what: Check::Count { structure, field: "bg_list", found, max } };
        let used = u16::try_from(found).ok().filter(|_| found <= max).ok_or(over)?;
        let area = tail.get_mut(GroupDescriptor::DISCONTIG_BITMAP..).ok_or(over)?;
        let (list, records) = RawExtentList::format(block, area, room)?;
        list.next_free_rec = U16::new(used);
        let mut cpos = 0_u32;
        for (record, (start, len)) in records.iter_mut().zip(pieces) {
            let clusters = u16::try_from(len.0).map_err(|_| over)?;
            let flags = ExtentFlags::empty();
            let block = volume.geometry.cluster_start(*start);
            *record = RawExtentRec::from_extent(&Extent { cpos, clusters, flags, block });
            cpos = cpos.saturating_add(len.0);
        }
        Ok(())
    }
}

/// A checked group descriptor.
#[derive(Clone, Copy, Debug)]
pub struct GroupDescriptor<'a> {
    /// Its block.
    pub block: BlockNum,
    /// Bytes of the bitmap.
    pub bitmap_bytes: u16,
    /// Free bits, as counted on disk.
    pub free: u16,
    /// Index of the chain it says it belongs to.
    pub chain: u16,
    /// Next group of the chain.
    pub next: Option<BlockNum>,
    /// The allocator it belongs to.
    pub allocator: BlockNum,
    /// One bit for each cluster or block, 1 = in use.
    pub bitmap: Bitmap<'a>,
    /// The pieces of a discontiguous group.
    pub pieces: Option<ExtentList<'a>>,
}

impl<'a> GroupDescriptor<'a> {
    /// Signature.
    pub const SIGNATURE: [u8; 8] = *b"GROUP01\0";
    /// Bytes of the bitmap of a suballocator's group on a `discontig-bg` volume.
    pub const DISCONTIG_BITMAP: usize = 256;
    /// Byte of the extent list of a discontiguous group.
    pub const LIST_OFFSET: usize = GROUP_HEADER + Self::DISCONTIG_BITMAP;

    /// Checks the group descriptor in block `block` of the allocator `allocator`, where that is known.
    ///
    /// The count of free bits is compared with the bitmap only by [`Self::counts_agree`].
    ///
    /// # Errors
    /// [`Corrupt`] when any check fails. The caller has verified the ECC.
    pub fn parse(
        volume: &Volume,
        block: BlockNum,
        data: &'a [u8],
        allocator: Option<BlockNum>,
    ) -> Result<Self, Corrupt> {
        let input = Input::new(volume, block, Structure::GroupDescriptor, data)?;
        let raw: &RawGroupDescriptor = input.at(0)?;
        input.signature(raw.signature, Self::SIGNATURE)?;
        input.self_block("bg_blkno", raw.blkno.get())?;
        input.generation("bg_generation", raw.generation.get())?;
        input.owner("bg_parent_dinode", raw.parent_dinode.get(), allocator)?;
        let (size, bits, free) = (raw.size.get(), raw.bits.get(), raw.free_bits_count.get());
        input.count("bg_size", size, volume.geometry.block_size.room(GROUP_HEADER, 1))?;
        input.used(("bg_bits", bits), ("bits of bg_size", u32::from(size).saturating_mul(8)))?;
        input.used(("bg_free_bits_count", free), ("bg_bits", bits))?;
        let parent = raw.parent_dinode.get();
        let what =
            Check::PointerRange { structure: input.structure, field: "bg_parent_dinode", found: parent };
        input.ensure(parent != 0 && volume.geometry.contains(BlockNum(parent)), what)?;
        Ok(Self {
            block,
            bitmap_bytes: size,
            free,
            chain: raw.chain.get(),
            next: input.pointer("bg_next_group", raw.next_group.get())?,
            allocator: BlockNum(parent),
            bitmap: Bitmap::new(input.bytes_at(GROUP_HEADER, usize::from(size))?, u32::from(bits)),
            pieces: pieces(&input, usize::from(size), bits)?,
        })
    }

    /// Whether the count of free bits is the bitmap's.
    #[must_use]
    pub fn counts_agree(&self) -> bool {
        self.bitmap.len().checked_sub(self.bitmap.ones()) == Some(u32::from(self.free))
    }

    /// The runs of bits whose blocks lie side by side: the whole group, or its pieces.
    pub fn stretches(&self, volume: &Volume) -> impl Iterator<Item = Range<u32>> + use<'a> {
        let (per_cluster, bits) = (volume.geometry.blocks_per_cluster(), self.bitmap.len());
        let of_piece = move |piece: Extent| {
            let start = piece.cpos.saturating_mul(per_cluster);
            start..start.saturating_add(u32::from(piece.clusters).saturating_mul(per_cluster)).min(bits)
        };
        let whole = self.pieces.is_none().then_some(0..bits);
        whole.into_iter().chain(self.pieces.into_iter().flat_map(move |list| list.extents().map(of_piece)))
    }

    /// The block that bit `bit` of a suballocator's group stands for; `None` past the end.
    #[must_use]
    pub fn block_of_bit(&self, volume: &Volume, bit: u32) -> Option<BlockNum> {
        if bit >= self.bitmap.len() {
            return None;
        }
        let Some(pieces) = self.pieces else {
            return self.block.checked_add(u64::from(bit));
        };
        let per_cluster = volume.geometry.blocks_per_cluster();
        let piece = pieces.extent_for(bit.checked_div(per_cluster)?)?;
        let within = u64::from(bit).checked_sub(piece_start(volume, &piece))?;
        piece.block.checked_add(within)
    }
}

/// First bit of a piece.
fn piece_start(volume: &Volume, piece: &Extent) -> u64 {
    volume.geometry.clusters_to_blocks(u64::from(piece.cpos))
}

/// Checks the extent list of a discontiguous group: flat, dense from 0, and as long as the bitmap.
fn pieces<'a>(input: &Input<'_, 'a>, size: usize, bits: u16) -> Result<Option<ExtentList<'a>>, Corrupt> {
    let volume = input.volume;
    if size != GroupDescriptor::DISCONTIG_BITMAP || !volume.has(Incompat::DISCONTIG_BG) {
        return Ok(None);
    }
    let room = volume.geometry.block_size.room(GroupDescriptor::LIST_OFFSET.saturating_add(16), 16);
    let list = ExtentList::parse(input, GroupDescriptor::LIST_OFFSET, room, Tree::Data)?;
    if list.is_empty() {
        return Ok(None); // a contiguous group with room for a list
    }
    let depth = list.depth();
    input.ensure(depth == 0, Check::GroupListDepth { depth })?;
    let mut expected = 0;
    for (index, piece) in list.extents().enumerate() {
        let (index, cpos) = (index16(index), piece.cpos);
        input.ensure(u64::from(cpos) == expected, Check::GroupListOrder { index, cpos, expected })?;
        expected = piece.end();
    }
    let covered = volume.geometry.clusters_to_blocks(expected);
    let what = Check::GroupListCover { bits: covered, bg_bits: bits };
    input.ensure(covered == u64::from(bits), what)?;
    Ok(Some(list))
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;
    use crate::test_volume::{block_of, volume};

    /// A group of two pieces: clusters of 4 blocks, 3 + 2 clusters, 20 bits.
    fn discontiguous(edit: impl FnOnce(&mut RawGroupDescriptor, &mut [RawExtentRec; 2])) -> Vec<u8> {
        let mut raw = RawGroupDescriptor::new_zeroed();
        raw.signature = GroupDescriptor::SIGNATURE;
        raw.size = U16::new(256);
        raw.bits = U16::new(20);
        raw.free_bits_count = U16::new(18);
        raw.generation = U32::new(0x1234_5678);
        raw.parent_dinode = U64::new(40);
        raw.blkno = U64::new(400);
        let piece = |cpos, clusters, block| {
            let flags = ExtentFlags::empty();
            RawExtentRec::from_extent(&Extent { cpos, clusters, flags, block: BlockNum(block) })
        };
        let mut pieces = [piece(0, 3, 400), piece(3, 2, 800)];
        edit(&mut raw, &mut pieces);
        let list = RawExtentList { count: U16::new(235), next_free_rec: U16::new(2), ..Default::default() };
        let parts: [(usize, &[u8]); 4] =
            [(0, raw.as_bytes()), (0x40, &[0x11]), (0x140, list.as_bytes()), (0x150, pieces.as_bytes())];
        block_of(4096, &parts)
    }

    fn check(data: &[u8]) -> Check {
        GroupDescriptor::parse(&volume(12, 14), BlockNum(400), data, None).unwrap_err().what
    }

    #[test]
    fn bits_of_a_discontiguous_group_lie_in_its_pieces() {
        let (volume, data) = (volume(12, 14), discontiguous(|_, _| {}));
        let group = GroupDescriptor::parse(&volume, BlockNum(400), &data, Some(BlockNum(40))).unwrap();
        let place = |bit| group.block_of_bit(&volume, bit).map(BlockNum::get);
        assert_eq!([0, 11, 12, 19, 20].map(place), [Some(400), Some(411), Some(800), Some(807), None]);
        assert!(group.counts_agree());
    }

    #[test]
    fn each_check_of_the_pieces() {
        let depth = {
            let mut data = discontiguous(|_, _| {});
            data[0x140] = 1;
            data
        };
        assert_eq!(check(&depth), Check::GroupListDepth { depth: 1 });
        let hole = discontiguous(|_, pieces| pieces[1].cpos = U32::new(4));
        assert_eq!(check(&hole), Check::GroupListOrder { index: 1, cpos: 4, expected: 3 });
        let short = discontiguous(|_, pieces| pieces[1].leaf_clusters = U16::new(1));
        assert_eq!(check(&short), Check::GroupListCover { bits: 16, bg_bits: 20 });
        let structure = Structure::GroupDescriptor;
        let bits = discontiguous(|raw, _| raw.bits = U16::new(2049));
        let (field, of_field) = ("bg_bits", "bits of bg_size");
        assert_eq!(check(&bits), Check::Used { structure, field, found: 2049, of_field, of: 2048 });
    }
}
