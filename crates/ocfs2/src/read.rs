//! Reading a file: from its extents to device reads, all in flight at once.

use std::ops::Range;

use futures_util::stream::{self, FuturesOrdered, Stream, StreamExt, TryStreamExt};
use ocfs2_format::ExtentFlags;
use smallvec::SmallVec;

use crate::data::Data;
use crate::disk::Chunk;
use crate::inode::{Body, Inode};
use crate::tree::ExtentTree;
use crate::{Error, Volume};

/// Longest single device read, in bytes: longer ones are cut so that the parts travel side by side.
const MAX_READ: u64 = 1 << 20;

/// A run of a file: where it lies on the device, or nothing where it reads as zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Byte of the device.
    pub(crate) at: Option<u64>,
    /// Length in bytes.
    pub(crate) len: u64,
}

/// The runs of a range of a file, in order; most files have one.
pub(crate) type Runs = SmallVec<[Run; 2]>;

impl Volume {
    /// Reads `len` bytes of a regular file from byte `offset` on; fewer, or none, at its end.
    ///
    /// Holes, unwritten extents and what lies past the last extent are [`Piece::Zeroes`](crate::Piece::Zeroes) and
    /// cost nothing; the rest comes from the device in as few reads as the extents allow, all in flight at once.
    /// The caller bounds `len`: what is read is held in memory.
    ///
    /// # Errors
    /// [`Error::NotFile`]; or when the extent tree or the data cannot be read.
    pub async fn read(&self, inode: &Inode, offset: u64, len: u64) -> Result<Data, Error> {
        inode.expect_file()?;
        self.read_body(inode, offset, len).await
    }

    /// The contents of a regular file in `range` of bytes, in order: pieces of `chunk` bytes (at least 1), each with
    /// its offset, and `depth` of them on their way at once. Memory is bounded by `chunk` times `depth`.
    ///
    /// # Errors
    /// As [`read`](Self::read), for each chunk.
    pub fn chunks<'a>(
        &'a self,
        inode: &'a Inode,
        range: Range<u64>,
        chunk: u64,
        depth: usize,
    ) -> impl Stream<Item = Result<(u64, Data), Error>> + 'a {
        let Range { start, end } = range;
        let chunk = chunk.max(1);
        let count = end.saturating_sub(start).div_ceil(chunk);
        stream::iter((0..count).map(move |n| start + n * chunk))
            .map(move |at| async move { Ok((at, self.read(inode, at, chunk.min(end - at)).await?)) })
            .buffered(depth)
    }

    /// Reads any inode that has contents, as [`read`](Self::read) does a file.
    pub(crate) async fn read_body(&self, inode: &Inode, offset: u64, len: u64) -> Result<Data, Error> {
        let len = len.min(inode.size().saturating_sub(offset));
        let mut data = Data::default();
        if len == 0 {
            return Ok(data);
        }
        match inode.body() {
            Body::FastSymlink(_) | Body::System => {
                return Err(Error::NotFile { ino: inode.ino(), kind: inode.attr().kind });
            }
            Body::Inline(range) => {
                // The size of an inline file is within its room: checked when the inode was parsed.
                let start = usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(range.start);
                let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
                data.push_bytes(inode.block().bytes()[start.min(range.end)..end.min(range.end)].to_vec());
            }
            Body::Tree(tree) => {
                let runs = self.plan(tree, offset, len).await?;
                self.fetch(&runs, &mut data).await?;
            }
        }
        Ok(data)
    }

    /// Reads `len` bytes at `offset` of the clusters that `tree` maps, whatever they belong to.
    pub(crate) async fn read_tree(&self, tree: &ExtentTree, offset: u64, len: u64) -> Result<Data, Error> {
        let mut data = Data::default();
        let runs = self.plan(tree, offset, len).await?;
        self.fetch(&runs, &mut data).await?;
        Ok(data)
    }

    /// Maps a range of a file to runs on the device. Neighbours on the device are one run.
    pub(crate) async fn plan(&self, tree: &ExtentTree, offset: u64, len: u64) -> Result<Runs, Error> {
        let bits = self.geometry().cluster_size.bits();
        let end = offset.saturating_add(len);
        let mut runs = Runs::new();
        let mut at = offset;
        if let Ok(cpos) = u32::try_from(offset >> bits) {
            let mut cursor = tree.cursor(cpos);
            while at < end
                && let Some(extent) = cursor.next(self.meta()).await?
            {
                let (start, stop) = (u64::from(extent.cpos) << bits, extent.end() << bits);
                if start >= end {
                    break;
                }
                if start > at {
                    push(&mut runs, None, start - at);
                    at = start;
                }
                let n = stop.min(end).saturating_sub(at);
                let written = !extent.flags.contains(ExtentFlags::UNWRITTEN);
                let device = self.byte_of(extent.block).saturating_add(at - start);
                push(&mut runs, written.then_some(device), n);
                at += n;
            }
        }
        push(&mut runs, None, end.saturating_sub(at));
        Ok(runs)
    }

    /// Carries out a plan.
    async fn fetch(&self, runs: &[Run], data: &mut Data) -> Result<(), Error> {
        if let [Run { at: Some(at), len }] = runs
            && *len <= MAX_READ
        {
            data.push_chunk(self.read_bytes(*at, *len).await?);
            return Ok(());
        }
        let pieces = runs.iter().flat_map(|run| cut(*run));
        let mut reads: FuturesOrdered<_> = pieces
            .map(|run| async move {
                match run.at {
                    Some(at) => self.read_bytes(at, run.len).await.map(Ok),
                    None => Ok(Err(run.len)),
                }
            })
            .collect();
        while let Some(piece) = reads.try_next().await? {
            match piece {
                Ok(chunk) => data.push_chunk(chunk),
                Err(zeroes) => data.push_zeroes(zeroes),
            }
        }
        Ok(())
    }

    async fn read_bytes(&self, at: u64, len: u64) -> Result<Chunk, Error> {
        // At most MAX_READ.
        self.meta().disk().read(at, usize::try_from(len).unwrap_or(usize::MAX)).await
    }
}

