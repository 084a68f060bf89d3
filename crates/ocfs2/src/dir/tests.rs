//! Directories of every form, changed at random and compared with a map of names.

mod bump;
mod judged;
mod model;
mod names;
mod sound;
mod steps;

use std::sync::Arc;

use block::{BlockDevice, MemoryDevice};
use ocfs2_format::{
    BlockKind, BlockNum, BlockSize, ClusterSize, DinodeFlags, ExtentList, FileType, RawDinode, RawExtentList,
    Structure, Suballoc, Uuid,
};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use super::Names;
use super::edit::raw_at;
use crate::mkfs::{DeviceSize, FeatureLevel, FeatureList, Identity, Plan, Request, Shape};
use crate::txn::Blocks;
use crate::{OpenOptions, Volume};
use bump::Bump;

/// Size of the volumes: sparse, in memory.
const SIZE: u64 = 1 << 30;

/// A fresh volume in memory, and what gives its space out.
struct World {
    volume: Volume,
    space: Bump,
}

/// What kind of volume, and how large its blocks and clusters are.
#[derive(Clone, Copy, Debug)]
struct Case {
    features: &'static str,
    block: usize,
    cluster_bits: u32,
}

/// Directories that begin inline, linear and indexed, with trailers and without.
const CASES: [Case; 8] = [
    Case { features: "inline-data,indexed-dirs", block: 512, cluster_bits: 12 },
    Case { features: "inline-data,indexed-dirs,metaecc", block: 4096, cluster_bits: 12 },
    Case { features: "inline-data,indexed-dirs", block: 1024, cluster_bits: 15 },
    Case { features: "noinline-data,indexed-dirs", block: 512, cluster_bits: 12 },
    Case { features: "inline-data,noindexed-dirs", block: 512, cluster_bits: 12 },
    Case { features: "noinline-data,noindexed-dirs", block: 4096, cluster_bits: 14 },
    Case { features: "inline-data,noindexed-dirs,metaecc", block: 512, cluster_bits: 12 },
    Case { features: "noinline-data,noindexed-dirs,metaecc", block: 4096, cluster_bits: 12 },
];

impl World {
    async fn new(case: Case) -> Self {
        let features = FeatureList::parse(case.features).unwrap().merge(FeatureLevel::Default);
        let request = Request {
            block_size: BlockSize::from_bytes(case.block),
            cluster_size: ClusterSize::from_bits(case.cluster_bits),
            slots: Some(1),
            journal_bytes: Some(4 << 20),
            features,
            local: true,
            ..Request::default()
        };
        let shape = Shape::figure(&request, DeviceSize { bytes: SIZE, sector: 512 }).unwrap();
        let identity = Identity {
            uuid: Uuid([7; 16]),
            generation: 0x1357_9bdf,
            dx_seed: [0x1111_1111, 0x2222_2222, 0x3333_3333],
            now: 1_700_000_000,
        };
        let device = MemoryDevice::new(SIZE);
        Plan::new(&request, &identity, shape).unwrap().write(&device, &mut ()).await.unwrap();
        let device: Arc<dyn BlockDevice> = Arc::new(device);
        let volume = Volume::open(device, OpenOptions::default()).await.unwrap();
        let space = Bump::new(volume.geometry());
        Self { volume, space }
    }

    /// A new directory below the root.
    async fn mkdir(&self) -> BlockNum {
        let mut handle = self.volume.change();
        let ino = self.space.next(1).unwrap();
        let format = *handle.volume();
        let bytes = handle.fresh(ino, ino, BlockKind::Dinode);
        let suballoc = Suballoc { slot: 0, bit: 0, group: None };
        *raw_at(bytes, 0, ino, Structure::Dinode).unwrap() = RawDinode {
            mode: U16::new(FileType::Directory.mode_bits() | 0o755),
            flags: U32::new(DinodeFlags::VALID.bits()),
            links_count: U16::new(2),
            ..RawDinode::new(&format, ino, suballoc)
        };
        let room = ExtentList::room_in_dinode(format.geometry.block_size);
        let list = RawExtentList::empty(room);
        bytes[RawDinode::BODY_OFFSET..][..16].copy_from_slice(list.as_bytes());
        Names::new(&mut handle, &self.space, ino).create(self.volume.root()).await.unwrap();
        self.volume.publish(&handle.seal());
        ino
    }
}
