//! Blocks of the heartbeat area, one sector of the device for each node.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Check, Corrupt, Structure};
use crate::raw::layout;
use crate::units::BlockNum;

/// A heartbeat block as it lies on disk (`struct o2hb_disk_heartbeat_block`); the rest of the sector is zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawHeartbeat {
    /// `hb_seq`: changes with every beat.
    pub seq: U64,
    /// `hb_node`.
    pub node: u8,
    /// Padding.
    pub pad: [u8; 3],
    /// `hb_cksum`: CRC-32 of the sector with this field zero; seed 0, not inverted.
    pub cksum: U32,
    /// `hb_generation`: of this start of the heartbeat.
    pub generation: U64,
    /// `hb_dead_ms`: after how long the others take the node for dead.
    pub dead_ms: U32,
}
layout!(RawHeartbeat, 28, { cksum: 0x0c, generation: 0x10, dead_ms: 0x18 });

/// A checked heartbeat block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Changes with every beat.
    pub seq: u64,
    /// Node number.
    pub node: u8,
    /// Of this start of the heartbeat.
    pub generation: u64,
    /// After how many milliseconds the others take the node for dead.
    pub dead_ms: u32,
}

impl Heartbeat {
    /// Checks the heartbeat sector of a node. A sector of zeroes is a node that never beat, and is fine.
    ///
    /// # Errors
    /// [`Corrupt`], naming `block`, the number of the sector, when the sector is short or its checksum wrong.
    pub fn parse(block: BlockNum, sector: &[u8]) -> Result<Self, Corrupt> {
        let Ok((raw, _)) = RawHeartbeat::ref_from_prefix(sector) else {
            let (structure, want) = (Structure::Heartbeat, size_of::<RawHeartbeat>());
            return Err(Corrupt { block, what: Check::Short { structure, len: sector.len(), want } });
        };
        let (stored, computed) = (raw.cksum.get(), checksum(sector));
        if stored != computed {
            return Err(Corrupt { block, what: Check::HeartbeatChecksum { stored, computed } });
        }
        Ok(Self {
            seq: raw.seq.get(),
            node: raw.node,
            generation: raw.generation.get(),
            dead_ms: raw.dead_ms.get(),
        })
    }

    /// Fills a sector, checksum included. Returns `None`, with nothing written, when it is too small.
    pub fn encode(&self, sector: &mut [u8]) -> Option<()> {
        if sector.len() < size_of::<RawHeartbeat>() {
            return None;
        }
        sector.fill(0);
        let mut raw = RawHeartbeat {
            seq: U64::new(self.seq),
            node: self.node,
            generation: U64::new(self.generation),
            dead_ms: U32::new(self.dead_ms),
            ..RawHeartbeat::default()
        };
        raw.write_to_prefix(sector).ok()?;
        raw.cksum = U32::new(checksum(sector));
        raw.write_to_prefix(sector).ok()
    }
}

/// CRC-32 with seed 0 and no inversion; the four bytes of the field count as zero.
fn checksum(sector: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(u32::MAX); // is inverted to 0 on the way in
    hasher.update(sector.get(..0x0c).unwrap_or_default());
    hasher.update(&[0; 4]);
    hasher.update(sector.get(0x10..).unwrap_or_default());
    !hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vector() {
        let beat = Heartbeat { seq: 0x6553_f100, node: 3, generation: 0xdead_beef, dead_ms: 60000 };
        let mut sector = [0xff; 512];
        beat.encode(&mut sector).unwrap();
        assert_eq!(sector[0x0c..0x10], 0x2418_8346_u32.to_le_bytes());
        assert_eq!(Heartbeat::parse(BlockNum(0), &sector), Ok(beat));
        sector[300] = 1;
        let error = Heartbeat::parse(BlockNum(3), &sector).unwrap_err();
        assert!(matches!(error.what, Check::HeartbeatChecksum { stored: 0x2418_8346, .. }));
        assert!(Heartbeat::parse(BlockNum(0), &[0; 512]).is_ok(), "a node that never beat");
        assert!(Heartbeat::parse(BlockNum(0), &[0; 27]).is_err());
        assert_eq!(beat.encode(&mut [0; 27]), None);
    }
}
