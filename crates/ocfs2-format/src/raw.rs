//! Getting at raw structures inside a block without offset arithmetic or panics.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Check, Corrupt, Signature, Structure};
use crate::units::BlockNum;
use crate::volume::Volume;

/// Asserts size and field offsets of a raw structure when the crate is compiled.
macro_rules! layout {
    ($raw:ty, $size:expr, { $($field:ident: $offset:expr),* $(,)? }) => {
        const _: () = assert!(size_of::<$raw>() == $size);
        const _: () = assert!(align_of::<$raw>() == 1);
        $(const _: () = assert!(std::mem::offset_of!($raw, $field) == $offset);)*
    };
}
pub(crate) use layout;

/// A block of one volume on its way to a checked structure: the arguments every `parse` has.
#[derive(Clone, Copy)]
pub(crate) struct Input<'v, 'a> {
    pub(crate) volume: &'v Volume,
    pub(crate) block: BlockNum,
    pub(crate) structure: Structure,
    pub(crate) data: &'a [u8],
}

impl<'v, 'a> Input<'v, 'a> {
    /// Takes the first block of `data`; fails when there is less than one.
    pub(crate) fn new(
        volume: &'v Volume,
        block: BlockNum,
        structure: Structure,
        data: &'a [u8],
    ) -> Result<Self, Corrupt> {
        Self::of_len(volume, block, structure, data, volume.geometry.block_size.len())
    }

    /// The same with a length that is not the block size.
    pub(crate) fn of_len(
        volume: &'v Volume,
        block: BlockNum,
        structure: Structure,
        data: &'a [u8],
        want: usize,
    ) -> Result<Self, Corrupt> {
        match data.get(..want) {
            Some(data) => Ok(Self { volume, block, structure, data }),
            None => Err(Corrupt { block, what: Check::Short { structure, len: data.len(), want } }),
        }
    }

    /// An error about this block.
    pub(crate) fn fail<T>(&self, what: Check) -> Result<T, Corrupt> {
        Err(Corrupt { block: self.block, what })
    }

    /// Fails with `what` unless `ok`.
    pub(crate) fn ensure(&self, ok: bool, what: Check) -> Result<(), Corrupt> {
        if ok { Ok(()) } else { self.fail(what) }
    }

    fn short(&self, want: usize) -> Corrupt {
        let what = Check::Short { structure: self.structure, len: self.data.len(), want };
        Corrupt { block: self.block, what }
    }

    /// The raw structure at byte `offset`.
    pub(crate) fn at<T>(&self, offset: usize) -> Result<&'a T, Corrupt>
    where
        T: FromBytes + Immutable + KnownLayout + Unaligned,
    {
        let tail = self.data.get(offset..).and_then(|tail| T::ref_from_prefix(tail).ok());
        tail.map(|(raw, _)| raw).ok_or_else(|| self.short(offset.saturating_add(size_of::<T>())))
    }

    /// `count` raw structures from byte `offset` on.
    pub(crate) fn slice_at<T>(&self, offset: usize, count: usize) -> Result<&'a [T], Corrupt>
    where
        T: FromBytes + Immutable + Unaligned,
    {
        let tail =
            self.data.get(offset..).and_then(|tail| <[T]>::ref_from_prefix_with_elems(tail, count).ok());
        let want = || offset.saturating_add(count.saturating_mul(size_of::<T>()));
        tail.map(|(raw, _)| raw).ok_or_else(|| self.short(want()))
    }

    /// `len` bytes from byte `offset` on.
    pub(crate) fn bytes_at(&self, offset: usize, len: usize) -> Result<&'a [u8], Corrupt> {
        self.slice_at(offset, len)
    }

    /// Checks the signature.
    pub(crate) fn signature(&self, found: [u8; 8], expected: [u8; 8]) -> Result<(), Corrupt> {
        let structure = self.structure;
        let what = Check::Signature { structure, found: Signature(found), expected: Signature(expected) };
        self.ensure(found == expected, what)
    }

    /// Checks a field that must hold the block's own number.
    pub(crate) fn self_block(&self, field: &'static str, found: u64) -> Result<(), Corrupt> {
        self.ensure(found == self.block.0, Check::SelfBlock { structure: self.structure, field, found })
    }

    /// Checks a field that must hold the volume's generation.
    pub(crate) fn generation(&self, field: &'static str, found: u32) -> Result<(), Corrupt> {
        let expected = self.volume.fs_generation;
        let what = Check::FsGeneration { structure: self.structure, field, found, expected };
        self.ensure(found == expected, what)
    }

    /// Checks a field that must hold the number of an owning block, where the owner is known.
    pub(crate) fn owner(
        &self,
        field: &'static str,
        found: u64,
        expected: Option<BlockNum>,
    ) -> Result<(), Corrupt> {
        match expected {
            Some(expected) if expected.0 != found => {
                let structure = self.structure;
                self.fail(Check::Owner { structure, field, found, expected: expected.0 })
            }
            _ => Ok(()),
        }
    }

    /// A block pointer that may be 0 for "none" and else must lie inside the volume.
    pub(crate) fn pointer(&self, field: &'static str, found: u64) -> Result<Option<BlockNum>, Corrupt> {
        let Some(block) = BlockNum::nonzero(found) else { return Ok(None) };
        let what = Check::PointerRange { structure: self.structure, field, found };
        self.ensure(self.volume.geometry.contains(block), what)?;
        Ok(Some(block))
    }

    /// A count that must not exceed what fits.
    pub(crate) fn count(
        &self,
        field: &'static str,
        found: impl Into<u64>,
        max: usize,
    ) -> Result<(), Corrupt> {
        let (found, max) = (found.into(), u64::try_from(max).unwrap_or(u64::MAX));
        self.ensure(found <= max, Check::Count { structure: self.structure, field, found, max })
    }

    /// A count that must not exceed another field.
    pub(crate) fn used(
        &self,
        (field, found): (&'static str, impl Into<u64>),
        (of_field, of): (&'static str, impl Into<u64>),
    ) -> Result<(), Corrupt> {
        let (found, of) = (found.into(), of.into());
        let what = Check::Used { structure: self.structure, field, found, of_field, of };
        self.ensure(found <= of, what)
    }
}

/// The raw structure at the start of `data`, to be changed, and the bytes behind it. `block` is for the message.
pub(crate) fn head_mut<T>(
    block: BlockNum,
    structure: Structure,
    data: &mut [u8],
) -> Result<(&mut T, &mut [u8]), Corrupt>
where
    T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned,
{
    let len = data.len();
    let what = Check::Short { structure, len, want: size_of::<T>() };
    T::mut_from_prefix(data).map_err(|_| Corrupt { block, what })
}

/// `count` raw structures at the start of `data`, to be changed.
pub(crate) fn slice_mut<T>(
    block: BlockNum,
    structure: Structure,
    data: &mut [u8],
    count: u16,
) -> Result<&mut [T], Corrupt>
where
    T: FromBytes + IntoBytes + Immutable + Unaligned,
{
    let (len, count) = (data.len(), usize::from(count));
    let what = Check::Short { structure, len, want: count.saturating_mul(size_of::<T>()) };
    let slice = <[T]>::mut_from_prefix_with_elems(data, count);
    slice.map(|(slice, _)| slice).map_err(|_| Corrupt { block, what })
}

/// The index of a record, for messages: lists hold at most some thousands.
pub(crate) fn index16(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}
