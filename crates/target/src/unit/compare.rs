//! Commands that compare data with the medium.

use block::{BlockDeviceExt, Buf};
use scsi::{AdditionalSense, ByteCheck, Rw, Sense, SenseKey};

use super::reply::{as_u64, as_usize};
use super::{Reply, Unit};
use crate::range_lock::Hold;

/// Pieces in which the medium is read for comparing, in bytes.
const PIECE: u64 = 1 << 20;

impl Unit {
    pub(super) async fn compare_and_write(&self, rw: Rw, mut data: Buf, epoch: u64) -> Reply {
        let range = self.bytes(rw.lba, rw.blocks.into());
        let _guard = match self.claim(epoch, range.clone(), Hold::Owned).await {
            Ok(guard) => guard,
            Err(reply) => return reply,
        };
        let half = data.len() / 2;
        if let Some(reply) = self.compare(range.start, &data[..half]).await {
            return reply;
        }
        data.copy_within(half.., 0);
        data.truncate(half);
        let durability = self.durability(rw.fua);
        match self.device.write_at(range.start, data, durability).await {
            Ok(()) => Reply::good(),
            Err(error) => Reply::failed(&error, rw.lba, true),
        }
    }

    pub(super) async fn or_write(&self, rw: Rw, mut data: Buf, epoch: u64) -> Reply {
        let range = self.bytes(rw.lba, rw.blocks.into());
        let _guard = match self.claim(epoch, range.clone(), Hold::Owned).await {
            Ok(guard) => guard,
            Err(reply) => return reply,
        };
        let old = match self.device.read_at(range.start, data.len()).await {
            Ok(old) => old,
            Err(error) => return Reply::failed(&error, rw.lba, false),
        };
        for (new, old) in data.iter_mut().zip(old.iter()) {
            *new |= old;
        }
        let durability = self.durability(rw.fua);
        match self.device.write_at(range.start, data, durability).await {
            Ok(()) => Reply::good(),
            Err(error) => Reply::failed(&error, rw.lba, true),
        }
    }

    pub(super) async fn verify(&self, rw: Rw, check: ByteCheck, data: Buf, epoch: u64) -> Reply {
        let range = self.bytes(rw.lba, rw.blocks.into());
        let _guard = match self.claim(epoch, range.clone(), Hold::Shared).await {
            Ok(guard) => guard,
            Err(reply) => return reply,
        };
        match check {
            ByteCheck::Medium => self.read_through(range.start, range.end - range.start).await,
            ByteCheck::Data => self.compare(range.start, &data).await.unwrap_or_else(Reply::good),
            ByteCheck::OneBlock => {
                for at in (range.start..range.end).step_by(data.len().max(1)) {
                    if let Some(reply) = self.compare(at, &data).await {
                        return reply;
                    }
                }
                Reply::good()
            }
        }
    }

    /// Reads a range and throws it away: it is readable, or the answer says where it is not.
    pub(super) async fn read_through(&self, start: u64, len: u64) -> Reply {
        let mut at = start;
        while at < start + len {
            let piece = (start + len - at).min(PIECE);
            if let Err(error) = self.device.read_at(at, as_usize(piece)).await {
                return Reply::failed(&error, at / u64::from(self.block), false);
            }
            at += piece;
        }
        Reply::good()
    }

    /// Compares data with the medium: the answer, where they differ or the medium cannot be read.
    pub(super) async fn compare(&self, start: u64, data: &[u8]) -> Option<Reply> {
        for (n, piece) in data.chunks(as_usize(PIECE)).enumerate() {
            let before = as_u64(n) * PIECE;
            let medium = match self.device.read_at(start + before, piece.len()).await {
                Ok(medium) => medium,
                Err(error) => {
                    return Some(Reply::failed(&error, (start + before) / u64::from(self.block), false));
                }
            };
            if let Some(at) = piece.iter().zip(medium.iter()).position(|(a, b)| a != b) {
                // INFORMATION is the offset of the first byte that differs (SBC-3, COMPARE AND WRITE).
                let sense = Sense::new(SenseKey::Miscompare, AdditionalSense::MISCOMPARE_DURING_VERIFY)
                    .with_information(before + as_u64(at));
                return Some(Reply::check(sense));
            }
        }
        None
    }
}
