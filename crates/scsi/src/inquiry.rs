//! Standard INQUIRY data.

use std::mem::offset_of;
use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ParseError;
use crate::bits::flag;

/// Standard INQUIRY data as it lies. Source: SPC-4, 6.4.2.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawInquiry {
    /// Qualifier (7:5), device type (4:0).
    device: u8,
    /// RMB (7), LU_CONG (6).
    removable: u8,
    version: u8,
    /// NORMACA (5), HISUP (4), response data format (3:0).
    format: u8,
    /// Bytes after this one.
    additional_len: u8,
    /// SCCS (7), TPGS (5:4), 3PC (3), PROTECT (0).
    flags5: u8,
    /// ENCSERV (6), MULTIP (4).
    flags6: u8,
    /// CMDQUE (1).
    flags7: u8,
    vendor: [u8; 8],
    product: [u8; 16],
    revision: [u8; 4],
    vendor_specific: [u8; 20],
    clocking: u8,
    reserved: u8,
    versions: [U16; 8],
    reserved2: [u8; 22],
}
const _: () = assert!(size_of::<RawInquiry>() == 96);
const _: () = assert!(offset_of!(RawInquiry, vendor) == 8);
const _: () = assert!(offset_of!(RawInquiry, versions) == 58);

/// PERIPHERAL QUALIFIER: whether there is a unit behind the LUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    /// A unit is there.
    Connected,
    /// A unit could be there and is not.
    NotConnected,
    /// No unit can be there.
    NotSupported,
    /// Another value.
    Other(u8),
}

/// PERIPHERAL DEVICE TYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceType {
    /// A disk (direct access block device).
    Disk,
    /// A storage array controller.
    Controller,
    /// Nothing known; with [`Qualifier::NotSupported`].
    Unknown,
    /// Another type, 0 to 30.
    Other(u8),
}

/// Standard INQUIRY data, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Whether there is a unit.
    pub qualifier: Qualifier,
    /// What it is.
    pub device_type: DeviceType,
    /// The medium can be taken out (RMB).
    pub removable: bool,
    /// VERSION: 5 is SPC-3, 6 is SPC-4.
    pub version: u8,
    /// LUNs are numbered hierarchically (HISUP).
    pub hierarchical: bool,
    /// Asymmetric access: 0 none, 1 implicit, 2 explicit, 3 both (TPGS).
    pub tpgs: u8,
    /// Third-party copies are supported (3PC).
    pub third_party_copy: bool,
    /// Protection information is supported (PROTECT).
    pub protect: bool,
    /// The device has several ports (MULTIP).
    pub multi_port: bool,
    /// Several commands at a time (CMDQUE).
    pub queueing: bool,
    /// T10 vendor identification, without the padding; 8 characters are kept.
    pub vendor: String,
    /// Product, without the padding; 16 characters are kept.
    pub product: String,
    /// Revision, without the padding; 4 characters are kept.
    pub revision: String,
    /// Version descriptors: codes of the standards that it follows; 0 is none.
    pub versions: [u16; 8],
}

impl Inquiry {
    /// The least that can be parsed: up to the revision.
    const SHORTEST: usize = 36;

    /// The 96 bytes. Text is padded with blanks, cut to its field, and what is not printable ASCII becomes a blank.
    pub fn encode(&self) -> [u8; 96] {
        let qualifier = match self.qualifier {
            Qualifier::Connected => 0,
            Qualifier::NotConnected => 1,
            Qualifier::NotSupported => 3,
            Qualifier::Other(code) => code & 0x07,
        };
        let device_type = match self.device_type {
            DeviceType::Disk => 0x00,
            DeviceType::Controller => 0x0c,
            DeviceType::Unknown => 0x1f,
            DeviceType::Other(code) => code & 0x1f,
        };
        let raw = RawInquiry {
            device: qualifier << 5 | device_type,
            removable: flag(self.removable, 0x80),
            version: self.version,
            format: flag(self.hierarchical, 0x10) | 0x02,
            additional_len: 91,
            flags5: (self.tpgs & 0x03) << 4 | flag(self.third_party_copy, 0x08) | flag(self.protect, 0x01),
            flags6: flag(self.multi_port, 0x10),
            flags7: flag(self.queueing, 0x02),
            vendor: padded(&self.vendor),
            product: padded(&self.product),
            revision: padded(&self.revision),
            vendor_specific: [0; 20],
            clocking: 0,
            reserved: 0,
            versions: self.versions.map(U16::new),
            reserved2: [0; 22],
        };
        zerocopy::transmute!(raw)
    }

