//! Local alloc: a slot's window of clusters already taken from the cluster bitmap.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bitmap::Bitmap;
use crate::dinode::{Dinode, RawDinode};
use crate::error::{Check, Corrupt, Structure};
use crate::raw::{Input, head_mut, index16, layout, slice_mut};
use crate::units::{BlockNum, BlockSize, ClusterNum};

/// Head of a local alloc as it lies on disk (`struct ocfs2_local_alloc`); the bitmap follows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawLocalAlloc {
    /// `la_bm_off`: first cluster of the window.
    pub bm_off: U32,
    /// `la_size`: bytes of the bitmap.
    pub size: U16,
    /// Reserved.
    pub reserved1: U16,
    /// Reserved.
    pub reserved2: [u8; 8],
}
layout!(RawLocalAlloc, 16, { size: 4 });

impl RawLocalAlloc {
    /// No window: what a slot that is not mounted has.
    #[must_use]
    pub fn empty(block_size: BlockSize) -> Self {
        Self { size: U16::new(index16(LocalAlloc::bitmap_bytes(block_size))), ..Self::default() }
    }

    /// The window in `body`, the body of the dinode `block`, to be changed: head and bitmap.
    ///
    /// # Errors
    /// [`Check::Short`] when `body` is shorter than it says. The caller has checked the window.
    pub fn mut_from(block: BlockNum, body: &mut [u8]) -> Result<(&mut Self, &mut [u8]), Corrupt> {
        let (head, tail) = head_mut::<Self>(block, Structure::LocalAlloc, body)?;
        let bitmap = slice_mut(block, Structure::LocalAlloc, tail, head.size.get())?;
        Ok((head, bitmap))
    }
}

/// A checked local alloc.
#[derive(Clone, Copy, Debug)]
pub struct LocalAlloc<'a> {
    /// First cluster of the window; 0 without one.
    pub start: ClusterNum,
    /// Clusters of the window (`i_total`); 0 without one.
    pub bits: u32,
    /// Clusters of it in use (`i_used`).
    pub used: u32,
    /// Bits that fit the dinode: the largest window there can be.
    pub capacity: u32,
    /// Bitmap of the window, one bit a cluster, 1 = in use.
    pub bitmap: Bitmap<'a>,
}

impl<'a> LocalAlloc<'a> {
    /// Bytes of the bitmap: 304, 816, 1840 or 3888.
    #[must_use]
    pub fn bitmap_bytes(block_size: BlockSize) -> usize {
        block_size.room(RawDinode::BODY_OFFSET.saturating_add(size_of::<RawLocalAlloc>()), 1)
    }

    pub(crate) fn parse(input: &Input<'_, 'a>, dinode: &Dinode) -> Result<Self, Corrupt> {
        let input = &Input { structure: Structure::LocalAlloc, ..*input };
        let raw: &RawLocalAlloc = input.at(RawDinode::BODY_OFFSET)?;
        let (start, size) = (raw.bm_off.get(), raw.size.get());
        input.count("la_size", size, Self::bitmap_bytes(input.volume.geometry.block_size))?;
        let usage = dinode.bitmap_usage();
        let (used, bits) = usage.map_or((0, 0), |usage| (usage.used, usage.total));
        input.used(("i_total", bits), ("bits of la_size", u32::from(size).saturating_mul(8)))?;
        input.used(("i_used", used), ("i_total", bits))?;
        let inside = start.checked_add(bits).is_some_and(|end| end <= input.volume.geometry.clusters.0);
        input.ensure(inside, Check::LocalWindow { start, bits })?;
        let bytes = input.bytes_at(0xd0, usize::from(size))?;
        let capacity = u32::from(size).saturating_mul(8);
        Ok(Self { start: ClusterNum(start), bits, used, capacity, bitmap: Bitmap::new(bytes, bits) })
    }
}
