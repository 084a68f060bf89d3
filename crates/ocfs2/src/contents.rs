//! The whole contents of many small files, read together.

use std::ops::Range;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use smallvec::SmallVec;

use crate::data::Piece;
use crate::disk::Chunk;
use crate::inode::{Body, Inode};
use crate::read::Runs;
use crate::{Error, Volume, gather};

/// What several files hold, or why it cannot be read: as much memory as the files have bytes, and the gaps between
/// them that were cheaper to read than to skip.
#[derive(Debug)]
pub(crate) struct Contents {
    files: Vec<Result<Parts, Error>>,
}

/// What one file holds, in order.
type Parts = SmallVec<[Part; 2]>;

/// A part of one file.
#[derive(Debug)]
enum Part {
    /// A range of what one read brought.
    Read(Arc<Chunk>, Range<usize>),
    /// A range of the inode's own block.
    Inline(Range<usize>),
    /// So many zero bytes.
    Zeroes(u64),
    /// To be read: a run of the device.
    Wanted(Range<u64>),
}

impl Volume {
    /// Reads `files` from beginning to end, what lies close together in one read, all at once. The caller bounds the
    /// number of the files and their sizes.
    pub(crate) async fn contents(&self, files: &[&Inode]) -> Contents {
        let mut contents = Contents { files: Vec::with_capacity(files.len()) };
        for inode in files {
            contents.files.push(self.parts(inode).await);
        }
        let mut wanted = contents.wanted();
        wanted.sort_unstable_by_key(|(device, place)| (device.start, *place));
        let runs = gather::runs(wanted.iter().map(|(device, _)| device.clone()));
        let mut reads: FuturesUnordered<_> =
            runs.into_iter().filter_map(|run| wanted.get(run)).map(|run| self.read_run(run)).collect();
        while let Some((run, chunk)) = reads.next().await {
            match chunk {
                Ok(chunk) => contents.deliver(run, &Arc::new(chunk)),
                // It says nothing of the single files: those get their own errors.
                Err(_) => {
                    for (device, place) in run {
                        match self.read_run(&[(device.clone(), *place)]).await.1 {
                            Ok(chunk) => contents.deliver(&[(device.clone(), *place)], &Arc::new(chunk)),
                            Err(error) => contents.fail(*place, error),
                        }
                    }
                }
            }
        }
        contents
    }

    /// Where the contents of `inode` are.
    async fn parts(&self, inode: &Inode) -> Result<Parts, Error> {
        inode.expect_file()?;
        let size = inode.size();
        let runs = match inode.body() {
            Body::Inline(range) => {
                // The size of an inline file is within its room: checked when the inode was parsed.
                let end = range.start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
                return Ok(Parts::from_iter([Part::Inline(range.start..end.min(range.end))]));
            }
            Body::Tree(tree) => self.plan(tree, 0, size).await?,
            Body::FastSymlink(_) | Body::System if size == 0 => Runs::new(),
            Body::FastSymlink(_) | Body::System => {
                return Err(Error::NotFile { ino: inode.ino(), kind: inode.attr().kind });
            }
        };
        let part = |at: Option<u64>, len| match at {
            Some(at) => Part::Wanted(at..at.saturating_add(len)),
            None => Part::Zeroes(len),
        };
        Ok(runs.iter().map(|run| part(run.at, run.len)).collect())
    }

    async fn read_run<'r>(
        &self,
        run: &'r [(Range<u64>, Place)],
    ) -> (&'r [(Range<u64>, Place)], Result<Chunk, Error>) {
        let start = run.first().map_or(0, |(device, _)| device.start);
        let end = run.iter().map(|(device, _)| device.end).max().unwrap_or(start);
        let len = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        (run, self.meta().disk().read(start, len).await)
    }
}

/// Number of the file, number of its part.
type Place = (usize, usize);

impl Contents {
    /// What file number `file` holds. Each can be taken once.
    pub(crate) fn take(&mut self, file: usize) -> Result<FileContents, Error> {
        match self.files.get_mut(file) {
            Some(parts) => Ok(FileContents(std::mem::replace(parts, Ok(Parts::new()))?)),
            None => Ok(FileContents::default()),
        }
    }

    fn wanted(&self) -> Vec<(Range<u64>, Place)> {
        let mut wanted = Vec::new();
        for (file, parts) in self.files.iter().enumerate() {
            for (index, part) in parts.iter().flatten().enumerate() {
                if let Part::Wanted(device) = part {
                    wanted.push((device.clone(), (file, index)));
                }
            }
        }
        wanted
    }

    /// Hands each file its part of what one read brought.
    fn deliver(&mut self, run: &[(Range<u64>, Place)], chunk: &Arc<Chunk>) {
        let base = run.first().map_or(0, |(device, _)| device.start);
        let within = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX);
        for (device, (file, index)) in run {
            if let Some(Ok(parts)) = self.files.get_mut(*file)
                && let Some(part) = parts.get_mut(*index)
            {
                *part = Part::Read(Arc::clone(chunk), within(device.start)..within(device.end));
            }
        }
    }

    fn fail(&mut self, (file, _): Place, error: Error) {
        if let Some(parts) = self.files.get_mut(file) {
            *parts = Err(error);
        }
    }
}

/// What one file holds.
#[derive(Debug, Default)]
pub(crate) struct FileContents(Parts);

impl FileContents {
    /// All of it in order. `inode` is the file's.
    pub(crate) fn pieces<'a>(&'a self, inode: &'a Inode) -> impl Iterator<Item = Piece<'a>> {
        self.0.iter().map(|part| match part {
            Part::Read(chunk, range) => Piece::Bytes(chunk.get(range.clone()).unwrap_or_default()),
            Part::Inline(range) => Piece::Bytes(inode.block().bytes().get(range.clone()).unwrap_or_default()),
            Part::Zeroes(len) => Piece::Zeroes(*len),
            // Every part that was wanted was delivered, or its file failed.
            Part::Wanted(_) => Piece::Zeroes(0),
        })
    }
}
