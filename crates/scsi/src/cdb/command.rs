//! The commands of a disk, checked.

use crate::SelectReport;

/// A command that a disk may be sent. Lengths of data are what the CDB itself says; see [`Command::data_length`].
///
/// Sources: SPC-4 clause 6 and SBC-3 clause 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// TEST UNIT READY.
    TestUnitReady,
    /// REQUEST SENSE.
    RequestSense {
        /// Descriptor format is wanted (DESC).
        descriptor: bool,
        /// Room of the initiator, in bytes.
        alloc_len: u8,
    },
    /// INQUIRY.
    Inquiry {
        /// VPD page (EVPD set), or none for the standard data.
        page: Option<u8>,
        /// Room of the initiator, in bytes.
        alloc_len: u16,
    },
    /// MODE SENSE(6) and (10).
    ModeSense(ModeSense),
    /// MODE SELECT(6) and (10).
    ModeSelect(ModeSelect),
    /// START STOP UNIT.
    StartStop(StartStop),
    /// PREVENT ALLOW MEDIUM REMOVAL.
    PreventAllow {
        /// Bits 1:0 of byte 4; 1 prevents.
        prevent: u8,
    },
    /// READ CAPACITY(10).
    ReadCapacity10,
    /// READ CAPACITY(16).
    ReadCapacity16 {
        /// Room of the initiator, in bytes.
        alloc_len: u32,
    },
    /// GET LBA STATUS.
    GetLbaStatus {
        /// First block asked about.
        lba: u64,
        /// Room of the initiator, in bytes.
        alloc_len: u32,
    },
    /// READ(6), (10), (12), (16).
    Read(Rw),
    /// WRITE(6), (10), (12), (16).
    Write(Rw),
    /// WRITE AND VERIFY(10), (12), (16).
    WriteAndVerify(Rw, ByteCheck),
    /// VERIFY(10), (12), (16).
    Verify(Rw, ByteCheck),
    /// ORWRITE(16).
    OrWrite(Rw),
    /// COMPARE AND WRITE: both data sets of `blocks` (0 to 255) blocks come in one transfer.
    CompareAndWrite(Rw),
    /// WRITE SAME(10), (16).
    WriteSame(WriteSame),
    /// UNMAP.
    Unmap {
        /// Anchored state is wanted.
        anchor: bool,
        /// Group number, 0 to 31.
        group: u8,
        /// Bytes of the parameter list.
        param_len: u16,
    },
    /// SYNCHRONIZE CACHE(10), (16). `blocks` 0 means up to the end.
    SynchronizeCache {
        /// Range; `dpo`, `fua` and `protect` are unused.
        range: Rw,
        /// Answer before it is done.
        immediate: bool,
    },
    /// PRE-FETCH(10), (16). `blocks` 0 means up to the end.
    PreFetch {
        /// Range; `dpo`, `fua` and `protect` are unused.
        range: Rw,
        /// Answer before it is done.
        immediate: bool,
    },
    /// REPORT LUNS.
    ReportLuns {
        /// Which units.
        select: SelectReport,
        /// Room of the initiator, in bytes.
        alloc_len: u32,
    },
    /// REPORT SUPPORTED OPERATION CODES.
    ReportOpcodes(ReportOpcodes),
    /// PERSISTENT RESERVE IN.
    PersistentIn(PersistentIn),
    /// PERSISTENT RESERVE OUT.
    PersistentOut(PersistentOut),
}

/// Which length of CDB a block command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RwSize {
    /// 21-bit LBA, 1 to 256 blocks, no flags.
    Six,
    /// 32-bit LBA, 16-bit count.
    Ten,
    /// 32-bit LBA, 32-bit count.
    Twelve,
    /// 64-bit LBA, 32-bit count.
    Sixteen,
}

/// The fields that all block commands share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rw {
    /// Length of the CDB.
    pub size: RwSize,
    /// First logical block.
    pub lba: u64,
    /// Number of logical blocks, as meant: READ(6) with 0 in its field is 256 here.
    pub blocks: u32,
    /// RDPROTECT, WRPROTECT, VRPROTECT or ORPROTECT: 0 unless protection information is used; 0 to 7.
    pub protect: u8,
    /// Disable page out: the blocks are unlikely to be wanted again.
    pub dpo: bool,
    /// Force unit access: to or from the medium itself.
    pub fua: bool,
    /// Group number, 0 to 31.
    pub group: u8,
}

impl Rw {
    /// `blocks` blocks from `lba` on, without flags.
    pub const fn new(size: RwSize, lba: u64, blocks: u32) -> Self {
        Self { size, lba, blocks, protect: 0, dpo: false, fua: false, group: 0 }
    }

    /// The shortest of (10) and (16) that can name the range.
    pub const fn shortest(lba: u64, blocks: u32) -> Self {
        let size = if lba <= 0xffff_ffff && blocks <= 0xffff { RwSize::Ten } else { RwSize::Sixteen };
        Self::new(size, lba, blocks)
    }
}

/// BYTCHK: what VERIFY compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteCheck {
    /// Nothing: the medium is only read.
    Medium,
    /// As many blocks of data as are verified.
    Data,
    /// One block, which every verified block must equal.
    OneBlock,
}

