//! VPD pages 00h and 80h: which pages there are, and the unit's serial number.

use super::{SUPPORTED_PAGES, UNIT_SERIAL, body, page};
use crate::ParseError;
use crate::inquiry::text;

/// Supported VPD pages (00h). Source: SPC-4, 7.8.15.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportedPages(pub Vec<u8>);

impl SupportedPages {
    /// The page of these codes, in the order given; they should ascend and begin with 00h.
    pub fn encode(codes: &[u8]) -> Vec<u8> {
        page(SUPPORTED_PAGES, codes)
    }

    /// Reads the page.
    ///
    /// # Errors
    /// [`ParseError`] for a short head or another page.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        Ok(Self(body(bytes, SUPPORTED_PAGES, "VPD page 00h")?.to_vec()))
    }
}

/// Unit serial number (80h). Source: SPC-4, 7.8.16.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSerial(pub String);

impl UnitSerial {
    /// The page; what is not printable ASCII in the serial number becomes a blank.
    pub fn encode(serial: &str) -> Vec<u8> {
        let clean: Vec<u8> =
            serial.bytes().map(|byte| if (0x20..0x7f).contains(&byte) { byte } else { b' ' }).collect();
        page(UNIT_SERIAL, &clean)
    }

    /// Reads the page. Blanks around the number, with which some targets fill it up, are cut off.
    ///
    /// # Errors
    /// [`ParseError`] for a short head or another page.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let text = text(body(bytes, UNIT_SERIAL, "VPD page 80h")?);
        Ok(Self(text.trim_start().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{SupportedPages, UnitSerial};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back(codes: Vec<u8>, serial in "[!-~]{0,40}") {
            prop_assert_eq!(SupportedPages::parse(&SupportedPages::encode(&codes)), Ok(SupportedPages(codes)));
            prop_assert_eq!(UnitSerial::parse(&UnitSerial::encode(&serial)), Ok(UnitSerial(serial)));
        }
    }
}
