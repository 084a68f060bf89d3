//! One inode in use: its fields, and what it holds.

use ocfs2_format::{
    BlockKind, DinodeFlags, DxRoot, DynFeatures, ExtentFlags, FileType, Incompat, RawDinode, RawDxRoot,
    RawInlineData, Tree,
};

use super::chains::Allocators;
use super::ctx::{Ctx, view};
use super::extents::{self, Root, Walked};
use super::finding::{Finding, Findings};
use super::groups::Allocator;
use super::part::{Claim, InodeState, Part, Shared, StateFlags};
use super::{Code, suballoc, symlink, xattrs};

/// Where an inode lies.
pub(super) struct Place<'a> {
    pub(super) ino: u64,
    /// Its bit in the group, and whether that is set.
    pub(super) bit: u32,
    pub(super) set: bool,
    /// Block of the group descriptor.
    pub(super) group: u64,
    pub(super) allocator: &'a Allocator,
}

/// An inode with what its checks share.
pub(super) struct Inode<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) allocators: &'a Allocators,
    pub(super) ino: u64,
    pub(super) bytes: &'a [u8],
    pub(super) raw: &'a RawDinode,
    pub(super) flags: DinodeFlags,
    pub(super) features: DynFeatures,
    pub(super) kind: Option<FileType>,
    /// Bytes at the end of the block that hold xattrs.
    pub(super) xattr_len: usize,
    /// The refcount tree, where the inode may share extents.
    pub(super) refcount_root: Option<u64>,
    /// Bytes of clusters for quota.
    pub(super) space: u64,
}

/// Checks the inode whose block is `bytes`: signature, generation and VALID flag are right.
pub(super) async fn check(
    ctx: &Ctx,
    part: &mut Part,
    allocators: &Allocators,
    place: &Place<'_>,
    bytes: &[u8],
) {
    let Some(raw) = view::<RawDinode>(bytes, 0) else { return };
    let mut inode = Inode {
        ctx,
        allocators,
        ino: place.ino,
        bytes,
        raw,
        flags: DinodeFlags::from_bits_retain(raw.flags.get()),
        features: DynFeatures::from_bits_retain(raw.dyn_features.get()),
        kind: FileType::from_mode(raw.mode.get()),
        xattr_len: 0,
        refcount_root: None,
        space: 0,
    };
    inode.fields(&mut part.out, place);
    inode.sharing(part);
    inode.body(part).await;
    inode.index(part).await;
    // The kernel charges nobody for the clusters of xattrs.
    let charged = inode.space;
    xattrs::check(&mut inode, part).await;
    inode.space = charged;
    inode.account(part, place);
}

