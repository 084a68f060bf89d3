//! VPD page 83h: the names of a unit, of its port and of its target.

use std::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{DEVICE_ID, body, page};
use crate::ParseError;
use crate::bits::{flag, head, len_u8};

/// Head of a designation descriptor. Source: SPC-4, 7.8.6.1.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDesignator {
    /// Protocol identifier (7:4), code set (3:0).
    code_set: u8,
    /// PIV (7), association (5:4), designator type (3:0).
    kind: u8,
    reserved: u8,
    /// Bytes of the designator that follows.
    len: u8,
}
const _: () = assert!(size_of::<RawDesignator>() == 4);

/// How a designator's bytes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSet {
    /// Bytes.
    Binary,
    /// ASCII.
    Ascii,
    /// UTF-8.
    Utf8,
    /// Another value, 0 or 4 to 15.
    Other(u8),
}

/// What a designator names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Association {
    /// The logical unit.
    Unit,
    /// The target port the command came through.
    Port,
    /// The target device.
    Target,
    /// Code 3.
    Other,
}

/// The kind of a designator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DesignatorKind {
    /// The vendor's own.
    Vendor,
    /// T10 vendor identification and the vendor's text.
    T10,
    /// EUI-64 of 8, 12 or 16 bytes.
    Eui64,
    /// NAA: the type is in the first four bits.
    Naa,
    /// Relative target port.
    RelativePort,
    /// Target port group.
    PortGroup,
    /// Logical unit group.
    UnitGroup,
    /// SCSI name string.
    Name,
    /// Another type, up to 15.
    Other(u8),
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Designator {
    /// Protocol identifier, where it is valid; 5 is iSCSI.
    pub protocol: Option<u8>,
    /// How the bytes are meant.
    pub code_set: CodeSet,
    /// What is named.
    pub association: Association,
    /// The kind of name.
    pub kind: DesignatorKind,
    /// The name, at most 255 bytes.
    pub bytes: Vec<u8>,
}

/// Device identification (83h).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceId(pub Vec<Designator>);

impl DeviceId {
    /// Reads the page; a descriptor that the allocation length cut is left out.
    ///
    /// # Errors
    /// [`ParseError`] for a short head or another page.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        const WHAT: &str = "VPD page 83h";
        let mut rest = body(bytes, DEVICE_ID, WHAT)?;
        let mut designators = Vec::new();
        while !rest.is_empty() {
            let Ok(raw) = head::<RawDesignator>(rest, WHAT) else { break };
            let end = usize::from(raw.len).saturating_add(size_of::<RawDesignator>());
            let Some(value) = rest.get(size_of::<RawDesignator>()..end) else { break };
            designators.push(Designator::of(raw, value));
            rest = rest.get(end..).unwrap_or(&[]);
        }
        Ok(Self(designators))
    }

    /// The page. Names beyond 255 bytes are cut.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for designator in &self.0 {
            let value = designator.bytes.get(..255).unwrap_or(&designator.bytes);
            bytes.extend_from_slice(designator.raw(len_u8(value.len())).as_bytes());
            bytes.extend_from_slice(value);
        }
        page(DEVICE_ID, &bytes)
    }

    /// The unit's worldwide name: the best designator of the unit itself, NAA before EUI-64 before SCSI name before
    /// T10 before the vendor's. Two paths lead to one unit when these are equal.
    pub fn wwid(&self) -> Option<Wwid<'_>> {
        let rank = |kind: DesignatorKind| match kind {
            DesignatorKind::Naa => Some(0u8),
            DesignatorKind::Eui64 => Some(1),
            DesignatorKind::Name => Some(2),
            DesignatorKind::T10 => Some(3),
            DesignatorKind::Vendor => Some(4),
            _ => None,
        };
        self.0
            .iter()
            .filter(|designator| designator.association == Association::Unit && !designator.bytes.is_empty())
            .filter_map(|designator| Some((rank(designator.kind)?, designator)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, designator)| Wwid(designator))
    }
}

/// A unit's worldwide name; prints as udev and multipath write it: `3` and hexadecimal for NAA, `2` for EUI-64,
/// `8` for a SCSI name, `1` for T10, `0` for the vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wwid<'a>(pub &'a Designator);

