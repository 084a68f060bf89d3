//! Bytes to [`Sense`].

use super::raw::{RawDescriptorHead, RawFieldPointer, RawFixed, RawInformation, RawSpecific};
use super::{AdditionalSense, FieldPointer, Sense, SenseKey, Specific};
use crate::ParseError;
use crate::bits::head;

impl Sense {
    /// Reads sense data of either format. Fixed format data may be cut off after the key (3 bytes): what is missing
    /// is taken as zeroes, for old devices send less. Unknown descriptors are skipped.
    ///
    /// # Errors
    /// [`ParseError`] where there are fewer than 3 bytes, or the response code is none of sense data.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let first = bytes.first().copied().unwrap_or(0);
        match first & 0x7f {
            0x70 | 0x71 => fixed(bytes),
            0x72 | 0x73 => descriptor(bytes),
            _ if bytes.is_empty() => Err(ParseError::Short { what: "sense data", need: 3, have: 0 }),
            code => Err(ParseError::Field { what: "sense data", field: "response code", value: code.into() }),
        }
    }
}

fn fixed(bytes: &[u8]) -> Result<Sense, ParseError> {
    if bytes.len() < 3 {
        return Err(ParseError::Short { what: "fixed format sense data", need: 3, have: bytes.len() });
    }
    let mut whole = [0u8; 18];
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    let raw: RawFixed = zerocopy::transmute!(whole);
    let key = SenseKey::parse(raw.key);
    let command_specific = raw.command_specific.get();
    Ok(Sense {
        key,
        code: AdditionalSense { asc: raw.asc, ascq: raw.ascq },
        deferred: raw.response & 0x01 != 0,
        information: (raw.response & 0x80 != 0).then(|| raw.information.get().into()),
        command_specific: (command_specific != 0).then(|| command_specific.into()),
        specific: specific(key, raw.specific),
    })
}

fn descriptor(bytes: &[u8]) -> Result<Sense, ParseError> {
    let raw: RawDescriptorHead = head(bytes, "descriptor format sense data")?;
    let key = SenseKey::parse(raw.key);
    let mut sense = Sense::new(key, AdditionalSense { asc: raw.asc, ascq: raw.ascq });
    sense.deferred = raw.response & 0x01 != 0;
    let mut rest = bytes.get(size_of::<RawDescriptorHead>()..).unwrap_or(&[]);
    rest = rest.get(..usize::from(raw.additional_len)).unwrap_or(rest);
    while let [kind, additional, ..] = *rest {
        let len = usize::from(additional).saturating_add(2);
        let Some(this) = rest.get(..len) else { break };
        match kind {
            0x00 => {
                let raw: RawInformation = head(this, "information sense descriptor")?;
                sense.information = (raw.valid & 0x80 != 0).then(|| raw.value.get());
            }
            0x01 => {
                let raw: RawInformation = head(this, "command-specific sense descriptor")?;
                sense.command_specific = Some(raw.value.get());
            }
            0x02 => {
                let raw: RawSpecific = head(this, "sense key specific descriptor")?;
                sense.specific = specific(key, raw.specific);
            }
            _ => {}
        }
        rest = rest.get(len..).unwrap_or(&[]);
    }
    Ok(sense)
}

fn specific(key: SenseKey, bytes: [u8; 3]) -> Option<Specific> {
    let [first, b, c] = bytes;
    if first & 0x80 == 0 {
        return None;
    }
    if key != SenseKey::IllegalRequest {
        return Some(Specific::Raw([first & 0x7f, b, c]));
    }
    let raw: RawFieldPointer = zerocopy::transmute!(bytes);
    Some(Specific::Field(FieldPointer {
        in_cdb: raw.flags & 0x40 != 0,
        byte: raw.byte.get(),
        bit: (raw.flags & 0x08 != 0).then_some(raw.flags & 0x07),
    }))
}