/// Adds a run, to the one before where they touch.
fn push(runs: &mut Runs, at: Option<u64>, len: u64) {
    if len == 0 {
        return;
    }
    if let Some(before) = runs.last_mut()
        && before.at.map(|start| start.saturating_add(before.len)) == at
    {
        before.len += len;
        return;
    }
    runs.push(Run { at, len });
}

/// Cuts a run that is read into parts of at most [`MAX_READ`]; zeroes stay whole.
fn cut(run: Run) -> impl Iterator<Item = Run> {
    let step = if run.at.is_some() { MAX_READ } else { run.len.max(1) };
    (0..run.len.div_ceil(step)).map(move |n| {
        let skip = n * step;
        Run { at: run.at.map(|at| at.saturating_add(skip)), len: step.min(run.len - skip) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_touch_are_one() {
        let mut runs = Runs::new();
        push(&mut runs, Some(100), 10);
        push(&mut runs, Some(110), 5);
        push(&mut runs, None, 0);
        push(&mut runs, None, 3);
        push(&mut runs, None, 4);
        push(&mut runs, Some(115), 1);
        let want = [(Some(100), 15), (None, 7), (Some(115), 1)].map(|(at, len)| Run { at, len });
        assert_eq!(runs.as_slice(), want);
    }

    #[test]
    fn a_long_run_is_cut_and_covers_the_same() {
        let parts: Vec<Run> = cut(Run { at: Some(7), len: 2 * MAX_READ + 5 }).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[2], Run { at: Some(7 + 2 * MAX_READ), len: 5 });
        assert_eq!(cut(Run { at: None, len: u64::MAX }).count(), 1);
        assert_eq!(cut(Run { at: Some(0), len: 0 }).count(), 0);
    }
}