/// WRITE SAME: one block written over a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSame {
    /// Range; `blocks` 0 means up to the end. `dpo` and `fua` are unused.
    pub range: Rw,
    /// Anchored state is wanted.
    pub anchor: bool,
    /// The range may be unmapped instead of written.
    pub unmap: bool,
    /// There is no data out: the block is zeroes. WRITE SAME(16) only.
    pub no_data: bool,
}

/// PC: which values of a mode page are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageControl {
    /// As they are.
    Current,
    /// A mask of what MODE SELECT can change.
    Changeable,
    /// As they are after power on without saved ones.
    Default,
    /// As they were saved.
    Saved,
}

/// MODE SENSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSense {
    /// The (10) form, with its longer header.
    pub ten: bool,
    /// Long LBA descriptors are accepted; (10) only.
    pub long_lba: bool,
    /// No block descriptors (DBD).
    pub no_descriptors: bool,
    /// Which values.
    pub control: PageControl,
    /// Page code, 0 to 63; 0x3f is all.
    pub page: u8,
    /// Subpage code; 0xff is all.
    pub subpage: u8,
    /// Room of the initiator, in bytes; at most 255 in the (6) form.
    pub alloc_len: u16,
}

/// MODE SELECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSelect {
    /// The (10) form.
    pub ten: bool,
    /// The list holds pages as SPC describes them (PF).
    pub page_format: bool,
    /// Keep the values over power cycles (SP).
    pub save: bool,
    /// Bytes of the parameter list; at most 255 in the (6) form.
    pub param_len: u16,
}

/// START STOP UNIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartStop {
    /// Answer before it is done.
    pub immediate: bool,
    /// POWER CONDITION, 0 to 15; 0 is: look at `start` and `load_eject`.
    pub power_condition: u8,
    /// Do not flush the cache before stopping.
    pub no_flush: bool,
    /// Load or eject the medium.
    pub load_eject: bool,
    /// Start, or stop.
    pub start: bool,
}

/// What REPORT SUPPORTED OPERATION CODES asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportingOptions {
    /// All commands.
    All,
    /// One operation code that has no service actions.
    Opcode(u8),
    /// One operation code with one service action.
    Action(u8, u16),
    /// One operation code, with the service action where it has them; unsupported ones are no error.
    Either(u8, u16),
}

/// REPORT SUPPORTED OPERATION CODES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportOpcodes {
    /// Timeouts descriptors are wanted (RCTD).
    pub timeouts: bool,
    /// Which commands.
    pub options: ReportingOptions,
    /// Room of the initiator, in bytes.
    pub alloc_len: u32,
}

/// PERSISTENT RESERVE IN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistentIn {
    /// Service action, 0 to 31.
    pub action: u8,
    /// Room of the initiator, in bytes.
    pub alloc_len: u16,
}

/// PERSISTENT RESERVE OUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistentOut {
    /// Service action, 0 to 31.
    pub action: u8,
    /// Scope, 0 to 15.
    pub scope: u8,
    /// Type, 0 to 15.
    pub kind: u8,
    /// Bytes of the parameter list.
    pub param_len: u32,
}

/// Direction and length of a command's data, in bytes, as its CDB says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataLength {
    /// No data.
    None,
    /// At most so much from the device.
    In(u64),
    /// So much to the device.
    Out(u64),
}

impl Command {
    /// Direction and length of the data, where a logical block has `block_size` bytes.
    pub fn data_length(&self, block_size: u32) -> DataLength {
        let bytes = |blocks: u32| u64::from(blocks).saturating_mul(u64::from(block_size));
        match *self {
            Self::TestUnitReady
            | Self::StartStop(_)
            | Self::PreventAllow { .. }
            | Self::SynchronizeCache { .. }
            | Self::PreFetch { .. } => DataLength::None,
            Self::RequestSense { alloc_len, .. } => DataLength::In(alloc_len.into()),
            Self::Inquiry { alloc_len, .. } => DataLength::In(alloc_len.into()),
            Self::ModeSense(sense) => DataLength::In(sense.alloc_len.into()),
            Self::ModeSelect(select) => DataLength::Out(select.param_len.into()),
            Self::ReadCapacity10 => DataLength::In(8),
            Self::ReadCapacity16 { alloc_len }
            | Self::GetLbaStatus { alloc_len, .. }
            | Self::ReportLuns { alloc_len, .. } => DataLength::In(alloc_len.into()),
            Self::ReportOpcodes(report) => DataLength::In(report.alloc_len.into()),
            Self::PersistentIn(report) => DataLength::In(report.alloc_len.into()),
            Self::PersistentOut(change) => DataLength::Out(change.param_len.into()),
            Self::Unmap { param_len, .. } => DataLength::Out(param_len.into()),
            Self::Read(rw) => DataLength::In(bytes(rw.blocks)),
            Self::Write(rw) | Self::WriteAndVerify(rw, _) | Self::OrWrite(rw) => {
                DataLength::Out(bytes(rw.blocks))
            }
            Self::CompareAndWrite(rw) => DataLength::Out(bytes(rw.blocks).saturating_mul(2)),
            Self::Verify(_, ByteCheck::Medium) => DataLength::None,
            Self::Verify(rw, ByteCheck::Data) => DataLength::Out(bytes(rw.blocks)),
            Self::Verify(rw, ByteCheck::OneBlock) => DataLength::Out(bytes(rw.blocks.min(1))),
            Self::WriteSame(same) if same.no_data => DataLength::None,
            Self::WriteSame(_) => DataLength::Out(bytes(1)),
        }
    }
}
