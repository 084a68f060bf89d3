//! The first look at a LUN: what it is, how large, and what it can do.

use block::Geometry;
use scsi::vpd::{self, BlockLimits, DeviceId, Provisioning, SupportedPages};
use scsi::{
    Command, DeviceType, Inquiry, Lun, LunList, ModeData, ModeSense, PageCode, PageControl, ParseError,
    Qualifier, ReadCapacity10, ReadCapacity16, SelectReport,
};
use tokio::time::sleep_until;

use crate::conn::{Connection, now};
use crate::judge::{Judgement, is_unsupported, judge};
use crate::{LunError, ScsiFailure};

/// Most tries of one command of the first look.
const TRIES: u32 = 100;

/// Largest transfer of one command, in bytes, where the unit sets no lower limit.
const MAX_TRANSFER: u64 = 8 << 20;

/// Most blocks of one WRITE SAME where the unit names no limit.
const MAX_WRITE_SAME: u64 = 65_535;

/// Most bytes of one WRITE SAME, whatever the unit allows: it should end within its time limit.
const MAX_WRITE_SAME_LEN: u64 = 64 << 20;

/// A LUN as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunInfo {
    /// Its number.
    pub lun: Lun,
    /// T10 vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Revision.
    pub revision: String,
    /// Its worldwide name, as udev and multipath write it; none where the unit has none.
    pub wwid: Option<String>,
    /// Size, blocks, and whether it may be written.
    pub geometry: Geometry,
    /// What one command may do.
    pub(crate) limits: Limits,
}

/// What one command may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most bytes of a read or write; a multiple of the block.
    pub(crate) transfer: u64,
    /// How space is given back, and most bytes of one such command.
    pub(crate) discard: Option<(Discard, u64)>,
    /// Most bytes of one WRITE SAME.
    pub(crate) write_same: u64,
    /// WRITE SAME may give the space back, for unmapped blocks read as zeroes.
    pub(crate) unmap_zeroes: bool,
    /// Force unit access is known.
    pub(crate) fua: bool,
}

/// How space is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    /// UNMAP.
    Unmap,
    /// WRITE SAME(16) with the UNMAP bit.
    WriteSame,
}

/// Looks at a LUN. Nothing else may be in flight.
pub(crate) async fn probe(connection: &mut Connection, lun: Lun) -> Result<LunInfo, LunError> {
    Probe { connection, lun }.whole().await
}

/// Makes sure that the LUN is still the unit that `was` found, before anything is written to it.
pub(crate) async fn verify(connection: &mut Connection, was: &LunInfo) -> Result<(), LunError> {
    let is = Probe { connection, lun: was.lun }.whole().await?;
    let block = |info: &LunInfo| info.geometry.logical_block;
    if is.wwid == was.wwid && block(&is) == block(was) && is.geometry.size >= was.geometry.size {
        return Ok(());
    }
    let show = |info: &LunInfo| {
        let wwid = info.wwid.as_deref().unwrap_or("a unit without a name");
        format!("{wwid} of {} bytes in blocks of {}", info.geometry.size, block(info))
    };
    Err(LunError::Changed { lun: was.lun, was: show(was), is: show(&is) })
}

struct Probe<'a> {
    connection: &'a mut Connection,
    lun: Lun,
}

