//! Commands against a disk in memory.

use std::sync::Arc;

use block::{BlockDevice, BlockDeviceExt, Buf, Durability, MemoryDevice};
use proptest::prelude::*;
use scsi::vpd::{BlockLimits, DeviceId, Provisioning};
use scsi::{
    AdditionalSense, ByteCheck, Command, Inquiry, Lun, ModeData, ModeSense, PageCode, PageControl,
    ReadCapacity16, Rw, RwSize, Sense, SenseKey, Status, UnmapList, UnmapRange, WriteSame,
};

use super::{DataIn, Expected, Reply, Started, Unit, UnitSpec};
use crate::identity::Identity;
use crate::nexus::Nexus;

const BLOCK: usize = 512;
const BLOCKS: u64 = 4096;

struct Bench {
    unit: Unit,
    nexus: Arc<Nexus>,
    disk: Arc<MemoryDevice>,
}

fn bench_on(disk: MemoryDevice, read_only: bool) -> Bench {
    let disk = Arc::new(disk);
    let unit = Unit::new(UnitSpec {
        lun: Lun::ZERO,
        device: disk.clone(),
        block: 512,
        read_only,
        identity: Identity::from_serial("test"),
        iqn: "iqn.2026-01.test:one".into(),
        tag: 1,
    })
    .unwrap();
    let nexus = unit.attach(1, AdditionalSense::POWER_ON_OR_RESET);
    assert!(nexus.take().is_some());
    Bench { unit, nexus, disk }
}

fn bench() -> Bench {
    bench_on(MemoryDevice::new(BLOCKS * 512), false)
}

impl Bench {
    fn raw(&self, cdb: &[u8], expected: Expected, data: &[u8]) -> Reply {
        let admitted = match self.unit.admit(&self.nexus, cdb, expected) {
            Ok(admitted) => admitted,
            Err(reply) => return reply,
        };
        let mut buf = Buf::zeroed(admitted.data_out());
        let len = buf.len().min(data.len());
        buf[..len].copy_from_slice(&data[..len]);
        match self.unit.start(1, admitted, buf) {
            Started::Done(reply) => reply,
            Started::Later(future) => {
                let mut future = future;
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                match future.as_mut().poll(&mut cx) {
                    std::task::Poll::Ready(reply) => reply,
                    std::task::Poll::Pending => panic!("a disk in memory answers at once"),
                }
            }
        }
    }

    fn run(&self, command: Command, data: &[u8]) -> Reply {
        let write = u32::try_from(data.len()).unwrap();
        let read = if data.is_empty() { 1 << 20 } else { 0 };
        self.raw(&command.encode().unwrap().padded(), Expected { read, write }, data)
    }

    fn good(&self, command: Command, data: &[u8]) -> Vec<u8> {
        let reply = self.run(command, data);
        assert_eq!(reply.status, Status::Good, "{command:?}: {:?}", reply.sense);
        bytes(reply)
    }

    fn sense(&self, command: Command, data: &[u8]) -> Sense {
        let reply = self.run(command, data);
        assert_eq!(reply.status, Status::CheckCondition, "{command:?}");
        reply.sense.unwrap()
    }
}

fn bytes(reply: Reply) -> Vec<u8> {
    match reply.data {
        DataIn::None => Vec::new(),
        DataIn::Blocks(buf) => buf.to_vec(),
        DataIn::Bytes(bytes) => bytes,
    }
}

fn rw(lba: u64, blocks: u32) -> Rw {
    Rw::new(RwSize::Sixteen, lba, blocks)
}

fn mode_sense(page: u8, control: PageControl) -> Command {
    Command::ModeSense(ModeSense {
        ten: true,
        long_lba: false,
        no_descriptors: false,
        control,
        page,
        subpage: 0,
        alloc_len: 4096,
    })
}

#[test]
fn reads_what_was_written() {
    let bench = bench();
    let data: Vec<u8> = (0..3 * BLOCK).map(|n| n.to_le_bytes()[0]).collect();
    bench.good(Command::Write(rw(7, 3)), &data);
    assert_eq!(bench.good(Command::Read(rw(7, 3)), &[]), data);
    assert_eq!(bench.disk.image()[7 * BLOCK..10 * BLOCK], data);
}

