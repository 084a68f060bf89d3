//! Logical unit numbers.

use std::fmt;

/// A logical unit number, 0 to 16383, in the two forms that targets of one level use.
///
/// On the wire it is 8 bytes: a number below 256 in the peripheral device form (`00 NN`), others in the flat space
/// form (`01` in the top bits, 14 bits of number). Source: SAM-5, 4.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lun(u16);

/// A LUN that is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LunError {
    /// Beyond the 14 bits of the flat space form.
    #[error("LUN {0} is too large: the highest is 16383")]
    TooLarge(u64),
    /// An address form with several levels or of no plain unit (buses, well-known units, extended forms).
    #[error("LUN field {0:#018x} is no single-level number")]
    Form(u64),
}

impl LunError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge(_) => Some("number LUNs from 0 to 16383"),
            Self::Form(_) => None,
        }
    }
}

impl Lun {
    /// LUN 0, which every target answers for.
    pub const ZERO: Self = Self(0);
    /// The largest number.
    pub const MAX: u16 = 0x3fff;

    /// Checks a number.
    ///
    /// # Errors
    /// [`LunError::TooLarge`].
    pub const fn new(number: u16) -> Result<Self, LunError> {
        if number > Self::MAX { Err(LunError::TooLarge(number_u64(number))) } else { Ok(Self(number)) }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The 8 bytes of a PDU's LUN field.
    pub const fn encode(self) -> [u8; 8] {
        let [high, low] = self.0.to_be_bytes();
        let form = if self.0 < 256 { 0x00 } else { 0x40 };
        [high | form, low, 0, 0, 0, 0, 0, 0]
    }

    /// Reads the 8 bytes of a PDU's LUN field; takes both forms for any number.
    ///
    /// # Errors
    /// [`LunError::Form`] for anything of more than one level.
    pub const fn parse(field: [u8; 8]) -> Result<Self, LunError> {
        let [first, second, rest @ ..] = field;
        let [a, b, c, d, e, f] = rest;
        let bad = LunError::Form(u64::from_be_bytes(field));
        if a | b | c | d | e | f != 0 {
            return Err(bad);
        }
        match first >> 6 {
            // Peripheral device, bus 0.
            0b00 if first == 0 => Ok(Self(number_u16(second))),
            0b01 => Ok(Self(u16::from_be_bytes([first & 0x3f, second]))),
            _ => Err(bad),
        }
    }
}

impl fmt::Display for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const fn number_u16(n: u8) -> u16 {
    u16::from_be_bytes([0, n])
}

const fn number_u64(n: u16) -> u64 {
    let [high, low] = n.to_be_bytes();
    u64::from_be_bytes([0, 0, 0, 0, 0, 0, high, low])
}

#[cfg(test)]
mod tests {
    use super::{Lun, LunError};

    #[test]
    fn every_number_comes_back() {
        for number in 0..=Lun::MAX {
            let lun = Lun::new(number).unwrap();
            assert_eq!(Lun::parse(lun.encode()), Ok(lun));
        }
        assert_eq!(Lun::new(0x4000), Err(LunError::TooLarge(0x4000)));
    }

    #[test]
    fn forms() {
        assert_eq!(Lun::new(1).unwrap().encode(), [0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Lun::new(300).unwrap().encode(), [0x41, 0x2c, 0, 0, 0, 0, 0, 0]);
        // A small number in the flat form is the same unit.
        assert_eq!(Lun::parse([0x40, 7, 0, 0, 0, 0, 0, 0]), Lun::new(7));
        // The REPORT LUNS well-known unit, and a second level.
        assert!(Lun::parse([0xc1, 1, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(Lun::parse([0, 1, 0, 2, 0, 0, 0, 0]).is_err());
    }
}
