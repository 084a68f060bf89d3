//! A file's contents as a stream of chunks, the next ones on their way while one is used.

use futures_util::stream::{self, Stream, StreamExt};
use ocfs2::{Data, Error, Inode, Volume};

/// Unit of reading, in bytes.
pub(crate) const CHUNK: u64 = 1 << 20;
/// Chunks in flight.
const DEPTH: usize = 4;

/// The bytes of `inode` from `start` up to `end`, each chunk with its offset.
pub(crate) fn chunks<'a>(
    volume: &'a Volume,
    inode: &'a Inode,
    start: u64,
    end: u64,
) -> impl Stream<Item = Result<(u64, Data), Error>> + 'a {
    let count = end.saturating_sub(start).div_ceil(CHUNK);
    stream::iter((0..count).map(move |n| start + n * CHUNK))
        .map(move |at| async move { Ok((at, volume.read(inode, at, CHUNK.min(end - at)).await?)) })
        .buffered(DEPTH)
}
