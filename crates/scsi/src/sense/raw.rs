//! Sense data as it lies.

use std::mem::offset_of;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Fixed format sense data. Source: SPC-4, 4.5.3.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawFixed {
    /// VALID (bit 7) and the response code.
    pub(super) response: u8,
    pub(super) obsolete: u8,
    /// Filemark, EOM, ILI, SDAT_OVFL, and the key in the low nibble.
    pub(super) key: u8,
    pub(super) information: U32,
    /// Bytes after this one.
    pub(super) additional_len: u8,
    pub(super) command_specific: U32,
    pub(super) asc: u8,
    pub(super) ascq: u8,
    pub(super) unit_code: u8,
    /// SKSV (bit 7) and the sense key specific bytes.
    pub(super) specific: [u8; 3],
}
const _: () = assert!(size_of::<RawFixed>() == 18);
const _: () = assert!(offset_of!(RawFixed, asc) == 12);

/// Head of descriptor format sense data. Source: SPC-4, 4.5.2.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawDescriptorHead {
    pub(super) response: u8,
    pub(super) key: u8,
    pub(super) asc: u8,
    pub(super) ascq: u8,
    pub(super) flags: [u8; 3],
    /// Bytes of descriptors that follow.
    pub(super) additional_len: u8,
}
const _: () = assert!(size_of::<RawDescriptorHead>() == 8);

/// Information (type 00h) and command-specific information (type 01h) descriptors.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawInformation {
    pub(super) kind: u8,
    /// 0ah.
    pub(super) additional_len: u8,
    /// VALID (bit 7).
    pub(super) valid: u8,
    pub(super) reserved: u8,
    pub(super) value: U64,
}
const _: () = assert!(size_of::<RawInformation>() == 12);
const _: () = assert!(offset_of!(RawInformation, value) == 4);

/// Sense key specific descriptor (type 02h).
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawSpecific {
    pub(super) kind: u8,
    /// 06h.
    pub(super) additional_len: u8,
    pub(super) reserved: [u8; 2],
    pub(super) specific: [u8; 3],
    pub(super) reserved2: u8,
}
const _: () = assert!(size_of::<RawSpecific>() == 8);

/// The sense key specific bytes as a field pointer.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawFieldPointer {
    /// SKSV (7), C/D (6), BPV (3), bit pointer (2:0).
    pub(super) flags: u8,
    pub(super) byte: U16,
}
const _: () = assert!(size_of::<RawFieldPointer>() == 3);
