//! Sizes and counts, from what was asked for and what the device has.

use ocfs2_format::{BlockSize, ClusterSize, Clusters, Geometry};

use super::{FsType, Request, ShapeError};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Fewest blocks of a volume that has a journal.
const MIN_BLOCKS: u64 = 2048;
/// Smallest journal in bytes, and the default of small volumes.
const MIN_JOURNAL: u64 = 4 * MIB;
/// Blocks that are taken to be needed beside the journals.
const BESIDE_JOURNALS: u64 = 1024;
/// The smallest journal has so many clusters: of a quarter of it, half can be one transaction, and a `mkdir` may
/// touch a cluster and more.
const MIN_JOURNAL_CLUSTERS: u64 = 9;
/// More of the volume than this, in percent, is never set aside for metadata.
const MAX_RESERVE: f64 = 5.0;

/// Size and grain of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSize {
    /// Bytes.
    pub bytes: u64,
    /// Bytes of a sector; 512 for a file.
    pub sector: u32,
}

/// Sizes and counts of the volume to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Block size, cluster size and clusters.
    pub geometry: Geometry,
    /// Node slots; 0 for a heartbeat device.
    pub slots: u16,
    /// Bytes of each slot's journal, a multiple of the cluster size; 0 for a heartbeat device.
    pub journal_bytes: u64,
    /// Groups that each slot's `extent_alloc` gets at once.
    pub extent_groups: u32,
}

impl Shape {
    /// Finds every size that was not asked for, and checks them all.
    ///
    /// # Errors
    /// [`ShapeError`].
    pub fn figure(request: &Request, device: DeviceSize) -> Result<Self, ShapeError> {
        let (block_size, blocks) = block_size(request, device)?;
        let bytes = blocks.saturating_mul(block_size.bytes());
        let cluster_size = match request.cluster_size {
            Some(size) => size,
            None => default_cluster_size(request.fs_type, bytes)?,
        };
        let clusters = bytes >> cluster_size.bits();
        let clusters =
            u32::try_from(clusters).map_err(|_| ShapeError::TooManyClusters { clusters, cluster_size })?;
        let geometry = Geometry { block_size, cluster_size, clusters: Clusters(clusters) };
        let slots = match request.slots {
            _ if request.heartbeat_device => 0,
            Some(slots) => slots,
            None if request.local => 1,
            None => default_slots(geometry.bytes()),
        };
        let journal_bytes =
            if request.heartbeat_device || slots == 0 { 0 } else { journal_bytes(request, geometry, slots)? };
        let extent_groups = extent_groups(request.fs_type, geometry, slots);
        Ok(Self { geometry, slots, journal_bytes, extent_groups })
    }

    /// Checks that the journals can name every block.
    ///
    /// # Errors
    /// [`ShapeError::BlockNumbers`].
    pub fn check_block_numbers(&self, journal_64bit: bool) -> Result<(), ShapeError> {
        let blocks = self.geometry.blocks().0;
        if journal_64bit || blocks <= u64::from(u32::MAX) {
            return Ok(());
        }
        Err(ShapeError::BlockNumbers { blocks })
    }

    /// Clusters of every group of the cluster bitmap but the last.
    #[must_use]
    pub fn group_clusters(&self) -> u32 {
        self.geometry.clusters_per_group().min(self.geometry.clusters.0)
    }

    /// Clusters of the last group.
    #[must_use]
    pub fn tail_clusters(&self) -> u32 {
        let last = self.geometry.cluster_groups().saturating_sub(1);
        self.geometry.cluster_group_bits(last).unwrap_or(0)
    }

    /// Clusters of a group of a slot's allocator.
    #[must_use]
    pub fn suballoc_clusters(&self) -> u16 {
        suballoc_clusters(self.geometry)
    }

    /// Bytes that each slot's `extent_alloc` gets at once.
    #[must_use]
    pub fn extent_bytes(&self) -> u64 {
        u64::from(self.extent_groups)
            .saturating_mul(u64::from(self.suballoc_clusters()))
            .saturating_mul(self.geometry.cluster_size.bytes())
    }
}

/// The block size, and the blocks of the volume before they are rounded to clusters.
fn block_size(request: &Request, device: DeviceSize) -> Result<(BlockSize, u64), ShapeError> {
    let sector = if device.sector == 0 { 512 } else { device.sector };
    let at_least = |bytes: u64| BlockSize::ALL.into_iter().find(|size| size.bytes() >= bytes);
    let asked = match request.block_size {
        None if request.heartbeat_device => at_least(u64::from(sector)),
        asked => asked,
    };
    // What is not asked for is chosen by the size counted in the largest blocks.
    let counted = asked.unwrap_or(BlockSize::MAX);
    if counted.bytes() < u64::from(sector) {
        return Err(ShapeError::SectorSize { sector, block_size: counted.bytes() });
    }
    let mut available = device.bytes / counted.bytes();
    if request.heartbeat_device {
        available = available.min(heartbeat_blocks(counted));
    }
    if let Some(asked) = request.blocks.filter(|&asked| asked > 0 && asked > available) {
        return Err(ShapeError::Blocks { asked, available });
    }
    let specified = request.blocks.filter(|&blocks| blocks > 0);
    let blocks = specified.unwrap_or(available);
    if let Some(size) = asked {
        return Ok((size, blocks));
    }
    let size = default_block_size(blocks.saturating_mul(counted.bytes()));
    if size.bytes() < u64::from(sector) {
        return Err(ShapeError::SectorSize { sector, block_size: size.bytes() });
    }
    Ok((size, specified.unwrap_or(device.bytes / size.bytes())))
}

