//! What the unit says of itself: INQUIRY and its pages, capacity, sense.

use scsi::vpd::{
    self, BlockCharacteristics, BlockLimits, Provisioning, ProvisioningType, Rotation, SupportedPages,
    UnitSerial,
};
use scsi::{
    Command, DeviceType, Inquiry, Qualifier, ReadCapacity10, ReadCapacity16, Sense, SenseFormat,
    service_action,
};

use super::admit::invalid_field;
use super::reply::as_usize;
use super::{
    Admitted, MAX_TRANSFER, MAX_UNMAP_BLOCKS, MAX_UNMAP_RANGES, MAX_WRITE_SAME, Reply, SessionId, Unit,
};
use crate::identity::VENDOR;
use crate::nexus::Nexus;

/// Product identification of all units.
const PRODUCT: &str = "disk";

/// Version descriptors: SAM-5, SPC-4, SBC-3, iSCSI, each without a version claimed.
const VERSIONS: [u16; 8] = [0x00a0, 0x0960, 0x0460, 0x04c0, 0, 0, 0, 0];

const PAGES: [u8; 6] = [
    vpd::SUPPORTED_PAGES,
    vpd::UNIT_SERIAL,
    vpd::DEVICE_ID,
    vpd::BLOCK_LIMITS,
    vpd::BLOCK_CHARACTERISTICS,
    vpd::PROVISIONING,
];

/// Standard INQUIRY data of a unit, or of a LUN that has none.
pub(crate) fn standard(qualifier: Qualifier, device_type: DeviceType) -> Inquiry {
    Inquiry {
        qualifier,
        device_type,
        removable: false,
        version: 6,
        hierarchical: true,
        tpgs: 0,
        third_party_copy: false,
        protect: false,
        multi_port: false,
        queueing: true,
        vendor: VENDOR.into(),
        product: PRODUCT.into(),
        revision: env!("CARGO_PKG_VERSION").into(),
        versions: VERSIONS,
    }
}

/// PERSISTENT RESERVE IN of a unit that nobody can register with: no keys, no reservation, no types.
fn persistent_in(action: u8) -> Option<Vec<u8>> {
    Some(match action {
        service_action::PR_IN_READ_KEYS
        | service_action::PR_IN_READ_RESERVATION
        | service_action::PR_IN_READ_FULL_STATUS => vec![0; 8],
        // Length 8, and TMV: the mask of types is valid, and empty.
        service_action::PR_IN_REPORT_CAPABILITIES => vec![0, 8, 0, 0x80, 0, 0, 0, 0],
        _ => return None,
    })
}

impl Unit {
    /// Commands that only tell or set something.
    pub(super) fn report(&self, session: SessionId, admitted: &Admitted, data: &[u8]) -> Reply {
        let expected = as_usize(admitted.expected.read);
        let answer = |bytes: Vec<u8>, alloc_len: u32| Reply::bytes(bytes, as_usize(alloc_len), expected);
        match admitted.command {
            Command::Inquiry { page, alloc_len } => match self.inquiry(page) {
                Some(bytes) => answer(bytes, alloc_len.into()),
                None => invalid_field(2, 7),
            },
            Command::RequestSense { descriptor, alloc_len } => {
                let news = self.nexus(session).and_then(|nexus| nexus.take());
                let sense = news.map_or_else(Sense::none, Sense::attention);
                let format = if descriptor { SenseFormat::Descriptor } else { SenseFormat::Fixed };
                answer(sense.encode(format), alloc_len.into())
            }
            Command::ReadCapacity10 => {
                answer(ReadCapacity10::of(self.blocks - 1, self.block).encode().to_vec(), 8)
            }
            Command::ReadCapacity16 { alloc_len } => answer(self.capacity().encode().to_vec(), alloc_len),
            Command::ModeSense(sense) => match self.mode_sense(&sense) {
                Ok(bytes) => answer(bytes, sense.alloc_len.into()),
                Err(reply) => reply,
            },
            Command::ModeSelect(select) => self.mode_select(session, &select, data),
            Command::ReportOpcodes(report) => match self.report_opcodes(&report) {
                Ok(bytes) => answer(bytes, report.alloc_len),
                Err(reply) => reply,
            },
            // Nothing here can be taken out.
            Command::PreventAllow { prevent: 0 } => Reply::good(),
            Command::PreventAllow { .. } => invalid_field(4, 1),
            Command::PersistentIn(read) => match persistent_in(read.action) {
                Some(bytes) => answer(bytes, read.alloc_len.into()),
                None => invalid_field(1, 4),
            },
            Command::GetLbaStatus { .. } => invalid_field(1, 4),
            _ => Reply::illegal(scsi::AdditionalSense::INVALID_OPERATION_CODE),
        }
    }

    fn nexus(&self, session: SessionId) -> Option<std::sync::Arc<Nexus>> {
        self.nexuses().get(&session).cloned()
    }

    fn inquiry(&self, page: Option<u8>) -> Option<Vec<u8>> {
        Some(match page {
            None => standard(Qualifier::Connected, DeviceType::Disk).encode().to_vec(),
            Some(vpd::SUPPORTED_PAGES) => SupportedPages::encode(&PAGES),
            Some(vpd::UNIT_SERIAL) => UnitSerial::encode(&self.identity.serial),
            Some(vpd::DEVICE_ID) => self.identity.device_id(&self.iqn, self.tag).encode(),
            Some(vpd::BLOCK_LIMITS) => self.limits().encode(),
            Some(vpd::BLOCK_CHARACTERISTICS) => {
                BlockCharacteristics { rotation: Rotation::SolidState, form_factor: 0 }.encode()
            }
            Some(vpd::PROVISIONING) => self.provisioning().encode(),
            Some(_) => return None,
        })
    }

    fn capacity(&self) -> ReadCapacity16 {
        ReadCapacity16 {
            last_lba: self.blocks - 1,
            block_len: self.block,
            protection: None,
            physical_exponent: self.physical_exponent(),
            lowest_aligned: 0,
            provisioned: self.is_thin(),
            unmapped_zeroes: self.is_thin(),
        }
    }

    fn limits(&self) -> BlockLimits {
        let transfer = MAX_TRANSFER / self.block;
        let physical = 1u16 << self.physical_exponent();
        let thin = self.is_thin();
        let grain = self.geometry.discard_granularity.div_ceil(self.block).max(1);
        BlockLimits {
            write_same_nonzero: false,
            // The CDB has 8 bits for it.
            max_compare_and_write: u8::MAX,
            optimal_granularity: physical,
            max_transfer: transfer,
            optimal_transfer: (self.geometry.optimal_io / self.block).min(transfer),
            max_prefetch: 0,
            max_unmap_blocks: if thin { MAX_UNMAP_BLOCKS } else { 0 },
            max_unmap_ranges: if thin { MAX_UNMAP_RANGES } else { 0 },
            optimal_unmap_granularity: if thin { grain } else { 0 },
            unmap_alignment: thin.then_some(0),
            max_write_same: MAX_WRITE_SAME,
        }
    }

    fn provisioning(&self) -> Provisioning {
        let thin = self.is_thin();
        Provisioning {
            unmap: thin,
            write_same_16: thin,
            write_same_10: thin,
            unmapped_zeroes: thin,
            anchor: false,
            kind: if thin { ProvisioningType::Thin } else { ProvisioningType::Full },
        }
    }

    /// Logical blocks in a physical one, as a power of two, at most 15.
    fn physical_exponent(&self) -> u8 {
        let blocks = (self.geometry.physical_block / self.block).max(1);
        u8::try_from(blocks.ilog2().min(15)).unwrap_or(0)
    }
}
