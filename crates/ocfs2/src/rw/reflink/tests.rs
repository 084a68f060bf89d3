//! Clones beside a model, and the kernel's rules.

mod model;
mod rules;

use ocfs2_format::{BlockNum, DynFeatures, Extent, ExtentFlags, RawInlineData};
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U64};

use crate::extents::Extents;
use crate::lock::{Level, Rank};
use crate::rw::change::Change;
use crate::{Error, NewInode, NewKind, Writable};

/// Somebody's new file.
pub(super) const NEW: NewInode = NewInode { perm: 0o7777, uid: 7, gid: 8, umask: Some(0o022) };

/// Clusters of a file that are to lie side by side on the volume, if they can.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lay {
    pub(super) cpos: u32,
    pub(super) clusters: u32,
    /// What every byte of them is; unwritten ones have none.
    pub(super) byte: Option<u8>,
}

/// Makes a file.
pub(super) async fn file(fs: &Writable, name: &str) -> BlockNum {
    let new = NewInode { perm: 0o6754, uid: 500, gid: 600, umask: None };
    fs.create(fs.volume().root(), name.as_bytes(), &new, NewKind::File).await.unwrap().ino()
}

/// Does `steps` in one change under the lock of inode `ino`.
pub(super) async fn changed<T>(
    fs: &Writable,
    ino: BlockNum,
    mut steps: impl AsyncFnMut(&mut Change<'_>) -> Result<T, Error>,
) -> T {
    let mut op = fs.operation();
    op.lock_inode(Rank::Child, ino, Level::Exclusive).await.unwrap();
    loop {
        let mut change = op.begin().await.unwrap();
        let done = steps(&mut change).await;
        if let Some(done) = change.end(done).await.unwrap() {
            return done;
        }
    }
}

/// Gives the file clusters, and the size `size`.
pub(super) async fn lay(fs: &Writable, ino: BlockNum, lays: &[Lay], size: u64) {
    let geometry = *fs.volume().geometry();
    for one in lays {
        let (mut cpos, end) = (one.cpos, one.cpos + one.clusters);
        while cpos < end {
            cpos += changed(fs, ino, async |change| {
                let (blocks, alloc) = change.blocks_and_space();
                let run = alloc.claim_clusters(blocks, end - cpos, 1).await?;
                let block = geometry.cluster_start(run.start);
                if let Some(byte) = one.byte {
                    let len = usize::try_from(u64::from(run.clusters) << geometry.cluster_size.bits());
                    fs.volume().write_block(block, "test data", &vec![byte; len.unwrap()]).await?;
                }
                let clusters = u16::try_from(run.clusters).unwrap();
                let flags = if one.byte.is_some() { ExtentFlags::empty() } else { ExtentFlags::UNWRITTEN };
                let extent = Extent { cpos, clusters, flags, block };
                Extents::of_inode(alloc, ino).insert(blocks, extent).await?;
                Ok(run.clusters)
            })
            .await;
        }
    }
    changed(fs, ino, async |change| {
        change.dinode(ino).await?.size = U64::new(size);
        Ok(())
    })
    .await;
}

/// Gives the empty file contents that lie in its inode; as many as fit.
pub(super) async fn lay_inline(fs: &Writable, ino: BlockNum, data: &[u8]) -> Vec<u8> {
    changed(fs, ino, async |change| {
        let (raw, body) = change.dinode_and_body(ino).await?;
        let room = body.len() - size_of::<RawInlineData>() - usize::from(raw.xattr_inline_size.get());
        let kept = &data[..data.len().min(room)];
        raw.dyn_features = U16::new(raw.dyn_features.get() | DynFeatures::INLINE_DATA.bits());
        raw.size = U64::new(kept.len() as u64);
        body[..size_of::<RawInlineData>() + room].fill(0);
        let (head, rest) = RawInlineData::mut_from_prefix(body).unwrap();
        head.count = U16::new(u16::try_from(room).unwrap());
        rest[..kept.len()].copy_from_slice(kept);
        Ok(kept.to_vec())
    })
    .await
}

/// Whether the volume keeps small files in their inodes.
pub(super) async fn has_inline_data(fs: &Writable) -> bool {
    let meta = fs.volume().meta();
    meta.volume().has(ocfs2_format::Incompat::INLINE_DATA)
}