/// Blocks of a heartbeat device: a few structures and 255 nodes, rounded up to 1 MiB.
fn heartbeat_blocks(size: BlockSize) -> u64 {
    let bytes = (4 + 255 + 10) * size.bytes();
    bytes.next_multiple_of(MIB) / size.bytes()
}

fn default_block_size(bytes: u64) -> BlockSize {
    let [b512, b1024, b2048, b4096] = BlockSize::ALL;
    match bytes {
        ..=3_145_728 => b512,
        GIB.. => b4096,
        536_870_912.. => b2048,
        _ => b1024,
    }
}

fn default_cluster_size(fs_type: FsType, bytes: u64) -> Result<ClusterSize, ShapeError> {
    let bits = match fs_type {
        FsType::Datafiles | FsType::Vmstore => match bytes / GIB {
            ..2 => return Err(ShapeError::TypeNeedsSpace { bytes }),
            2..64 => 17,
            64..96 => 18,
            96..128 => 19,
            128.. => 20,
        },
        FsType::Default | FsType::Mail => {
            let most = u64::from(u32::MAX) - 1;
            (12..20).find(|bits| bytes >> bits <= most).unwrap_or(20)
        }
    };
    Ok(ClusterSize::from_bits(bits).expect("12 to 20"))
}

fn default_slots(bytes: u64) -> u16 {
    match bytes / GIB {
        ..2 => 2,
        2..10 => 4,
        10..1024 => 8,
        1024.. => 16,
    }
}

fn journal_bytes(request: &Request, geometry: Geometry, slots: u16) -> Result<u64, ShapeError> {
    let (blocks, block) = (geometry.blocks().0, geometry.block_size.bytes());
    if blocks < MIN_BLOCKS {
        return Err(ShapeError::TooSmall { blocks });
    }
    let cluster = geometry.cluster_size.bytes();
    let least = MIN_JOURNAL_CLUSTERS * cluster;
    let fits = |bytes: u64| {
        let journals = (bytes / block).saturating_mul(u64::from(slots));
        journals.saturating_add(BESIDE_JOURNALS) <= blocks
    };
    if let Some(bytes) = request.journal_bytes {
        if !fits(bytes) {
            return Err(ShapeError::JournalTooBig { bytes, slots });
        }
        let rounded = bytes.next_multiple_of(cluster);
        return if rounded < least { Err(ShapeError::JournalTooSmall { bytes, least }) } else { Ok(rounded) };
    }
    let rounded = (default_journal_blocks(request.fs_type, blocks, block) * block).next_multiple_of(cluster);
    if rounded >= least {
        return Ok(rounded);
    }
    if fits(least) { Ok(least) } else { Err(ShapeError::NoRoomForJournals { least, slots }) }
}

fn default_journal_blocks(fs_type: FsType, blocks: u64, block: u64) -> u64 {
    match (fs_type, blocks) {
        (FsType::Default, ..32_768) => MIN_JOURNAL / block,
        (FsType::Default, ..262_144) => 4096,
        (FsType::Default, _) => (blocks / 160).clamp(16_384, 65_536),
        (FsType::Datafiles, _) => 8192,
        (FsType::Mail, ..262_144) => 16_384,
        (FsType::Mail, ..524_288) => 32_768,
        (FsType::Mail, _) => 65_536,
        (FsType::Vmstore, ..262_144) => 8192,
        (FsType::Vmstore, ..524_288) => 16_384,
        (FsType::Vmstore, _) => 32_768,
    }
}

/// Clusters of a group of a slot's allocator: 1, 2, 4 or 4 MiB.
fn suballoc_clusters(geometry: Geometry) -> u16 {
    let bytes: u64 = match geometry.block_size.bytes() {
        512 => MIB,
        1024 => 2 * MIB,
        _ => 4 * MIB,
    };
    u16::try_from(bytes >> geometry.cluster_size.bits()).expect("4 MiB are at most 1024 clusters of 4 KiB")
}

/// The fewest groups that are some part of the volume together; one less where that is very much of it.
fn extent_groups(fs_type: FsType, geometry: Geometry, slots: u16) -> u32 {
    let target = match fs_type {
        FsType::Datafiles | FsType::Vmstore => 0.3,
        FsType::Default | FsType::Mail => 0.1,
    };
    let group = u64::from(suballoc_clusters(geometry)) << geometry.cluster_size.bits();
    let unit = group * u64::from(slots);
    if unit == 0 || geometry.clusters.0 == 0 {
        return 0;
    }
    let percent = |groups: u32| as_f64(unit * u64::from(groups)) * 100.0 / as_f64(geometry.bytes());
    let groups = (1..u32::MAX).find(|&groups| percent(groups) >= target).unwrap_or(u32::MAX);
    if percent(groups) > MAX_RESERVE { groups - 1 } else { groups }
}

/// The same rounding as the original's, which computes in floating point.
#[expect(clippy::cast_precision_loss, reason = "volumes have 2^52 bytes at most")]
fn as_f64(value: u64) -> f64 {
    value as f64
}
