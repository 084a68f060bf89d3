//! System files and directories of a fresh volume.

use ocfs2_format::{
    BlockKind, BlockNum, CharSign, DinodeFlags, DxEntry, DxHash, FileType, Incompat, RawDxEntry,
    RawDxEntryList, RawDxRoot, RawInlineData, Suballoc, Volume,
};

use super::allocator::Allocator;
use super::build::Builder;
use super::clusters::{ClusterMap, ClusterRun};
use super::dirs::{Dir, Directory};
use super::error::{Owner, PlanError};
use super::files::{Body, File, put, put_all};
use super::plan::Step;
use crate::SystemFile;

/// What an entry of the system directory is reckoned to need, whatever its name.
const SYSTEM_ENTRY: u32 = 52;
/// Kinds of system files: one of each, and one for each slot.
const GLOBAL_FILES: u32 = 7;
const SLOT_FILES: u32 = 8;
/// Head and superblock, root directory, system directory, `lost+found`.
const OTHER_BLOCKS: u32 = 6;
/// The group of system inodes has room for the files of so many slots.
const SPARE_SLOTS: u32 = 32;
/// Blocks of the heartbeat area: one for each node, and one.
const HEARTBEAT_BLOCKS: u64 = 256;

/// The allocator of system inodes with its one group. Its inode is not known yet.
pub(super) fn allocator(map: &mut ClusterMap, volume: &Volume) -> Result<Allocator, PlanError> {
    let (slots, block_size) = (volume.max_slots, volume.geometry.block_size);
    let inodes = OTHER_BLOCKS + GLOBAL_FILES + SLOT_FILES * u32::from(slots).max(SPARE_SLOTS);
    let group = take_bytes(map, volume, u64::from(inodes) * block_size.bytes())?;
    let bits = u64::from(group.len) << volume.geometry.cluster_block_bits();
    if bits > u64::from(volume.geometry.clusters_per_group()) {
        return Err(PlanError::SystemFiles { slots, block_size });
    }
    let block = BlockNum(volume.geometry.clusters_to_blocks(u64::from(group.start.0)));
    let clusters = u16::try_from(group.len).expect("its bits are 32256 at most");
    Ok(Allocator::global(volume, BlockNum(0), block, clusters))
}

/// Takes clusters for `bytes` bytes.
fn take_bytes(map: &mut ClusterMap, volume: &Volume, bytes: u64) -> Result<ClusterRun, PlanError> {
    let clusters = u32::try_from(volume.geometry.clusters_for(bytes)).unwrap_or(u32::MAX);
    map.take_chained(clusters, Owner::System)
}

/// A system inode.
fn inode(
    map: &mut ClusterMap,
    alloc: &mut Allocator,
    volume: &Volume,
    flags: DinodeFlags,
) -> Result<File, PlanError> {
    let (block, suballoc) = alloc.take(map, volume, Owner::System)?;
    // The original leaves `i_suballoc_loc` out here.
    let suballoc = Suballoc { group: None, ..suballoc };
    Ok(File::system(block, suballoc, flags))
}

/// A directory that holds itself and its parent; `parent` `None` is itself.
fn make_directory(file: File, parent: Option<BlockNum>, names: Directory, run: Option<ClusterRun>) -> Dir {
    let mut dir = Dir { file: File { mode: File::DIR_MODE, ..file }, names, run, index: None };
    let own = dir.file.block;
    dir.names.add(b".", own, FileType::Directory);
    dir.names.add(b"..", parent.unwrap_or(own), FileType::Directory);
    dir
}

/// The root directory.
pub(super) fn root(map: &mut ClusterMap, alloc: &mut Allocator, volume: &Volume) -> Result<Dir, PlanError> {
    let (names, run) = first_area(map, volume)?;
    let file = inode(map, alloc, volume, DinodeFlags::empty())?;
    Ok(make_directory(file, None, names, run))
}

/// Where a small system directory keeps its names: in the inode, or in a cluster.
fn first_area(map: &mut ClusterMap, volume: &Volume) -> Result<(Directory, Option<ClusterRun>), PlanError> {
    if volume.has(Incompat::INLINE_DATA) {
        return Ok((Directory::inline(volume), None));
    }
    Ok((Directory::in_blocks(volume), Some(map.take_chained(1, Owner::System)?)))
}

