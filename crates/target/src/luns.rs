//! The units of a target by their number, and the answers for numbers that have none.

use std::collections::BTreeMap;

use scsi::{AdditionalSense, Command, DeviceType, Lun, LunList, Qualifier, SelectReport, Sense, SenseFormat};

use crate::error::TargetError;
use crate::unit::{Expected, Reply, Unit, standard};

/// Most units of one target.
pub(crate) const MOST_LUNS: usize = 4096;

/// All units of a target. They do not change while it serves.
#[derive(Debug, Default)]
pub(crate) struct Luns {
    units: BTreeMap<Lun, Unit>,
}

impl Luns {
    /// Adds a unit.
    pub(crate) fn add(&mut self, unit: Unit) -> Result<(), TargetError> {
        let lun = unit.lun();
        match self.units.insert(lun, unit) {
            Some(_) => Err(TargetError::LunTwice { lun }),
            None => Ok(()),
        }
    }

    /// All units, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Unit> {
        self.units.values()
    }

    /// The answer to a command for a number that has no unit.
    pub(crate) fn answer_absent(&self, lun: Option<Lun>, cdb: &[u8], expected: Expected) -> Reply {
        let room = usize::try_from(expected.read).unwrap_or(usize::MAX);
        let bytes = |bytes: Vec<u8>, alloc_len: u32| {
            Reply::bytes(bytes, usize::try_from(alloc_len).unwrap_or(usize::MAX), room)
        };
        let absent = Sense::illegal(AdditionalSense::LOGICAL_UNIT_NOT_SUPPORTED);
        match Command::parse(cdb) {
            Ok(Command::ReportLuns { select, alloc_len }) => self.report(select, alloc_len, expected),
            Ok(Command::Inquiry { page: None, alloc_len }) => {
                // LUN 0 answers for its target even where there is no unit behind it.
                let qualifier =
                    if lun == Some(Lun::ZERO) { Qualifier::NotConnected } else { Qualifier::NotSupported };
                bytes(standard(qualifier, DeviceType::Unknown).encode().to_vec(), alloc_len.into())
            }
            Ok(Command::RequestSense { descriptor, alloc_len }) => {
                let format = if descriptor { SenseFormat::Descriptor } else { SenseFormat::Fixed };
                bytes(absent.encode(format), alloc_len.into())
            }
            _ => Reply::check(absent),
        }
    }

    /// REPORT LUNS.
    pub(crate) fn report(&self, select: SelectReport, alloc_len: u32, expected: Expected) -> Reply {
        if alloc_len < 16 {
            return crate::unit::invalid_field(6, 7);
        }
        let list = match select {
            // There are no well-known logical units.
            SelectReport::WellKnown => LunList::encode(std::iter::empty()),
            SelectReport::Addressed | SelectReport::All => LunList::encode(self.units.keys().copied()),
        };
        let room = usize::try_from(expected.read).unwrap_or(usize::MAX);
        Reply::bytes(list, usize::try_from(alloc_len).unwrap_or(usize::MAX), room)
    }
}
