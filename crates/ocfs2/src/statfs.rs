//! How full a volume is.

use crate::{Error, SystemFile, Volume};

/// What `statfs(2)` on a kernel mount says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatFs {
    /// Unit of the counts below, in bytes: the volume's block.
    pub block_size: u64,
    /// Blocks of the volume.
    pub blocks: u64,
    /// Blocks in clusters that are free.
    pub free: u64,
    /// Clusters of the volume: OCFS2 makes inodes as long as there is space, so this is their number's bound.
    pub files: u64,
    /// Free clusters.
    pub files_free: u64,
    /// Size of a cluster in bytes.
    pub cluster_size: u64,
    /// Longest name, in bytes.
    pub name_max: u32,
    /// Identity of the file system, from its UUID.
    pub fsid: [u32; 2],
}

impl Volume {
    /// Counts of the global bitmap's inode: `i_total` and `i_used`, as the kernel's `ocfs2_statfs` takes them, and
    /// nothing else. What slots hold for themselves (local windows, orphan directories with the `dio-` files of
    /// direct writes, truncate logs) counts as used there, on a read-only mount too: it is free only when the slot's
    /// node, or the recovery of it, has cleared the bits. Here nothing is written, so it stays as the bitmap says.
    ///
    /// # Errors
    /// When the global bitmap's inode cannot be read.
    pub async fn statfs(&self) -> Result<StatFs, Error> {
        let inode = self.system_inode(SystemFile::GlobalBitmap).await?;
        let counts =
            inode.dinode().bitmap_usage().map(|usage| (u64::from(usage.total), u64::from(usage.used)));
        let (total, used) = counts.ok_or(Error::NoSystemFile { file: SystemFile::GlobalBitmap })?;
        let free = total.saturating_sub(used);
        let geometry = self.geometry();
        let uuid = self.superblock().uuid.to_string();
        let (low, high) = uuid.as_bytes().split_at(uuid.len() / 2);
        Ok(StatFs {
            block_size: geometry.block_size.bytes(),
            blocks: geometry.clusters_to_blocks(total),
            free: geometry.clusters_to_blocks(free),
            files: total,
            files_free: free,
            cluster_size: geometry.cluster_size.bytes(),
            name_max: 255,
            fsid: [crc32(low), crc32(high)],
        })
    }
}

/// CRC-32 as the kernel's `crc32_le(0, …)`: it begins with 0 and is not inverted.
fn crc32(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(u32::MAX);
    hasher.update(bytes);
    !hasher.finalize()
}
