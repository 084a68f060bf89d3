//! Commands that compare data with the medium.

use block::{BlockDeviceExt, Buf};
use scsi::{AdditionalSense, ByteCheck, Rw, Sense, SenseKey};

use super::reply::{as_u64, as_usize};
use super::{Reply, Unit};
use crate::range_lock::Hold;

/// Pieces in which the medium is read for comparing, in bytes.
const PIECE: u64 = 1 << 20;

impl Unit {
    pub(super) async fn compare_and_write(&self, rw: Rw, mut data: Buf, epoch: u64) -> Result<(), Reply> {
        let range = self.bytes(rw.lba, rw.blocks.into());
        let _guard = self.claim(epoch, range.clone(), Hold::Owned).await?;
        let half = data.len() / 2;
        self.compare(range.start, &data[..half]).await?;
        data.copy_within(half.., 0);
        data.truncate(half);
        let durability = self.durability(rw.fua);
        let result = self.device.write_at(range.start, data, durability).await;
        result.map_err(|error| Reply::failed(&error, rw.lba, true))
    }

    pub(super) async fn or_write(&self, rw: Rw, mut data: Buf, epoch: u64) -> Result<(), Reply> {
        let range = self.bytes(rw.lba, rw.blocks.into());
        let _guard = self.claim(epoch, range.clone(), Hold::Owned).await?;
        let old = self.device.read_at(range.start, data.len()).await;
        let old = old.map_err(|error| Reply::failed(&error, rw.lba, false))?;
        for (new, old) in data.iter_mut().zip(old.iter()) {
            *new |= old;
        }
        let durability = self.durability(rw.fua);
        let result = self.device.write_at(range.start, data, durability).await;
        result.map_err(|error| Reply::failed(&error, rw.lba, true))
    }

    pub(super) async fn verify(&self, rw: Rw, check: ByteCheck, data: Buf, epoch: u64) -> Result<(), Reply> {
        let range = self.bytes(rw.lba, rw.blocks.into());
        let _guard = self.claim(epoch, range.clone(), Hold::Shared).await?;
        match check {
            ByteCheck::Medium => self.read_through(range.start, range.end - range.start).await,
            ByteCheck::Data => self.compare(range.start, &data).await,
            ByteCheck::OneBlock => {
                for at in (range.start..range.end).step_by(data.len().max(1)) {
                    self.compare(at, &data).await?;
                }
                Ok(())
            }
        }
    }

    /// Reads a range and throws it away.
    ///
    /// # Errors
    /// The answer that says where it is not readable.
    pub(super) async fn read_through(&self, start: u64, len: u64) -> Result<(), Reply> {
        let mut at = start;
        while at < start + len {
            let piece = (start + len - at).min(PIECE);
            self.read_piece(at, as_usize(piece)).await?;
            at += piece;
        }
        Ok(())
    }

    /// Compares data with the medium.
    ///
    /// # Errors
    /// The answer, where they differ or the medium cannot be read.
    pub(super) async fn compare(&self, start: u64, data: &[u8]) -> Result<(), Reply> {
        for (n, piece) in data.chunks(as_usize(PIECE)).enumerate() {
            let before = as_u64(n) * PIECE;
            let medium = self.read_piece(start + before, piece.len()).await?;
            if let Some(at) = piece.iter().zip(medium.iter()).position(|(a, b)| a != b) {
                // INFORMATION is the offset of the first byte that differs (SBC-3, COMPARE AND WRITE).
                let sense = Sense::new(SenseKey::Miscompare, AdditionalSense::MISCOMPARE_DURING_VERIFY)
                    .with_information(before + as_u64(at));
                return Err(Reply::check(sense));
            }
        }
        Ok(())
    }

    async fn read_piece(&self, at: u64, len: usize) -> Result<Buf, Reply> {
        let read = self.device.read_at(at, len).await;
        read.map_err(|error| Reply::failed(&error, at / u64::from(self.block), false))
    }
}
