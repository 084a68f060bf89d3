//! VPD page B2h: what UNMAP and WRITE SAME do to the space.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{PROVISIONING, filled, page};
use crate::ParseError;
use crate::bits::flag;

/// Body of the page, without the provisioning group descriptor. Source: SBC-3, 6.6.5.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    threshold_exponent: u8,
    /// LBPU (7), LBPWS (6), LBPWS10 (5), LBPRZ (4:2), ANC_SUP (1), DP (0).
    flags: u8,
    /// PROVISIONING TYPE (2:0).
    kind: u8,
    reserved: u8,
}
const _: () = assert!(size_of::<Raw>() == 4);

/// How the unit is provisioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisioningType {
    /// All of its space is there.
    Full,
    /// Space may be more than what is shown.
    Resource,
    /// Space may run out.
    Thin,
    /// Another value, 3 to 7.
    Other(u8),
}

/// Logical block provisioning (B2h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provisioning {
    /// UNMAP is supported (LBPU).
    pub unmap: bool,
    /// WRITE SAME(16) with UNMAP is supported (LBPWS).
    pub write_same_16: bool,
    /// WRITE SAME(10) with UNMAP is supported (LBPWS10).
    pub write_same_10: bool,
    /// Unmapped blocks read as zeroes (LBPRZ = 001b).
    pub unmapped_zeroes: bool,
    /// Anchored blocks are supported (ANC_SUP).
    pub anchor: bool,
    /// How the unit is provisioned.
    pub kind: ProvisioningType,
}

impl Provisioning {
    /// The page, 8 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            ProvisioningType::Full => 0,
            ProvisioningType::Resource => 1,
            ProvisioningType::Thin => 2,
            ProvisioningType::Other(code) => code & 0x07,
        };
        let flags = flag(self.unmap, 0x80)
            | flag(self.write_same_16, 0x40)
            | flag(self.write_same_10, 0x20)
            | flag(self.unmapped_zeroes, 0x04)
            | flag(self.anchor, 0x02);
        page(PROVISIONING, Raw { threshold_exponent: 0, flags, kind, reserved: 0 }.as_bytes())
    }

    /// Reads the page.
    ///
    /// # Errors
    /// [`ParseError`] for another page, or a body below 4 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let raw: Raw = zerocopy::transmute!(filled::<4>(bytes, PROVISIONING, 4, "VPD page B2h")?);
        Ok(Self {
            unmap: raw.flags & 0x80 != 0,
            write_same_16: raw.flags & 0x40 != 0,
            write_same_10: raw.flags & 0x20 != 0,
            unmapped_zeroes: raw.flags & 0x1c == 0x04,
            anchor: raw.flags & 0x02 != 0,
            kind: match raw.kind & 0x07 {
                0 => ProvisioningType::Full,
                1 => ProvisioningType::Resource,
                2 => ProvisioningType::Thin,
                code => ProvisioningType::Other(code),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Provisioning, ProvisioningType};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back(unmap: bool, write_same_16: bool, write_same_10: bool, unmapped_zeroes: bool, anchor: bool) {
            let kind = ProvisioningType::Thin;
            let data = Provisioning { unmap, write_same_16, write_same_10, unmapped_zeroes, anchor, kind };
            prop_assert_eq!(Provisioning::parse(&data.encode()), Ok(data));
        }
    }
}
