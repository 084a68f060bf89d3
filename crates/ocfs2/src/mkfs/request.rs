//! What is asked for, and what makes one volume different from every other.

use ocfs2_format::{BlockSize, ClusterInfo, ClusterSize, Features, Uuid};

/// What the volume is for (`-T`): decides cluster size, journal size and the reserve for metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FsType {
    /// Anything.
    #[default]
    Default,
    /// Few large files.
    Datafiles,
    /// Many small files.
    Mail,
    /// Images of virtual machines.
    Vmstore,
}

impl FsType {
    /// All that have a name.
    pub const NAMED: [Self; 3] = [Self::Datafiles, Self::Mail, Self::Vmstore];

    /// The name that `-T` takes; the default has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Datafiles => Some("datafiles"),
            Self::Mail => Some("mail"),
            Self::Vmstore => Some("vmstore"),
        }
    }
}

/// What is asked for. `None` leaves it to [`Shape::figure`](super::Shape::figure).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `-b`.
    pub block_size: Option<BlockSize>,
    /// `-C`.
    pub cluster_size: Option<ClusterSize>,
    /// `-N`: 1 to 255.
    pub slots: Option<u16>,
    /// `-J size=`: bytes, 4 MiB or more.
    pub journal_bytes: Option<u64>,
    /// `-J block64`: journals keep block numbers of 64 bits.
    pub journal_64bit: bool,
    /// `-T`.
    pub fs_type: FsType,
    /// `--fs-features` and `--fs-feature-level`, combined: see [`FeatureList::merge`](super::FeatureList::merge).
    pub features: Features,
    /// `-M local`: for one host, without a cluster.
    pub local: bool,
    /// `--cluster-stack`, `--cluster-name`, `--global-heartbeat`.
    pub cluster: Option<ClusterInfo>,
    /// `-L`: up to 63 bytes; what is longer is cut.
    pub label: Vec<u8>,
    /// The size argument, in blocks; the whole device without it.
    pub blocks: Option<u64>,
    /// `-H`: a device for heartbeats only.
    pub heartbeat_device: bool,
    /// Whether copies of the superblock are kept.
    pub backup_supers: bool,
}

/// What makes one volume different from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Identity of the volume.
    pub uuid: Uuid,
    /// Stamped on every block of metadata: random.
    pub generation: u32,
    /// Seeds of the directory hash: random. Used where directories are indexed.
    pub dx_seed: [u32; 3],
    /// When the volume is made, Unix seconds.
    pub now: u64,
}