impl fmt::Display for Wwid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Designator { kind, code_set, bytes, .. } = self.0;
        write!(f, "{:x}", kind.code())?;
        if *code_set == CodeSet::Binary {
            return bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        }
        // udev joins runs of blanks to one underscore and drops those at the end.
        let text = crate::inquiry::text(bytes);
        for (n, word) in text.split_whitespace().enumerate() {
            write!(f, "{}{word}", if n > 0 { "_" } else { "" })?;
        }
        Ok(())
    }
}

impl Designator {
    /// A name of the unit itself.
    pub fn unit(kind: DesignatorKind, code_set: CodeSet, bytes: Vec<u8>) -> Self {
        Self { protocol: None, code_set, association: Association::Unit, kind, bytes }
    }

    fn of(raw: RawDesignator, value: &[u8]) -> Self {
        Self {
            protocol: (raw.kind & 0x80 != 0).then_some(raw.code_set >> 4),
            code_set: match raw.code_set & 0x0f {
                1 => CodeSet::Binary,
                2 => CodeSet::Ascii,
                3 => CodeSet::Utf8,
                code => CodeSet::Other(code),
            },
            association: match (raw.kind >> 4) & 0x03 {
                0 => Association::Unit,
                1 => Association::Port,
                2 => Association::Target,
                _ => Association::Other,
            },
            kind: DesignatorKind::parse(raw.kind & 0x0f),
            bytes: value.to_vec(),
        }
    }

    fn raw(&self, len: u8) -> RawDesignator {
        let code_set = match self.code_set {
            CodeSet::Binary => 1,
            CodeSet::Ascii => 2,
            CodeSet::Utf8 => 3,
            CodeSet::Other(code) => code & 0x0f,
        };
        let association = match self.association {
            Association::Unit => 0,
            Association::Port => 1,
            Association::Target => 2,
            Association::Other => 3,
        };
        RawDesignator {
            code_set: self.protocol.map_or(0, |protocol| protocol << 4) | code_set,
            kind: flag(self.protocol.is_some(), 0x80) | association << 4 | self.kind.code(),
            reserved: 0,
            len,
        }
    }
}

impl DesignatorKind {
    const fn parse(code: u8) -> Self {
        match code {
            0 => Self::Vendor,
            1 => Self::T10,
            2 => Self::Eui64,
            3 => Self::Naa,
            4 => Self::RelativePort,
            5 => Self::PortGroup,
            6 => Self::UnitGroup,
            8 => Self::Name,
            code => Self::Other(code),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Vendor => 0,
            Self::T10 => 1,
            Self::Eui64 => 2,
            Self::Naa => 3,
            Self::RelativePort => 4,
            Self::PortGroup => 5,
            Self::UnitGroup => 6,
            Self::Name => 8,
            Self::Other(code) => code & 0x0f,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Association, CodeSet, Designator, DesignatorKind, DeviceId};
    use proptest::prelude::*;

    #[test]
    fn the_best_name_wins() {
        let t10 = Designator::unit(DesignatorKind::T10, CodeSet::Ascii, b"OXSAN   one  two ".to_vec());
        let naa = Designator::unit(DesignatorKind::Naa, CodeSet::Binary, vec![0x60, 1, 2, 0xff]);
        let port = Designator { association: Association::Port, ..naa.clone() };
        let id = DeviceId(vec![port.clone(), t10.clone(), naa]);
        assert_eq!(id.wwid().unwrap().to_string(), "3600102ff");
        assert_eq!(DeviceId(vec![port.clone(), t10]).wwid().unwrap().to_string(), "1OXSAN_one_two");
        assert_eq!(DeviceId(vec![port]).wwid(), None);
    }

    prop_compose! {
        fn designator()(
            protocol in proptest::option::of(0u8..16), code in 0u8..16, association in 0u8..4, kind in 0u8..16,
            bytes in proptest::collection::vec(any::<u8>(), 0..256),
        ) -> Designator {
            let raw = super::RawDesignator {
                code_set: protocol.unwrap_or(0) << 4 | code,
                kind: if protocol.is_some() { 0x80 } else { 0 } | association << 4 | kind,
                reserved: 0,
                len: 0,
            };
            Designator::of(raw, &bytes)
        }
    }

    proptest! {
        #[test]
        fn comes_back(names in proptest::collection::vec(designator(), 0..6)) {
            let id = DeviceId(names);
            prop_assert_eq!(DeviceId::parse(&id.encode()), Ok(id));
        }

        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 4..80)) {
            bytes[1] = 0x83;
            let _ = DeviceId::parse(&bytes).map(|id| id.wwid().map(|wwid| wwid.to_string()));
        }
    }
}
