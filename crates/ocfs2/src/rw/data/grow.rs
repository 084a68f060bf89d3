//! Files that grow: what was behind their end becomes part of them, and is zero.

use ocfs2_format::{BlockNum, ExtentFlags, Incompat};
use zerocopy::little_endian::U64;

use super::claim::claim_into;
use super::map::{Kind, Segment, segments};
use super::{PAGE, align_up};
use crate::Error;
use crate::inode::{Body, Inode};
use crate::rw::operation::Operation;
use crate::rw::setattr::{SetAttr, apply};

/// Bytes that are zeroed in one change.
const FILLED_AT_ONCE: u64 = 4 << 20;

impl Operation<'_> {
    /// Makes `inode`, whose locks are held exclusively, `size` bytes long, which is more than it is, and changes its
    /// other attributes.
    pub(super) async fn grow(&mut self, inode: &Inode, size: u64, set: &SetAttr) -> Result<(), Error> {
        let ino = inode.ino();
        if let Body::Inline(room) = inode.body()
            && size > room.len() as u64
        {
            self.move_out(ino).await?;
        }
        let inode = self.fs().volume().inode(ino).await?;
        self.zero_to(&inode, size).await?;
        self.set_size(ino, size, set).await
    }

    /// Makes sure that what `inode` has between its end and byte `to` reads as zeroes; where files may have no holes,
    /// that it has clusters up to there.
    pub(super) async fn zero_to(&mut self, inode: &Inode, to: u64) -> Result<(), Error> {
        if matches!(inode.body(), Body::Inline(_)) {
            return Ok(());
        }
        let (fs, ino) = (self.fs(), inode.ino());
        let geometry = *fs.volume().geometry();
        let bits = geometry.cluster_size.bits();
        let bytes = (inode.size(), align_up(to, PAGE));
        let (mut at, end) = (bytes.0 >> bits, geometry.clusters_for(to));
        let holes = fs.volume().meta().volume().has(Incompat::SPARSE_ALLOC);
        while at < end {
            let inode = fs.volume().inode(ino).await?;
            let found = segments(fs.volume().meta(), &inode, (at, end)).await?;
            for segment in found {
                at = segment.end;
                match segment.kind {
                    Kind::Hole if !holes => {
                        at = self.fill(&inode, segment).await?;
                        break;
                    }
                    Kind::Hole | Kind::Unwritten => {}
                    Kind::Shared => {
                        self.own(ino, (segment.start, segment.end)).await?;
                        at = segment.start;
                        break;
                    }
                    Kind::Own => {
                        let (from, to) = fs.bytes_of(&segment, bytes);
                        fs.settle_end(ino).await?;
                        let start = fs.byte_at(&segment, from);
                        fs.put_zeroes(ino, (start, start + to.saturating_sub(from))).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts zeroed clusters into the start of `hole`; gives where they end.
    async fn fill(&mut self, inode: &Inode, mut hole: Segment) -> Result<u64, Error> {
        let (fs, ino) = (self.fs(), inode.ino());
        let cluster = fs.volume().geometry().cluster_size.bytes();
        // Nobody else has a turn while they are zeroed.
        hole.end = hole.end.min(hole.start + (FILLED_AT_ONCE / cluster).max(1));
        loop {
            let mut change = self.begin().await?;
            let steps = async {
                let new = claim_into(&mut change, ino, hole, ExtentFlags::empty()).await?;
                let start = fs.byte_at(&new, new.start * cluster);
                let end = start + (new.end - new.start) * cluster;
                fs.put_zeroes(ino, (start, end)).await?;
                Ok(new.end)
            };
            let done = steps.await;
            if let Some(end) = change.end(done).await? {
                return Ok(end);
            }
        }
    }

    /// Sets the size, and what else is to be set, in one change.
    pub(super) async fn set_size(&mut self, ino: BlockNum, size: u64, set: &SetAttr) -> Result<(), Error> {
        let now = self.fs().clock().now();
        loop {
            let mut change = self.begin().await?;
            let steps = async {
                let before = change.inode(ino).await?.size();
                super::inline::clear(&mut change, ino, (before.min(size), u64::MAX)).await?;
                apply(&mut change, ino, set, now).await?;
                change.dinode(ino).await?.size = U64::new(size);
                Ok(())
            };
            let done = steps.await;
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }
}
