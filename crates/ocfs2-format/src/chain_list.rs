//! Chain lists: the body of an allocator inode.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::dinode::RawDinode;
use crate::error::{Check, Corrupt, Structure};
use crate::raw::{Input, head_mut, index16, layout, slice_mut};
use crate::units::{BlockNum, BlockSize};

/// Head of a chain list as it lies on disk (`struct ocfs2_chain_list`, 16 bytes before the records).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawChainList {
    /// `cl_cpg`: clusters in a group.
    pub cpg: U16,
    /// `cl_bpc`: bits for one cluster.
    pub bpc: U16,
    /// `cl_count`: records that fit.
    pub count: U16,
    /// `cl_next_free_rec`: chains in use.
    pub next_free_rec: U16,
    /// Reserved.
    pub reserved: U64,
}
layout!(RawChainList, 16, { count: 4, next_free_rec: 6 });

impl RawChainList {
    /// A list without chains, of an allocator with groups of `cpg` clusters and `bpc` bits for a cluster.
    #[must_use]
    pub fn empty(block_size: BlockSize, cpg: u16, bpc: u16) -> Self {
        let count = U16::new(index16(ChainList::room(block_size)));
        Self { cpg: U16::new(cpg), bpc: U16::new(bpc), count, ..Self::default() }
    }

    /// The list in `body`, the body of the dinode `block`, to be changed: head and all `cl_count` records.
    ///
    /// # Errors
    /// [`Check::Short`] when `body` is shorter than it says. The caller has checked the list.
    pub fn mut_from(block: BlockNum, body: &mut [u8]) -> Result<(&mut Self, &mut [RawChainRec]), Corrupt> {
        let (head, tail) = head_mut::<Self>(block, Structure::ChainList, body)?;
        let records = slice_mut(block, Structure::ChainList, tail, head.count.get())?;
        Ok((head, records))
    }
}

/// A chain as it lies on disk (`struct ocfs2_chain_rec`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawChainRec {
    /// `c_free`: bits free in all groups of the chain.
    pub free: U32,
    /// `c_total`: bits of all groups of the chain.
    pub total: U32,
    /// `c_blkno`: first group descriptor.
    pub blkno: U64,
}
layout!(RawChainRec, 16, { blkno: 8 });

impl From<&Chain> for RawChainRec {
    fn from(chain: &Chain) -> Self {
        Self { free: U32::new(chain.free), total: U32::new(chain.total), blkno: U64::new(chain.head.0) }
    }
}

/// A checked chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Bits free.
    pub free: u32,
    /// Bits in all.
    pub total: u32,
    /// First group descriptor.
    pub head: BlockNum,
}

/// A checked chain list.
#[derive(Clone, Copy, Debug)]
pub struct ChainList<'a> {
    /// Clusters in a full group.
    pub clusters_per_group: u16,
    /// Bits for one cluster: 1 in the cluster bitmap, the blocks of a cluster in suballocators.
    pub bits_per_cluster: u16,
    /// Chains that fit.
    pub capacity: u16,
    records: &'a [RawChainRec],
}

impl<'a> ChainList<'a> {
    /// Chains that fit: 19, 51, 115 or 243.
    #[must_use]
    pub fn room(block_size: BlockSize) -> usize {
        let head = RawDinode::BODY_OFFSET.saturating_add(size_of::<RawChainList>());
        block_size.room(head, size_of::<RawChainRec>())
    }

    pub(crate) fn parse(input: &Input<'_, 'a>) -> Result<Self, Corrupt> {
        let input = &Input { structure: Structure::ChainList, ..*input };
        let raw: &RawChainList = input.at(RawDinode::BODY_OFFSET)?;
        let geometry = &input.volume.geometry;
        let (count, used, bpc) = (raw.count.get(), raw.next_free_rec.get(), raw.bpc.get());
        input.count("cl_count", count, Self::room(geometry.block_size))?;
        input.used(("cl_next_free_rec", used), ("cl_count", count))?;
        let bpc_ok = bpc == 1 || u32::from(bpc) == geometry.blocks_per_cluster();
        input.ensure(bpc_ok, Check::BitsPerCluster { found: bpc })?;
        let records: &[RawChainRec] = input.slice_at(0xd0, usize::from(used))?;
        for (chain, record) in records.iter().enumerate() {
            let (free, total, chain) = (record.free.get(), record.total.get(), index16(chain));
            input.ensure(free <= total, Check::ChainFree { chain, free, total })?;
            let found = record.blkno.get();
            if input.pointer("c_blkno", found)?.is_none() {
                return input.fail(Check::PointerRange {
                    structure: input.structure,
                    field: "c_blkno",
                    found,
                });
            }
        }
        Ok(Self { clusters_per_group: raw.cpg.get(), bits_per_cluster: bpc, capacity: count, records })
    }

    /// The chains in use.
    pub fn chains(&self) -> impl ExactSizeIterator<Item = Chain> + use<'a> {
        self.records.iter().map(|record| Chain {
            free: record.free.get(),
            total: record.total.get(),
            head: BlockNum(record.blkno.get()),
        })
    }
}