#[test]
fn ranges_are_checked_before_anything_happens() {
    let bench = bench();
    let out = AdditionalSense::LBA_OUT_OF_RANGE;
    for (lba, blocks) in [(BLOCKS, 1), (BLOCKS - 1, 2), (u64::MAX, 1), (BLOCKS + 1, 0), (u64::MAX - 1, 4)] {
        assert_eq!(bench.sense(Command::Read(rw(lba, blocks)), &[]).code, out, "{lba} {blocks}");
    }
    bench.good(Command::Read(rw(BLOCKS, 0)), &[]);
    // A count that would need 2 TiB of memory is refused by the CDB alone.
    let reply = bench.run(Command::Read(rw(0, u32::MAX)), &[]);
    assert_eq!(reply.sense.unwrap().code, out);
}

#[test]
fn residuals() {
    let bench = bench();
    let read = Command::Read(rw(0, 2)).encode().unwrap().padded();
    for (room, got) in [(0, 0), (200, 200), (512, 512), (1024, 1024), (10_000, 1024)] {
        let reply = bench.raw(&read, Expected { read: room, write: 0 }, &[]);
        assert_eq!((reply.status, reply.full_len), (Status::Good, 1024));
        assert_eq!(bytes(reply).len(), got);
    }
    let write = Command::Write(rw(0, 2)).encode().unwrap().padded();
    let reply = bench.raw(&write, Expected { read: 0, write: 512 }, &[9; 512]);
    assert_eq!((reply.status, reply.full_len), (Status::Good, 1024));
    assert_eq!(bench.disk.image()[..1024], [[9; 512], [0; 512]].concat());
    // A part of a block would have to be made up: nothing is written.
    let reply = bench.raw(&write, Expected { read: 0, write: 700 }, &[8; 700]);
    assert_eq!((reply.status, reply.full_len), (Status::CheckCondition, 1024));
    assert_eq!(bench.disk.image()[0], 9);
}

#[test]
fn compare_and_write() {
    let bench = bench();
    bench.good(Command::Write(rw(4, 1)), &[1; BLOCK]);
    let swap = |old: u8, new: u8| [[old; BLOCK], [new; BLOCK]].concat();
    bench.good(Command::CompareAndWrite(rw(4, 1)), &swap(1, 2));
    let mut wrong = swap(2, 3);
    wrong[77] = 9;
    let sense = bench.sense(Command::CompareAndWrite(rw(4, 1)), &wrong);
    assert_eq!((sense.key, sense.information), (SenseKey::Miscompare, Some(77)));
    assert_eq!(bench.good(Command::Read(rw(4, 1)), &[]), [2; BLOCK]);
    // Data of another length than the CDB says is never taken in part.
    let sense = bench.sense(Command::CompareAndWrite(rw(4, 1)), &[2; 4 * BLOCK]);
    assert_eq!(sense.key, SenseKey::IllegalRequest);
}

#[test]
fn two_compare_and_writes_do_not_overlap() {
    let bench = bench();
    let range = 0..u64::from(u32::MAX);
    let held = bench.unit.locks.try_lock(&range, crate::range_lock::Hold::Shared).unwrap();
    let cdb = Command::CompareAndWrite(rw(0, 1)).encode().unwrap().padded();
    let expected = Expected { read: 0, write: 1024 };
    let start = |new: u8| {
        let admitted = bench.unit.admit(&bench.nexus, &cdb, expected).ok().unwrap();
        let data = Buf::copy_of(&[[0; BLOCK], [new; BLOCK]].concat());
        match bench.unit.start(1, admitted, data) {
            Started::Later(future) => future,
            Started::Done(_) => panic!("the range is held"),
        }
    };
    let (mut one, mut two) = (start(1), start(2));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(one.as_mut().poll(&mut cx).is_pending() && two.as_mut().poll(&mut cx).is_pending());
    drop(held);
    let mut wins = 0;
    for future in [&mut one, &mut two] {
        if let std::task::Poll::Ready(reply) = future.as_mut().poll(&mut cx) {
            wins += u32::from(reply.status == Status::Good);
        }
    }
    assert_eq!((wins, bench.disk.image()[0]), (1, 1));
}

