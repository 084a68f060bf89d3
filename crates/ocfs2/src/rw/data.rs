//! The data of files: read, written, allocated, given up.
//!
//! Data goes straight to the device, and every call returns when the device has it: nothing of it is kept here. What
//! keeps a crash from showing anybody what is not theirs is the order of things:
//!
//! - New clusters are chosen first and written to while nothing refers to them; then one change claims them, puts them
//!   into the tree, and sets size and times. The commit of that change flushes the device before it counts.
//! - Of a new cluster everything up to the end of the file is written, with zeroes where there is no data.
//! - What lies behind the end of the file means nothing, but for the rest of the last page, which is zero: so a file
//!   that grows is zeroed first where it already has clusters.
//! - A file that shrinks gets its new size first; what is behind it is given up in steps, each of which leaves a sound
//!   volume.
//!
//! The lock W of a file keeps those who move data to and from where it lies apart from those who change where it lies:
//! it is held shared by who reads, or writes in place, and exclusively by everybody else. M is held shared by who reads
//! and exclusively by who writes, since other nodes keep what they have read for as long as they hold it; the tasks of
//! one node hold it [together](together::Together). Both are held until the device has answered.

mod allocate;
mod claim;
mod device;
mod grow;
mod in_place;
mod inline;
mod map;
mod read;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod together;
mod truncate;
mod write;

use ocfs2_format::{BlockKind, BlockNum};

use super::Writable;
use super::operation::Operation;
use crate::lock::{Level, LockName, Rank};
use crate::{Error, Inode};

pub use allocate::FallocateMode;
pub(super) use state::DataState;
pub(super) use write::without_set_id;
pub use write::{WriteHow, Written};

/// What the kernel reads and maps at once: no byte of the page that a file ends in is anybody else's.
const PAGE: u64 = 4096;

impl Operation<'_> {
    /// Takes the locks W and M of the regular file `ino`, which somebody retains. Gives the inode.
    pub(crate) async fn lock_file(
        &mut self,
        ino: BlockNum,
        data: Level,
        meta: Level,
    ) -> Result<Inode, Error> {
        loop {
            let generation = self.lock_data(ino, data).await?;
            self.lock_inode(Rank::Child, ino, meta).await?;
            let inode = self.fs().volume().inode(ino).await?;
            inode.expect_file()?;
            if inode.attr().generation == generation {
                return Ok(inode);
            }
            self.release_from(Rank::Rw);
        }
    }

    /// Takes the lock W of inode `ino`, whose name has the inode's generation in it: it only changes when the block is
    /// used anew. Gives it, to be compared under the lock M.
    async fn lock_data(&mut self, ino: BlockNum, level: Level) -> Result<u32, Error> {
        let volume = self.fs().volume();
        let generation = match volume.meta().cache().has(ino, BlockKind::Dinode.into()) {
            // At worst that of another inode: then the lock is the wrong one, and is found to be.
            true => volume.inode(ino).await?.attr().generation,
            false => {
                self.lock_inode(Rank::Child, ino, Level::Shared).await?;
                let inode = volume.inode(ino).await?;
                self.release_from(Rank::Child);
                inode.attr().generation
            }
        };
        self.lock(Rank::Rw, LockName::rw(ino, generation), level).await?;
        Ok(generation)
    }
}

impl Writable {
    /// What of the data of files is kept in memory.
    pub(in crate::rw) fn data(&self) -> &DataState {
        &self.inner.data
    }
}

fn align_up(at: u64, grain: u64) -> u64 {
    at.div_ceil(grain).saturating_mul(grain)
}
