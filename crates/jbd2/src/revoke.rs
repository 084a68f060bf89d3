//! Revoke blocks: of these blocks, no copy up to this transaction may be replayed.
//!
//! OCFS2 never writes them; a log that has them is replayed all the same.

use zerocopy::IntoBytes;
use zerocopy::big_endian::{U32, U64};

use crate::block::{BlockType, RawHeader, Sequence};
use crate::descriptor::TagFormat;

/// Bytes before the block numbers: header and `r_count`.
const HEAD: usize = 16;

/// The block numbers of a revoke block.
#[derive(Clone, Debug)]
pub struct Revokes<'a> {
    size: usize,
    rest: &'a [u8],
}

impl<'a> Revokes<'a> {
    /// Numbers of the revoke block `data`.
    ///
    /// # Errors
    /// `r_count`, when it is more than the block.
    pub fn new(format: TagFormat, data: &'a [u8]) -> Result<Self, u32> {
        let size = if format.wide { size_of::<U64>() } else { size_of::<U32>() };
        let count = data.get(size_of::<RawHeader>()..HEAD).and_then(|bytes| bytes.first_chunk::<4>());
        let count = count.map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes));
        let end = usize::try_from(count).unwrap_or(usize::MAX);
        let rest = data.get(..end).ok_or(count)?;
        Ok(Self { size, rest: rest.get(HEAD..).unwrap_or_default() })
    }
}

impl Iterator for Revokes<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (number, after) = self.rest.split_at_checked(self.size)?;
        self.rest = after;
        Some(number.iter().fold(0, |sum, &byte| sum.wrapping_shl(8) | u64::from(byte)))
    }
}

/// Fills the revoke block `out`. `None` when the numbers do not fit.
pub fn encode_revoke(format: TagFormat, sequence: Sequence, blocks: &[u64], out: &mut [u8]) -> Option<()> {
    let size = if format.wide { size_of::<U64>() } else { size_of::<U32>() };
    let end = HEAD.checked_add(size.checked_mul(blocks.len())?)?;
    if end > out.len() || (!format.wide && blocks.iter().any(|&block| u32::try_from(block).is_err())) {
        return None;
    }
    out.fill(0);
    RawHeader::new(BlockType::Revoke, sequence).write_to_prefix(out).ok()?;
    U32::new(u32::try_from(end).ok()?).write_to_prefix(out.get_mut(size_of::<RawHeader>()..)?).ok()?;
    for (place, &block) in out.get_mut(HEAD..end)?.chunks_exact_mut(size).zip(blocks) {
        let bytes = block.to_be_bytes();
        let number = bytes.last_chunk::<4>().filter(|_| !format.wide).map_or(&bytes[..], |low| &low[..]);
        place.copy_from_slice(number);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(fixtures::cases(64)) })]

        #[test]
        fn numbers_round_trip(wide in any::<bool>(), blocks in prop::collection::vec(any::<u64>(), 0..70)) {
            let format = TagFormat { wide };
            let mask = if wide { u64::MAX } else { u64::from(u32::MAX) };
            let blocks: Vec<_> = blocks.into_iter().map(|block| block & mask).collect();
            let mut out = vec![0xee; 512];
            let fits = 16 + blocks.len() * if wide { 8 } else { 4 } <= 512;
            prop_assert_eq!(encode_revoke(format, Sequence(3), &blocks, &mut out).is_some(), fits);
            if fits {
                prop_assert_eq!(Revokes::new(format, &out).unwrap().collect::<Vec<_>>(), blocks);
            }
        }
    }

    #[test]
    fn a_count_beyond_the_block_is_an_error() {
        let format = TagFormat { wide: false };
        let mut out = vec![0; 512];
        encode_revoke(format, Sequence(3), &[1, 2], &mut out).unwrap();
        out[12..16].copy_from_slice(&513_u32.to_be_bytes());
        assert_eq!(Revokes::new(format, &out).unwrap_err(), 513);
        out[12..16].copy_from_slice(&3_u32.to_be_bytes());
        assert_eq!(Revokes::new(format, &out).unwrap().count(), 0);
    }
}
