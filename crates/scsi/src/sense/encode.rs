//! [`Sense`] to bytes.

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

use super::raw::{RawDescriptorHead, RawFieldPointer, RawFixed, RawInformation, RawSpecific};
use super::{FieldPointer, Sense, SenseFormat, Specific};
use crate::bits::{flag, len_u8};

impl Sense {
    /// The bytes: 18 in the fixed format, 8 to 40 in the descriptor format.
    ///
    /// In the fixed format INFORMATION has 32 bits; a larger value is left out (VALID = 0), as SPC-4 says.
    pub fn encode(&self, format: SenseFormat) -> Vec<u8> {
        match format {
            SenseFormat::Fixed => self.fixed().as_bytes().to_vec(),
            SenseFormat::Descriptor => self.descriptor(),
        }
    }

    fn fixed(&self) -> RawFixed {
        let information = self.information.and_then(|value| u32::try_from(value).ok());
        let command_specific = self.command_specific.and_then(|value| u32::try_from(value).ok());
        RawFixed {
            response: 0x70 | flag(self.deferred, 0x01) | flag(information.is_some(), 0x80),
            key: self.key.code(),
            information: U32::new(information.unwrap_or(0)),
            additional_len: 10,
            command_specific: U32::new(command_specific.unwrap_or(0)),
            asc: self.code.asc,
            ascq: self.code.ascq,
            specific: self.specific.map_or([0; 3], specific_bytes),
            ..RawFixed::default()
        }
    }

    fn descriptor(&self) -> Vec<u8> {
        let mut descriptors = Vec::with_capacity(32);
        for (kind, value) in [(0x00, self.information), (0x01, self.command_specific)] {
            if let Some(value) = value {
                let valid = flag(kind == 0x00, 0x80);
                let raw =
                    RawInformation { kind, additional_len: 0x0a, valid, reserved: 0, value: U64::new(value) };
                descriptors.extend_from_slice(raw.as_bytes());
            }
        }
        if let Some(specific) = self.specific {
            let specific = specific_bytes(specific);
            let raw = RawSpecific { kind: 0x02, additional_len: 6, specific, ..RawSpecific::default() };
            descriptors.extend_from_slice(raw.as_bytes());
        }
        let head = RawDescriptorHead {
            response: 0x72 | flag(self.deferred, 0x01),
            key: self.key.code(),
            asc: self.code.asc,
            ascq: self.code.ascq,
            flags: [0; 3],
            additional_len: len_u8(descriptors.len()),
        };
        let mut bytes = head.as_bytes().to_vec();
        bytes.append(&mut descriptors);
        bytes
    }
}

fn specific_bytes(specific: Specific) -> [u8; 3] {
    match specific {
        Specific::Raw([a, b, c]) => [a | 0x80, b, c],
        Specific::Field(FieldPointer { in_cdb, byte, bit }) => {
            let bits = bit.map_or(0, |bit| 0x08 | (bit & 0x07));
            let raw = RawFieldPointer { flags: 0x80 | flag(in_cdb, 0x40) | bits, byte: U16::new(byte) };
            zerocopy::transmute!(raw)
        }
    }
}
