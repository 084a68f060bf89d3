//! CDBs and everything that a device answers them with.
#![no_main]

use scsi::{Command, Inquiry, LunList, ModeData, ReadCapacity10, ReadCapacity16, Sense, UnmapList, vpd};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Command::parse(bytes);
    let _ = Sense::parse(bytes);
    let _ = Inquiry::parse(bytes);
    let _ = LunList::parse(bytes);
    let _ = ReadCapacity10::parse(bytes);
    let _ = ReadCapacity16::parse(bytes);
    let _ = ModeData::parse(bytes, false);
    let _ = ModeData::parse(bytes, true);
    let _ = vpd::BlockLimits::parse(bytes);
    let _ = vpd::BlockCharacteristics::parse(bytes);
    let _ = vpd::DeviceId::parse(bytes);
    let _ = vpd::Provisioning::parse(bytes);
    let _ = vpd::SupportedPages::parse(bytes);
    let _ = vpd::UnitSerial::parse(bytes);
    if let Ok(list) = UnmapList::parse(bytes) {
        assert!(list.ranges().len() <= bytes.len() / 16, "a range for each 16 bytes at most");
    }
});
