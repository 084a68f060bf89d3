//! The layout, step by step, in the order in which the original takes its clusters.

use std::collections::BTreeMap;

use ocfs2_format::{BlockKind, BlockNum, Compat, Features, Incompat, Superblock, Volume};

use super::allocator::Allocator;
use super::clusters::{ClusterMap, ClusterRun};
use super::dirs::Dir;
use super::error::{Owner, PlanError};
use super::files::{Body, Extents, File};
use super::plan::Step;
use super::request::{Identity, Request};
use super::shape::Shape;
use super::{journals, quota, system};
use crate::SystemFile;

/// A volume being laid out.
pub(super) struct Builder<'a> {
    pub(super) request: &'a Request,
    pub(super) identity: &'a Identity,
    pub(super) shape: Shape,
    /// Its features are those asked for: they decide how blocks look, also on a heartbeat device, whose superblock
    /// tells others.
    pub(super) volume: Volume,
    /// The superblock's features.
    pub(super) features: Features,
    pub(super) map: ClusterMap,
    /// All system files but the directories among them.
    pub(super) files: BTreeMap<SystemFile, File>,
    pub(super) root: Dir,
    pub(super) system: Dir,
    pub(super) orphans: Vec<Dir>,
    pub(super) lost: Option<Dir>,
    pub(super) system_alloc: Allocator,
    /// By slot.
    pub(super) extent_allocs: Vec<Allocator>,
    /// By slot.
    pub(super) inode_allocs: Vec<Allocator>,
    pub(super) backups: Vec<BlockNum>,
    pub(super) blocks: Vec<(Step, BlockNum, Vec<u8>)>,
    pub(super) zeroes: Vec<(Step, BlockNum, u64)>,
}

impl<'a> Builder<'a> {
    /// Lays everything out.
    pub(super) fn build(
        request: &'a Request,
        identity: &'a Identity,
        shape: Shape,
    ) -> Result<Self, PlanError> {
        let volume = volume(request, identity, shape);
        let mut map = ClusterMap::new(shape.geometry);
        let mut alloc = system::allocator(&mut map, &volume)?;
        let root = system::root(&mut map, &mut alloc, &volume)?;
        let system = system::directory(&mut map, &mut alloc, &volume)?;
        let mut this = Self {
            request,
            identity,
            shape,
            volume,
            features: superblock_features(request),
            map,
            files: BTreeMap::new(),
            root,
            system,
            orphans: Vec::new(),
            lost: None,
            system_alloc: alloc,
            extent_allocs: Vec::new(),
            inode_allocs: Vec::new(),
            backups: Vec::new(),
            blocks: Vec::new(),
            zeroes: Vec::new(),
        };
        system::format(&mut this)?;
        if !request.heartbeat_device {
            this.take_backups()?;
            journals::format(&mut this)?;
            this.grow_extent_allocators()?;
            this.slot_map()?;
            quota::format(&mut this)?;
            system::index(&mut this)?;
            system::lost_and_found(&mut this)?;
        }
        Ok(this)
    }

    /// Whether directories begin in their inodes.
    pub(super) fn inline(&self) -> bool {
        self.volume.has(Incompat::INLINE_DATA)
    }

    /// The file; it was made by [`system::format`].
    pub(super) fn file(&mut self, file: SystemFile) -> &mut File {
        self.files.get_mut(&file).expect("every file that is asked for was made")
    }

    /// The extents of the file.
    pub(super) fn extents(&self, file: SystemFile) -> &Extents {
        self.files.get(&file).and_then(File::extents).expect("the file was made, with extents")
    }

    /// A block to be written; sealed as a block of `kind`.
    pub(super) fn put(&mut self, step: Step, block: BlockNum, mut data: Vec<u8>, kind: Option<BlockKind>) {
        if let Some(kind) = kind {
            kind.seal(&self.volume, &mut data);
        }
        self.blocks.push((step, block, data));
    }

    /// Blocks to be zeroed, before any block of the same step is written.
    pub(super) fn zero(&mut self, step: Step, block: BlockNum, blocks: u64) {
        self.zeroes.push((step, block, blocks));
    }

    /// The same for clusters.
    pub(super) fn zero_run(&mut self, step: Step, run: ClusterRun) {
        let geometry = self.volume.geometry;
        let first = BlockNum(geometry.clusters_to_blocks(u64::from(run.start.0)));
        self.zero(step, first, geometry.clusters_to_blocks(u64::from(run.len)));
    }

