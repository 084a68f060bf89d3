//! CDBs and everything that a device answers them with.

use scsi::{Command, Inquiry, LunList, ModeData, ReadCapacity10, ReadCapacity16, Sense, UnmapList, vpd};

use crate::traffic::{DATA_IN, SCSI_COMMAND, SCSI_RESPONSE, pdus};

pub(crate) fn run(bytes: &[u8]) {
    crate::keep(Command::parse(bytes));
    crate::keep(Sense::parse(bytes));
    crate::keep(Inquiry::parse(bytes));
    crate::keep(LunList::parse(bytes));
    crate::keep(ReadCapacity10::parse(bytes));
    crate::keep(ReadCapacity16::parse(bytes));
    crate::keep(ModeData::parse(bytes, false));
    crate::keep(ModeData::parse(bytes, true));
    crate::keep(vpd::BlockLimits::parse(bytes));
    crate::keep(vpd::BlockCharacteristics::parse(bytes));
    crate::keep(vpd::DeviceId::parse(bytes));
    crate::keep(vpd::Provisioning::parse(bytes));
    crate::keep(vpd::SupportedPages::parse(bytes));
    crate::keep(vpd::UnitSerial::parse(bytes));
    if let Ok(list) = UnmapList::parse(bytes) {
        assert!(list.ranges().len() <= bytes.len() / 16, "a range for each 16 bytes at most");
    }
}

/// What Linux and libiscsi asked, and tgtd and LIO answered: one of each that differs.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for pdu in pdus() {
        match pdu.opcode() {
            // Of many reads and writes, one with each operation code.
            SCSI_COMMAND if !seeds.iter().any(|seed| seed[0] == pdu.header[32] && seed.len() == 16) => {
                seeds.push(pdu.header[32..].to_vec());
            }
            // Sense data has its length before it.
            SCSI_RESPONSE if pdu.data.len() > 2 => seeds.push(pdu.data[2..].to_vec()),
            // Contents of the disk are longer.
            DATA_IN if (1..512).contains(&pdu.data.len()) => seeds.push(pdu.data),
            _ => {}
        }
    }
    seeds.sort();
    seeds.dedup();
    seeds
}
