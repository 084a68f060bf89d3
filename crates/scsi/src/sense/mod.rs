//! Sense data: why a command ended in CHECK CONDITION, or what happened to the device.

mod code;
mod encode;
mod key;
mod parse;
mod raw;
#[cfg(test)]
mod tests;

use std::fmt;

pub use code::AdditionalSense;
pub use key::SenseKey;

/// Sense data, of either format. Source: SPC-4, 4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// The kind of trouble.
    pub key: SenseKey,
    /// ASC and ASCQ: the trouble itself.
    pub code: AdditionalSense,
    /// It belongs to an earlier command, not to the one that carries it.
    pub deferred: bool,
    /// INFORMATION; for disks the LBA that failed, or for MISCOMPARE the byte offset of the first difference.
    pub information: Option<u64>,
    /// COMMAND-SPECIFIC INFORMATION.
    pub command_specific: Option<u64>,
    /// The sense key specific field, where it is valid.
    pub specific: Option<Specific>,
}

/// The sense key specific field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specific {
    /// With ILLEGAL REQUEST: which field was wrong.
    Field(FieldPointer),
    /// Anything else: the three bytes, SKSV (bit 7 of the first) cleared.
    Raw([u8; 3]),
}

/// The field that an ILLEGAL REQUEST complains about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldPointer {
    /// In the CDB, or else in the parameter list.
    pub in_cdb: bool,
    /// The byte, counted from 0.
    pub byte: u16,
    /// The field's highest bit in it (7 is the top), where it is known.
    pub bit: Option<u8>,
}

/// How sense data lies in memory. The D_SENSE bit of the Control mode page chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenseFormat {
    /// Response codes 70h and 71h, 18 bytes; INFORMATION has 32 bits.
    Fixed,
    /// Response codes 72h and 73h: 8 bytes and descriptors.
    Descriptor,
}

impl Sense {
    /// Sense with a key and a code, and nothing more.
    pub const fn new(key: SenseKey, code: AdditionalSense) -> Self {
        Self { key, code, deferred: false, information: None, command_specific: None, specific: None }
    }

    /// ILLEGAL REQUEST with a code.
    pub const fn illegal(code: AdditionalSense) -> Self {
        Self::new(SenseKey::IllegalRequest, code)
    }

    /// UNIT ATTENTION with a code.
    pub const fn attention(code: AdditionalSense) -> Self {
        Self::new(SenseKey::UnitAttention, code)
    }

    /// NO SENSE: there is nothing to say.
    pub const fn none() -> Self {
        Self::new(SenseKey::NoSense, AdditionalSense::NO_ADDITIONAL_SENSE)
    }

    /// The same, naming the field that is wrong.
    #[must_use]
    pub const fn with_field(mut self, field: FieldPointer) -> Self {
        self.specific = Some(Specific::Field(field));
        self
    }

    /// The same, with an INFORMATION field.
    #[must_use]
    pub const fn with_information(mut self, information: u64) -> Self {
        self.information = Some(information);
        self
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.code)?;
        if let Some(information) = self.information {
            write!(f, ", information {information:#x}")?;
        }
        if let Some(Specific::Field(field)) = self.specific {
            let place = if field.in_cdb { "CDB" } else { "parameter list" };
            write!(f, ", byte {} of the {place}", field.byte)?;
        }
        Ok(())
    }
}
