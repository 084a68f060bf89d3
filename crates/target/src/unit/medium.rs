//! Runs commands: reads and writes at once where the disk answers at once.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use block::{Buf, Durability, IoFuture};
use scsi::{AdditionalSense, ByteCheck, Command, Rw, UnmapList, WriteSame};

use super::reply::{as_u64, as_usize};
use super::{Admitted, DataIn, Reply, Unit};
use crate::range_lock::{Hold, RangeGuard};
use crate::unit::{MAX_UNMAP_BLOCKS, MAX_UNMAP_RANGES, SessionId};

/// A command that was started.
#[allow(missing_debug_implementations, reason = "a future has nothing to show")]
pub(crate) enum Started<'u> {
    /// It is done already.
    Done(Reply),
    /// It waits for the disk, or for another command.
    Later(Pin<Box<dyn Future<Output = Reply> + Send + 'u>>),
}

/// Pieces in which a long range is written or compared, in bytes.
const PIECE: u64 = 1 << 20;

impl Unit {
    /// Runs a command whose data is here. `data` has [`Admitted::data_out`] bytes.
    ///
    /// A command that came before a reset does nothing any more: see [`Self::reset`].
    pub(crate) fn start(&self, session: SessionId, admitted: Admitted, data: Buf) -> Started<'_> {
        debug_assert_eq!(data.len(), admitted.data_out);
        if let Err(reply) = self.still(admitted.epoch) {
            return Started::Done(reply);
        }
        match admitted.command {
            Command::Read(rw) => self.read(rw, &admitted),
            Command::Write(rw) => self.write(rw, &admitted, data),
            _ => self.start_other(session, admitted, data),
        }
    }

    fn start_other(&self, session: SessionId, admitted: Admitted, data: Buf) -> Started<'_> {
        let Admitted { full_len, epoch, .. } = admitted;
        match admitted.command {
            Command::Read(_) | Command::Write(_) => self.start(session, admitted, data),
            // Nothing spins here, and no cache can be looked into: there is nothing to do, and that succeeds.
            Command::TestUnitReady | Command::StartStop(_) | Command::PreFetch { .. } => {
                Started::Done(Reply::good())
            }
            Command::Verify(rw, check) => later(full_len, self.verify(rw, check, data, epoch)),
            Command::WriteAndVerify(rw, check) => {
                later(full_len, self.write_and_verify(rw, check, data, epoch))
            }
            Command::OrWrite(rw) => later(full_len, self.or_write(rw, data, epoch)),
            Command::CompareAndWrite(rw) => later(full_len, self.compare_and_write(rw, data, epoch)),
            Command::WriteSame(same) => later(full_len, self.write_same(same, data, epoch)),
            Command::Unmap { .. } => later(full_len, self.unmap(data, epoch)),
            Command::SynchronizeCache { range, immediate } => later(0, self.synchronize(range, immediate)),
            _ => Started::Done(self.report(session, &admitted, &data)),
        }
    }

    fn read(&self, rw: Rw, admitted: &Admitted) -> Started<'_> {
        let full_len = admitted.full_len;
        let wanted = full_len.min(admitted.expected.read.into());
        // Whole blocks off the disk, even where the initiator has no room for the last one.
        let len = wanted.next_multiple_of(u64::from(self.block));
        if len == 0 {
            return Started::Done(Reply::wrote(full_len));
        }
        let finish = move |result: (block::Bufs, Result<(), block::BlockError>)| match result {
            (mut bufs, Ok(())) => {
                let mut buf = bufs.pop().unwrap_or_else(|| Buf::zeroed(0));
                buf.truncate(as_usize(wanted));
                Reply { data: DataIn::Blocks(buf), full_len, ..Reply::good() }
            }
            (_, Err(error)) => Reply::failed(&error, rw.lba, false).about(full_len),
        };
        let range = self.bytes(rw.lba, rw.blocks.into());
        let offset = range.start;
        let bufs = Buf::for_read(as_usize(len)).into_bufs();
        let epoch = admitted.epoch;
        match self.try_claim(epoch, &range, Hold::Shared) {
            Some(Err(reply)) => Started::Done(reply),
            Some(Ok(guard)) => finish_io(self.device.read(offset, bufs), guard, finish),
            None => Started::Later(Box::pin(async move {
                match self.claim(epoch, range, Hold::Shared).await {
                    Ok(_guard) => finish(self.device.read(offset, bufs).await),
                    Err(reply) => reply,
                }
            })),
        }
    }

    fn write(&self, rw: Rw, admitted: &Admitted, data: Buf) -> Started<'_> {
        let full_len = admitted.full_len;
        if data.is_empty() {
            return Started::Done(Reply::wrote(full_len));
        }
        let durability = self.durability(rw.fua);
        let finish = move |result: (block::Bufs, Result<(), block::BlockError>)| match result.1 {
            Ok(()) => Reply::wrote(full_len),
            Err(error) => Reply::failed(&error, rw.lba, true).about(full_len),
        };
        let range = self.bytes(rw.lba, rw.blocks.into());
        let offset = range.start;
        let bufs = data.into_bufs();
        let epoch = admitted.epoch;
        match self.try_claim(epoch, &range, Hold::Shared) {
            Some(Err(reply)) => Started::Done(reply),
            Some(Ok(guard)) => finish_io(self.device.write(offset, bufs, durability), guard, finish),
            None => Started::Later(Box::pin(async move {
                match self.claim(epoch, range, Hold::Shared).await {
                    Ok(_guard) => finish(self.device.write(offset, bufs, durability).await),
                    Err(reply) => reply,
                }
            })),
        }
    }

    /// Waits for a range, for a command of this epoch. Looked at with the range in hand: a reset that comes later
    /// waits for the range, one that came before is seen.
    ///
    /// # Errors
    /// The answer of a command that a reset has aborted.
    pub(super) async fn claim(
        &self,
        epoch: u64,
        range: Range<u64>,
        hold: Hold,
    ) -> Result<RangeGuard<'_>, Reply> {
        let guard = self.locks.lock(range, hold).await;
        self.still(epoch).map(|()| guard)
    }

    /// The same where nothing must be waited for.
    fn try_claim(&self, epoch: u64, range: &Range<u64>, hold: Hold) -> Option<Result<RangeGuard<'_>, Reply>> {
        let guard = self.locks.try_lock(range, hold)?;
        Some(self.still(epoch).map(|()| guard))
    }

    /// Whether the unit was not reset since.
    fn still(&self, epoch: u64) -> Result<(), Reply> {
        if self.epoch() == epoch { Ok(()) } else { Err(Reply::aborted()) }
    }

    /// What a write must promise: FUA, or a write cache that is switched off.
    pub(super) fn durability(&self, fua: bool) -> Durability {
        if fua || !self.mode().write_cache { Durability::Stable } else { Durability::Cached }
    }

    async fn synchronize(&self, range: Rw, immediate: bool) -> Result<(), Reply> {
        // IMMED lets a device answer early; answering when it is done is always right.
        let _ = immediate;
        self.device.flush().await.map_err(|error| Reply::failed(&error, range.lba, true))
    }

    async fn write_and_verify(&self, rw: Rw, check: ByteCheck, data: Buf, epoch: u64) -> Result<(), Reply> {
        let range = self.bytes(rw.lba, rw.blocks.into());
        let _guard = self.claim(epoch, range.clone(), Hold::Owned).await?;
        let wrote = if check == ByteCheck::Medium { None } else { Some(Buf::copy_of(&data)) };
        // Verified means on the medium: the write goes all the way before it is read back.
        let (bufs, result) = self.device.write(range.start, data.into_bufs(), Durability::Stable).await;
        result.map_err(|error| Reply::failed(&error, rw.lba, true))?;
        let len = block::total_len(&bufs);
        drop(bufs);
        match wrote {
            Some(wrote) => self.compare(range.start, &wrote).await,
            None => self.read_through(range.start, as_u64(len)).await,
        }
    }

    async fn write_same(&self, same: WriteSame, data: Buf, epoch: u64) -> Result<(), Reply> {
        let lba = same.range.lba;
        let blocks = match same.range.blocks {
            0 => self.blocks - lba,
            blocks => blocks.into(),
        };
        let range = self.bytes(lba, blocks);
        let _guard = self.claim(epoch, range.clone(), Hold::Owned).await?;
        // UNMAP: blocks read as zeroes afterwards, whatever block came with the command. SBC-3 would have a block of
        // anything else written; tgtd and LIO unmap all the same, and that is what initiators know.
        let zeroes = same.unmap || same.no_data || data.iter().all(|byte| *byte == 0);
        let len = range.end - range.start;
        let result = if zeroes {
            self.device.write_zeroes(range.start, len).await
        } else {
            self.fill(range.start, len, &data).await
        };
        let result = match result {
            Ok(()) if !self.mode().write_cache => self.device.flush().await,
            other => other,
        };
        result.map_err(|error| Reply::failed(&error, lba, true))
    }

    /// Writes one block over a range.
    async fn fill(&self, start: u64, len: u64, block: &[u8]) -> Result<(), block::BlockError> {
        let mut at = 0;
        while at < len {
            let piece = (len - at).min(PIECE);
            let mut buf = Buf::for_read(as_usize(piece));
            for chunk in buf.chunks_mut(block.len()) {
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
            self.device.write(start + at, buf.into_bufs(), Durability::Cached).await.1?;
            at += piece;
        }
        Ok(())
    }

    async fn unmap(&self, data: Buf, epoch: u64) -> Result<(), Reply> {
        if data.is_empty() {
            // No parameter list is no error, and nothing to do.
            return Ok(());
        }
        let Ok(list) = UnmapList::parse(&data) else {
            return Err(Reply::illegal(AdditionalSense::PARAMETER_LIST_LENGTH_ERROR));
        };
        let ranges = list.ranges();
        if ranges.len() > as_usize(MAX_UNMAP_RANGES) {
            return Err(Reply::illegal(AdditionalSense::INVALID_FIELD_IN_PARAMETER_LIST));
        }
        // All ranges are judged before the first is touched.
        let mut total = 0u64;
        for range in ranges.clone() {
            total += u64::from(range.blocks);
            if range.lba.checked_add(range.blocks.into()).is_none_or(|end| end > self.blocks) {
                return Err(Reply::illegal(AdditionalSense::LBA_OUT_OF_RANGE));
            }
        }
        if total > MAX_UNMAP_BLOCKS.into() {
            return Err(Reply::illegal(AdditionalSense::INVALID_FIELD_IN_PARAMETER_LIST));
        }
        for range in ranges.filter(|range| range.blocks > 0) {
            let bytes = self.bytes(range.lba, range.blocks.into());
            let _guard = self.claim(epoch, bytes.clone(), Hold::Owned).await?;
            let result = self.device.write_zeroes(bytes.start, bytes.end - bytes.start).await;
            result.map_err(|error| Reply::failed(&error, range.lba, true))?;
        }
        Ok(())
    }
}

/// Runs a command that is about so many bytes. It says GOOD, or how it ended otherwise.
fn later<'u>(full_len: u64, run: impl Future<Output = Result<(), Reply>> + Send + 'u) -> Started<'u> {
    Started::Later(Box::pin(async move {
        let reply = run.await.map_or_else(|other| other, |()| Reply::good());
        reply.about(full_len)
    }))
}

/// Ends a request whose range is held: at once where the disk has done it, else later.
fn finish_io<'u, T: Unpin + Send + 'u>(
    mut io: IoFuture<'u, T>,
    guard: RangeGuard<'u>,
    finish: impl FnOnce(T) -> Reply + Send + 'u,
) -> Started<'u> {
    // The waker of this first look does nothing: a request that is not done is polled again by who runs the rest.
    match Pin::new(&mut io).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Started::Done(finish(done)),
        Poll::Pending => Started::Later(Box::pin(async move {
            let done = io.await;
            drop(guard);
            finish(done)
        })),
    }
}
