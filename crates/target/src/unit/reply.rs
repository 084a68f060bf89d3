//! How a command ends.

use block::{BlockError, Buf};
use scsi::{AdditionalSense, Sense, SenseKey, Status};

/// Data to the initiator.
#[derive(Debug, Default)]
pub(crate) enum DataIn {
    /// None.
    #[default]
    None,
    /// What was read off the disk.
    Blocks(Buf),
    /// What the unit says of itself.
    Bytes(Vec<u8>),
}

/// How a command ends: status, sense, data, and how much data the CDB was about.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Status.
    pub(crate) status: Status,
    /// Sense, with CHECK CONDITION.
    pub(crate) sense: Option<Sense>,
    /// Data to the initiator, never more than it expects.
    pub(crate) data: DataIn,
    /// Bytes that the command would move for an initiator that expects enough; tells the residual.
    pub(crate) full_len: u64,
}

impl Reply {
    /// GOOD, without data.
    pub(crate) fn good() -> Self {
        Self { status: Status::Good, sense: None, data: DataIn::None, full_len: 0 }
    }

    /// GOOD, after `full_len` bytes came from the initiator, or would have.
    pub(crate) fn wrote(full_len: u64) -> Self {
        Self { full_len, ..Self::good() }
    }

    /// GOOD, with data: cut to the allocation length, and then to what the initiator expects.
    pub(crate) fn bytes(mut bytes: Vec<u8>, alloc_len: usize, expected: usize) -> Self {
        bytes.truncate(alloc_len);
        let full_len = as_u64(bytes.len());
        bytes.truncate(expected);
        Self { data: DataIn::Bytes(bytes), full_len, ..Self::good() }
    }

    /// CHECK CONDITION.
    pub(crate) fn check(sense: Sense) -> Self {
        Self { status: Status::CheckCondition, sense: Some(sense), data: DataIn::None, full_len: 0 }
    }

    /// Aborted by a reset that another session asked for.
    pub(crate) fn aborted() -> Self {
        Self { status: Status::TaskAborted, sense: None, data: DataIn::None, full_len: 0 }
    }

    /// ILLEGAL REQUEST with a code.
    pub(crate) fn illegal(code: AdditionalSense) -> Self {
        Self::check(Sense::illegal(code))
    }

    /// The same, about so much data.
    #[must_use]
    pub(crate) fn about(mut self, full_len: u64) -> Self {
        self.full_len = full_len;
        self
    }

    /// What the disk's error is in SCSI, for a read or a write at this block.
    pub(crate) fn failed(error: &BlockError, lba: u64, writing: bool) -> Self {
        tracing::error!(%error, source = error_source(error), lba, "the disk failed a request");
        let medium = if writing {
            Sense::new(SenseKey::MediumError, AdditionalSense::WRITE_ERROR)
        } else {
            Sense::new(SenseKey::MediumError, AdditionalSense::UNRECOVERED_READ_ERROR)
        };
        Self::check(match error {
            BlockError::ReadOnly { .. } => {
                Sense::new(SenseKey::DataProtect, AdditionalSense::WRITE_PROTECTED)
            }
            BlockError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Sense::new(SenseKey::DataProtect, AdditionalSense::SPACE_ALLOCATION_FAILED)
            }
            BlockError::Unreachable { .. } => {
                Sense::new(SenseKey::NotReady, AdditionalSense::COMMUNICATION_FAILURE)
            }
            BlockError::OutOfRange { .. } => Sense::illegal(AdditionalSense::LBA_OUT_OF_RANGE),
            BlockError::Io { .. } => medium.with_information(lba),
            _ => Sense::new(SenseKey::HardwareError, AdditionalSense::INTERNAL_TARGET_FAILURE),
        })
    }
}

fn error_source(error: &BlockError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

/// A length in memory as a length on the wire.
pub(crate) fn as_u64(len: usize) -> u64 {
    u64::try_from(len).expect("no machine has addresses of more than 64 bits")
}

/// A length that came from outside; what no memory could hold is as good as the largest.
pub(crate) fn as_usize(len: impl TryInto<usize>) -> usize {
    len.try_into().unwrap_or(usize::MAX)
}
