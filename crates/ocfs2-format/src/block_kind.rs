//! Which metadata block it is, by its signature; where its check lies.

use crate::ecc::{self, Verdict};
use crate::error::{Check, Corrupt, Structure};
use crate::units::BlockNum;
use crate::volume::Volume;

/// The kinds of blocks that carry a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each name says it")]
pub enum BlockKind {
    Superblock,
    Dinode,
    ExtentBlock,
    GroupDescriptor,
    /// A block of an extent-based directory that has a trailer.
    DirBlock,
    DxRoot,
    DxLeaf,
    XattrBlock,
    RefcountBlock,
    /// All 4096 bytes of a bucket, which may be several blocks.
    XattrBucket,
    Quota,
}

impl BlockKind {
    /// The kind of block that `data` is by its signature, which lies at the start, or in the trailer of a directory block.
    ///
    /// Buckets and quota blocks have no signature.
    #[must_use]
    pub fn of(data: &[u8]) -> Option<Self> {
        let signed = [
            (crate::Superblock::SIGNATURE, Self::Superblock),
            (crate::Dinode::SIGNATURE, Self::Dinode),
            (crate::ExtentBlock::SIGNATURE, Self::ExtentBlock),
            (crate::GroupDescriptor::SIGNATURE, Self::GroupDescriptor),
            (crate::DxRoot::SIGNATURE, Self::DxRoot),
            (crate::DxLeaf::SIGNATURE, Self::DxLeaf),
            (crate::XattrBlock::SIGNATURE, Self::XattrBlock),
            (crate::RefcountBlock::SIGNATURE, Self::RefcountBlock),
        ];
        if let Some((_, kind)) = signed.into_iter().find(|(signature, _)| data.starts_with(signature)) {
            return Some(kind);
        }
        let trailer = data.len().checked_sub(crate::dir_trailer::TRAILER_LEN)?;
        let signature = data.get(trailer..)?.get(0x10..)?;
        signature.starts_with(&crate::DirTrailer::SIGNATURE).then_some(Self::DirBlock)
    }

    /// Byte of the check in a block (or bucket) of `len` bytes.
    #[must_use]
    pub fn check_offset(self, len: usize) -> usize {
        match self {
            Self::Superblock | Self::Dinode => 0x80,
            Self::ExtentBlock | Self::DxRoot | Self::DxLeaf | Self::XattrBucket => 0x08,
            Self::GroupDescriptor => 0x30,
            Self::XattrBlock => 0x18,
            Self::RefcountBlock => 0x20,
            Self::DirBlock | Self::Quota => len.saturating_sub(8),
        }
    }

    /// The structure, for messages.
    #[must_use]
    pub fn structure(self) -> Structure {
        match self {
            Self::Superblock => Structure::Superblock,
            Self::Dinode => Structure::Dinode,
            Self::ExtentBlock => Structure::ExtentBlock,
            Self::GroupDescriptor => Structure::GroupDescriptor,
            Self::DirBlock => Structure::DirTrailer,
            Self::DxRoot => Structure::DxRoot,
            Self::DxLeaf => Structure::DxLeaf,
            Self::XattrBlock => Structure::XattrBlock,
            Self::RefcountBlock => Structure::RefcountBlock,
            Self::XattrBucket => Structure::XattrBucket,
            Self::Quota => Structure::QuotaData,
        }
    }

    /// Verifies the check of a block just read, where the volume has checks, and repairs one flipped bit in memory.
    ///
    /// `data` is exactly the block, or exactly the bucket. Returns whether a bit was repaired.
    ///
    /// # Errors
    /// [`Check::Ecc`] when the block is damaged beyond that.
    pub fn verify(self, volume: &Volume, block: BlockNum, data: &mut [u8]) -> Result<bool, Corrupt> {
        if !volume.features.meta_ecc() {
            return Ok(false);
        }
        let offset = self.check_offset(data.len());
        match ecc::verify(data, offset) {
            Verdict::Good => Ok(false),
            Verdict::Repaired { .. } => Ok(true),
            Verdict::Bad { stored, computed } => {
                let structure = self.structure();
                Err(Corrupt { block, what: Check::Ecc { structure, stored, computed } })
            }
        }
    }

    /// Stores the check of a block about to be written, where the volume has checks.
    pub fn seal(self, volume: &Volume, data: &mut [u8]) {
        if volume.features.meta_ecc() {
            let offset = self.check_offset(data.len());
            let sealed = ecc::seal(data, offset);
            debug_assert!(sealed, "a whole block has room for its check");
        }
    }
}
