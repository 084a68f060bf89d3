//! Truncate log: clusters that a slot has freed but not yet given back to the cluster bitmap.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::dinode::RawDinode;
use crate::error::{Check, Corrupt, Structure};
use crate::raw::{Input, head_mut, index16, layout, slice_mut};
use crate::units::{BlockNum, BlockSize, ClusterNum, Clusters};

/// Head of a truncate log as it lies on disk (`struct ocfs2_truncate_log`); records follow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawTruncateLog {
    /// `tl_count`: records that fit.
    pub count: U16,
    /// `tl_used`: records in use.
    pub used: U16,
    /// Reserved.
    pub reserved: U32,
}
layout!(RawTruncateLog, 8, { used: 2 });

impl RawTruncateLog {
    /// A log without records.
    #[must_use]
    pub fn empty(block_size: BlockSize) -> Self {
        Self { count: U16::new(index16(TruncateLog::room(block_size))), ..Self::default() }
    }

    /// The log in `body`, the body of the dinode `block`, to be changed: head and all `tl_count` records.
    ///
    /// # Errors
    /// [`Check::Short`] when `body` is shorter than it says. The caller has checked the log.
    pub fn mut_from(block: BlockNum, body: &mut [u8]) -> Result<(&mut Self, &mut [RawTruncateRec]), Corrupt> {
        let (head, tail) = head_mut::<Self>(block, Structure::TruncateLog, body)?;
        let records = slice_mut(block, Structure::TruncateLog, tail, head.count.get())?;
        Ok((head, records))
    }
}

/// A truncate record as it lies on disk (`struct ocfs2_truncate_rec`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RawTruncateRec {
    /// `t_start`: first cluster; 0 = the record is void.
    pub start: U32,
    /// `t_clusters`.
    pub clusters: U32,
}
layout!(RawTruncateRec, 8, { clusters: 4 });

/// A checked truncate log.
#[derive(Clone, Copy, Debug)]
pub struct TruncateLog<'a> {
    /// Records that fit.
    pub capacity: u16,
    records: &'a [RawTruncateRec],
}

impl<'a> TruncateLog<'a> {
    /// Records that fit: 39, 103, 231 or 487.
    #[must_use]
    pub fn room(block_size: BlockSize) -> usize {
        let head = RawDinode::BODY_OFFSET.saturating_add(size_of::<RawTruncateLog>());
        block_size.room(head, size_of::<RawTruncateRec>())
    }

    pub(crate) fn parse(input: &Input<'_, 'a>) -> Result<Self, Corrupt> {
        let input = &Input { structure: Structure::TruncateLog, ..*input };
        let raw: &RawTruncateLog = input.at(RawDinode::BODY_OFFSET)?;
        let (count, used) = (raw.count.get(), raw.used.get());
        input.count("tl_count", count, Self::room(input.volume.geometry.block_size))?;
        input.used(("tl_used", used), ("tl_count", count))?;
        let records: &[RawTruncateRec] = input.slice_at(0xc8, usize::from(used))?;
        for (index, record) in records.iter().enumerate() {
            let (start, clusters) = (record.start.get(), record.clusters.get());
            let inside =
                start.checked_add(clusters).is_some_and(|end| end <= input.volume.geometry.clusters.0);
            let what = Check::TruncateRange { index: index16(index), start, clusters };
            input.ensure(start == 0 || inside, what)?;
        }
        Ok(Self { capacity: count, records })
    }

    /// Records in use, void ones included.
    #[must_use]
    pub fn used(&self) -> usize {
        self.records.len()
    }

    /// All records in use, void ones included: first cluster and count.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = (ClusterNum, Clusters)> + use<'a> {
        self.records.iter().map(|record| (ClusterNum(record.start.get()), Clusters(record.clusters.get())))
    }

    /// The last record, if it is not void.
    #[must_use]
    pub fn last(&self) -> Option<(ClusterNum, Clusters)> {
        let record = self.records.last().filter(|record| record.start.get() != 0)?;
        Some((ClusterNum(record.start.get()), Clusters(record.clusters.get())))
    }

    /// The freed runs, void records left out.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = (ClusterNum, Clusters)> + use<'a> {
        self.records().filter(|(start, _)| start.0 != 0)
    }
}
