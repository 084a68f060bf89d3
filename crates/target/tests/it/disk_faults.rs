//! Disks that are slow or fail, under task management and without.

use std::io::ErrorKind;
use std::time::Duration;

use block::{FailingDevice, Fault, Op, Rule};
use iscsi::Attribute;
use iscsi::pdu::{TaskFunction, TaskResponse};
use iscsi::text::{DigestPolicy, Settings};
use scsi::{AdditionalSense, Command, Rw, RwSize, SenseKey, Status};

use crate::Bench;
use crate::client::{Client, Heard, config};

const MOMENT: Duration = Duration::from_millis(200);
const GOOD: u8 = 0;

fn wait_for_held<D: block::BlockDevice>(disk: &FailingDevice<D>, count: usize) {
    for _ in 0..500 {
        if disk.held().len() == count {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?} held, not {count}", disk.held());
}

/// What is at the disk cannot be taken back: the function is answered when it has ended (RFC 7143, 4.2.3 and 11.6.1),
/// and no answer of it comes any more.
#[test]
fn a_function_is_answered_when_its_victims_have_ended() {
    for function in [
        TaskFunction::AbortTask,
        TaskFunction::AbortTaskSet,
        TaskFunction::ClearTaskSet,
        TaskFunction::LogicalUnitReset,
        TaskFunction::TargetWarmReset,
    ] {
        let (bench, disk) = Bench::failing();
        let mut client = Client::ready(bench.portal(), 1);
        disk.add(Rule::new(Fault::HoldRequest).on(Op::Write).times(1));
        let task = client.begin_write(8, &[1; 4096], Attribute::Simple);
        wait_for_held(&disk, 1);
        let one = (function == TaskFunction::AbortTask).then_some(task);
        let itt = client.begin_manage(function, one);
        assert_eq!(client.listen(MOMENT), [], "{function:?} was answered with a write at the disk");
        bench.runtime.block_on(disk.release_all());
        let heard = client.listen(MOMENT);
        assert_eq!(heard, [Heard::Managed(itt, TaskResponse::Complete)], "{function:?}");
        assert_eq!(bench.disk.image()[8 * 512..][..4096], [1; 4096], "it had begun, so it was done");
        // The unit goes on, after the news of a reset.
        client.run(Command::TestUnitReady, &[]);
        client.run(Command::Write(Rw::shortest(8, 8)), &[2; 4096]).good();
        assert_eq!(bench.disk.image()[8 * 512..][..4096], [2; 4096]);
    }
}

/// The bug: a write of another session that still waited for its data when the unit was reset was done when the data
/// came, long after the reset had been answered. Whoever resets a unit to fence a lost session relies on this.
#[test]
fn a_write_that_waits_for_its_data_is_not_done_after_a_reset() {
    for function in
        [TaskFunction::LogicalUnitReset, TaskFunction::TargetWarmReset, TaskFunction::ClearTaskSet]
    {
        let bench = Bench::new();
        let (mut slow, task, mut other) = with_a_write_without_data(&bench);
        let itt = other.begin_manage(function, None);
        assert_eq!(other.listen(MOMENT), [Heard::Managed(itt, TaskResponse::Complete)]);
        other.run(Command::TestUnitReady, &[]);
        other.run(Command::Write(Rw::shortest(0, 8)), &[2; 4096]).good();
        let heard = slow.listen(MOMENT);
        assert_eq!(heard, [Heard::Ended(task, Status::TaskAborted.code())], "{function:?}");
        assert_eq!(bench.disk.image()[..4096], [2; 4096], "{function:?}");
    }
}

fn only_r2t(number: u16) -> iscsi::InitiatorConfig {
    let settings = Settings { initial_r2t: true, immediate_data: false, ..Settings::default() };
    iscsi::InitiatorConfig { settings, ..config(number) }
}

/// A session with a write whose data is called for and not sent, and another session. The R2T has come and waits in
/// the socket.
fn with_a_write_without_data(bench: &Bench) -> (Client, iscsi::Task, Client) {
    let mut slow = Client::login(bench.portal(), only_r2t(1)).expect("a login");
    slow.run(Command::TestUnitReady, &[]);
    let other = Client::ready(bench.portal(), 2);
    let task = slow.begin_write(0, &[1; 4096], Attribute::Simple);
    std::thread::sleep(MOMENT);
    (slow, task, other)
}

#[test]
fn an_ordered_write_waits_for_one_that_waits_for_its_data() {
    let bench = Bench::new();
    let (mut slow, first, mut other) = with_a_write_without_data(&bench);
    let ordered = other.begin_write(0, &[2; 4096], Attribute::Ordered);
    let behind = other.begin_write(4, &[3; 512], Attribute::Simple);
    assert_eq!(other.listen(MOMENT), [], "the ordered write ran before an older one");
    assert_eq!(bench.disk.image()[..4096], [0; 4096]);
    assert_eq!(slow.listen(MOMENT), [Heard::Ended(first, GOOD)]);
    assert_eq!(other.listen(MOMENT), [Heard::Ended(ordered, GOOD), Heard::Ended(behind, GOOD)]);
    let image = bench.disk.image();
    assert_eq!((image[0], image[4 * 512], image[5 * 512]), (2, 3, 2));
}

/// An ordered command that waits can be aborted at once, and a session that ends takes its commands along.
#[test]
fn what_waits_for_its_turn_can_be_aborted() {
    let bench = Bench::new();
    let (slow, first, mut other) = with_a_write_without_data(&bench);
    let ordered = other.begin_write(64, &[2; 4096], Attribute::Ordered);
    let behind = other.begin_write(128, &[3; 512], Attribute::Simple);
    let itt = other.begin_manage(TaskFunction::AbortTask, Some(ordered));
    let heard = other.listen(MOMENT);
    assert_eq!(heard, [Heard::Managed(itt, TaskResponse::Complete), Heard::Ended(behind, GOOD)]);
    assert_eq!(bench.disk.image()[64 * 512..][..4096], [0; 4096]);
    // The slow session dies with its write, and an ordered one behind it goes on.
    let ordered = other.begin_write(64, &[4; 4096], Attribute::Ordered);
    assert_eq!(other.listen(MOMENT), []);
    let _ = first;
    drop(slow);
    assert_eq!(other.listen(MOMENT), [Heard::Ended(ordered, GOOD)]);
    assert_eq!(bench.disk.image()[..4096], [0; 4096]);
}

#[test]
fn a_disk_that_fails_says_so_and_the_session_goes_on() {
    let sync = Command::SynchronizeCache { range: Rw::new(RwSize::Ten, 0, 0), immediate: false };
    let io = Fault::Error(ErrorKind::Other);
    let full = Fault::Error(ErrorKind::StorageFull);
    let read = Command::Read(Rw::shortest(16, 8));
    let write = Command::Write(Rw::shortest(16, 8));
    let medium = SenseKey::MediumError;
    for (fault, op, command, key, code) in [
        (io, Op::Read, read, medium, AdditionalSense::UNRECOVERED_READ_ERROR),
        (io, Op::Write, write, medium, AdditionalSense::WRITE_ERROR),
        (Fault::Torn(512), Op::Write, write, medium, AdditionalSense::WRITE_ERROR),
        (io, Op::Flush, sync, medium, AdditionalSense::WRITE_ERROR),
        (full, Op::Write, write, SenseKey::DataProtect, AdditionalSense::SPACE_ALLOCATION_FAILED),
        (Fault::Unreachable, Op::Read, read, SenseKey::NotReady, AdditionalSense::COMMUNICATION_FAILURE),
    ] {
        let (bench, disk) = Bench::failing();
        let mut client = Client::ready(bench.portal(), 1);
        disk.add(Rule::new(fault).on(op).times(1));
        let data = if command == write { vec![7; 4096] } else { Vec::new() };
        let answer = client.run(command, &data);
        let sense = answer.sense().unwrap();
        assert_eq!((sense.key, sense.code), (key, code), "{fault:?}");
        let whole = if command == read { iscsi::Residual::Underflow(4096) } else { iscsi::Residual::None };
        if command == read {
            assert_eq!((answer.outcome.residual, answer.data.len()), (whole, 0), "{fault:?}");
        }
        if matches!(key, SenseKey::MediumError) && command != sync {
            assert_eq!(sense.information, Some(16), "the block is named");
        }
        client.run(write, &[9; 4096]).good();
        assert_eq!(client.run(read, &[]).good(), [9; 4096]);
        client.run(sync, &[]).good();
    }
}

/// A byte that changes on its way ends the connection, and nothing of the PDU reaches the disk.
#[test]
fn wrong_digests_end_the_connection_and_write_nothing() {
    let bench = Bench::new();
    let settings = Settings {
        header_digest: DigestPolicy::Always,
        data_digest: DigestPolicy::Always,
        ..Settings::default()
    };
    // In the LBA of the CDB; in the data.
    for at in [48 - 12, 48 + 4 + 100] {
        let with = iscsi::InitiatorConfig { settings: settings.clone(), ..config(3) };
        let mut client = Client::login(bench.portal(), with).unwrap();
        client.run(Command::TestUnitReady, &[]);
        let cdb = Command::Write(Rw::shortest(0, 8)).encode().unwrap().padded();
        let data = bytes::Bytes::from(vec![5; 4096]);
        client.engine.submit(iscsi::ScsiRequest::write(0, cdb, data)).unwrap();
        let mut wire = Vec::new();
        client.engine.transmit().drain_into(&mut wire);
        wire[at] ^= 1;
        std::io::Write::write_all(&mut client.stream, &wire).unwrap();
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.stream, &mut rest);
        assert!(bench.disk.image().iter().all(|byte| *byte == 0), "byte {at}");
        bench.wait_for_sessions(0);
    }
    let mut client = Client::ready(bench.portal(), 4);
    client.run(Command::Write(Rw::shortest(0, 1)), &[1; 512]).good();
}
