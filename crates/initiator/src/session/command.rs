//! The SCSI command of a share.

use std::sync::Arc;

use block::Buf;
use iscsi::{Attribute, Payload, ScsiRequest};
use scsi::{Cdb, Command, Lun, Rw, RwSize, UnmapList, UnmapRange, WriteSame};

use super::request::{Action, Request, Share};
use crate::conn::Chunk;
use crate::probe::{Discard, LunInfo};

/// The command for a share of any request but one of zeroes that must be written the long way.
pub(super) fn build(request: &Request, share: Share, info: &LunInfo) -> ScsiRequest<Chunk> {
    let range = range(request, share, info);
    let (command, read_len, write) = match &request.action {
        Action::Flush => (sync(), 0, Payload::default()),
        Action::Write { .. } if request.syncing => (sync(), 0, Payload::default()),
        Action::Read(_) => (Command::Read(range), length(share.len), Payload::default()),
        Action::Write { stable, .. } => {
            let fua = *stable && info.limits.fua;
            let chunks = request.chunks(share.start, share.len);
            (Command::Write(Rw { fua, ..range }), 0, Payload::from_parts(chunks))
        }
        Action::Discard => discard(range, info),
        Action::Zero => write_same(range, info, info.limits.unmap_zeroes),
    };
    scsi_request(info.lun, &command, read_len, write)
}

/// Zeroes written from memory.
pub(super) fn write_zeroes(
    request: &Request,
    share: Share,
    info: &LunInfo,
    zeroes: &Arc<Buf>,
) -> ScsiRequest<Chunk> {
    let command = Command::Write(range(request, share, info));
    let len = usize::try_from(share.len).unwrap_or(usize::MAX);
    let write = Payload::new(Chunk::new(Arc::clone(zeroes), 0..len.min(zeroes.len())));
    scsi_request(info.lun, &command, 0, write)
}

fn discard(range: Rw, info: &LunInfo) -> (Command, u32, Payload<Chunk>) {
    if let Some((Discard::WriteSame, _)) = info.limits.discard {
        return write_same(range, info, true);
    }
    let list = UnmapList::encode(&[UnmapRange { lba: range.lba, blocks: range.blocks }])
        .expect("one range fits a parameter list");
    let param_len = u16::try_from(list.len()).expect("one range takes 24 bytes");
    (Command::Unmap { anchor: false, group: 0, param_len }, 0, payload(&list))
}

/// WRITE SAME of one block of zeroes.
fn write_same(range: Rw, info: &LunInfo, unmap: bool) -> (Command, u32, Payload<Chunk>) {
    let range = Rw { size: RwSize::Sixteen, ..range };
    let block = usize::try_from(info.geometry.logical_block).unwrap_or_default();
    let command = Command::WriteSame(WriteSame { range, anchor: false, unmap, no_data: false });
    (command, 0, Payload::new(Chunk::new(Arc::new(Buf::zeroed(block)), 0..block)))
}

/// SYNCHRONIZE CACHE of the whole unit.
fn sync() -> Command {
    Command::SynchronizeCache { range: Rw::new(RwSize::Ten, 0, 0), immediate: false }
}

/// The blocks of a share.
fn range(request: &Request, share: Share, info: &LunInfo) -> Rw {
    let block = u64::from(info.geometry.logical_block).max(1);
    let lba = request.offset.saturating_add(share.start) / block;
    Rw::shortest(lba, length(share.len / block))
}

/// Limits of a command keep lengths within 32 bits.
fn length(len: u64) -> u32 {
    u32::try_from(len).expect("a share is cut to what one command can carry")
}

fn payload(bytes: &[u8]) -> Payload<Chunk> {
    Payload::new(Chunk::new(Arc::new(Buf::copy_of(bytes)), 0..bytes.len()))
}

fn scsi_request(lun: Lun, command: &Command, read_len: u32, write: Payload<Chunk>) -> ScsiRequest<Chunk> {
    let cdb: Cdb =
        command.encode().expect("ranges are checked against the unit's size, counts against its limits");
    ScsiRequest {
        lun: u64::from_be_bytes(lun.encode()),
        cdb: cdb.padded().into(),
        attribute: Attribute::Simple,
        read_len,
        write,
        immediate: false,
    }
}
