//! A volume laid out, ready to be written.

use ocfs2_format::{BlockKind, BlockNum, Incompat, Superblock, Volume};

use super::allocator::Allocator;
use super::build::{Builder, hashes};
use super::clusters::ClusterMap;
use super::dirs::Dir;
use super::error::PlanError;
use super::files::Body;
use super::request::{Identity, Request};
use super::shape::Shape;
use super::system;
use crate::SystemFile;

/// `s_max_mnt_count`.
const MAX_MOUNTS: u16 = 20;
/// `s_xattr_inline_size`.
const XATTR_INLINE_SIZE: u16 = 256;

/// A step of the work, as progress tells of it, in the order of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Both ends are wiped, the cluster bitmap is written.
    Bitmaps,
    /// System inodes, directories, the heartbeat area.
    SystemFiles,
    /// Backup superblocks.
    Backups,
    /// Journals.
    Journals,
    /// Groups of the slots' allocators.
    Allocators,
    /// The slot map.
    SlotMap,
    /// Quota files.
    Quota,
    /// Indices of directories.
    Index,
    /// The directory `lost+found`.
    LostFound,
    /// The head of the volume with the superblock: the last that is written.
    Superblock,
}

/// A volume laid out: what every block holds.
#[derive(Debug)]
pub struct Plan {
    pub(super) volume: Volume,
    superblock: Superblock,
    backups: Vec<BlockNum>,
    indexed: bool,
    pub(super) map: ClusterMap,
    bitmap: BlockNum,
    pub(super) allocators: Vec<Allocator>,
    /// In the order of steps, and in each of blocks.
    pub(super) blocks: Vec<(Step, BlockNum, Vec<u8>)>,
    pub(super) zeroes: Vec<(Step, BlockNum, u64)>,
}

impl Plan {
    /// Lays out the volume.
    ///
    /// # Errors
    /// [`PlanError`] where it does not fit.
    pub fn new(request: &Request, identity: &Identity, shape: Shape) -> Result<Self, PlanError> {
        let mut builder = Builder::build(request, identity, shape)?;
        put_files(&mut builder);
        let superblock = superblock(&builder);
        let mut blocks = std::mem::take(&mut builder.blocks);
        blocks.sort_by_key(|(step, block, _)| (*step, *block));
        let bitmap = builder.file(SystemFile::GlobalBitmap).block;
        let mut allocators = vec![builder.system_alloc];
        allocators.append(&mut builder.extent_allocs);
        allocators.append(&mut builder.inode_allocs);
        Ok(Self {
            volume: builder.volume,
            superblock,
            backups: builder.backups,
            indexed: builder.root.index.is_some(),
            map: builder.map,
            bitmap,
            allocators,
            blocks,
            zeroes: builder.zeroes,
        })
    }

    /// The superblock, as the volume will have it.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Copies of the superblock.
    #[must_use]
    pub fn backups(&self) -> usize {
        self.backups.len()
    }

    /// Whether directories get an index at once.
    #[must_use]
    pub fn indexed(&self) -> bool {
        self.indexed
    }

    /// The superblock's copies, sealed, with their places.
    pub(super) fn backup_blocks(&self) -> impl Iterator<Item = (BlockNum, Vec<u8>)> {
        self.backups.iter().map(|&block| (block, self.superblock_at(block)))
    }

    /// The superblock for `block`, sealed.
    pub(super) fn superblock_at(&self, block: BlockNum) -> Vec<u8> {
        let mut data = self.superblock.encode(block);
        BlockKind::Superblock.seal(&self.superblock.volume(), &mut data);
        data
    }

    /// Descriptor of cluster group `group`, sealed.
    pub(super) fn group_descriptor(&self, group: u32) -> Vec<u8> {
        let mut data = self.map.descriptor(&self.volume, group, self.bitmap);
        BlockKind::GroupDescriptor.seal(&self.volume, &mut data);
        data
    }

    /// Descriptors of the groups of all other allocators, sealed, with their places.
    pub(super) fn allocator_groups(&self) -> impl Iterator<Item = (BlockNum, Vec<u8>)> {
        let groups = self.allocators.iter().flat_map(|alloc| alloc.descriptors(&self.volume));
        groups.map(|(block, mut data)| {
            BlockKind::GroupDescriptor.seal(&self.volume, &mut data);
            (block, data)
        })
    }
}

