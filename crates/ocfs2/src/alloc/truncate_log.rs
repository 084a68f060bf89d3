//! The truncate log: clusters that files have given up, on their way to the cluster bitmap.

use ocfs2_format::{
    BlockKind, BlockNum, Body, ClusterNum, Dinode, RawDinode, RawTruncateLog, RawTruncateRec,
};
use zerocopy::little_endian::{U16, U32};

use super::{Allocators, ClusterRun};
use crate::txn::{Blocks, Handle};
use crate::{Error, SystemFile};

/// Records that are given back in one change.
const RECORDS_AT_ONCE: usize = 32;

/// What flushing one record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The clusters that were given back; `None` for a void record.
    pub freed: Option<ClusterRun>,
    /// Records that are left.
    pub left: u16,
}

impl Allocators {
    /// Records in the truncate log, and how many fit.
    ///
    /// # Errors
    /// As reading does.
    pub async fn log_used(&self, blocks: &impl Blocks) -> Result<(u16, u16), Error> {
        self.log_of(blocks, self.slot).await
    }

    async fn log_of(&self, blocks: &impl Blocks, slot: u16) -> Result<(u16, u16), Error> {
        let ino: BlockNum = self.file(SystemFile::TruncateLog(slot))?;
        let block = blocks.get(ino, ino, BlockKind::Dinode).await?;
        match Dinode::parse(blocks.volume(), ino, block.bytes())? {
            (_, Body::TruncateLog(log)) => Ok((u16::try_from(log.used()).unwrap_or(u16::MAX), log.capacity)),
            _ => Err(Error::NotAllocator { ino, want: "truncate log" }),
        }
    }

    /// Notes `run`, which nothing uses any more, in the truncate log. What continues the last record is added to it.
    ///
    /// # Errors
    /// [`Error::TruncateLogFull`] when there is no room; the handle is as it was. Others as reading does.
    pub async fn log_freed(&self, handle: &mut Handle<'_>, run: ClusterRun) -> Result<(), Error> {
        let (used, capacity) = self.log_used(handle).await?;
        let ino = self.file(SystemFile::TruncateLog(self.slot))?;
        let block = handle.get(ino, ino, BlockKind::Dinode).await?;
        let last = match Dinode::parse(handle.volume(), ino, block.bytes())? {
            (_, Body::TruncateLog(log)) => log.last(),
            _ => None,
        };
        drop(block);
        let joined = last.filter(|(start, len)| start.0.checked_add(len.0) == Some(run.start.0));
        let (at, start, clusters) = match joined {
            Some((start, len)) => (used.saturating_sub(1), start, len.0.saturating_add(run.clusters)),
            None if used < capacity => (used, run.start, run.clusters),
            None => return Err(Error::TruncateLogFull { slot: self.slot, capacity }),
        };
        let (_, body) = RawDinode::mut_from(ino, handle.edit(ino, ino, BlockKind::Dinode).await?)?;
        let (log, records) = RawTruncateLog::mut_from(ino, body)?;
        if let Some(record) = records.get_mut(usize::from(at)) {
            *record = RawTruncateRec { start: U32::new(start.0), clusters: U32::new(clusters) };
            log.used = U16::new(at.saturating_add(1));
        }
        Ok(())
    }

    /// Takes many records off the truncate log of `slot`, the own one or that of a node that is no more, and gives
    /// their clusters back to the cluster bitmap. Gives how many are left. The clusters are held until all of it is
    /// home; the caller holds the bitmap's lock.
    ///
    /// # Errors
    /// As [`Self::flush_record`].
    pub(crate) async fn flush_records(&self, handle: &mut Handle<'_>, slot: u16) -> Result<u16, Error> {
        for _ in 0..RECORDS_AT_ONCE {
            match self.flush_record_of(handle, slot).await? {
                Some(LogRecord { left, .. }) if left > 0 => {}
                _ => return Ok(0),
            }
        }
        Ok(self.log_of(handle, slot).await?.0)
    }

    /// Takes the last record off the truncate log and gives its clusters back to the cluster bitmap; `None` when the
    /// log is empty. The clusters are held until all of it is home; the caller holds the bitmap's lock.
    ///
    /// # Errors
    /// [`Error::Bits`] when the clusters are free already. Others as reading does.
    pub async fn flush_record(&self, handle: &mut Handle<'_>) -> Result<Option<LogRecord>, Error> {
        self.flush_record_of(handle, self.slot).await
    }

    async fn flush_record_of(&self, handle: &mut Handle<'_>, slot: u16) -> Result<Option<LogRecord>, Error> {
        let ino = self.file(SystemFile::TruncateLog(slot))?;
        let (used, _) = self.log_of(handle, slot).await?;
        let Some(left) = used.checked_sub(1) else { return Ok(None) };
        let (_, body) = RawDinode::mut_from(ino, handle.edit(ino, ino, BlockKind::Dinode).await?)?;
        let (log, records) = RawTruncateLog::mut_from(ino, body)?;
        let record = records.get_mut(usize::from(left)).map(std::mem::take).unwrap_or_default();
        log.used = U16::new(left);
        let (start, clusters) = (record.start.get(), record.clusters.get());
        if start == 0 {
            return Ok(Some(LogRecord { freed: None, left }));
        }
        let run = ClusterRun { start: ClusterNum(start), clusters };
        self.free_clusters(handle, run).await?;
        Ok(Some(LogRecord { freed: Some(run), left }))
    }
}