/// The system directory, still without the system files.
pub(super) fn directory(
    map: &mut ClusterMap,
    alloc: &mut Allocator,
    volume: &Volume,
) -> Result<Dir, PlanError> {
    let block_size = volume.geometry.block_size;
    let entries = GLOBAL_FILES + SLOT_FILES * u32::from(volume.max_slots);
    let room = RawInlineData::room(block_size);
    let fits = usize::try_from(entries * SYSTEM_ENTRY).is_ok_and(|needed| needed <= room);
    let (names, run) = if volume.has(Incompat::INLINE_DATA) && fits {
        (Directory::inline(volume), None)
    } else {
        let per_block = block_size.bytes() / u64::from(SYSTEM_ENTRY);
        let bytes = u64::from(entries).div_ceil(per_block) * block_size.bytes();
        (Directory::in_blocks(volume), Some(take_bytes(map, volume, bytes)?))
    };
    let file = inode(map, alloc, volume, DinodeFlags::empty())?;
    Ok(make_directory(file, None, names, run))
}

/// Makes all system files: inodes and names, the heartbeat area, the orphan directories.
pub(super) fn format(builder: &mut Builder<'_>) -> Result<(), PlanError> {
    let heartbeat_only = builder.request.heartbeat_device;
    let quota = builder.volume.features.ro_compat;
    let wanted = |file: SystemFile| match file {
        SystemFile::GlobalInodeAlloc | SystemFile::Heartbeat | SystemFile::GlobalBitmap => true,
        _ if heartbeat_only => false,
        SystemFile::UserQuota | SystemFile::LocalUserQuota(_) => {
            quota.contains(ocfs2_format::RoCompat::USRQUOTA)
        }
        SystemFile::GroupQuota | SystemFile::LocalGroupQuota(_) => {
            quota.contains(ocfs2_format::RoCompat::GRPQUOTA)
        }
        _ => true,
    };
    let mut orphans = Vec::new();
    for file in all(builder.shape.slots).filter(|&file| wanted(file)) {
        let made = inode(&mut builder.map, &mut builder.system_alloc, &builder.volume, flags(file))?;
        let is_orphan = matches!(file, SystemFile::OrphanDir(_));
        let file_type = if is_orphan { FileType::Directory } else { FileType::Regular };
        builder.system.names.add(file.to_string().as_bytes(), made.block, file_type);
        if is_orphan {
            orphans.push(made);
        } else {
            add(builder, file, made);
        }
    }
    builder.system_alloc.inode = builder.file(SystemFile::GlobalInodeAlloc).block;
    let bytes = HEARTBEAT_BLOCKS * builder.volume.geometry.block_size.bytes();
    let run = take_bytes(&mut builder.map, &builder.volume, bytes)?;
    let heartbeat = builder.file(SystemFile::Heartbeat);
    heartbeat.size = bytes;
    let body = Body::run(&builder.volume, run);
    builder.file(SystemFile::Heartbeat).body = body;
    builder.zero_run(Step::SystemFiles, run);
    let system = builder.system.file.block;
    for file in orphans {
        let (names, run) = first_area(&mut builder.map, &builder.volume)?;
        builder.orphans.push(make_directory(file, Some(system), names, run));
    }
    Ok(())
}

/// Keeps a file that was made, and the allocator that it is.
fn add(builder: &mut Builder<'_>, file: SystemFile, mut made: File) {
    let (volume, block) = (builder.volume, made.block);
    let cpg = builder.shape.suballoc_clusters();
    match file {
        SystemFile::ExtentAlloc(slot) => {
            builder.extent_allocs.push(Allocator::of_slot(&volume, block, slot, cpg));
        }
        SystemFile::InodeAlloc(slot) => {
            builder.inode_allocs.push(Allocator::of_slot(&volume, block, slot, cpg));
        }
        SystemFile::LocalAlloc(_) => made.body = Body::LocalAlloc,
        SystemFile::TruncateLog(_) => made.body = Body::TruncateLog,
        _ => {}
    }
    builder.files.insert(file, made);
}

/// All system files in the order of their inodes.
fn all(slots: u16) -> impl Iterator<Item = SystemFile> {
    let global = [
        SystemFile::BadBlocks,
        SystemFile::GlobalInodeAlloc,
        SystemFile::SlotMap,
        SystemFile::Heartbeat,
        SystemFile::GlobalBitmap,
        SystemFile::UserQuota,
        SystemFile::GroupQuota,
    ];
    let of_slots: [fn(u16) -> SystemFile; 8] = [
        SystemFile::OrphanDir,
        SystemFile::ExtentAlloc,
        SystemFile::InodeAlloc,
        SystemFile::Journal,
        SystemFile::LocalAlloc,
        SystemFile::TruncateLog,
        SystemFile::LocalUserQuota,
        SystemFile::LocalGroupQuota,
    ];
    global.into_iter().chain(of_slots.into_iter().flat_map(move |file| (0..slots).map(file)))
}