    /// Reads standard INQUIRY data; what comes after byte 36 may be missing and counts as zeroes.
    ///
    /// # Errors
    /// [`ParseError::Short`] below 36 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() < Self::SHORTEST {
            let need = Self::SHORTEST;
            return Err(ParseError::Short { what: "standard INQUIRY data", need, have: bytes.len() });
        }
        let mut whole = [0u8; 96];
        for (to, from) in whole.iter_mut().zip(bytes) {
            *to = *from;
        }
        let raw: RawInquiry = zerocopy::transmute!(whole);
        Ok(Self {
            qualifier: match raw.device >> 5 {
                0 => Qualifier::Connected,
                1 => Qualifier::NotConnected,
                3 => Qualifier::NotSupported,
                code => Qualifier::Other(code),
            },
            device_type: match raw.device & 0x1f {
                0x00 => DeviceType::Disk,
                0x0c => DeviceType::Controller,
                0x1f => DeviceType::Unknown,
                code => DeviceType::Other(code),
            },
            removable: raw.removable & 0x80 != 0,
            version: raw.version,
            hierarchical: raw.format & 0x10 != 0,
            tpgs: (raw.flags5 >> 4) & 0x03,
            third_party_copy: raw.flags5 & 0x08 != 0,
            protect: raw.flags5 & 0x01 != 0,
            multi_port: raw.flags6 & 0x10 != 0,
            queueing: raw.flags7 & 0x02 != 0,
            vendor: text(&raw.vendor),
            product: text(&raw.product),
            revision: text(&raw.revision),
            versions: raw.versions.map(U16::get),
        })
    }
}

/// A text field: printable ASCII, filled up with blanks.
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = if (0x20..0x7f).contains(&from) { from } else { b' ' };
    }
    field
}

/// A text field without its padding; what is not printable ASCII becomes `?`.
pub(crate) fn text(field: &[u8]) -> String {
    let mut text: String = field
        .iter()
        .take_while(|byte| **byte != 0)
        .map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '?' })
        .collect();
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::{DeviceType, Inquiry, Qualifier};
    use proptest::prelude::*;

    fn ours() -> Inquiry {
        Inquiry {
            qualifier: Qualifier::Connected,
            device_type: DeviceType::Disk,
            removable: false,
            version: 6,
            hierarchical: true,
            tpgs: 0,
            third_party_copy: false,
            protect: false,
            multi_port: true,
            queueing: true,
            vendor: "OXSAN".into(),
            product: "disk".into(),
            revision: "0.1".into(),
            versions: [0x0960, 0x0460, 0x04c0, 0, 0, 0, 0, 0],
        }
    }

    #[test]
    fn layout() {
        let bytes = ours().encode();
        assert_eq!(&bytes[..8], &[0, 0, 6, 0x12, 91, 0, 0x10, 2]);
        assert_eq!(&bytes[8..36], b"OXSAN   disk            0.1 ");
        assert_eq!(&bytes[58..62], &[0x09, 0x60, 0x04, 0x60]);
    }

    #[test]
    fn short_is_an_error() {
        assert!(Inquiry::parse(&[0; 35]).is_err());
        assert!(Inquiry::parse(&[0; 36]).is_ok());
    }

    proptest! {
        #[test]
        fn comes_back(vendor in "[!-~]{0,8}", product in "[!-~]{0,16}", version: u8, tpgs in 0u8..4, flag: bool) {
            let data = Inquiry { vendor, product, version, tpgs, protect: flag, removable: !flag, ..ours() };
            prop_assert_eq!(Inquiry::parse(&data.encode()), Ok(data));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _ = Inquiry::parse(&bytes);
        }
    }
}