impl Inode<'_> {
    pub(super) fn field(&self, out: &mut Findings, code: Code, values: (&'static str, u64, u64)) {
        out.push(Finding::field(code, format_args!("inode {}", self.ino), self.ino, values).inode(self.ino));
    }

    pub(super) fn say(&self, out: &mut Findings, code: Code, what: &str, values: (&'static str, u64, u64)) {
        let message = format!("inode {0}, block {0}: {what}", self.ino);
        let (field, found, expected) = values;
        out.push(Finding::new(code, message).block(self.ino).inode(self.ino).values(field, found, expected));
    }

    pub(super) fn is_system(&self) -> bool {
        self.flags.contains(DinodeFlags::SYSTEM)
    }

    fn has(&self, feature: Incompat) -> bool {
        self.ctx.format().has(feature)
    }

    fn is_dir(&self) -> bool {
        self.kind == Some(FileType::Directory)
    }

    /// The fields of the inode itself.
    fn fields(&mut self, out: &mut Findings, place: &Place<'_>) {
        let raw = self.raw;
        let slot = u64::from(raw.suballoc_slot.get());
        if slot != u64::from(place.allocator.slot) {
            let values = ("i_suballoc_slot", slot, u64::from(place.allocator.slot));
            self.field(out, Code::InodeSuballoc, values);
        }
        let (bit, loc) = (u64::from(raw.suballoc_bit.get()), raw.suballoc_loc.get());
        if bit != u64::from(place.bit) {
            self.field(out, Code::InodeSuballoc, ("i_suballoc_bit", bit, u64::from(place.bit)));
        }
        // Without it, the group is the block less the bit, which leads astray in a discontiguous group.
        let contiguous = self.ino.wrapping_sub(u64::from(place.bit)) == place.group;
        if loc != place.group && !(loc == 0 && contiguous) {
            self.field(out, Code::InodeSuballoc, ("i_suballoc_loc", loc, place.group));
        }
        if raw.blkno.get() != self.ino {
            self.field(out, Code::InodeBlkno, ("i_blkno", raw.blkno.get(), self.ino));
        }
        if raw.dtime.get() != 0 {
            self.field(out, Code::InodeNzDtime, ("i_dtime", raw.dtime.get(), 0));
        }
        if self.kind.is_none() {
            let what = format!("i_mode {:#o} has no known file type", raw.mode.get());
            self.say(out, Code::InodeMode, &what, ("i_mode", raw.mode.get().into(), 0));
        }
        if self.ino == self.ctx.volume.root().0 && !self.is_dir() {
            self.say(
                out,
                Code::RootNotdir,
                "the root is no directory",
                ("i_mode", raw.mode.get().into(), 0o040_755),
            );
        }
        let word = u64::from(self.features.bits());
        if self.features.contains(DynFeatures::INLINE_DATA) && !self.has(Incompat::INLINE_DATA) {
            self.field(out, Code::InlineDataFlagInvalid, ("i_dyn_features", word, word & !1));
        }
        if self.features.contains(DynFeatures::INDEXED_DIR)
            && (!self.has(Incompat::INDEXED_DIRS) || !self.is_dir())
        {
            self.field(out, Code::IvDxTree, ("i_dyn_features", word, word & !8));
        }
        if self.features.contains(DynFeatures::INLINE_XATTR) {
            let (len, room) = (raw.xattr_inline_size.get(), self.ctx.room(0xd0, 1));
            let fits = len >= 16 && u64::from(len) <= room && len.is_multiple_of(16);
            if fits && self.has(Incompat::XATTR) {
                self.xattr_len = usize::from(len);
            } else {
                self.field(out, Code::XattrEntryInvalid, ("i_xattr_inline_size", len.into(), 256));
            }
        }
    }

    /// Whether it is attached to a refcount tree.
    fn sharing(&mut self, part: &mut Part) {
        let loc = self.raw.refcount_loc.get();
        let word = u64::from(self.features.bits());
        let flag = self.features.contains(DynFeatures::HAS_REFCOUNT);
        if flag && !self.has(Incompat::REFCOUNT_TREE) {
            self.field(&mut part.out, Code::RefcountFlagInvalid, ("i_dyn_features", word, word & !0x10));
        } else if flag && !self.ctx.holds(loc) {
            let what = format!("i_refcount_loc {loc} leads to no refcount tree");
            self.say(&mut part.out, Code::RefcountRootBlockInvalid, &what, ("i_refcount_loc", loc, 0));
            self.refcount_root = Some(0);
        } else if flag {
            self.refcount_root = Some(loc);
            part.attached.push((loc, self.ino));
        } else if loc != 0 {
            self.field(&mut part.out, Code::RefcountLocInvalid, ("i_refcount_loc", loc, 0));
        }
    }

    /// Its contents.
    async fn body(&mut self, part: &mut Part) {
        let own = DinodeFlags::CHAIN | DinodeFlags::LOCAL_ALLOC | DinodeFlags::DEALLOC;
        if self.is_system() && self.flags.intersects(own) {
            return; // passes 0 and 1 look at these by their names
        }
        if self.features.contains(DynFeatures::INLINE_DATA) {
            self.inline(&mut part.out);
            return;
        }
        if self.kind == Some(FileType::Symlink) && self.raw.clusters.get() == 0 {
            symlink::fast(self, &mut part.out);
            return;
        }
        let sparse = self.ctx.format().features.sparse();
        let room = self.ctx.room(0xd0 + self.xattr_len, 16);
        let root = Root {
            ino: self.ino,
            block: self.ino,
            bytes: self.bytes,
            offset: RawDinode::BODY_OFFSET,
            room,
            tree: Tree::Data,
            last: ("i_last_eb_blk", self.raw.last_eb_blk.get()),
            dense: !sparse || self.is_dir() || self.is_system(),
            sharing: self.refcount_root.is_some(),
        };
        let walked = extents::walk(self.ctx, &mut part.out, self.allocators, &root).await;
        self.hold(part, &walked);
        self.sizes(&mut part.out, &walked);
        if self.kind == Some(FileType::Symlink) {
            symlink::slow(self, &mut part.out, &walked).await;
        }
    }

    fn inline(&self, out: &mut Findings) {
        let Some(raw) = view::<RawInlineData>(self.bytes, RawDinode::BODY_OFFSET) else { return };
        let room = self.ctx.room(0xc8 + self.xattr_len, 1);
        let (count, size) = (u64::from(raw.count.get()), self.raw.size.get());
        if count != room {
            self.field(out, Code::InlineDataCountInvalid, ("id_count", count, room));
        }
        if size > room {
            self.field(out, Code::InodeInlineSize, ("i_size", size, room));
        }
        let clusters = u64::from(self.raw.clusters.get());
        if clusters != 0 {
            self.field(out, Code::InodeInlineClusters, ("i_clusters", clusters, 0));
        }
    }

    /// Size and clusters against the extents.
    fn sizes(&self, out: &mut Findings, walked: &Walked) {
        let geometry = self.ctx.geometry();
        let (size, clusters) = (self.raw.size.get(), u64::from(self.raw.clusters.get()));
        let sparse = self.ctx.format().features.sparse();
        if self.is_dir() && walked.extents.is_empty() && !walked.broken {
            self.say(out, Code::DirZero, "the directory has no blocks", ("i_clusters", clusters, 1));
            return;
        }
        if !walked.broken && clusters != walked.clusters {
            let code = if sparse { Code::InodeSparseClusters } else { Code::InodeClusters };
            self.field(out, code, ("i_clusters", clusters, walked.clusters));
        }
        let held = walked.clusters << geometry.cluster_size.bits();
        if !walked.broken && (!sparse || self.is_dir()) && size > held {
            self.field(out, Code::InodeSize, ("i_size", size, held));
        }
        // mkfs.ocfs2 leaves the bytes of the trailer out of the size of a lost+found.
        let whole = size.next_multiple_of(geometry.block_size.bytes());
        if self.is_dir() && whole - size > ocfs2_format::TRAILER_LEN as u64 {
            self.field(out, Code::InodeSize, ("i_size", size, whole));
        }
        // Space for later (fallocate that keeps the size) is unwritten, and no damage.
        let written = |extent: &&ocfs2_format::Extent| !extent.flags.contains(ExtentFlags::UNWRITTEN);
        let last = walked.extents.iter().rev().find(written).map_or(0, |extent| extent.end());
        if last > geometry.clusters_for(size) {
            let code = if sparse { Code::InodeSparseSize } else { Code::InodeSize };
            let what = format!("i_size is {size}, but its data reaches to the end of cluster {}", last - 1);
            self.say(out, code, &what, ("i_size", size, last << geometry.cluster_size.bits()));
        }
    }

    /// Takes the clusters and blocks of a tree as the inode's.
    pub(super) fn hold(&mut self, part: &mut Part, walked: &Walked) {
        part.metadata.extend(&walked.blocks);
        for extent in &walked.extents {
            let Some(start) = self.ctx.geometry().cluster_of(extent.block) else { continue };
            let (start, count) = (start.0, u32::from(extent.clusters));
            self.space += u64::from(count) << self.ctx.geometry().cluster_size.bits();
            match self.refcount_root {
                Some(root) if extent.flags.contains(ExtentFlags::REFCOUNTED) => {
                    part.shared.push(Shared { root, start, count });
                }
                _ => part.claims.push(Claim { ino: self.ino, start, count, system: self.is_system() }),
            }
        }
    }

    /// The root of the directory's index and the clusters of its leaves. The entries are for pass 2.
    async fn index(&mut self, part: &mut Part) {
        let wanted = self.is_dir() && self.has(Incompat::INDEXED_DIRS);
        if !wanted {
            return;
        }
        let inline = self.features.contains(DynFeatures::INLINE_DATA);
        if !self.features.contains(DynFeatures::INDEXED_DIR) {
            if !inline && self.ino != self.ctx.volume.superblock().system_dir.0 {
                let word = u64::from(self.features.bits());
                self.say(
                    &mut part.out,
                    Code::DxTreeMissing,
                    "the directory has no index",
                    ("i_dyn_features", word, word | 8),
                );
            }
            return;
        }
        let root = self.raw.dx_root.get();
        if !self.ctx.holds(root) {
            let what = format!("i_dx_root {root} leads to no index");
            self.say(&mut part.out, Code::DxTreeCorrupt, &what, ("i_dx_root", root, 0));
            return;
        }
        let Some(bytes) = self.ctx.read(&mut part.out, self.ino, root, BlockKind::DxRoot).await else {
            return;
        };
        let Some(raw) = view::<RawDxRoot>(&bytes, 0) else { return };
        if raw.signature != DxRoot::SIGNATURE {
            let what = format!("i_dx_root {root} leads to a block that is no root of an index");
            self.say(&mut part.out, Code::DxTreeCorrupt, &what, ("i_dx_root", root, 0));
            return;
        }
        part.metadata.push(root);
        let what = ("index of directory", self.ino);
        let generation = u64::from(self.ctx.format().fs_generation);
        for (field, found, expected) in [
            ("dr_blkno", raw.blkno.get(), root),
            ("dr_fs_generation", u64::from(raw.fs_generation.get()), generation),
            ("dr_dir_blkno", raw.dir_blkno.get(), self.ino),
        ] {
            part.out.expect(Code::DxTreeCorrupt, what, root, (field, found, expected));
        }
        let from = (raw.suballoc_slot.get(), raw.suballoc_bit.get(), raw.suballoc_loc.get());
        suballoc::check(&mut part.out, self.allocators, (self.ino, root), from);
        if raw.flags & DxRoot::FLAG_INLINE != 0 {
            return;
        }
        let tree = Root {
            ino: self.ino,
            block: root,
            bytes: &bytes,
            offset: 0xc0,
            room: self.ctx.room(0xd0, 16),
            tree: Tree::DirIndex,
            last: ("dr_last_eb_blk", raw.last_eb_blk.get()),
            dense: false,
            sharing: false,
        };
        let walked = extents::walk(self.ctx, &mut part.out, self.allocators, &tree).await;
        if !walked.broken {
            let clusters = ("dr_clusters", u64::from(raw.clusters.get()), walked.clusters);
            part.out.expect(Code::DxTreeCorrupt, what, root, clusters);
        }
        self.hold(part, &walked);
    }

    /// What is kept of it.
    fn account(&self, part: &mut Part, place: &Place<'_>) {
        let raw = self.raw;
        let indexed = self.features.contains(DynFeatures::INDEXED_DIR);
        let high = if indexed { u32::from(raw.links_count_hi.get()) } else { 0 };
        let mut flags = StateFlags::empty();
        flags.set(StateFlags::SYSTEM, self.is_system());
        flags.set(StateFlags::ORPHANED, self.flags.contains(DinodeFlags::ORPHANED));
        flags.set(StateFlags::DIO_ORPHANED, self.flags.contains(DinodeFlags::DIO_ORPHANED));
        flags.set(StateFlags::BIT_CLEAR, !place.set);
        let slot =
            if flags.contains(StateFlags::ORPHANED) { raw.orphaned_slot } else { raw.dio_orphaned_slot };
        part.inodes.push(InodeState {
            ino: self.ino,
            links: high << 16 | u32::from(raw.links_count.get()),
            file_type: self.kind.map_or(0, FileType::dirent_code),
            flags,
            orphan_slot: slot.get(),
        });
        if self.is_system() {
            return; // no quota: the root has the flag too
        }
        for (map, id) in [(&mut part.users, raw.uid.get()), (&mut part.groups, raw.gid.get())] {
            let usage = map.entry(id).or_default();
            usage.space += self.space;
            usage.inodes += 1;
        }
    }
}
