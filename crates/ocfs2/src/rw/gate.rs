//! What must be true of a volume before it is written to.

use ocfs2_format::Access;

use crate::{Volume, Warning};

/// Why a volume may be read, but not written to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotWritable {
    /// The device takes no writes.
    #[error("the device takes no writes")]
    Device,
    /// Features that are not known and forbid writing.
    #[error("unknown features {bits:#x} in s_feature_ro_compat")]
    UnknownRoCompat {
        /// The bits.
        bits: u32,
    },
    /// The device can only write more than a block at once.
    #[error("the volume has blocks of {block} bytes, and its device can only write {sector} at once")]
    Sector {
        /// Bytes of a block.
        block: u64,
        /// Bytes of the device's smallest write.
        sector: u64,
    },
    /// Something that must be relied on is damaged.
    #[error("{0}")]
    Damaged(Box<Warning>),
    /// A journal with a feature that is not written here.
    #[error("the journal of slot {slot} has the feature {feature}")]
    Journal {
        /// The slot.
        slot: u16,
        /// Its name.
        feature: &'static str,
    },
    /// A slot's window of clusters is in use though its journal is clean: nobody can know what of it is free.
    #[error("the journal of slot {slot} is clean, but its local alloc is in use")]
    LocalAlloc {
        /// The slot.
        slot: u16,
    },
}

impl NotWritable {
    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Damaged(_) | Self::LocalAlloc { .. } => {
                Some("repair the volume with fsck.ocfs2, or use it read-only")
            }
            _ => Some("use it read-only"),
        }
    }
}

/// Judges `volume` as it lies, before the first byte of it is changed.
pub(super) fn check(volume: &Volume) -> Result<(), NotWritable> {
    let device = volume.device().geometry();
    if device.read_only {
        return Err(NotWritable::Device);
    }
    let features = volume.superblock().features;
    if let Ok(Access::ReadOnly { unknown_ro_compat: bits }) = features.access() {
        return Err(NotWritable::UnknownRoCompat { bits });
    }
    let (block, sector) = (volume.geometry().block_size.bytes(), u64::from(device.logical_block));
    if !block.is_multiple_of(sector) {
        return Err(NotWritable::Sector { block, sector });
    }
    Ok(())
}

/// What of the `warnings` of a volume forbids writing to it.
pub(super) fn damage(warnings: Vec<Warning>) -> Result<Vec<Warning>, NotWritable> {
    let mut harmless = Vec::new();
    for warning in warnings {
        match warning {
            Warning::BackupSuperblock { .. }
            | Warning::RepairedSuperblock
            | Warning::Truncated { .. }
            | Warning::SystemDir { .. }
            | Warning::SystemFile { .. } => return Err(NotWritable::Damaged(Box::new(warning))),
            // These are what opening is about to mend.
            Warning::NotReplayed { .. } | Warning::InUse { .. } => {}
            other => harmless.push(other),
        }
    }
    Ok(harmless)
}
