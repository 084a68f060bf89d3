//! Descriptor blocks: which blocks of the volume the copies after it are of.

use bitflags::bitflags;
use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::block::{BlockType, MAGIC, RawHeader, Sequence};

/// A tag of 32-bit block numbers as it lies on disk (`struct journal_block_tag_s` without its last word).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawTag {
    /// `t_blocknr`, the low half.
    pub blocknr: U32,
    /// `t_checksum`: only with checksums.
    pub checksum: U16,
    /// `t_flags`: [`TagFlags`].
    pub flags: U16,
}
const _: () = assert!(size_of::<RawTag>() == 8);

bitflags! {
    /// `t_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct TagFlags: u16 {
        /// The copy began with the magic, which has been zeroed.
        const ESCAPE = 1;
        /// No UUID follows.
        const SAME_UUID = 2;
        /// Not used.
        const DELETED = 4;
        /// The last tag of its block.
        const LAST_TAG = 8;
        const _ = !0;
    }
}

/// How tags are laid out in a journal; checksummed forms are not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagFormat {
    /// Block numbers of 64 bits: tags of 12 bytes instead of 8.
    pub wide: bool,
}

/// Bytes of the UUID after a tag without SAME_UUID.
const UUID_LEN: usize = 16;

impl TagFormat {
    /// Bytes of a tag without UUID.
    #[must_use]
    pub fn tag_len(self) -> usize {
        if self.wide { 12 } else { size_of::<RawTag>() }
    }

    /// Tags that fit a descriptor block.
    #[must_use]
    pub fn capacity(self, block_size: usize) -> usize {
        let room = block_size.saturating_sub(size_of::<RawHeader>()).saturating_sub(UUID_LEN);
        room.checked_div(self.tag_len()).unwrap_or(0)
    }
}

/// A tag: the copy at its place is of `block`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Block of the volume.
    pub block: u64,
    /// Flags.
    pub flags: TagFlags,
}

/// The tags of a descriptor block, in the order of the copies that follow it.
#[derive(Clone, Debug)]
pub struct Tags<'a> {
    format: TagFormat,
    rest: &'a [u8],
}

impl<'a> Tags<'a> {
    /// Tags of the descriptor block `data`.
    #[must_use]
    pub fn new(format: TagFormat, data: &'a [u8]) -> Self {
        Self { format, rest: data.get(size_of::<RawHeader>()..).unwrap_or_default() }
    }
}

impl Iterator for Tags<'_> {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        // A block without room for one more whole tag ends, as does one whose last tag says so.
        let (tag, after) = self.rest.split_at_checked(self.format.tag_len())?;
        let (raw, high) = RawTag::ref_from_prefix(tag).ok()?;
        let flags = TagFlags::from_bits_retain(raw.flags.get());
        let high = U32::ref_from_bytes(high).map_or(0, |high| u64::from(high.get()));
        let uuid = if flags.contains(TagFlags::SAME_UUID) { 0 } else { UUID_LEN };
        let last = flags.contains(TagFlags::LAST_TAG);
        self.rest = if last { &[] } else { after.get(uuid..).unwrap_or_default() };
        Some(Tag { block: high.wrapping_shl(32) | u64::from(raw.blocknr.get()), flags })
    }
}

/// Fills the descriptor block `out` with tags for `blocks`: block of the volume, and whether its copy is escaped.
///
/// Returns `None` when there are none or more than [`TagFormat::capacity`], or a number needs a wide tag.
pub fn encode_descriptor(
    format: TagFormat,
    sequence: Sequence,
    uuid: [u8; 16],
    blocks: &[(u64, bool)],
    out: &mut [u8],
) -> Option<()> {
    if blocks.is_empty() || blocks.len() > format.capacity(out.len()) {
        return None;
    }
    if !format.wide && blocks.iter().any(|&(block, _)| u32::try_from(block).is_err()) {
        return None;
    }
    out.fill(0);
    RawHeader::new(BlockType::Descriptor, sequence).write_to_prefix(out).ok()?;
    let mut rest = out.get_mut(size_of::<RawHeader>()..)?;
    let last = blocks.len().checked_sub(1)?;
    for (index, &(block, escaped)) in blocks.iter().enumerate() {
        let mut flags = TagFlags::empty();
        flags.set(TagFlags::ESCAPE, escaped);
        flags.set(TagFlags::SAME_UUID, index != 0);
        flags.set(TagFlags::LAST_TAG, index == last);
        let low = u32::try_from(block & 0xffff_ffff).ok()?;
        let raw = RawTag { blocknr: U32::new(low), checksum: U16::ZERO, flags: U16::new(flags.bits()) };
        let (tag, after) = rest.split_at_mut_checked(format.tag_len())?;
        raw.write_to_prefix(tag).ok()?;
        if format.wide {
            let high = u32::try_from(block.wrapping_shr(32)).ok()?;
            U32::new(high).write_to_suffix(tag).ok()?;
        }
        rest = after;
        if index == 0 {
            let (place, after) = rest.split_at_mut_checked(UUID_LEN)?;
            place.copy_from_slice(&uuid);
            rest = after;
        }
    }
    Some(())
}

/// Makes a copy safe to lie in the log: zeroes its first word if that is the magic. Returns whether it did.
#[must_use]
pub fn escape(data: &mut [u8]) -> bool {
    match data.first_chunk_mut::<4>() {
        Some(word) if *word == MAGIC.to_be_bytes() => {
            word.fill(0);
            true
        }
        _ => false,
    }
}

/// Gives a copy that was escaped its first word back.
pub fn unescape(data: &mut [u8]) {
    if let Some(word) = data.first_chunk_mut::<4>() {
        *word = MAGIC.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(fixtures::cases(64)) })]

        #[test]
        fn tags_round_trip(
            wide in any::<bool>(),
            bits in 9_u32..=12,
            blocks in prop::collection::vec((any::<u64>(), any::<bool>()), 1..512),
        ) {
            let format = TagFormat { wide };
            let mask = if wide { u64::MAX } else { u64::from(u32::MAX) };
            let mut out = vec![0xee; 1 << bits];
            let mut blocks: Vec<_> = blocks.into_iter().map(|(block, escaped)| (block & mask, escaped)).collect();
            if blocks.len() > format.capacity(out.len()) {
                prop_assert_eq!(encode_descriptor(format, Sequence(1), [9; 16], &blocks, &mut out), None);
                blocks.truncate(format.capacity(out.len()));
            }
            encode_descriptor(format, Sequence(1), [9; 16], &blocks, &mut out).unwrap();
            let back: Vec<_> =
                Tags::new(format, &out).map(|tag| (tag.block, tag.flags.contains(TagFlags::ESCAPE))).collect();
            prop_assert_eq!(back, blocks);
        }

        #[test]
        fn tags_of_any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..4096), wide in any::<bool>()) {
            let count = Tags::new(TagFormat { wide }, &bytes).count();
            prop_assert!(count <= bytes.len() / 8);
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        let narrow = TagFormat { wide: false };
        assert_eq!(encode_descriptor(narrow, Sequence(1), [0; 16], &[(1 << 32, false)], &mut [0; 512]), None);
        assert_eq!(encode_descriptor(narrow, Sequence(1), [0; 16], &[], &mut [0; 512]), None);
    }

    #[test]
    fn escaping_is_undone() {
        let mut data = [MAGIC.to_be_bytes(), [1, 2, 3, 4]].concat();
        let before = data.clone();
        assert!(escape(&mut data));
        assert_eq!(data[..4], [0; 4]);
        assert!(!escape(&mut data));
        unescape(&mut data);
        assert_eq!(data, before);
    }
}
