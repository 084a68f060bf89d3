//! The journal's superblock.

use bitflags::bitflags;
use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::block::{BlockType, MAGIC, RawHeader, Sequence};
use crate::descriptor::TagFormat;
use crate::error::JournalError;

/// A journal superblock as it lies on disk (`struct journal_superblock_s`, 1024 bytes: two blocks of 512).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RawJournalSuperblock {
    /// Type 4; the sequence is not used.
    pub header: RawHeader,
    /// `s_blocksize`.
    pub blocksize: U32,
    /// `s_maxlen`: blocks of the journal.
    pub maxlen: U32,
    /// `s_first`: first block of the log.
    pub first: U32,
    /// `s_sequence`: first transaction to expect.
    pub sequence: U32,
    /// `s_start`: where it begins; 0 = the log is empty.
    pub start: U32,
    /// `s_errno`.
    pub errno: U32,
    /// `s_feature_compat`.
    pub feature_compat: U32,
    /// `s_feature_incompat`.
    pub feature_incompat: U32,
    /// `s_feature_ro_compat`.
    pub feature_ro_compat: U32,
    /// `s_uuid`.
    pub uuid: [u8; 16],
    /// `s_nr_users`.
    pub nr_users: U32,
    /// `s_dynsuper`.
    pub dynsuper: U32,
    /// `s_max_transaction`.
    pub max_transaction: U32,
    /// `s_max_trans_data`.
    pub max_trans_data: U32,
    /// `s_checksum_type`.
    pub checksum_type: u8,
    /// Padding.
    pub padding2: [u8; 3],
    /// `s_num_fc_blks`.
    pub num_fc_blks: U32,
    /// Padding.
    pub padding: [U32; 41],
    /// `s_checksum`.
    pub checksum: U32,
    /// `s_users`.
    pub users: [[u8; 16]; 48],
}
const _: () = assert!(size_of::<RawJournalSuperblock>() == 1024);
const _: () = assert!(std::mem::offset_of!(RawJournalSuperblock, start) == 0x1c);
const _: () = assert!(std::mem::offset_of!(RawJournalSuperblock, uuid) == 0x30);
const _: () = assert!(std::mem::offset_of!(RawJournalSuperblock, checksum) == 0xfc);

bitflags! {
    /// `s_feature_compat`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CompatFeatures: u32 {
        /// Commit blocks carry a CRC of the transaction.
        const CHECKSUM = 0x01;
        const _ = !0;
    }

    /// `s_feature_incompat`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct IncompatFeatures: u32 {
        /// There may be revoke blocks.
        const REVOKE = 0x01;
        /// Block numbers of 64 bits.
        const BIT64 = 0x02;
        /// Commit blocks are written together with the copies.
        const ASYNC_COMMIT = 0x04;
        /// Checksums, second version.
        const CSUM_V2 = 0x08;
        /// Checksums, third version.
        const CSUM_V3 = 0x10;
        /// Fast commits at the end of the journal.
        const FAST_COMMIT = 0x20;
        const _ = !0;
    }

    /// `s_feature_ro_compat`: none is known.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RoCompatFeatures: u32 {
        const _ = !0;
    }
}

/// Known incompatible features by name, and whether a log with it can be replayed here.
const INCOMPAT: [(IncompatFeatures, &str, bool); 6] = [
    (IncompatFeatures::REVOKE, "revoke", true),
    (IncompatFeatures::BIT64, "64bit", true),
    (IncompatFeatures::ASYNC_COMMIT, "async-commit", false),
    (IncompatFeatures::CSUM_V2, "checksum-v2", false),
    (IncompatFeatures::CSUM_V3, "checksum-v3", false),
    (IncompatFeatures::FAST_COMMIT, "fast-commit", false),
];

/// A checked journal superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSuperblock {
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks of the journal: log blocks are `first` to `maxlen - 1`.
    pub maxlen: u32,
    /// First block of the log.
    pub first: u32,
    /// First transaction to expect.
    pub sequence: Sequence,
    /// Where it begins; `None` = the log is empty. Not checked here: `mkfs.ocfs2` leaves a 1 in new journals,
    /// which with 512-byte blocks is not even in the log, and it means nothing until the journal is dirty.
    pub start: Option<u32>,
    /// Error that the kernel wrote down; 0 = none.
    pub errno: u32,
    /// Compatible features.
    pub compat: CompatFeatures,
    /// Incompatible features.
    pub incompat: IncompatFeatures,
    /// Identity: the volume's UUID.
    pub uuid: [u8; 16],
}

