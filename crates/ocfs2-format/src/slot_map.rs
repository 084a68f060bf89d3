//! Slot map: which node has which slot.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Check, Corrupt, Structure};
use crate::features::Incompat;
use crate::raw::layout;
use crate::units::BlockNum;
use crate::volume::Volume;

/// An entry of the extended slot map as it lies on disk (`struct ocfs2_extended_slot`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawExtendedSlot {
    /// `es_valid`: 0 = free.
    pub valid: u8,
    /// Reserved.
    pub reserved: [u8; 3],
    /// `es_node_num`.
    pub node_num: U32,
}
layout!(RawExtendedSlot, 8, { node_num: 4 });

/// Node number that means "free" in the old form.
const FREE: u16 = 0xffff;

/// The slots of a volume, each with the number of the node that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotMap {
    /// One for each slot, `None` = free.
    pub nodes: Vec<Option<u32>>,
}

impl SlotMap {
    /// Bytes of the file that hold the map: entries of 8 bytes, or of 2 in the old form.
    #[must_use]
    pub fn bytes(volume: &Volume) -> usize {
        let entry = if volume.has(Incompat::EXTENDED_SLOT_MAP) { 8 } else { 2 };
        usize::from(volume.max_slots).saturating_mul(entry)
    }

    /// Reads the map from the start of the `slot_map` file, whose first block is `block`.
    ///
    /// # Errors
    /// [`Check::Short`] when `data` is less than [`Self::bytes`].
    pub fn parse(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<Self, Corrupt> {
        let want = Self::bytes(volume);
        let Some(used) = data.get(..want) else {
            let what = Check::Short { structure: Structure::SlotMap, len: data.len(), want };
            return Err(Corrupt { block, what });
        };
        let nodes = if volume.has(Incompat::EXTENDED_SLOT_MAP) {
            let entries = <[RawExtendedSlot]>::ref_from_bytes(used).unwrap_or_default();
            entries.iter().map(|slot| (slot.valid != 0).then_some(slot.node_num.get())).collect()
        } else {
            let entries = <[U16]>::ref_from_bytes(used).unwrap_or_default();
            entries.iter().map(|node| (node.get() != FREE).then_some(u32::from(node.get()))).collect()
        };
        Ok(Self { nodes })
    }

    /// Writes slot `slot` into the bytes of the file. The rest of the block is left alone.
    ///
    /// Returns `None`, with nothing written, when the slot or the node number does not fit.
    pub fn write_slot(volume: &Volume, data: &mut [u8], slot: u16, node: Option<u32>) -> Option<()> {
        if slot >= volume.max_slots {
            return None;
        }
        if volume.has(Incompat::EXTENDED_SLOT_MAP) {
            let start = usize::from(slot).checked_mul(size_of::<RawExtendedSlot>())?;
            let raw = RawExtendedSlot {
                valid: u8::from(node.is_some()),
                reserved: [0; 3],
                node_num: U32::new(node.unwrap_or(0)),
            };
            return raw.write_to_prefix(data.get_mut(start..)?).ok();
        }
        let start = usize::from(slot).checked_mul(size_of::<U16>())?;
        let number = node.map_or(Some(FREE), |node| u16::try_from(node).ok().filter(|&n| n != FREE))?;
        U16::new(number).write_to_prefix(data.get_mut(start..)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_volume::volume;

    #[test]
    fn both_forms_round_trip() {
        let extended = volume(12, 12);
        let mut old = extended;
        old.features.incompat.remove(Incompat::EXTENDED_SLOT_MAP);
        for (volume, fill) in [(extended, 0), (old, 0xff)] {
            let mut data = vec![fill; 4096];
            let parse = |data: &[u8]| SlotMap::parse(&volume, BlockNum(9), data).unwrap().nodes;
            assert_eq!(parse(&data), [None; 4], "as mkfs leaves it");
            SlotMap::write_slot(&volume, &mut data, 2, Some(7)).unwrap();
            SlotMap::write_slot(&volume, &mut data, 0, Some(0)).unwrap();
            assert_eq!(parse(&data), [Some(0), None, Some(7), None]);
            SlotMap::write_slot(&volume, &mut data, 0, None).unwrap();
            assert_eq!(parse(&data), [None, None, Some(7), None]);
            assert_eq!(SlotMap::write_slot(&volume, &mut data, 4, None), None);
        }
        let mut data = vec![0xff; 4096];
        assert_eq!(SlotMap::write_slot(&old, &mut data, 0, Some(0xffff)), None, "65535 would read as free");
        let short = SlotMap::parse(&extended, BlockNum(9), &data[..31]).unwrap_err();
        assert_eq!(short.to_string(), "block 9: slot map: only 31 bytes, 32 needed");
    }
}