/// Encodes all inodes and directories.
fn put_files(builder: &mut Builder<'_>) {
    fill_allocators(builder);
    let files: Vec<_> = builder.files.values().cloned().collect();
    for file in files {
        let data = file.encode(&builder.volume, builder.identity);
        builder.put(Step::SystemFiles, file.block, data, Some(BlockKind::Dinode));
    }
    let mut dirs: Vec<(Step, Dir)> = vec![(Step::SystemFiles, builder.root.clone())];
    dirs.push((Step::SystemFiles, builder.system.clone()));
    dirs.extend(builder.orphans.iter().map(|dir| (Step::SystemFiles, dir.clone())));
    dirs.extend(builder.lost.iter().map(|dir| (Step::LostFound, dir.clone())));
    for (step, dir) in dirs {
        if let Some(run) = dir.run.filter(|_| step == Step::SystemFiles) {
            builder.zero_run(step, run);
        }
        for (block, data, kind) in system::encode(builder, &dir) {
            let step = if kind == BlockKind::DxRoot { Step::Index } else { step };
            builder.put(step, block, data, seal_kind(builder, kind));
        }
    }
}

/// Directory blocks without trailers are not sealed.
fn seal_kind(builder: &Builder<'_>, kind: BlockKind) -> Option<BlockKind> {
    let plain = kind == BlockKind::DirBlock && !super::dirs::has_trailers(&builder.volume);
    (!plain).then_some(kind)
}

/// Tells the allocators' inodes what they hold, now that all is taken.
fn fill_allocators(builder: &mut Builder<'_>) {
    let geometry = builder.volume.geometry;
    let (chains, usage) = (builder.map.chains(), builder.map.usage());
    let cpg = u16::try_from(geometry.clusters_per_group()).expect("32256 at most");
    let bitmap = builder.file(SystemFile::GlobalBitmap);
    bitmap.body = Body::Chains { cpg, bpc: 1, chains };
    bitmap.usage = Some(usage);
    bitmap.clusters = Some(geometry.clusters.0);
    bitmap.size = geometry.bytes();
    let by_inode = |alloc: &Allocator| {
        let body = Body::Chains { cpg: alloc.cpg, bpc: alloc.bpc, chains: alloc.chains() };
        (alloc.inode, (body, alloc.usage(), alloc.clusters()))
    };
    let allocators = [&builder.system_alloc].into_iter();
    let allocators = allocators.chain(&builder.extent_allocs).chain(&builder.inode_allocs);
    let mut bodies: std::collections::BTreeMap<_, _> = allocators.map(by_inode).collect();
    for file in builder.files.values_mut() {
        let Some((body, usage, clusters)) = bodies.remove(&file.block) else { continue };
        file.body = body;
        file.usage = Some(usage);
        file.clusters = Some(clusters);
        file.size = u64::from(clusters) << geometry.cluster_size.bits();
    }
}

fn superblock(builder: &Builder<'_>) -> Superblock {
    let (request, identity, features) = (builder.request, builder.identity, builder.features);
    let has = |bit| features.incompat.contains(bit);
    let root = builder.root.file.block;
    Superblock {
        geometry: builder.volume.geometry,
        features,
        root,
        system_dir: builder.system.file.block,
        first_cluster_group: builder.volume.geometry.first_cluster_group(),
        max_slots: builder.shape.slots,
        fs_generation: identity.generation,
        uuid: identity.uuid,
        uuid_hash: if hashes(features) { identity.uuid.hash() } else { 0 },
        dx_seed: if has(Incompat::INDEXED_DIRS) { identity.dx_seed } else { [0; 3] },
        label_raw: label(&request.label),
        cluster: request.cluster,
        xattr_inline_size: if has(Incompat::XATTR) { XATTR_INLINE_SIZE } else { 0 },
        errors_seen: false,
        tunefs_flag: 0,
        last_check: identity.now,
        check_interval: 0,
        mount_counts: (0, MAX_MOUNTS),
        made: identity.now,
    }
}

/// The label, NUL padded, and at least one NUL.
fn label(text: &[u8]) -> [u8; 64] {
    let mut label = [0; 64];
    let len = text.len().min(63);
    label[..len].copy_from_slice(&text[..len]);
    label
}