#[test]
fn write_same_and_unmap() {
    let bench = bench();
    let same = |lba, blocks, unmap, no_data| {
        Command::WriteSame(WriteSame { range: rw(lba, blocks), anchor: false, unmap, no_data })
    };
    bench.good(same(0, 4, false, false), &[5; BLOCK]);
    assert_eq!(bench.good(Command::Read(rw(0, 5)), &[]), [vec![5; 4 * BLOCK], vec![0; BLOCK]].concat());
    bench.good(same(1, 1, true, false), &[0; BLOCK]);
    bench.good(same(2, 1, false, true), &[]);
    let image = bench.disk.image();
    assert_eq!([image[0], image[BLOCK], image[2 * BLOCK], image[3 * BLOCK]], [5, 0, 0, 5]);
    let list =
        UnmapList::encode(&[UnmapRange { lba: 0, blocks: 1 }, UnmapRange { lba: 3, blocks: 1 }]).unwrap();
    let unmap = |len: usize| Command::Unmap { anchor: false, group: 0, param_len: len.try_into().unwrap() };
    bench.good(unmap(list.len()), &list);
    assert!(bench.disk.image()[..4 * BLOCK].iter().all(|byte| *byte == 0));
    // One bad range, and none is touched.
    bench.good(Command::Write(rw(0, 1)), &[6; BLOCK]);
    let list = UnmapList::encode(&[UnmapRange { lba: 0, blocks: 1 }, UnmapRange { lba: BLOCKS, blocks: 1 }])
        .unwrap();
    assert_eq!(bench.sense(unmap(list.len()), &list).code, AdditionalSense::LBA_OUT_OF_RANGE);
    assert_eq!(bench.disk.image()[0], 6);
}

#[test]
fn verify() {
    let bench = bench();
    bench.good(Command::Write(rw(0, 2)), &[[1; BLOCK], [1; BLOCK]].concat());
    bench.good(Command::Verify(rw(0, 2), ByteCheck::Data), &[1; 2 * BLOCK]);
    bench.good(Command::Verify(rw(0, 2), ByteCheck::OneBlock), &[1; BLOCK]);
    bench.good(Command::Verify(rw(0, 2), ByteCheck::Medium), &[]);
    let sense = bench.sense(Command::Verify(rw(0, 3), ByteCheck::OneBlock), &[1; BLOCK]);
    assert_eq!(sense.key, SenseKey::Miscompare);
    bench.good(Command::WriteAndVerify(rw(9, 1), ByteCheck::Data), &[3; BLOCK]);
    bench.good(Command::OrWrite(rw(9, 1)), &[4; BLOCK]);
    assert_eq!(bench.disk.image()[9 * BLOCK], 7);
}

#[test]
fn read_only_units_refuse_every_change() {
    let bench = bench_on(MemoryDevice::new(BLOCKS * 512), true);
    let same = WriteSame { range: rw(0, 1), anchor: false, unmap: false, no_data: false };
    for (command, len) in [
        (Command::Write(rw(0, 1)), BLOCK),
        (Command::WriteAndVerify(rw(0, 1), ByteCheck::Data), BLOCK),
        (Command::OrWrite(rw(0, 1)), BLOCK),
        (Command::CompareAndWrite(rw(0, 1)), 2 * BLOCK),
        (Command::WriteSame(same), BLOCK),
        (Command::Unmap { anchor: false, group: 0, param_len: 8 }, 8),
    ] {
        assert_eq!(bench.sense(command, &vec![0; len]).key, SenseKey::DataProtect, "{command:?}");
    }
    let bytes = bench.good(mode_sense(0x3f, PageControl::Current), &[]);
    assert!(ModeData::parse(&bytes, true).unwrap().write_protected);
}

#[test]
fn pages_tell_what_the_unit_does() {
    let bench = bench();
    let inquiry = |page| Command::Inquiry { page, alloc_len: 255 };
    let standard = Inquiry::parse(&bench.good(inquiry(None), &[])).unwrap();
    assert_eq!((standard.vendor.as_str(), standard.version), ("OXSAN", 6));
    let limits = BlockLimits::parse(&bench.good(inquiry(Some(0xb0)), &[])).unwrap();
    assert_eq!(limits.max_transfer, super::MAX_TRANSFER / 512);
    let provisioning = Provisioning::parse(&bench.good(inquiry(Some(0xb2)), &[])).unwrap();
    let capacity = Command::ReadCapacity16 { alloc_len: 32 };
    let capacity = ReadCapacity16::parse(&bench.good(capacity, &[])).unwrap();
    assert_eq!(capacity.last_lba, BLOCKS - 1);
    assert!(provisioning.unmap && capacity.provisioned && capacity.unmapped_zeroes);
    let id = DeviceId::parse(&bench.good(inquiry(Some(0x83)), &[])).unwrap();
    assert_eq!(id.wwid().unwrap().to_string(), bench.unit.identity().wwid());
    assert_eq!(bench.sense(inquiry(Some(0x99)), &[]).code, AdditionalSense::INVALID_FIELD_IN_CDB);
}

