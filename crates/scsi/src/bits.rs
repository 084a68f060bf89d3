//! Small readers and writers that cannot panic.

use crate::ParseError;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The structure at the head of `bytes`.
pub(crate) fn head<T: FromBytes + KnownLayout + Immutable>(
    bytes: &[u8],
    what: &'static str,
) -> Result<T, ParseError> {
    T::read_from_prefix(bytes).map(|(raw, _)| raw).map_err(|_| ParseError::Short {
        what,
        need: size_of::<T>(),
        have: bytes.len(),
    })
}

/// `mask` where `on`, else 0.
pub(crate) const fn flag(on: bool, mask: u8) -> u8 {
    if on { mask } else { 0 }
}

/// The length as a u8, at most 255.
pub(crate) fn len_u8(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

/// The length as a u16, at most 65535.
pub(crate) fn len_u16(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// The length as a u32, at most 2^32 - 1.
pub(crate) fn len_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The u32 as a length; this workspace's targets have pointers of 32 bits or more.
pub(crate) fn to_usize(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