    /// Adds `clusters` clusters to a file, and extent blocks where its inode gets too small.
    pub(super) fn extend(&mut self, file: SystemFile, clusters: u32, what: Owner) -> Result<(), PlanError> {
        let volume = self.volume;
        let mut extents = std::mem::take(self.extents_mut(file));
        let mut left = clusters;
        while left > 0 {
            let run = self.map.take(1, left, what)?;
            left -= run.len;
            extents.push(&volume, run);
            while extents.blocks.len() < extents.leaves(&volume) {
                extents.blocks.push(self.extent_allocs[0].take(&mut self.map, &volume, what)?);
            }
        }
        *self.extents_mut(file) = extents;
        Ok(())
    }

    fn extents_mut(&mut self, file: SystemFile) -> &mut Extents {
        match &mut self.file(file).body {
            Body::Extents(extents) => extents,
            other => unreachable!("{file} has extents, not {other:?}"),
        }
    }

    /// Clusters of the backup superblocks: all looked at before any is taken.
    fn take_backups(&mut self) -> Result<(), PlanError> {
        if !self.request.backup_supers {
            return Ok(());
        }
        let geometry = self.volume.geometry;
        let offsets = Superblock::BACKUP_OFFSETS.into_iter();
        let places = offsets.map(|offset| BlockNum(offset >> geometry.block_size.bits()));
        self.backups = places.filter(|&place| geometry.contains(place)).collect();
        let per_cluster = geometry.clusters_to_blocks(1);
        for place in self.backups.clone() {
            self.map.take_at(place, Owner::Backup)?;
            self.zero(Step::Backups, BlockNum(place.0 / per_cluster * per_cluster), per_cluster);
        }
        Ok(())
    }

    fn grow_extent_allocators(&mut self) -> Result<(), PlanError> {
        for slot in 0..self.shape.slots {
            for _ in 0..self.shape.extent_groups {
                let alloc = &mut self.extent_allocs[usize::from(slot)];
                alloc.grow(&mut self.map, &self.volume, Owner::ExtentAlloc(slot))?;
            }
        }
        Ok(())
    }

    /// One cluster, or as many as the slots need, all of it formatted: free slots are zeroes, or FF in the old form.
    fn slot_map(&mut self) -> Result<(), PlanError> {
        let geometry = self.volume.geometry;
        let bytes = ocfs2_format::SlotMap::bytes(&Volume { features: self.features, ..self.volume });
        let clusters = u64::try_from(bytes).map_or(0, |bytes| geometry.clusters_for(bytes));
        let clusters = u32::try_from(clusters).expect("255 slots take 2040 bytes");
        self.extend(SystemFile::SlotMap, clusters, Owner::SlotMap)?;
        let size = u64::from(clusters) << geometry.cluster_size.bits();
        self.file(SystemFile::SlotMap).size = size;
        let extended = self.features.incompat.contains(Incompat::EXTENDED_SLOT_MAP);
        for extent in self.extents(SystemFile::SlotMap).list.clone() {
            let blocks = geometry.clusters_to_blocks(u64::from(extent.clusters));
            if extended {
                self.zero(Step::SlotMap, extent.block, blocks);
                continue;
            }
            for block in extent.block.0..extent.block.0 + blocks {
                let free = vec![0xff; self.volume.block_len()];
                self.put(Step::SlotMap, BlockNum(block), free, None);
            }
        }
        Ok(())
    }
}

/// The context in which blocks are encoded.
fn volume(request: &Request, identity: &Identity, shape: Shape) -> Volume {
    let features = request.features;
    let uuid_hash = if hashes(features) { identity.uuid.hash() } else { 0 };
    let [a, b, c] = identity.dx_seed;
    Volume {
        geometry: shape.geometry,
        fs_generation: identity.generation,
        features,
        max_slots: shape.slots,
        dx_seed: [a, b, c, uuid_hash],
        uuid_hash,
    }
}

/// Whether names of xattrs or of files are hashed.
pub(super) fn hashes(features: Features) -> bool {
    features.incompat.intersects(Incompat::XATTR | Incompat::INDEXED_DIRS)
}

/// The features that the superblock tells: those asked for, and what follows from the kind of mount.
fn superblock_features(request: &Request) -> Features {
    let mut features = request.features;
    if request.heartbeat_device {
        features = Features {
            compat: Compat::JBD2_SB,
            incompat: Incompat::HEARTBEAT_DEV,
            ro_compat: ocfs2_format::RoCompat::empty(),
        };
    }
    features
        .incompat
        .set(Incompat::LOCAL_MOUNT, request.local || features.incompat.contains(Incompat::LOCAL_MOUNT));
    if let Some(cluster) = &request.cluster {
        features.incompat |= Incompat::EXTENDED_SLOT_MAP;
        if !features.incompat.contains(Incompat::CLUSTERINFO) {
            let classic = cluster.stack() == b"o2cb";
            features.incompat |= if classic { Incompat::CLUSTERINFO } else { Incompat::USERSPACE_STACK };
        }
    }
    features.compat.set(Compat::BACKUP_SB, request.backup_supers && !request.heartbeat_device);
    features
}
