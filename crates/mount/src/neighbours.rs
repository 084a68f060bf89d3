//! Whether other nodes have a clustered volume mounted: seen by their heartbeat on it.

use std::sync::Arc;

use block::{BlockDevice, BlockDeviceExt, Buf};
use ocfs2::{Incompat, SystemFile, Volume};

/// How long to wait between two looks, in seconds: a node beats every two.
pub const BEAT_SECS: u64 = 2;
/// Looks after the first one. A node that beats in none of them is taken for absent.
pub const LOOKS: usize = 3;

/// Node numbers: each has one sector of the heartbeat area.
const NODES: usize = 255;

/// Who else may write to a volume.
#[derive(Debug)]
pub enum Neighbours {
    /// Nobody by right: the volume was made for one host (`mkfs.ocfs2 -M local`).
    Local,
    /// A cluster whose nodes beat on the volume itself.
    Beating(BeatWatch),
    /// A cluster that cannot be seen from the volume, and why.
    Unseen(&'static str),
}

/// Looks at a heartbeat area again and again.
#[derive(Debug)]
pub struct BeatWatch {
    device: Arc<dyn BlockDevice>,
    start: u64,
    sector: usize,
    before: Option<Buf>,
}

/// Why a heartbeat area cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeatError {
    /// The heartbeat file's inode or extents cannot be read.
    #[error("finding the heartbeat area")]
    Volume(#[from] ocfs2::Error),
    /// The area cannot be read.
    #[error("reading the heartbeat area")]
    Device(#[from] block::BlockError),
    /// The heartbeat file is no single extent that is large enough.
    #[error("the heartbeat file has no single extent of {need} bytes")]
    Layout {
        /// Bytes that the sectors of all nodes take.
        need: u64,
    },
}

impl Neighbours {
    /// What kind of company a volume has.
    ///
    /// # Errors
    /// [`BeatError`]: it is clustered, and its heartbeat area cannot be found.
    pub async fn of(volume: &Volume) -> Result<Self, BeatError> {
        let superblock = volume.superblock();
        if superblock.features.incompat.contains(Incompat::LOCAL_MOUNT) {
            return Ok(Self::Local);
        }
        if let Some(cluster) = &superblock.cluster {
            if cluster.global_heartbeat {
                return Ok(Self::Unseen("its cluster beats on other devices (global heartbeat)"));
            }
            if cluster.stack() != b"o2cb" {
                return Ok(Self::Unseen("its cluster stack does not beat on the disk"));
            }
        }
        BeatWatch::open(volume).await.map(Self::Beating)
    }
}

impl BeatWatch {
    async fn open(volume: &Volume) -> Result<Self, BeatError> {
        let device = Arc::clone(volume.device());
        let sector = usize::try_from(device.geometry().logical_block).unwrap_or(usize::MAX);
        let need = u64::try_from(sector.saturating_mul(NODES)).unwrap_or(u64::MAX);
        let wrong = BeatError::Layout { need };
        let Some(ino) = volume.system_file(SystemFile::Heartbeat) else { return Err(wrong) };
        let inode = volume.inode(ino).await?;
        match volume.fiemap(&inode, 0, need).next().await? {
            Some(first) if first.logical == 0 && first.length >= need => {
                Ok(Self { device, start: first.physical, sector, before: None })
            }
            _ => Err(wrong),
        }
    }

    /// Reads the area, past every cache, and names the nodes that have beaten since the last look. The first look
    /// names none.
    ///
    /// # Errors
    /// [`BeatError::Device`].
    pub async fn look(&mut self) -> Result<Vec<usize>, BeatError> {
        let now = self.device.read_at(self.start, self.sector * NODES).await?;
        let moved = match &self.before {
            Some(before) => moved(before, &now, self.sector),
            None => Vec::new(),
        };
        self.before = Some(now);
        Ok(moved)
    }
}

/// The sectors that differ. Whatever a sector holds, who writes to it is alive.
fn moved(before: &[u8], now: &[u8], sector: usize) -> Vec<usize> {
    let pairs = before.chunks(sector).zip(now.chunks(sector));
    pairs.enumerate().filter(|(_, (before, now))| before != now).map(|(node, _)| node).collect()
}

#[cfg(test)]
mod tests {
    use block::{Durability, MemoryDevice};

    use super::*;

    /// Volume b is of a cluster; one of its nodes comes to life.
    #[tokio::test]
    async fn a_beat_is_seen_and_names_its_node() {
        let image = std::fs::read(fixtures::image("b")).expect("the image");
        let device: Arc<dyn BlockDevice> = Arc::new(MemoryDevice::from_image(&image));
        let volume =
            Volume::open(Arc::clone(&device), ocfs2::OpenOptions::default()).await.expect("a volume");
        let Neighbours::Beating(mut watch) = Neighbours::of(&volume).await.expect("neighbours") else {
            panic!("volume b has a heartbeat area")
        };
        assert_eq!(watch.look().await.expect("a look"), [0usize; 0]);
        assert_eq!(watch.look().await.expect("a look"), [0usize; 0]);
        let beat = Buf::copy_of(&[7; 512]);
        let at = watch.start + 254 * 512;
        device.write(at, beat.into_bufs(), Durability::Cached).await.1.expect("written");
        assert_eq!(watch.look().await.expect("a look"), [254]);
        assert_eq!(watch.look().await.expect("a look"), [0usize; 0]);
    }

    #[tokio::test]
    async fn a_local_volume_has_no_neighbours() {
        let image = std::fs::read(fixtures::image("c")).expect("the image");
        let device: Arc<dyn BlockDevice> = Arc::new(MemoryDevice::from_image(&image));
        let volume = Volume::open(device, ocfs2::OpenOptions::default()).await.expect("a volume");
        assert!(matches!(Neighbours::of(&volume).await, Ok(Neighbours::Local)));
    }
}
