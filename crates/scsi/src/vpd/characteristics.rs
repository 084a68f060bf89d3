//! VPD page B1h: what the medium is.

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BLOCK_CHARACTERISTICS, filled, page};
use crate::ParseError;

/// Body of the page. Source: SBC-3, 6.6.3.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    rotation: U16,
    product_type: u8,
    form_factor: u8,
    flags: u8,
    reserved: [u8; 55],
}
const _: () = assert!(size_of::<Raw>() == 60);

/// How fast the medium turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Not told.
    Unknown,
    /// It does not turn.
    SolidState,
    /// Rounds a minute, 401h to FFFEh; other values are kept as they came.
    PerMinute(u16),
}

/// Block device characteristics (B1h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCharacteristics {
    /// Medium rotation rate.
    pub rotation: Rotation,
    /// Nominal form factor, 0 to 15; 0 is not told.
    pub form_factor: u8,
}

impl BlockCharacteristics {
    /// The page, 64 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let rotation = match self.rotation {
            Rotation::Unknown => 0,
            Rotation::SolidState => 1,
            Rotation::PerMinute(rate) => rate,
        };
        let raw = Raw {
            rotation: U16::new(rotation),
            product_type: 0,
            form_factor: self.form_factor & 0x0f,
            flags: 0,
            reserved: [0; 55],
        };
        page(BLOCK_CHARACTERISTICS, raw.as_bytes())
    }

    /// Reads the page.
    ///
    /// # Errors
    /// [`ParseError`] for another page, or a body below 4 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let raw: Raw = zerocopy::transmute!(filled::<60>(bytes, BLOCK_CHARACTERISTICS, 4, "VPD page B1h")?);
        let rotation = match raw.rotation.get() {
            0 => Rotation::Unknown,
            1 => Rotation::SolidState,
            rate => Rotation::PerMinute(rate),
        };
        Ok(Self { rotation, form_factor: raw.form_factor & 0x0f })
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockCharacteristics, Rotation};

    #[test]
    fn comes_back() {
        for rotation in [Rotation::Unknown, Rotation::SolidState, Rotation::PerMinute(7200)] {
            let data = BlockCharacteristics { rotation, form_factor: 3 };
            assert_eq!(BlockCharacteristics::parse(&data.encode()), Ok(data));
            assert_eq!(data.encode().len(), 64);
        }
    }
}