impl JournalSuperblock {
    /// Bytes to read from the start of the journal for [`Self::parse`].
    pub const LEN: usize = 1024;

    /// Checks the superblock in the first [`Self::LEN`] bytes of a journal of `available` blocks of `block_size` bytes.
    ///
    /// # Errors
    /// [`JournalError`] when any check fails. Features that only forbid a replay are [`Replay::new`](crate::Replay::new)'s to refuse.
    pub fn parse(data: &[u8], block_size: u32, available: u32) -> Result<Self, JournalError> {
        let Ok((raw, _)) = RawJournalSuperblock::ref_from_prefix(data) else {
            return Err(JournalError::Short { len: data.len(), want: Self::LEN });
        };
        let found = raw.header.magic.get();
        if found != MAGIC {
            return Err(JournalError::Magic { found });
        }
        let found = raw.header.blocktype.get();
        if found != BlockType::Superblock.code() {
            return Err(JournalError::Version { found });
        }
        let found = raw.blocksize.get();
        if found != block_size {
            return Err(JournalError::BlockSize { found, expected: block_size });
        }
        let maxlen = raw.maxlen.get();
        if maxlen > available {
            return Err(JournalError::MaxLen { found: maxlen, available });
        }
        // The superblock takes one block, or two of 512 bytes.
        let lowest = if block_size < 1024 { 2 } else { 1 };
        let first = raw.first.get();
        if first < lowest || first >= maxlen {
            return Err(JournalError::First { found: first, lowest, maxlen });
        }
        let start = Some(raw.start.get()).filter(|&start| start != 0);
        let (incompat, ro_compat) = (raw.feature_incompat.get(), raw.feature_ro_compat.get());
        let known = INCOMPAT.iter().fold(0, |known, (bit, ..)| known | bit.bits());
        for (word, bits) in [("s_feature_incompat", incompat & !known), ("s_feature_ro_compat", ro_compat)] {
            if bits != 0 {
                return Err(JournalError::UnknownFeature { word, bits });
            }
        }
        Ok(Self {
            block_size,
            maxlen,
            first,
            sequence: Sequence(raw.sequence.get()),
            start,
            errno: raw.errno.get(),
            compat: CompatFeatures::from_bits_retain(raw.feature_compat.get()),
            incompat: IncompatFeatures::from_bits_retain(incompat),
            uuid: raw.uuid,
        })
    }

    /// Refuses features whose logs cannot be replayed here, by name.
    ///
    /// # Errors
    /// [`JournalError::Unsupported`].
    pub fn check_replayable(&self) -> Result<(), JournalError> {
        if self.compat.contains(CompatFeatures::CHECKSUM) {
            return Err(JournalError::Unsupported { feature: "checksum" });
        }
        let refused = INCOMPAT.iter().find(|(bit, _, ok)| !ok && self.incompat.contains(*bit));
        refused.map_or(Ok(()), |&(_, feature, _)| Err(JournalError::Unsupported { feature }))
    }

    /// How tags are laid out.
    #[must_use]
    pub fn tag_format(&self) -> TagFormat {
        TagFormat { wide: self.incompat.contains(IncompatFeatures::BIT64) }
    }

    /// The log block after `block`, at the end of the ring the first again.
    #[must_use]
    pub fn next_block(&self, block: u32) -> u32 {
        match block.checked_add(1) {
            Some(next) if next < self.maxlen => next,
            _ => self.first,
        }
    }

    /// Blocks of the log.
    #[must_use]
    pub fn log_len(&self) -> u32 {
        self.maxlen.saturating_sub(self.first)
    }

    /// Moves the log's start in the raw superblock: to `start` with transaction `sequence`, or to empty.
    pub fn set_start(raw: &mut RawJournalSuperblock, sequence: Sequence, start: Option<u32>) {
        raw.sequence = U32::new(sequence.0);
        raw.start = U32::new(start.unwrap_or(0));
    }

