//! Space that is given out one behind the other and never taken back, and trees of one level.

use std::sync::atomic::{AtomicU32, Ordering};

use ocfs2_format::{
    BlockKind, BlockNum, Extent, ExtentRoot, Geometry, RawExtentList, RawExtentRec, Suballoc,
};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

use crate::Error;
use crate::dir::space::Space;
use crate::txn::Handle;

#[derive(Debug)]
pub(super) struct Bump {
    geometry: Geometry,
    next: AtomicU32,
    /// Clusters left.
    left: AtomicU32,
}

impl Bump {
    /// Gives out the upper half of a volume.
    pub(super) fn new(geometry: &Geometry) -> Self {
        let half = geometry.clusters.0 / 2;
        Self { geometry: *geometry, next: AtomicU32::new(half), left: AtomicU32::new(half) }
    }

    /// From now on has `clusters` more.
    pub(super) fn limit(&self, clusters: u32) {
        self.left.store(clusters, Ordering::Relaxed);
    }

    /// The next clusters. Every fifth lies apart, so that extents do not all become one.
    pub(super) fn next(&self, clusters: u32) -> Result<BlockNum, Error> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(clusters);
        self.left.store(left.ok_or(Error::NoSpace { what: "clusters", want: clusters })?, Ordering::Relaxed);
        let gap = u32::from(self.next.load(Ordering::Relaxed).is_multiple_of(5));
        let next = self.next.fetch_add(clusters + gap, Ordering::Relaxed) + gap;
        Ok(self.geometry.cluster_start(ocfs2_format::ClusterNum(next)))
    }
}

impl Space for Bump {
    async fn claim_cluster(&self, _: &mut Handle<'_>) -> Result<BlockNum, Error> {
        self.next(1)
    }

    async fn claim_root(&self, _: &mut Handle<'_>) -> Result<(BlockNum, Suballoc), Error> {
        Ok((self.next(1)?, Suballoc { slot: 0, bit: 0, group: None }))
    }

    async fn insert_extent(
        &self,
        handle: &mut Handle<'_>,
        owner: BlockNum,
        (root, kind): (BlockNum, ExtentRoot),
        extent: Extent,
    ) -> Result<(), Error> {
        let (kind, counter) = match kind {
            ExtentRoot::Dinode => (BlockKind::Dinode, 0x14),
            ExtentRoot::DxRoot => (BlockKind::DxRoot, 0x28),
            other => panic!("a directory has no {other:?}"),
        };
        let bytes = handle.edit(owner, root, kind).await?;
        let (clusters, _) = U32::mut_from_prefix(&mut bytes[counter..]).unwrap();
        clusters.set(clusters.get() + u32::from(extent.clusters));
        let (list, rest) = RawExtentList::mut_from_prefix(&mut bytes[0xc0..]).unwrap();
        let (count, used) = (usize::from(list.count.get()), usize::from(list.next_free_rec.get()));
        let (records, _) = <[RawExtentRec]>::mut_from_prefix_with_elems(rest, count).unwrap();
        let at = records[..used].partition_point(|record| record.cpos.get() <= extent.cpos);
        if let Some(before) = at.checked_sub(1).and_then(|at| records.get_mut(at)) {
            let (cpos, len) = (before.cpos.get(), before.leaf_clusters.get());
            assert!(cpos + u32::from(len) <= extent.cpos, "extents overlap");
            let end = before.blkno.get() + self.geometry.clusters_to_blocks(u64::from(len));
            if cpos + u32::from(len) == extent.cpos && end == extent.block.0 {
                before.leaf_clusters = U16::new(len + 1);
                return Ok(());
            }
        }
        if used == count {
            return Err(Error::NoSpace { what: "records", want: 1 });
        }
        records[at..].rotate_right(1);
        records[at] = RawExtentRec::from_extent(&extent);
        list.next_free_rec = U16::new(u16::try_from(used + 1).unwrap());
        assert_eq!(records[at].as_bytes().len(), 16);
        Ok(())
    }

    async fn free_root(&self, _: &mut Handle<'_>, _: (BlockNum, Suballoc)) -> Result<(), Error> {
        panic!("it is never taken back")
    }

    async fn free_extents(
        &self,
        _: &mut Handle<'_>,
        _: BlockNum,
        _: (BlockNum, ExtentRoot),
        _: usize,
    ) -> Result<bool, Error> {
        panic!("it is never taken back")
    }
}
