//! Opening a volume: superblock, features, system files, slots, journals.

use std::sync::Arc;

use block::{BlockDevice, BlockDeviceExt, BlockError, Buf};
use ocfs2_format::{Access, BlockSize, Incompat, JournalState, ProbeError, Probed, SlotMap, Superblock};

use crate::attr::Attr;
use crate::disk::Disk;
use crate::meta::Meta;
use crate::overlay::Overlay;
use crate::system::{Slot, SystemFile, SystemFiles};
use crate::{Error, Inode, JournalError, OpenError, Volume};

/// How a volume is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Most bytes of metadata kept in memory. Default: 32 MiB.
    pub cache_bytes: usize,
    /// Whether dirty journals are replayed into memory. Without, the volume is seen as it lies on the disk: half-done
    /// changes and all. Default: yes.
    pub replay: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { cache_bytes: 32 << 20, replay: true }
    }
}

/// Something that is wrong with a volume, or worth knowing, which leaves it readable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The superblock is bad; a backup of it stands in.
    #[error("THE SUPERBLOCK IS BAD ({why}): going on with its backup at byte {offset}")]
    BackupSuperblock {
        /// Byte of the backup.
        offset: u64,
        /// What is wrong with the first.
        why: ProbeError,
    },
    /// One bit of the superblock was wrong.
    #[error("one bit of the superblock was wrong; repaired in memory")]
    RepairedSuperblock,
    /// The device ends before the volume.
    #[error("the volume has {volume} bytes, its device only {device}: the rest cannot be read")]
    Truncated {
        /// Size of the volume.
        volume: u64,
        /// Size of the device.
        device: u64,
    },
    /// Features that forbid writing, not reading.
    #[error("unknown features {bits:#x} in s_feature_ro_compat: the volume may be read, not written")]
    UnknownRoCompat {
        /// The bits.
        bits: u32,
    },
    /// The volume is marked as having errors.
    #[error("somebody saw errors on this volume and marked it (s_state)")]
    ErrorsSeen,
    /// The system directory cannot be read: no journal can be found.
    #[error("the system directory cannot be read, so dirty journals are not seen")]
    SystemDir {
        /// What is wrong with it.
        source: Error,
    },
    /// A system file cannot be read.
    #[error("{file} cannot be read")]
    SystemFile {
        /// The file.
        file: SystemFile,
        /// What is wrong with it.
        source: Error,
    },
    /// A slot's journal was dirty.
    #[error(
        "the journal of slot {slot} is dirty: {blocks} blocks of it replayed into memory, the disk is untouched"
    )]
    Replayed {
        /// The slot.
        slot: u16,
        /// Blocks taken from the log.
        blocks: usize,
    },
    /// A slot's journal was dirty, and the caller did not want it replayed.
    #[error("the journal of slot {slot} is dirty and not replayed: half-done changes may show")]
    NotReplayed {
        /// The slot.
        slot: u16,
    },
    /// A node has the volume mounted, or crashed.
    #[error("node {node} holds slot {slot}: if it is alive, what it changes meanwhile may be seen half-done")]
    InUse {
        /// The slot.
        slot: u16,
        /// The node.
        node: u32,
    },
}

/// What opening found out.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) superblock: Superblock,
    pub(crate) system: SystemFiles,
    pub(crate) slots: Vec<Slot>,
    pub(crate) warnings: Vec<Warning>,
    /// The root directory's attributes before the replay, where they are the ones to show.
    pub(crate) root_attr: Option<Attr>,
}

/// Opens the volume on `device`.
pub(crate) async fn open(device: Arc<dyn BlockDevice>, options: OpenOptions) -> Result<Volume, OpenError> {
    let mut warnings = Vec::new();
    let superblock = superblock(&device, &mut warnings).await?;
    let refused = |source| OpenError::Refused { device: device.name().to_owned(), source };
    if let Access::ReadOnly { unknown_ro_compat: bits } = superblock.access().map_err(refused)? {
        warnings.push(Warning::UnknownRoCompat { bits });
    }
    let (volume_size, device_size) = (superblock.geometry.bytes(), device.geometry().size);
    if volume_size > device_size {
        warnings.push(Warning::Truncated { volume: volume_size, device: device_size });
    }
    if superblock.errors_seen {
        warnings.push(Warning::ErrorsSeen);
    }
    let meta = |overlay: Overlay| {
        let disk = Disk::new(Arc::clone(&device), superblock.geometry.block_size, overlay);
        Meta::new(disk, superblock.volume(), options.cache_bytes)
    };
    // The volume as it lies, which is enough for what must be known to replay the journals.
    let bare = Opened {
        superblock: superblock.clone(),
        system: SystemFiles::default(),
        slots: Vec::new(),
        warnings: Vec::new(),
        root_attr: None,
    };
    let bare = Volume::new(meta(Overlay::default()), bare);
    let system = match bare.read_system_dir().await {
        Ok(system) => system,
        Err(source) => {
            warnings.push(Warning::SystemDir { source });
            SystemFiles::default()
        }
    };
    let mut slots = bare.read_slots(&system, &mut warnings).await;
    let mut overlay = Overlay::default();
    for slot in &mut slots {
        let number = slot.number;
        if let Some(node) = slot.node {
            warnings.push(Warning::InUse { slot: number, node });
        }
        if !slot.journal.is_some_and(|journal| journal.dirty) {
            continue;
        }
        if !options.replay {
            warnings.push(Warning::NotReplayed { slot: number });
            continue;
        }
        slot.replayed = bare
            .replay_slot(&system, number, &mut overlay)
            .await
            .map_err(|source| OpenError::Journal { slot: number, source })?;
        warnings.push(Warning::Replayed { slot: number, blocks: slot.replayed });
    }
    let root_attr = if overlay.is_empty() { None } else { bare.root_attr_to_show().await };
    Ok(Volume::new(meta(overlay), Opened { superblock, system, slots, warnings, root_attr }))
}

