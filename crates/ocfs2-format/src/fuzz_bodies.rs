//! Bodies of the fuzz targets: parse a block as each structure it can be, and walk all that came out.
//!
//! They return what `parse` said, must never panic, and take time and memory bounded by the block's size. The fuzz
//! targets, the mutation tests and the fixture tests all run these same functions.

use crate::units::{BlockNum, BlockSize, ClusterSize, Clusters};
use crate::xattr::{acl_from_vfs, acl_to_vfs};
use crate::*;

/// Keeps the compiler from leaving out what computes `value`.
fn keep<T>(value: T) {
    std::hint::black_box(&value);
}

/// Parses `data` as block `block` of the kind its signature says, and walks it.
///
/// # Errors
/// What `parse` said. A block without signature is fine.
pub fn by_signature(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<Option<BlockKind>, Corrupt> {
    let kind = BlockKind::of(data);
    if let Some(kind) = kind {
        as_kind(kind, volume, block, data)?;
    }
    Ok(kind)
}

/// Parses `data` as block `block` of one kind, and walks it.
///
/// # Errors
/// What `parse` said.
pub fn as_kind(kind: BlockKind, volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    match kind {
        BlockKind::Superblock => superblock(volume, block, data),
        BlockKind::Dinode => dinode(volume, block, data),
        BlockKind::ExtentBlock => extent_block(volume, block, data),
        BlockKind::GroupDescriptor => group(volume, block, data),
        BlockKind::DirBlock => dir_block(volume, block, data),
        BlockKind::DxRoot => dx_root(volume, block, data),
        BlockKind::DxLeaf => dx_leaf(volume, block, data),
        BlockKind::XattrBlock => xattr_block(volume, block, data),
        BlockKind::RefcountBlock => refcount_block(volume, block, data),
        BlockKind::XattrBucket => xattr_bucket(volume, block, data),
        BlockKind::Quota => quota(volume, block, data),
    }
}

/// All kinds, whatever the signature.
pub const KINDS: [BlockKind; 11] = [
    BlockKind::Superblock,
    BlockKind::Dinode,
    BlockKind::ExtentBlock,
    BlockKind::GroupDescriptor,
    BlockKind::DirBlock,
    BlockKind::DxRoot,
    BlockKind::DxLeaf,
    BlockKind::XattrBlock,
    BlockKind::RefcountBlock,
    BlockKind::XattrBucket,
    BlockKind::Quota,
];

/// Entry for a fuzzer: free bytes, of which the first choose the volume's shape and the rest are a block.
///
/// The block's own number and generation are taken from the block, so that bytes get past those checks.
pub fn free_bytes(bytes: &[u8]) {
    let Some((&[shape, clusters, kind, features], data)) = bytes.split_first_chunk::<4>() else { return };
    let at = |offset: usize| -> u64 {
        let tail = data.get(offset..).and_then(|tail| tail.first_chunk::<8>());
        tail.map_or(0, |word| u64::from_le_bytes(*word))
    };
    let low = |offset: usize| u32::try_from(at(offset) & 0xffff_ffff).unwrap_or(0);
    let kind = usize::from(kind).checked_rem(KINDS.len()).and_then(|index| KINDS.get(index));
    let Some(&kind) = kind else { return };
    let (block, generation) = match kind {
        BlockKind::Superblock | BlockKind::Dinode => (at(0x50), low(0x60)),
        BlockKind::ExtentBlock | BlockKind::DxRoot => (at(0x18), low(0x14)),
        BlockKind::GroupDescriptor => (at(0x28), low(0x10)),
        BlockKind::DxLeaf => (at(0x10), low(0x18)),
        BlockKind::XattrBlock | BlockKind::RefcountBlock => (at(0x10), low(0x0c)),
        BlockKind::DirBlock => (at(data.len().saturating_sub(0x18)), 0),
        BlockKind::XattrBucket | BlockKind::Quota => (0, 0),
    };
    let block_size = BlockSize::from_bits(u32::from(shape & 3).wrapping_add(9)).unwrap_or(BlockSize::MIN);
    let cluster_bits = u32::from(shape.wrapping_shr(2) % 9).wrapping_add(12);
    let Some(cluster_size) = ClusterSize::from_bits(cluster_bits) else { return };
    let volume = Volume {
        geometry: Geometry {
            block_size,
            cluster_size,
            clusters: Clusters(u32::from(clusters).saturating_mul(0x0101_0101).max(1)),
        },
        fs_generation: generation,
        features: Features {
            compat: Compat::empty(),
            incompat: Incompat::from_bits_retain(0xff50 ^ u32::from(features & 1).wrapping_shl(8)),
            ro_compat: RoCompat::all(),
        },
        max_slots: u16::from(features).max(1),
        dx_seed: [1, 2, 3, 4],
        uuid_hash: 4,
    };
    keep(as_kind(kind, &volume, BlockNum(block), data));
    keep(SlotMap::parse(&volume, BlockNum(block), data));
    keep(Heartbeat::parse(BlockNum(block), data));
    keep(Superblock::probe(data, BlockSize::MIN));
    keep(Superblock::probe_backup(Superblock::BACKUP_OFFSETS[0], data));
}

/// Superblock.
///
/// # Errors
/// What `parse` said.
pub fn superblock(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    let superblock = Superblock::parse(volume.geometry.block_size, block, data)?;
    keep(superblock.access());
    keep((superblock.label(), superblock.backups().count(), superblock.volume()));
    keep(superblock.features.names().count());
    Ok(())
}

/// Dinode with its body and its inline xattrs.
///
/// # Errors
/// What `parse` said, also of an inline directory's entries.
pub fn dinode(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    let (dinode, body) = Dinode::parse(volume, block, data)?;
    keep((dinode.rdev(), dinode.journal(), dinode.bitmap_usage(), dinode.has_dir_trailers(volume)));
    match body {
        Body::Inline { data, .. } if dinode.is_dir() => {
            DirEntries::new(volume, block, data).try_for_each(|entry| entry.map(keep))?;
        }
        Body::Inline { data, .. } | Body::FastSymlink(data) => keep(data),
        Body::Extents(list) => extents(&list),
        Body::Chains(list) => keep(list.chains().count()),
        Body::LocalAlloc(local) => keep((local.bitmap.ones(), local.bitmap.longest_free_run())),
        Body::TruncateLog(log) => keep(log.runs().count()),
    }
    if let Some(entries) = XattrEntries::inline(volume, &dinode, data)? {
        xattrs(&entries);
    }
    Ok(())
}

fn extents(list: &ExtentList<'_>) {
    keep((list.extents().count(), list.children().count(), list.raw().len()));
    for cpos in [0, 1, 1000, u32::MAX] {
        keep((list.extent_for(cpos), list.child_for(cpos), list.extent_at_or_before(cpos)));
    }
}

fn xattrs(entries: &XattrEntries<'_>) {
    for entry in entries.iter() {
        keep((entry.full_name(), entry.value_len()));
        match entry.value {
            XattrValue::Local(bytes) => {
                keep((acl_to_vfs(bytes), acl_from_vfs(bytes)));
            }
            XattrValue::Outside { root, .. } => extents(&root.list),
            XattrValue::Cut(corrupt) => keep(corrupt.to_string()),
        }
    }
    keep((entries.bucket_key(), entries.num_buckets(), entries.find(xattr::NameIndex::USER, b"a")));
}

/// Extent block, as part of each tree; the last error but the data tree's counts only for robustness.
///
/// # Errors
/// What `parse` said where the tree that allows most was asked for.
pub fn extent_block(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    let mut last = Ok(());
    for tree in [Tree::Data, Tree::XattrValue, Tree::XattrIndex, Tree::DirIndex, Tree::Refcount] {
        match ExtentBlock::parse(volume, block, data, tree, None) {
            Ok(parsed) => {
                extents(&parsed.list);
                return Ok(());
            }
            Err(error) => last = Err(error),
        }
    }
    last
}

/// Group descriptor.
///
/// # Errors
/// What `parse` said.
pub fn group(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    let group = GroupDescriptor::parse(volume, block, data, None)?;
    keep((group.counts_agree(), group.bitmap.longest_free_run()));
    for bit in 0..group.bitmap.len() {
        keep(group.block_of_bit(volume, bit));
    }
    Ok(())
}

/// Directory block with trailer.
///
/// # Errors
/// What `parse` said, also of the entries.
pub fn dir_block(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    keep(DirTrailer::parse(volume, block, data, None)?);
    for entry in DirEntries::of_block(volume, block, data, true) {
        let entry = entry?;
        keep((entry.hole(), entry.is_dot()));
        keep(CharSign::BOTH.map(|sign| DxHash::of(entry.name, volume.dx_seed, sign)));
    }
    keep(DirEntries::of_block(volume, block, data, false).count());
    Ok(())
}

/// Dx root.
///
/// # Errors
/// What `parse` said.
pub fn dx_root(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    match DxRoot::parse(volume, block, data, None)?.body {
        DxBody::Inline(entries) => keep(entries.blocks_for(DxHash::default()).count()),
        DxBody::Tree(list) => {
            extents(&list);
            for extent in list.extents() {
                let hash = DxHash { major: u32::MAX, minor: u32::MAX };
                keep(DxLeaf::block_for(volume, &extent, hash));
            }
        }
    }
    Ok(())
}

/// Dx leaf.
///
/// # Errors
/// What `parse` said.
pub fn dx_leaf(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    keep(DxLeaf::parse(volume, block, data)?.entries.iter().count());
    Ok(())
}

/// Xattr block.
///
/// # Errors
/// What `parse` said.
pub fn xattr_block(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    match XattrBlock::parse(volume, block, data)?.body {
        XattrBody::Entries(entries) => xattrs(&entries),
        XattrBody::Tree { list, .. } => extents(&list),
    }
    Ok(())
}

/// Xattr bucket.
///
/// # Errors
/// What `parse` said.
pub fn xattr_bucket(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    xattrs(&XattrEntries::bucket(volume, block, data)?);
    Ok(())
}

/// Refcount block.
///
/// # Errors
/// What `parse` said.
pub fn refcount_block(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    let parsed = RefcountBlock::parse(volume, block, data)?;
    keep(parsed.records().count());
    if let RefcountBody::Tree(list) = parsed.body {
        extents(&list);
    }
    Ok(())
}

/// Every kind of quota block. Their parsers accept nearly everything.
///
/// # Errors
/// What the leaf's `parse` said.
pub fn quota(volume: &Volume, block: BlockNum, data: &[u8]) -> Result<(), Corrupt> {
    use crate::quota::*;
    for kind in [QuotaKind::User, QuotaKind::Group] {
        keep(QuotaInfo::parse(volume, block, data, kind));
        keep(LocalQuotaInfo::parse(volume, block, data, kind));
    }
    for level in 0..5 {
        keep(qtree_index(volume, block, data, (level, u32::MAX, 100)));
    }
    if let Ok(chunk) = QuotaChunk::parse(volume, block, data) {
        keep(chunk.bitmap.ones());
    }
    if let Ok(entries) = LocalQuotaEntry::parse_block(volume, block, data) {
        keep(entries.count());
    }
    keep(QuotaLeaf::parse(volume, block, data)?.entries().count());
    Ok(())
}
