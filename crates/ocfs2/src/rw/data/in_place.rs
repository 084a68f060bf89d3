//! Writing over what a file has: no cluster is claimed, and many do it at once.

use block::Bufs;
use ocfs2_format::{BlockNum, Timestamp};

use super::device::Piece;
use super::map::{Kind, Segment, segments};
use super::write::{Writing, Written, expect_writable, perm_after, stamp};
use crate::Error;
use crate::lock::Level;
use crate::rw::Writable;
use crate::rw::operation::Operation;

impl Writable {
    /// Writes whole sectors of clusters that the file has already, beside others who do the same; `None` when that is
    /// not all that is wanted, and nothing has happened.
    pub(super) async fn write_in_place(
        &self,
        writing: &mut Writing,
        offset: u64,
    ) -> Result<Option<Written>, Error> {
        let (ino, len) = (writing.ino, writing.source.left());
        let sector = self.sector();
        let whole = offset.is_multiple_of(sector) && len.is_multiple_of(sector) && len > 0;
        let Some(end) = offset.checked_add(len).filter(|_| whole && !writing.how.append) else {
            return Ok(None);
        };
        let mut op = self.operation();
        let generation = op.lock_data(ino, Level::Shared).await?;
        let _together = self.lock_together(ino).await?;
        let inode = self.volume().inode(ino).await?;
        inode.expect_file()?;
        expect_writable(&inode, writing.how)?;
        let same = inode.attr().generation == generation;
        if !same || end > inode.size() || perm_after(&inode, writing.how) != inode.attr().perm {
            return Ok(None);
        }
        let bits = self.volume().geometry().cluster_size.bits();
        let range = (offset >> bits, self.volume().geometry().clusters_for(end));
        let segments = segments(self.volume().meta(), &inode, range).await?;
        let covered = segments.last().is_some_and(|last| last.end == range.1);
        if !covered || segments.iter().any(|segment| segment.kind != Kind::Own) {
            return Ok(None);
        }
        let pieces = self.cut(writing, &segments, (offset, end));
        self.put(ino, pieces).await?;
        // Times move in ticks: most of those who write much find theirs there already.
        match (inode.attr().mtime, inode.attr().ctime) == (writing.now, writing.now) {
            true => self.data().written(ino),
            false => op.stamp(ino, writing.now).await?,
        }
        Ok(Some(Written { offset, len, size: inode.size() }))
    }

    /// The bytes of a write, each in its place.
    fn cut(&self, writing: &mut Writing, segments: &[Segment], range: (u64, u64)) -> Vec<Piece> {
        let piece = |segment: &Segment| {
            let (from, to) = self.bytes_of(segment, range);
            let mut bufs = Bufs::new();
            writing.source.take(to - from, &mut bufs);
            Piece::new(self.byte_at(segment, from), bufs)
        };
        segments.iter().map(piece).collect()
    }
}

impl Operation<'_> {
    /// Sets the times of a file whose data has changed.
    pub(super) async fn stamp(&mut self, ino: BlockNum, now: Timestamp) -> Result<(), Error> {
        loop {
            let mut change = self.begin().await?;
            let done = change.dinode(ino).await.map(|raw| stamp(raw, now));
            if change.end(done).await?.is_some() {
                return Ok(());
            }
        }
    }
}
