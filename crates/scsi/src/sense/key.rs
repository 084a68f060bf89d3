//! Sense keys.

use std::fmt;

/// The kind of trouble. Source: SPC-4, 4.5.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SenseKey {
    /// Nothing wrong.
    NoSense,
    /// Done, after the device helped itself.
    RecoveredError,
    /// The unit cannot be used now.
    NotReady,
    /// The medium is bad.
    MediumError,
    /// The device is bad.
    HardwareError,
    /// The command is.
    IllegalRequest,
    /// Something happened to the unit since the last command.
    UnitAttention,
    /// Writing is forbidden.
    DataProtect,
    /// Blank medium.
    BlankCheck,
    /// The vendor's.
    VendorSpecific,
    /// A copy command failed.
    CopyAborted,
    /// The device gave up the command; trying again may help.
    AbortedCommand,
    /// Reserved code Ch.
    ReservedC,
    /// The medium is full.
    VolumeOverflow,
    /// The data and the medium differ.
    Miscompare,
    /// Done, and there is something to say.
    Completed,
}

impl SenseKey {
    const ALL: [Self; 16] = [
        Self::NoSense,
        Self::RecoveredError,
        Self::NotReady,
        Self::MediumError,
        Self::HardwareError,
        Self::IllegalRequest,
        Self::UnitAttention,
        Self::DataProtect,
        Self::BlankCheck,
        Self::VendorSpecific,
        Self::CopyAborted,
        Self::AbortedCommand,
        Self::ReservedC,
        Self::VolumeOverflow,
        Self::Miscompare,
        Self::Completed,
    ];

    /// Reads the low four bits; the others are not looked at.
    pub fn parse(nibble: u8) -> Self {
        Self::ALL.get(usize::from(nibble & 0x0f)).copied().unwrap_or(Self::NoSense)
    }

    /// The code, 0 to 15.
    pub fn code(self) -> u8 {
        Self::ALL.iter().position(|key| *key == self).map_or(0, crate::bits::len_u8)
    }
}

impl fmt::Display for SenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSense => "no sense",
            Self::RecoveredError => "recovered error",
            Self::NotReady => "not ready",
            Self::MediumError => "medium error",
            Self::HardwareError => "hardware error",
            Self::IllegalRequest => "illegal request",
            Self::UnitAttention => "unit attention",
            Self::DataProtect => "data protect",
            Self::BlankCheck => "blank check",
            Self::VendorSpecific => "vendor specific",
            Self::CopyAborted => "copy aborted",
            Self::AbortedCommand => "aborted command",
            Self::ReservedC => "reserved sense key",
            Self::VolumeOverflow => "volume overflow",
            Self::Miscompare => "miscompare",
            Self::Completed => "completed",
        })
    }
}
