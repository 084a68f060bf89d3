//! What an end would like, and what both agreed on.

use super::TextError;

/// Which digests an end takes, in order of liking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DigestPolicy {
    /// None alone.
    Never,
    /// None, or CRC32C where the peer insists.
    #[default]
    PreferNone,
    /// CRC32C, or None where the peer insists.
    PreferCrc32c,
    /// CRC32C alone: no login without it.
    Always,
}

impl DigestPolicy {
    /// The list as it is offered.
    pub fn list(self) -> &'static str {
        match self {
            Self::Never => "None",
            Self::PreferNone => "None,CRC32C",
            Self::PreferCrc32c => "CRC32C,None",
            Self::Always => "CRC32C",
        }
    }

    /// Whether a choice is among the list: `true` means CRC32C.
    pub fn takes(self, crc32c: bool) -> bool {
        match self {
            Self::Never => !crc32c,
            Self::Always => crc32c,
            Self::PreferNone | Self::PreferCrc32c => true,
        }
    }
}

/// What this end offers, or answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// HeaderDigest.
    pub header_digest: DigestPolicy,
    /// DataDigest.
    pub data_digest: DigestPolicy,
    /// InitialR2T: whether unsolicited Data-Out is unwanted. Default `false`: as much may come unasked as fits
    /// FirstBurstLength.
    pub initial_r2t: bool,
    /// ImmediateData: whether commands may carry data. Default `true`.
    pub immediate_data: bool,
    /// MaxRecvDataSegmentLength of this end, in bytes: 512 to 2²⁴ − 1. Default 262,144.
    pub max_recv_data: u32,
    /// MaxBurstLength in bytes: 512 to 2²⁴ − 1. Default 1 MiB.
    pub max_burst: u32,
    /// FirstBurstLength in bytes: 512 to MaxBurstLength. Default 262,144.
    pub first_burst: u32,
    /// MaxOutstandingR2T: 1 to 65535. Default 1.
    pub max_outstanding_r2t: u16,
    /// DefaultTime2Wait in seconds: 0 to 3600. Default 2.
    pub time2wait: u16,
    /// DefaultTime2Retain in seconds: 0 to 3600. Default 0: tasks are replayed, not reassigned.
    pub time2retain: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_digest: DigestPolicy::PreferNone,
            data_digest: DigestPolicy::PreferNone,
            initial_r2t: false,
            immediate_data: true,
            max_recv_data: 262_144,
            max_burst: 1 << 20,
            first_burst: 262_144,
            max_outstanding_r2t: 1,
            time2wait: 2,
            time2retain: 0,
        }
    }
}

impl Settings {
    /// Checks ranges. The engines do it when they are made.
    ///
    /// # Errors
    /// [`TextError::BadValue`] names the key.
    pub fn check(&self) -> Result<(), TextError> {
        let sizes = 512..=0xff_ffff;
        let bad = |key, value: u32, want| Err(TextError::BadValue { key, value: value.to_string(), want });
        if !sizes.contains(&self.max_recv_data) {
            return bad("MaxRecvDataSegmentLength", self.max_recv_data, "512 to 16777215");
        }
        if !sizes.contains(&self.max_burst) {
            return bad("MaxBurstLength", self.max_burst, "512 to 16777215");
        }
        if !(512..=self.max_burst).contains(&self.first_burst) {
            return bad("FirstBurstLength", self.first_burst, "512 to MaxBurstLength");
        }
        if self.max_outstanding_r2t == 0 {
            return bad("MaxOutstandingR2T", 0, "1 to 65535");
        }
        if self.time2wait > 3600 {
            return bad("DefaultTime2Wait", self.time2wait.into(), "0 to 3600");
        }
        if self.time2retain > 3600 {
            return bad("DefaultTime2Retain", self.time2retain.into(), "0 to 3600");
        }
        Ok(())
    }
}

/// What is in force: RFC 7143's defaults until something else is agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Whether headers carry CRC32C.
    pub header_digest: bool,
    /// Whether data segments carry CRC32C.
    pub data_digest: bool,
    /// MaxConnections; 1.
    pub max_connections: u16,
    /// InitialR2T: whether unsolicited Data-Out is forbidden.
    pub initial_r2t: bool,
    /// ImmediateData: whether commands may carry data.
    pub immediate_data: bool,
    /// Longest data segment that the peer takes, in bytes.
    pub max_send_data: u32,
    /// Longest data segment that this end declared to take, in bytes.
    pub max_recv_data: u32,
    /// MaxBurstLength, in bytes.
    pub max_burst: u32,
    /// FirstBurstLength, in bytes.
    pub first_burst: u32,
    /// DefaultTime2Wait, in seconds.
    pub time2wait: u16,
    /// DefaultTime2Retain, in seconds.
    pub time2retain: u16,
    /// MaxOutstandingR2T.
    pub max_outstanding_r2t: u16,
    /// DataPDUInOrder.
    pub data_pdu_in_order: bool,
    /// DataSequenceInOrder.
    pub data_sequence_in_order: bool,
    /// ErrorRecoveryLevel; 0.
    pub error_recovery_level: u8,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            header_digest: false,
            data_digest: false,
            max_connections: 1,
            initial_r2t: true,
            immediate_data: true,
            max_send_data: 8192,
            max_recv_data: 8192,
            max_burst: 262_144,
            first_burst: 65_536,
            time2wait: 2,
            time2retain: 20,
            max_outstanding_r2t: 1,
            data_pdu_in_order: true,
            data_sequence_in_order: true,
            error_recovery_level: 0,
        }
    }
}

impl Params {
    /// Bytes of a write that go with its command.
    pub(crate) fn immediate_len(&self, write_len: u32) -> u32 {
        if self.immediate_data { write_len.min(self.first_burst).min(self.max_send_data) } else { 0 }
    }

    /// Bytes of a write that may come before any R2T, with the command or behind it.
    pub(crate) fn unsolicited_len(&self, write_len: u32, immediate: u32) -> u32 {
        if self.initial_r2t { immediate } else { write_len.min(self.first_burst) }
    }
}