    /// A new superblock for a journal of `maxlen` blocks, as `mkfs.ocfs2` writes it.
    #[must_use]
    pub fn format(
        block_size: u32,
        maxlen: u32,
        uuid: [u8; 16],
        incompat: IncompatFeatures,
    ) -> RawJournalSuperblock {
        RawJournalSuperblock {
            header: RawHeader::new(BlockType::Superblock, Sequence(0)),
            blocksize: U32::new(block_size),
            maxlen: U32::new(maxlen),
            first: U32::new(if block_size < 1024 { 2 } else { 1 }),
            sequence: U32::new(1),
            start: U32::new(1),
            feature_incompat: U32::new(incompat.bits()),
            uuid,
            nr_users: U32::new(1),
            ..zerocopy::FromZeros::new_zeroed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(
        block_size: u32,
        edit: impl FnOnce(&mut RawJournalSuperblock),
    ) -> Result<JournalSuperblock, JournalError> {
        let mut raw = JournalSuperblock::format(block_size, 2048, [7; 16], IncompatFeatures::empty());
        raw.start = raw.first;
        edit(&mut raw);
        JournalSuperblock::parse(raw.as_bytes(), block_size, 2048)
    }

    #[test]
    fn the_log_is_a_ring() {
        let superblock = parse(4096, |_| {}).unwrap();
        assert_eq!((superblock.first, superblock.start, superblock.log_len()), (1, Some(1), 2047));
        assert_eq!([1, 2046, 2047].map(|block| superblock.next_block(block)), [2, 2047, 1]);
        assert_eq!(parse(4096, |raw| raw.start = U32::ZERO).unwrap().start, None);
    }

    #[test]
    fn with_512_byte_blocks_the_log_begins_at_block_2() {
        assert_eq!(parse(512, |_| {}).unwrap().first, 2);
        let first = JournalError::First { found: 1, lowest: 2, maxlen: 2048 };
        assert_eq!(parse(512, |raw| raw.first = U32::new(1)), Err(first));
        // mkfs leaves s_start 1 there, inside the superblock: no damage, as the journal is clean.
        assert_eq!(parse(512, |raw| raw.start = U32::new(1)).unwrap().start, Some(1));
    }

    #[test]
    fn each_check_names_its_field() {
        assert_eq!(parse(4096, |raw| raw.header.magic = U32::new(9)), Err(JournalError::Magic { found: 9 }));
        assert_eq!(
            parse(4096, |raw| raw.header.blocktype = U32::new(3)),
            Err(JournalError::Version { found: 3 })
        );
        let size = JournalError::BlockSize { found: 1024, expected: 4096 };
        assert_eq!(parse(4096, |raw| raw.blocksize = U32::new(1024)), Err(size));
        let maxlen = JournalError::MaxLen { found: 2049, available: 2048 };
        assert_eq!(parse(4096, |raw| raw.maxlen = U32::new(2049)), Err(maxlen));
        let unknown = JournalError::UnknownFeature { word: "s_feature_incompat", bits: 0x40 };
        assert_eq!(parse(4096, |raw| raw.feature_incompat = U32::new(0x42)), Err(unknown));
        assert_eq!(
            JournalSuperblock::parse(&[0; 1023], 4096, 1),
            Err(JournalError::Short { len: 1023, want: 1024 })
        );
    }

    #[test]
    fn checksums_are_refused_by_name() {
        for (bits, feature) in
            [(4, "async-commit"), (8, "checksum-v2"), (0x12, "checksum-v3"), (0x20, "fast-commit")]
        {
            let superblock = parse(4096, |raw| raw.feature_incompat = U32::new(bits)).unwrap();
            assert_eq!(superblock.check_replayable(), Err(JournalError::Unsupported { feature }));
        }
        let superblock = parse(4096, |raw| raw.feature_compat = U32::new(1)).unwrap();
        assert_eq!(superblock.check_replayable(), Err(JournalError::Unsupported { feature: "checksum" }));
        assert_eq!(parse(4096, |raw| raw.feature_incompat = U32::new(3)).unwrap().check_replayable(), Ok(()));
    }
}
