//! Inodes of a fresh volume.

use ocfs2_format::{
    BitmapUsage, BlockNum, Chain, Child, DinodeFlags, DynFeatures, Extent, ExtentBlock, ExtentFlags,
    ExtentList, RawChainList, RawChainRec, RawDinode, RawExtentBlock, RawExtentList, RawExtentRec,
    RawInlineData, RawLocalAlloc, RawTruncateLog, Suballoc, Timestamp, Volume,
};
use zerocopy::{Immutable, IntoBytes};

use super::clusters::ClusterRun;
use super::request::Identity;

/// An inode being laid out.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) block: BlockNum,
    pub(super) suballoc: Suballoc,
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) flags: DinodeFlags,
    pub(super) size: u64,
    /// `i_clusters` where it is not the sum of the extents.
    pub(super) clusters: Option<u32>,
    pub(super) usage: Option<BitmapUsage>,
    pub(super) dx_root: Option<BlockNum>,
    pub(super) body: Body,
}

/// What an inode holds.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Extents(Extents),
    Inline(Vec<u8>),
    Chains { cpg: u16, bpc: u16, chains: Vec<Chain> },
    LocalAlloc,
    TruncateLog,
}

/// The extents of a file, in order and without holes, and the extent blocks they lie in where the inode is too small.
#[derive(Clone, Debug, Default)]
pub(super) struct Extents {
    pub(super) list: Vec<Extent>,
    pub(super) blocks: Vec<(BlockNum, Suballoc)>,
}

impl Extents {
    /// Clusters.
    pub(super) fn clusters(&self) -> u32 {
        self.list.iter().map(|extent| u32::from(extent.clusters)).sum()
    }

    /// Adds clusters at the end.
    pub(super) fn push(&mut self, volume: &Volume, run: ClusterRun) {
        let cpos = self.clusters();
        let block = BlockNum(volume.geometry.clusters_to_blocks(u64::from(run.start.0)));
        let clusters = u16::try_from(run.len).expect("a group has 32256 clusters at most");
        if let Some(last) = self.list.last_mut() {
            let blocks = volume.geometry.clusters_to_blocks(u64::from(last.clusters));
            let sum = last.clusters.checked_add(clusters);
            if let Some(sum) = sum.filter(|_| last.block.0 + blocks == block.0) {
                last.clusters = sum;
                return;
            }
        }
        self.list.push(Extent { cpos, clusters, flags: ExtentFlags::empty(), block });
    }

    /// The volume's block that is block `index` of the file.
    pub(super) fn block_at(&self, volume: &Volume, index: u64) -> Option<BlockNum> {
        let per_cluster = volume.geometry.clusters_to_blocks(1);
        let extent = self.list.iter().find(|extent| index / per_cluster < extent.end())?;
        let within = index.checked_sub(volume.geometry.clusters_to_blocks(u64::from(extent.cpos)))?;
        extent.block.checked_add(within)
    }

    /// Leaves that the extents take: none while they fit into the inode.
    pub(super) fn leaves(&self, volume: &Volume) -> usize {
        let size = volume.geometry.block_size;
        if self.list.len() <= ExtentList::room_in_dinode(size) {
            return 0;
        }
        self.list.len().div_ceil(ExtentBlock::capacity(size))
    }

    /// The records of the root, and its depth.
    fn root(&self, volume: &Volume) -> (u16, Vec<RawExtentRec>) {
        if self.blocks.is_empty() {
            return (0, self.list.iter().map(RawExtentRec::from_extent).collect());
        }
        let leaves = self.list.chunks(ExtentBlock::capacity(volume.geometry.block_size));
        let records = leaves.zip(&self.blocks).map(|(extents, (block, _))| {
            let clusters = extents.iter().map(|extent| u32::from(extent.clusters)).sum();
            RawExtentRec::from_child(&Child { cpos: extents[0].cpos, clusters, block: *block })
        });
        (1, records.collect())
    }

    /// The extent blocks, not sealed, with their places.
    pub(super) fn leaf_blocks(&self, volume: &Volume) -> impl Iterator<Item = (BlockNum, Vec<u8>)> {
        let leaves = self.list.chunks(ExtentBlock::capacity(volume.geometry.block_size));
        leaves.zip(&self.blocks).enumerate().map(move |(index, (extents, (block, suballoc)))| {
            let mut raw = RawExtentBlock::new(volume, *block, *suballoc);
            raw.list.next_free_rec.set(count16(extents.len()));
            raw.next_leaf_blk.set(self.blocks.get(index + 1).map_or(0, |(next, _)| next.0));
            let mut data = vec![0; volume.block_len()];
            let at = put(&mut data, 0, &raw);
            put_all(&mut data, at, extents.iter().map(RawExtentRec::from_extent));
            (*block, data)
        })
    }
}

