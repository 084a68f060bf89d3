//! Vital product data: what INQUIRY with EVPD answers.
//!
//! Each page's `encode` gives the whole page with its head; each `parse` takes the whole page, which may be cut
//! off by the allocation length.

mod block_limits;
mod characteristics;
mod device_id;
mod provisioning;
mod serial;

pub use block_limits::BlockLimits;
pub use characteristics::{BlockCharacteristics, Rotation};
pub use device_id::{Association, CodeSet, Designator, DesignatorKind, DeviceId, Wwid};
pub use provisioning::{Provisioning, ProvisioningType};
pub use serial::{SupportedPages, UnitSerial};

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ParseError;
use crate::bits::{head, len_u16};

/// Supported VPD pages.
pub const SUPPORTED_PAGES: u8 = 0x00;
/// Unit serial number.
pub const UNIT_SERIAL: u8 = 0x80;
/// Device identification.
pub const DEVICE_ID: u8 = 0x83;
/// Block limits.
pub const BLOCK_LIMITS: u8 = 0xb0;
/// Block device characteristics.
pub const BLOCK_CHARACTERISTICS: u8 = 0xb1;
/// Logical block provisioning.
pub const PROVISIONING: u8 = 0xb2;

/// Head of every VPD page. Source: SPC-4, 7.8.1.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHead {
    /// Peripheral qualifier and device type; 0 is a connected disk.
    device: u8,
    code: u8,
    /// Bytes after the head.
    len: U16,
}
const _: () = assert!(size_of::<RawHead>() == 4);

/// A page of a connected disk.
fn page(code: u8, body: &[u8]) -> Vec<u8> {
    let raw = RawHead { device: 0, code, len: U16::new(len_u16(body.len())) };
    let mut bytes = raw.as_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// The body of a page that should have this code, as far as it came.
fn body<'a>(bytes: &'a [u8], code: u8, what: &'static str) -> Result<&'a [u8], ParseError> {
    let raw: RawHead = head(bytes, what)?;
    if raw.code != code {
        return Err(ParseError::Field { what, field: "page code", value: raw.code.into() });
    }
    let rest = bytes.get(size_of::<RawHead>()..).unwrap_or(&[]);
    Ok(rest.get(..usize::from(raw.len.get())).unwrap_or(rest))
}

/// The first `N` bytes of a page's body, filled up with zeroes: older devices have shorter pages.
fn filled<const N: usize>(
    bytes: &[u8],
    code: u8,
    least: usize,
    what: &'static str,
) -> Result<[u8; N], ParseError> {
    let body = body(bytes, code, what)?;
    if body.len() < least {
        return Err(ParseError::Short { what, need: least, have: body.len() });
    }
    let mut whole = [0u8; N];
    for (to, from) in whole.iter_mut().zip(body) {
        *to = *from;
    }
    Ok(whole)
}