fn flags(file: SystemFile) -> DinodeFlags {
    match file {
        SystemFile::GlobalInodeAlloc
        | SystemFile::GlobalBitmap
        | SystemFile::ExtentAlloc(_)
        | SystemFile::InodeAlloc(_) => DinodeFlags::BITMAP | DinodeFlags::CHAIN,
        SystemFile::Heartbeat => DinodeFlags::HEARTBEAT,
        SystemFile::Journal(_) => DinodeFlags::JOURNAL,
        SystemFile::LocalAlloc(_) => DinodeFlags::BITMAP | DinodeFlags::LOCAL_ALLOC,
        SystemFile::TruncateLog(_) => DinodeFlags::DEALLOC,
        SystemFile::UserQuota
        | SystemFile::GroupQuota
        | SystemFile::LocalUserQuota(_)
        | SystemFile::LocalGroupQuota(_) => DinodeFlags::QUOTA,
        SystemFile::BadBlocks | SystemFile::SlotMap | SystemFile::OrphanDir(_) => DinodeFlags::empty(),
    }
}

/// Gives the root and orphan directories an index, where they have blocks and the volume has indices.
pub(super) fn index(builder: &mut Builder<'_>) -> Result<(), PlanError> {
    if builder.inline() || !builder.volume.has(Incompat::INDEXED_DIRS) {
        return Ok(());
    }
    let take = |alloc: &mut Allocator, map: &mut ClusterMap, dir: &mut Dir| {
        dir.index = Some((alloc.take(map, &builder.volume, Owner::Index)?, dir.names.hole()));
        Ok(())
    };
    let alloc = &mut builder.extent_allocs[0];
    take(alloc, &mut builder.map, &mut builder.root)?;
    builder.orphans.iter_mut().try_for_each(|dir| take(alloc, &mut builder.map, dir))
}

/// Makes `lost+found` and names it in the root directory.
pub(super) fn lost_and_found(builder: &mut Builder<'_>) -> Result<(), PlanError> {
    let (volume, what) = (builder.volume, Owner::LostFound);
    let (block, suballoc) = builder.inode_allocs[0].take(&mut builder.map, &volume, what)?;
    let file = File { flags: DinodeFlags::VALID, ..File::system(block, suballoc, DinodeFlags::empty()) };
    let root = builder.root.file.block;
    let mut lost = if builder.inline() {
        make_directory(file, Some(root), Directory::inline(&volume), None)
    } else {
        let run = builder.map.take(1, 1, what)?;
        make_directory(file, Some(root), Directory::in_blocks(&volume), Some(run))
    };
    if !builder.inline() && volume.has(Incompat::INDEXED_DIRS) {
        let place = builder.extent_allocs[0].take(&mut builder.map, &volume, what)?;
        lost.index = Some((place, lost.names.hole()));
    }
    builder.lost = Some(lost);
    builder.root.names.add(b"lost+found", block, FileType::Directory);
    Ok(())
}

/// The dx root of a directory that has one, not sealed, with its place.
pub(super) fn dx_root(volume: &Volume, dir: &Dir) -> Option<(BlockNum, Vec<u8>)> {
    let ((block, suballoc), _) = dir.index?;
    let places = dir.places(volume);
    let entries = dir.names.names().map(|(at, name)| {
        let hash = DxHash::of(name, volume.dx_seed, CharSign::Signed);
        RawDxEntry::from(&DxEntry { hash, block: places[at] })
    });
    let entries: Vec<_> = entries.collect();
    let used = u16::try_from(entries.len()).expect("three names at most");
    let mut raw = RawDxRoot::new_inline(volume, block, suballoc, dir.file.block);
    raw.num_entries.set(u32::from(used));
    raw.free_blk.set(places[0].0);
    let mut list = RawDxEntryList::in_root(volume.geometry.block_size);
    list.num_used.set(used);
    let mut data = vec![0; volume.block_len()];
    let at = put(&mut data, 0, &raw);
    let at = put(&mut data, at, &list);
    put_all(&mut data, at, entries);
    Some((block, data))
}

/// The blocks of a directory: its inode, its names, its index.
pub(super) fn encode(builder: &Builder<'_>, dir: &Dir) -> Vec<(BlockNum, Vec<u8>, BlockKind)> {
    let volume = &builder.volume;
    let mut blocks =
        vec![(dir.file.block, dir.inode(volume).encode(volume, builder.identity), BlockKind::Dinode)];
    if dir.run.is_some() {
        let free = dir.index.map_or(0, |(_, hole)| hole);
        for (index, place) in dir.places(volume).into_iter().enumerate() {
            let data = dir.names.block(volume, (index, dir.file.block, place), free);
            blocks.push((place, data, BlockKind::DirBlock));
        }
    }
    blocks.extend(dx_root(volume, dir).map(|(block, data)| (block, data, BlockKind::DxRoot)));
    blocks
}