#[test]
fn mode_parameters() {
    let bench = bench();
    let other = bench.unit.attach(2, AdditionalSense::POWER_ON_OR_RESET);
    assert!(other.take().is_some());
    let mut data = ModeData::parse(&bench.good(mode_sense(0x08, PageControl::Current), &[]), true).unwrap();
    assert!(scsi::CachingPage::parse(data.page(PageCode::CACHING).unwrap()).unwrap().write_cache);
    assert_eq!(bench.unit.durability(false), Durability::Cached);
    // Switch the write cache off; the other initiator is told.
    data.pages[0].body[0] &= !0x04;
    data.write_protected = false;
    let list = data.encode(true, false);
    let select = scsi::ModeSelect {
        ten: true,
        page_format: true,
        save: false,
        param_len: list.len().try_into().unwrap(),
    };
    bench.good(Command::ModeSelect(select), &list);
    assert_eq!(bench.unit.durability(false), Durability::Stable);
    assert_eq!(other.take(), Some(AdditionalSense::MODE_PARAMETERS_CHANGED));
    assert_eq!(bench.nexus.take(), None);
    // Back to what the other knows now: changed and changed back before it asks is no news.
    data.pages[0].body[0] |= 0x04;
    bench.good(Command::ModeSelect(select), &data.encode(true, false));
    data.pages[0].body[0] &= !0x04;
    bench.good(Command::ModeSelect(select), &data.encode(true, false));
    assert_eq!(other.take(), None);
    // What cannot be changed refuses the whole list.
    data.pages[0].body[1] = 1;
    assert_eq!(
        bench.sense(Command::ModeSelect(select), &data.encode(true, false)).code,
        AdditionalSense::INVALID_FIELD_IN_PARAMETER_LIST
    );
    assert_eq!(
        bench.sense(mode_sense(0x3f, PageControl::Saved), &[]).code,
        AdditionalSense::SAVING_NOT_SUPPORTED
    );
    assert_eq!(
        bench.sense(mode_sense(0x05, PageControl::Current), &[]).code,
        AdditionalSense::INVALID_FIELD_IN_CDB
    );
}

#[test]
fn news_comes_before_commands_but_not_before_inquiry() {
    let bench = bench();
    bench.nexus.raise(AdditionalSense::POWER_ON_OR_RESET);
    bench.good(Command::Inquiry { page: None, alloc_len: 36 }, &[]);
    let sense = bench.sense(Command::TestUnitReady, &[]);
    assert_eq!((sense.key, sense.code), (SenseKey::UnitAttention, AdditionalSense::POWER_ON_OR_RESET));
    bench.good(Command::TestUnitReady, &[]);
}

#[test]
fn blocks_of_4096_on_a_disk_of_512() {
    let disk = MemoryDevice::new(10 * 4096 + 512);
    let unit = Unit::new(UnitSpec {
        lun: Lun::ZERO,
        device: Arc::new(disk),
        block: 4096,
        read_only: false,
        identity: Identity::from_serial("x"),
        iqn: "iqn.x".into(),
        tag: 1,
    })
    .unwrap();
    // What is left beyond a whole block is not served.
    assert_eq!(unit.blocks(), 10);
    let coarse = MemoryDevice::with_block(40960, 4096);
    assert_eq!(coarse.geometry().logical_block, 4096);
    let spec = UnitSpec {
        lun: Lun::ZERO,
        device: Arc::new(coarse),
        block: 512,
        read_only: false,
        identity: Identity::from_serial("x"),
        iqn: "iqn.x".into(),
        tag: 1,
    };
    assert!(Unit::new(spec).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(400)))]

    /// Whatever a CDB says, and however much data there is: an answer, no panic, and no more data than wanted.
    #[test]
    fn any_cdb(mut cdb in proptest::array::uniform16(any::<u8>()), listed in 0..scsi::SUPPORTED.len(),
               known: bool, small: bool, read in 0u32..70_000, write in 0u32..5000) {
        if known {
            cdb[0] = scsi::SUPPORTED[listed].opcode.0;
        }
        if small {
            cdb[2..9].fill(0);
        }
        let bench = bench();
        let reply = bench.raw(&cdb, Expected { read, write }, &vec![0xa5; write as usize]);
        prop_assert!(bytes(reply).len() <= read as usize);
    }
}

#[test]
fn a_disk_that_was_written_below_is_read_as_it_is() {
    let bench = bench();
    let write = bench.disk.write_at(0, Buf::copy_of(&[7; BLOCK]), Durability::Cached);
    let mut write = std::pin::pin!(write);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(write.as_mut().poll(&mut cx).is_ready());
    assert_eq!(bench.good(Command::Read(rw(0, 1)), &[]), [7; BLOCK]);
}