impl Body {
    /// One run of clusters.
    pub(super) fn run(volume: &Volume, run: ClusterRun) -> Self {
        let mut extents = Extents::default();
        extents.push(volume, run);
        Self::Extents(extents)
    }
}

impl File {
    /// Mode of every directory.
    pub(super) const DIR_MODE: u16 = 0o040_755;

    /// An empty system file.
    pub(super) fn system(block: BlockNum, suballoc: Suballoc, flags: DinodeFlags) -> Self {
        Self {
            block,
            suballoc,
            mode: 0o100_644,
            links: 1,
            flags: DinodeFlags::VALID | DinodeFlags::SYSTEM | flags,
            size: 0,
            clusters: None,
            usage: None,
            dx_root: None,
            body: Body::Extents(Extents::default()),
        }
    }

    /// The extents of a file that has such.
    pub(super) fn extents(&self) -> Option<&Extents> {
        match &self.body {
            Body::Extents(extents) => Some(extents),
            _ => None,
        }
    }

    /// Its clusters, as `i_clusters` tells.
    pub(super) fn clusters(&self) -> u32 {
        self.clusters.unwrap_or_else(|| self.extents().map_or(0, Extents::clusters))
    }

    /// Its block, not sealed.
    pub(super) fn encode(&self, volume: &Volume, identity: &Identity) -> Vec<u8> {
        let mut raw = RawDinode::new(volume, self.block, self.suballoc);
        raw.mode.set(self.mode);
        raw.set_links(self.links);
        raw.flags.set(self.flags.bits());
        raw.size.set(self.size);
        raw.clusters.set(self.clusters());
        raw.set_times(Timestamp { seconds: identity.now.cast_signed(), nanos: 0 });
        if let Some(usage) = self.usage {
            raw.id1[0].set(usage.used);
            raw.id1[1].set(usage.total);
        }
        let mut features = DynFeatures::empty();
        features.set(DynFeatures::INLINE_DATA, matches!(self.body, Body::Inline(_)));
        features.set(DynFeatures::INDEXED_DIR, self.dx_root.is_some());
        raw.dyn_features.set(features.bits());
        raw.dx_root.set(self.dx_root.map_or(0, BlockNum::get));
        if let Some((last, _)) = self.extents().and_then(|extents| extents.blocks.last()) {
            raw.last_eb_blk.set(last.0);
        }
        let mut data = vec![0; volume.block_len()];
        let at = put(&mut data, 0, &raw);
        self.encode_body(volume, &mut data, at);
        data
    }

    fn encode_body(&self, volume: &Volume, data: &mut [u8], at: usize) {
        let size = volume.geometry.block_size;
        match &self.body {
            Body::Extents(extents) => {
                let (depth, records) = extents.root(volume);
                let mut list = RawExtentList::empty(ExtentList::room_in_dinode(size));
                list.tree_depth.set(depth);
                list.next_free_rec.set(count16(records.len()));
                let at = put(data, at, &list);
                put_all(data, at, records);
            }
            Body::Inline(area) => {
                let at = put(data, at, &RawInlineData::whole(size));
                data[at..].copy_from_slice(area);
            }
            Body::Chains { cpg, bpc, chains } => {
                let mut list = RawChainList::empty(size, *cpg, *bpc);
                list.next_free_rec.set(count16(chains.len()));
                let at = put(data, at, &list);
                put_all(data, at, chains.iter().map(RawChainRec::from));
            }
            Body::LocalAlloc => {
                put(data, at, &RawLocalAlloc::empty(size));
            }
            Body::TruncateLog => {
                put(data, at, &RawTruncateLog::empty(size));
            }
        }
    }
}

/// Writes a raw structure at byte `at` and returns where it ends. Callers know that it fits.
pub(super) fn put<T: IntoBytes + Immutable>(data: &mut [u8], at: usize, raw: &T) -> usize {
    let end = at + size_of::<T>();
    data[at..end].copy_from_slice(raw.as_bytes());
    end
}

/// Writes raw structures one after the other.
pub(super) fn put_all<T: IntoBytes + Immutable>(
    data: &mut [u8],
    at: usize,
    raws: impl IntoIterator<Item = T>,
) {
    raws.into_iter().fold(at, |at, raw| put(data, at, &raw));
}

fn count16(count: usize) -> u16 {
    u16::try_from(count).expect("a list has 252 records at most")
}