impl Probe<'_> {
    async fn whole(&mut self) -> Result<LunInfo, LunError> {
        let inquiry = self.inquiry().await?;
        self.ask("TEST UNIT READY", &Command::TestUnitReady).await?;
        let capacity = self.capacity().await?;
        if let Some(kind) = capacity.protection {
            return Err(LunError::Protection { lun: self.lun, kind: kind.saturating_add(1) });
        }
        let pages = self.page(vpd::SUPPORTED_PAGES, "VPD page 00h", SupportedPages::parse).await?;
        let pages = pages.map(|pages| pages.0).unwrap_or_default();
        let mut wwid = None;
        if pages.contains(&vpd::DEVICE_ID) {
            let id = self.page(vpd::DEVICE_ID, "VPD page 83h", DeviceId::parse).await?;
            wwid = id.and_then(|id| id.wwid().map(|wwid| wwid.to_string()));
        }
        let mut limits = None;
        if pages.contains(&vpd::BLOCK_LIMITS) {
            limits = self.page(vpd::BLOCK_LIMITS, "VPD page B0h", BlockLimits::parse).await?;
        }
        let mut provisioning = None;
        if pages.contains(&vpd::PROVISIONING) {
            provisioning = self.page(vpd::PROVISIONING, "VPD page B2h", Provisioning::parse).await?;
        }
        let mode = self.mode().await?;
        let limits = limits.unwrap_or_default();
        Ok(LunInfo {
            lun: self.lun,
            vendor: inquiry.vendor,
            product: inquiry.product,
            revision: inquiry.revision,
            wwid,
            geometry: geometry(&capacity, &limits, provisioning.as_ref(), mode.as_ref()),
            limits: Limits::new(&capacity, &limits, provisioning.as_ref(), mode.as_ref()),
        })
    }

    async fn inquiry(&mut self) -> Result<Inquiry, LunError> {
        let command = Command::Inquiry { page: None, alloc_len: 96 };
        let answer = self.ask("INQUIRY", &command).await;
        let inquiry = match answer {
            Ok(data) => self.parsed("INQUIRY", Inquiry::parse(&data))?,
            Err(LunError::Command { failure: ScsiFailure::Check(_), .. }) => {
                return Err(self.missing().await);
            }
            Err(error) => return Err(error),
        };
        match (inquiry.qualifier, inquiry.device_type) {
            (Qualifier::Connected, DeviceType::Disk) => Ok(inquiry),
            (Qualifier::Connected, DeviceType::Controller) => {
                Err(LunError::NotADisk { lun: self.lun, kind: 0x0c })
            }
            (Qualifier::Connected, DeviceType::Other(kind)) => {
                Err(LunError::NotADisk { lun: self.lun, kind })
            }
            _ => Err(self.missing().await),
        }
    }

    /// The error for a LUN that is not there, with those that are.
    async fn missing(&mut self) -> LunError {
        let lun = self.lun;
        match report_luns(self.connection).await {
            Ok(luns) => LunError::Missing { lun, luns },
            Err(error) => error,
        }
    }

    async fn capacity(&mut self) -> Result<ReadCapacity16, LunError> {
        let name = "READ CAPACITY(16)";
        match self.ask(name, &Command::ReadCapacity16 { alloc_len: 32 }).await {
            Ok(data) => return self.parsed(name, ReadCapacity16::parse(&data)),
            Err(LunError::Command { failure, .. }) if is_unsupported(&failure) => {}
            Err(error) => return Err(error),
        }
        let name = "READ CAPACITY(10)";
        let data = self.ask(name, &Command::ReadCapacity10).await?;
        let short = self.parsed(name, ReadCapacity10::parse(&data))?;
        Ok(ReadCapacity16 {
            last_lba: short.last_lba.into(),
            block_len: short.block_len,
            protection: None,
            physical_exponent: 0,
            lowest_aligned: 0,
            provisioned: false,
            unmapped_zeroes: false,
        })
    }

    /// A page of vital product data; none where the unit does not have it.
    async fn page<T>(
        &mut self,
        page: u8,
        name: &'static str,
        parse: impl Fn(&[u8]) -> Result<T, ParseError>,
    ) -> Result<Option<T>, LunError> {
        match self.ask(name, &Command::Inquiry { page: Some(page), alloc_len: 1024 }).await {
            Ok(data) => self.parsed(name, parse(&data)).map(Some),
            Err(LunError::Command { failure, .. }) if is_unsupported(&failure) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the unit takes writes and force unit access; none where it does not say.
    async fn mode(&mut self) -> Result<Option<ModeData>, LunError> {
        let PageCode { page, subpage } = PageCode::CACHING;
        let command = Command::ModeSense(ModeSense {
            ten: false,
            long_lba: false,
            no_descriptors: true,
            control: PageControl::Current,
            page,
            subpage,
            alloc_len: 252,
        });
        match self.ask("MODE SENSE(6)", &command).await {
            Ok(data) => Ok(ModeData::parse(&data, false).ok()),
            Err(LunError::Command { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a command until it is done or fails.
    async fn ask(&mut self, name: &'static str, command: &Command) -> Result<Vec<u8>, LunError> {
        let lun = self.lun;
        ask(self.connection, lun, name, command).await
    }

    fn parsed<T>(&self, command: &'static str, answer: Result<T, ParseError>) -> Result<T, LunError> {
        answer.map_err(|source| LunError::Answer { lun: self.lun, command, source })
    }
}

/// The LUNs of a target.
pub(crate) async fn report_luns(connection: &mut Connection) -> Result<Vec<Lun>, LunError> {
    let name = "REPORT LUNS";
    let command = Command::ReportLuns { select: SelectReport::Addressed, alloc_len: 64 << 10 };
    let data = ask(connection, Lun::ZERO, name, &command).await?;
    let list = LunList::parse(&data);
    let list = list.map_err(|source| LunError::Answer { lun: Lun::ZERO, command: name, source })?;
    Ok(list.luns)
}

async fn ask(
    connection: &mut Connection,
    lun: Lun,
    name: &'static str,
    command: &Command,
) -> Result<Vec<u8>, LunError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = connection.execute(lun, command).await;
        let answer = answer.map_err(|source| LunError::Connection { lun, command: name, source })?;
        let failure = match judge(&answer.outcome, false) {
            Judgement::Done => return Ok(answer.data),
            Judgement::Failed(failure) => failure,
            Judgement::Again { pause, .. } if tries < TRIES => {
                sleep_until((now() + pause).into()).await;
                continue;
            }
            Judgement::Again { failure, .. } => ScsiFailure::Tries { tries, last: Box::new(failure) },
        };
        return Err(LunError::Command { lun, command: name, failure });
    }
}

fn geometry(
    capacity: &ReadCapacity16,
    limits: &BlockLimits,
    provisioning: Option<&Provisioning>,
    mode: Option<&ModeData>,
) -> Geometry {
    let block = u64::from(capacity.block_len);
    let bytes = |blocks: u32| blocks.saturating_mul(capacity.block_len);
    // A size beyond 64 bits is cut: no such disk exists, and nothing above can address it.
    let blocks = capacity.last_lba.saturating_add(1).min(u64::MAX / block);
    let discards = discard_way(capacity, limits, provisioning).is_some();
    let grain = bytes(limits.optimal_unmap_granularity).max(capacity.block_len);
    Geometry {
        size: blocks.saturating_mul(block),
        logical_block: capacity.block_len,
        physical_block: capacity.block_len.saturating_mul(1 << capacity.physical_exponent.min(15)),
        optimal_io: bytes(limits.optimal_transfer),
        read_only: mode.is_some_and(|mode| mode.write_protected),
        discard_granularity: if discards { grain } else { 0 },
    }
}

fn discard_way(
    capacity: &ReadCapacity16,
    limits: &BlockLimits,
    provisioning: Option<&Provisioning>,
) -> Option<Discard> {
    if !capacity.provisioned {
        return None;
    }
    let unmap = limits.max_unmap_blocks > 0 && limits.max_unmap_ranges > 0;
    match provisioning {
        Some(page) if page.unmap && unmap => Some(Discard::Unmap),
        Some(page) if page.write_same_16 => Some(Discard::WriteSame),
        Some(_) => None,
        None => unmap.then_some(Discard::Unmap),
    }
}

impl Limits {
    fn new(
        capacity: &ReadCapacity16,
        limits: &BlockLimits,
        provisioning: Option<&Provisioning>,
        mode: Option<&ModeData>,
    ) -> Self {
        let block = u64::from(capacity.block_len);
        let transfer = match u64::from(limits.max_transfer).saturating_mul(block) {
            0 => MAX_TRANSFER,
            limit => limit.min(MAX_TRANSFER),
        };
        // The count of blocks has 32 bits in the CDBs.
        let most = |blocks: u64| blocks.clamp(1, u64::from(u32::MAX)).saturating_mul(block);
        let write_same =
            most(if limits.max_write_same == 0 { MAX_WRITE_SAME } else { limits.max_write_same });
        let write_same = write_same.min(MAX_WRITE_SAME_LEN);
        let discard = discard_way(capacity, limits, provisioning).map(|way| match way {
            Discard::Unmap => (way, most(limits.max_unmap_blocks.into())),
            Discard::WriteSame => (way, write_same),
        });
        let zeroes = capacity.unmapped_zeroes || provisioning.is_some_and(|page| page.unmapped_zeroes);
        Self {
            transfer,
            discard,
            write_same,
            unmap_zeroes: zeroes && provisioning.is_some_and(|page| page.write_same_16),
            fua: mode.is_some_and(|mode| mode.dpo_fua),
        }
    }
}