impl Volume {
    /// Reads the names in the system directory.
    async fn read_system_dir(&self) -> Result<SystemFiles, Error> {
        let dir = self.inode(self.superblock().system_dir).await?;
        let mut system = SystemFiles::default();
        let mut position = Some(0);
        while let Some(at) = position {
            let page = self.readdir(&dir, at).await?;
            for entry in page.entries {
                if !system.insert(entry.name, entry.ino) {
                    return Ok(system);
                }
            }
            position = page.next;
        }
        Ok(system)
    }

    /// The root directory's attributes as they lie, on a volume for one host.
    ///
    /// The kernel reads the root's inode before it replays the journal. In a cluster it reads it again with the first
    /// lock; on a volume for one host there are no locks, and until the next mount it shows the attributes of before.
    /// What is in the directory it shows as replayed, and so do we.
    async fn root_attr_to_show(&self) -> Option<Attr> {
        if !self.superblock().features.incompat.contains(Incompat::LOCAL_MOUNT) {
            return None;
        }
        // A root that cannot be read before the replay has no attributes of before.
        self.inode(self.root()).await.ok().map(|root| *root.attr())
    }

    /// Reads who holds the slots and how their journals are.
    async fn read_slots(&self, system: &SystemFiles, warnings: &mut Vec<Warning>) -> Vec<Slot> {
        let nodes = match self.read_slot_map(system).await {
            Ok(map) => map.nodes,
            Err(source) => {
                warnings.push(Warning::SystemFile { file: SystemFile::SlotMap, source });
                Vec::new()
            }
        };
        let mut slots = Vec::new();
        for number in 0..self.superblock().max_slots {
            let node = nodes.get(usize::from(number)).copied().flatten();
            let journal = match self.read_journal_state(system, number).await {
                Ok(journal) => journal,
                Err(source) => {
                    warnings.push(Warning::SystemFile { file: SystemFile::Journal(number), source });
                    None
                }
            };
            slots.push(Slot { number, node, journal, replayed: 0 });
        }
        slots
    }

    async fn read_slot_map(&self, system: &SystemFiles) -> Result<SlotMap, Error> {
        let inode = self.named(system, SystemFile::SlotMap).await?;
        let volume = self.meta().volume();
        // At most 255 slots of 8 bytes.
        let bytes = self.read_body(&inode, 0, SlotMap::bytes(volume) as u64).await?.to_vec();
        Ok(SlotMap::parse(volume, inode.ino(), &bytes)?)
    }

    async fn read_journal_state(
        &self,
        system: &SystemFiles,
        slot: u16,
    ) -> Result<Option<JournalState>, Error> {
        let inode = self.named(system, SystemFile::Journal(slot)).await?;
        Ok(inode.dinode().journal())
    }

    async fn replay_slot(
        &self,
        system: &SystemFiles,
        slot: u16,
        overlay: &mut Overlay,
    ) -> Result<usize, JournalError> {
        let inode = self.named(system, SystemFile::Journal(slot)).await?;
        self.replay_into(&inode, overlay).await
    }

    async fn named(&self, system: &SystemFiles, file: SystemFile) -> Result<Inode, Error> {
        self.inode(system.get(file).ok_or(Error::NoSystemFile { file })?).await
    }
}

/// Finds the superblock, or a backup of it.
async fn superblock(
    device: &Arc<dyn BlockDevice>,
    warnings: &mut Vec<Warning>,
) -> Result<Superblock, OpenError> {
    let smallest = usize::try_from(device.geometry().logical_block).unwrap_or(usize::MAX);
    let smallest = BlockSize::from_bytes(smallest).unwrap_or(BlockSize::MIN);
    let why = match read_some(device, 0, Superblock::PROBE_LEN).await {
        Ok(head) => match Superblock::probe(&head, smallest) {
            Ok(probed) => return Ok(taken(probed, warnings)),
            Err(why) => why,
        },
        Err(source) => return Err(source.into()),
    };
    for offset in Superblock::BACKUP_OFFSETS {
        if offset >= device.geometry().size {
            break;
        }
        let Ok(bytes) = read_some(device, offset, BlockSize::MAX.len()).await else { continue };
        if let Ok(probed) = Superblock::probe_backup(offset, &bytes) {
            warnings.push(Warning::BackupSuperblock { offset, why });
            return Ok(taken(probed, warnings));
        }
    }
    Err(OpenError::NoSuperblock { device: device.name().to_owned(), source: why })
}

fn taken(probed: Probed, warnings: &mut Vec<Warning>) -> Superblock {
    if probed.repaired {
        warnings.push(Warning::RepairedSuperblock);
    }
    probed.superblock
}

/// Reads `len` bytes at `offset`, fewer where the device ends.
async fn read_some(device: &Arc<dyn BlockDevice>, offset: u64, len: usize) -> Result<Buf, BlockError> {
    let left = usize::try_from(device.geometry().size.saturating_sub(offset)).unwrap_or(usize::MAX);
    device.read_at(offset, len.min(left)).await
}
