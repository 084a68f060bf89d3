//! Data on its way to the device.

use std::sync::Arc;

use block::{BlockDevice, BlockError, Buf, Bufs, Durability, total_len};
use futures_util::future::join_all;
use ocfs2_format::BlockNum;

use crate::Error;
use crate::rw::Writable;

/// One request: from byte `at` of the device on, in whole sectors.
#[derive(Debug)]
pub(super) struct Piece {
    at: u64,
    bufs: Bufs,
    /// Where in it the data lies that somebody wants written, and how long that is: what is around it is filling.
    data: (u64, u64),
}

impl Piece {
    /// `bufs`, all of them data.
    pub(super) fn new(at: u64, bufs: Bufs) -> Self {
        let data = (0, total_len(&bufs) as u64);
        Self { at, bufs, data }
    }

    /// The same, of which only `len` bytes from byte `at` of the data on count as such.
    pub(super) fn narrowed(self, at: u64, len: u64) -> Self {
        Self { data: (self.data.0 + at, len), ..self }
    }

    /// A copy of its data.
    pub(super) fn copy_of_data(&self) -> Vec<u8> {
        let (start, len) = (usize_of(self.data.0), usize_of(self.data.1));
        self.bufs.iter().flat_map(|buf| buf.iter().copied()).skip(start).take(len).collect()
    }
}

/// While it lives, data is on its way that nothing may overtake. Dropped before its end, that is when somebody drops a
/// call half-way: the data may arrive at any later time, so nothing is changed any more.
struct OnItsWay<'f> {
    fs: &'f Writable,
    ino: BlockNum,
    arrived: bool,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if !self.arrived {
            self.fs.journal().refuse(Error::GivenUp { ino: self.ino });
        }
    }
}

impl Writable {
    /// Bytes of the least that can be written.
    pub(super) fn sector(&self) -> u64 {
        u64::from(self.volume().device().geometry().logical_block.max(1))
    }

    /// Writes data of inode `ino`, all pieces at once, and waits for all of them whatever becomes of them. Gives them
    /// back.
    pub(super) async fn put(&self, ino: BlockNum, pieces: Vec<Piece>) -> Result<Vec<Piece>, Error> {
        self.journal().expect_open()?;
        let mut on_its_way = OnItsWay { fs: self, ino, arrived: false };
        let device = self.volume().device();
        let writes = pieces.into_iter().map(|Piece { at, bufs, data }| async move {
            let (bufs, written) = device.write(at, bufs, Durability::Cached).await;
            written.map(|()| Piece { at, bufs, data }).map_err(|source| self.write_error(at, source))
        });
        let all = join_all(writes).await;
        on_its_way.arrived = true;
        all.into_iter().collect()
    }

    /// Makes the bytes `start` to `end` of the device, which are data of inode `ino`, zero. What else lies in their
    /// sectors stays.
    pub(super) async fn put_zeroes(&self, ino: BlockNum, (start, end): (u64, u64)) -> Result<(), Error> {
        if start >= end {
            return Ok(());
        }
        let sector = self.sector();
        let (first, last) = (super::align_up(start, sector), end - end % sector);
        let mut edges = Vec::new();
        if first > last {
            edges.push(self.around((start, end), zeroes(end - start)).await?);
        } else {
            if start < first {
                edges.push(self.around((start, first), zeroes(first - start)).await?);
            }
            if last < end {
                edges.push(self.around((last, end), zeroes(end - last)).await?);
            }
        }
        self.put(ino, edges).await?;
        if first >= last {
            return Ok(());
        }
        self.journal().expect_open()?;
        let mut on_its_way = OnItsWay { fs: self, ino, arrived: false };
        let written = self.volume().device().write_zeroes(first, last - first).await;
        on_its_way.arrived = true;
        written.map_err(|source| self.write_error(first, source))
    }

    /// `bufs`, which are the bytes `start` to `end` of the device, with what else lies in their first and last sector.
    pub(super) async fn around(&self, (start, end): (u64, u64), bufs: Bufs) -> Result<Piece, Error> {
        let sector = self.sector();
        let at = start - start % sector;
        let mut all = Bufs::new();
        if at < start {
            let head = self.volume().meta().disk().read(at, usize_of(start - at)).await?;
            all.push(Buf::copy_of(&head));
        }
        all.extend(bufs);
        let upto = super::align_up(end, sector);
        if end < upto {
            let tail = self.volume().meta().disk().read(end, usize_of(upto - end)).await?;
            all.push(Buf::copy_of(&tail));
        }
        Ok(Piece { at, bufs: all, data: (start - at, end - start) })
    }

    fn write_error(&self, at: u64, source: BlockError) -> Error {
        let block = BlockNum(at / self.volume().geometry().block_size.bytes());
        Error::Write { what: "data", block, source: Arc::new(source) }
    }
}

/// So many zero bytes, at most a cluster of them.
pub(super) fn zeroes(len: u64) -> Bufs {
    if len == 0 { Bufs::new() } else { Buf::zeroed(usize_of(len)).into_bufs() }
}

/// Lengths of sectors and clusters.
fn usize_of(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
