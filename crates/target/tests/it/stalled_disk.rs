//! A disk that stalls with more reads outstanding than the target takes into memory.
//!
//! The bug: while 16 MiB of reads waited for the disk the connection took nothing in, answers to its own pings and task
//! management included. A disk that stalled for 20 s so cost the session, though initiator and target were alive, and
//! with it every other unit's commands; and the ABORT TASK or LUN RESET that an initiator sends when its commands take
//! too long lay unread until the disk came back. Now reads beyond that are held as commands, without memory for their
//! data, and everything else goes on.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use block::{BlockDeviceExt as _, Durability, FailingDevice, Fault, MemoryDevice, Op, Rule};
use bytes::Bytes;
use iscsi::pdu::{Bhs as _, FINAL, IMMEDIATE, RawScsiCommand, RejectReason, TaskFunction, TaskResponse};
use iscsi::text::Settings;
use iscsi::{Attribute, Event, InitiatorConfig, ScsiRequest, Task, Verdict};
use scsi::{Command, Rw, Status};
use target::{LunSpec, TargetBuilder};

use crate::Bench;
use crate::client::{Client, Heard, config};

const MOMENT: Duration = Duration::from_millis(300);
/// Far more than anything takes that comes at all.
const LONG: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;
/// Most bytes of reads that wait for the disk at a time.
const READS_HIGH: u64 = 16 * MIB;
/// Blocks of one read of 1 MiB.
const BLOCKS: u32 = 2048;
const GOOD: u8 = 0;
/// LUN 1, as SAM writes it.
const LUN_1: u64 = 1 << 48;

/// Bytes of the disk.
const DISK: u64 = 16 * MIB;

type Gate = FailingDevice<Arc<MemoryDevice>>;

/// A target whose disk is full of numbers, and lets no read through until [`open`].
fn stalled(change: impl FnOnce(TargetBuilder) -> TargetBuilder) -> (Bench, Arc<Gate>) {
    let (bench, gate) = Bench::failing_with(change);
    let write = bench.disk.write_at(0, block::Buf::copy_of(&image(DISK)), Durability::Cached);
    bench.runtime.block_on(write).unwrap();
    gate.add(Rule::new(Fault::HoldRequest).on(Op::Read));
    (bench, gate)
}

/// The first so many bytes of the disk: writing them again changes nothing.
fn image(len: u64) -> Vec<u8> {
    (0..len / 8).flat_map(u64::to_le_bytes).collect()
}

fn open(bench: &Bench, gate: &Gate) {
    gate.clear();
    bench.runtime.block_on(gate.release_all());
}

/// Bytes of the reads that wait at the disk.
fn at_the_disk(gate: &Gate) -> u64 {
    gate.held().iter().map(|held| held.len).sum()
}

/// Waits until as much as may be read at a time waits at the disk.
fn wait_until_full(gate: &Gate) {
    for _ in 0..500 {
        if at_the_disk(gate) == READS_HIGH {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} bytes wait at the disk", at_the_disk(gate));
}

/// Begins `count` reads of 1 MiB, and tells where each begins on the disk, in MiB.
fn begin_reads(client: &mut Client, count: u64) -> Vec<(Task, u64)> {
    (0..count).map(|n| (client.begin_read(0, n % 16 * u64::from(BLOCKS), BLOCKS), n % 16)).collect()
}

/// Takes the answers to all reads, and compares what they brought with what lies there.
fn take_reads(client: &mut Client, reads: Vec<(Task, u64)>) {
    take_reads_and(client, reads, |_| ());
}

fn take_reads_and(client: &mut Client, reads: Vec<(Task, u64)>, mut each: impl FnMut(&Event<'_, Bytes>)) {
    let disk = image(DISK);
    let mut reads: BTreeMap<Task, u64> = reads.into_iter().collect();
    client.watch(LONG, |event| {
        each(&event);
        match event {
            Event::DataIn { task, offset, data, .. } => {
                let start = (reads[&task] * MIB) as usize + offset as usize;
                assert!(data == &disk[start..start + data.len()], "wrong data at byte {start}");
            }
            Event::Done { task, outcome, .. } if outcome.verdict == Verdict::Completed => {
                assert_eq!((outcome.status, u64::from(outcome.received)), (GOOD, MIB));
                assert!(reads.remove(&task).is_some(), "{task:?} was answered twice, or was aborted");
            }
            _ => {}
        }
        !reads.is_empty()
    });
    assert!(reads.is_empty(), "{} reads have no answer", reads.len());
}

/// The target pings a session that is silent, and drops it when it sees no answer. In the bug it did not look.
#[test]
fn the_targets_pings_are_answered_while_a_disk_stalls() {
    let (bench, gate) = stalled(|builder| {
        builder.ping_interval(Some(Duration::from_millis(400))).ping_timeout(Duration::from_secs(1))
    });
    let mut client = Client::ready(bench.portal(), 1);
    let reads = begin_reads(&mut client, 40);
    wait_until_full(&gate);
    let begun = Instant::now();
    // This side says nothing but what the engine says by itself: answers to pings.
    let there = client.watch(Duration::from_secs(4), |_| true);
    assert!(there, "the target dropped the session after {:?}", begun.elapsed());
    assert_eq!(bench.target.as_ref().unwrap().sessions(), 1);
    open(&bench, &gate);
    take_reads(&mut client, reads);
}

#[test]
fn the_initiators_pings_and_writes_are_answered_while_a_disk_stalls() {
    let (bench, gate) = stalled(|builder| builder);
    let pinging = InitiatorConfig {
        ping_interval: Some(Duration::from_millis(200)),
        ping_timeout: Duration::from_secs(5),
        ..config(1)
    };
    let mut client = Client::login(bench.portal(), pinging).unwrap();
    client.run(Command::TestUnitReady, &[]);
    let reads = begin_reads(&mut client, 40);
    wait_until_full(&gate);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(200));
        client.engine.handle_timeout(Instant::now()).unwrap();
        assert!(client.engine.is_pinging());
        // Immediate data, and data that is called for.
        client.run(Command::Write(Rw::shortest(0, 1)), &image(512)).good();
        client.run(Command::Write(Rw::shortest(0, BLOCKS)), &image(MIB)).good();
        assert!(!client.engine.is_pinging(), "writes were answered, and a ping before them was not");
    }
    assert_eq!(at_the_disk(&gate), READS_HIGH);
    open(&bench, &gate);
    take_reads(&mut client, reads);
}

/// An ABORT TASK of a read that is held is answered at once, and the disk never sees the read; that of one at the disk
/// is answered when it has ended, and none of the others is lost.
#[test]
fn a_held_read_is_aborted_at_once() {
    let (bench, gate) = stalled(|builder| builder);
    let mut client = Client::ready(bench.portal(), 1);
    let before = gate.seen();
    let mut reads = begin_reads(&mut client, 40);
    wait_until_full(&gate);
    for index in [39, 16] {
        let (task, _) = reads.remove(index);
        let itt = client.begin_manage(TaskFunction::AbortTask, Some(task));
        assert_eq!(client.hear(1, LONG), [Heard::Managed(itt, TaskResponse::Complete)]);
    }
    let (first, _) = reads.remove(0);
    let itt = client.begin_manage(TaskFunction::AbortTask, Some(first));
    assert_eq!(client.listen(MOMENT), [], "it is at the disk");
    open(&bench, &gate);
    let mut managed = None;
    take_reads_and(&mut client, reads, |event| {
        if let Event::TaskManagement { itt, response, .. } = event {
            managed = Some((*itt, *response));
        }
    });
    assert_eq!(managed, Some((itt, TaskResponse::Complete)));
    assert_eq!(gate.seen() - before, 38);
}

/// A LUN RESET gets in. It waits for the reads at the disk, and no other reaches it any more.
#[test]
fn a_reset_ends_held_reads() {
    for function in [
        TaskFunction::AbortTaskSet,
        TaskFunction::ClearTaskSet,
        TaskFunction::LogicalUnitReset,
        TaskFunction::TargetWarmReset,
    ] {
        let (bench, gate) = stalled(|builder| builder);
        let mut client = Client::ready(bench.portal(), 1);
        let mut other = Client::ready(bench.portal(), 2);
        let before = gate.seen();
        begin_reads(&mut client, 40);
        wait_until_full(&gate);
        let itt = client.begin_manage(function, None);
        assert_eq!(client.listen(MOMENT), [], "{function:?} was answered with reads at the disk");
        open(&bench, &gate);
        assert_eq!(client.hear(1, LONG), [Heard::Managed(itt, TaskResponse::Complete)], "{function:?}");
        assert_eq!(gate.seen() - before, 16, "{function:?}: a read that was held reached the disk");
        // Everything goes on, after the news of a reset.
        client.run(Command::TestUnitReady, &[]);
        other.run(Command::TestUnitReady, &[]);
        let reads = begin_reads(&mut client, 40);
        take_reads(&mut client, reads);
    }
}

/// A reset that another session asks for: what was held answers TASK ABORTED and does not reach the disk.
#[test]
fn a_reset_by_another_session_aborts_held_reads() {
    let (bench, gate) = stalled(|builder| builder);
    let mut client = Client::ready(bench.portal(), 1);
    let mut other = Client::ready(bench.portal(), 2);
    let before = gate.seen();
    let reads = begin_reads(&mut client, 40);
    wait_until_full(&gate);
    let itt = other.begin_manage(TaskFunction::LogicalUnitReset, None);
    assert_eq!(other.listen(MOMENT), [], "reads are at the disk");
    open(&bench, &gate);
    assert_eq!(other.hear(1, LONG), [Heard::Managed(itt, TaskResponse::Complete)]);
    let mut heard = client.hear(reads.len(), LONG);
    heard.sort_by_key(|heard| format!("{heard:?}"));
    let aborted = |task: &Task| Heard::Ended(*task, Status::TaskAborted.code());
    let mut want: Vec<Heard> = reads.iter().map(|(task, _)| aborted(task)).collect();
    want.sort_by_key(|heard| format!("{heard:?}"));
    assert_eq!(heard, want);
    assert_eq!(gate.seen() - before, 16);
}

/// Reads of a unit that is well are held behind those of one that stalls: room is the session's. Task management of
/// the well one has nothing to wait for then, and its writes go on.
#[test]
fn a_unit_beside_the_one_that_stalls() {
    let slow = Arc::new(FailingDevice::new(Arc::new(MemoryDevice::new(READS_HIGH))));
    slow.add(Rule::new(Fault::HoldRequest).on(Op::Read));
    let bench = Bench::with(|builder| builder.lun(LunSpec::new(slow.clone())));
    let mut client = Client::ready(bench.portal(), 1);
    // The other unit's own news.
    client.begin_read(LUN_1, 0, 1);
    assert!(matches!(client.hear(1, LONG)[..], [Heard::Ended(_, 2)]));
    let stuck: Vec<Task> = (0..16).map(|_| client.begin_read(LUN_1, 0, BLOCKS)).collect();
    wait_until_full(&slow);
    let read = client.begin_read(0, 0, BLOCKS);
    client.run(Command::Write(Rw::shortest(0, 1)), &[5; 512]).good();
    let functions = [TaskFunction::AbortTask, TaskFunction::AbortTaskSet, TaskFunction::LogicalUnitReset];
    for (function, task) in functions.into_iter().zip([Some(read), None, None]) {
        let itt = client.begin_manage_on(0, function, task);
        assert_eq!(client.hear(1, LONG), [Heard::Managed(itt, TaskResponse::Complete)], "{function:?}");
        if function == TaskFunction::AbortTask {
            client.begin_read(0, 0, BLOCKS);
        }
    }
    slow.clear();
    bench.runtime.block_on(slow.release_all());
    let heard = client.hear(stuck.len(), LONG);
    assert_eq!(heard.len(), stuck.len(), "{heard:?}");
    assert!(stuck.iter().all(|task| heard.contains(&Heard::Ended(*task, GOOD))), "{heard:?}");
    client.run(Command::TestUnitReady, &[]);
    assert_eq!(client.run(Command::Read(Rw::shortest(0, 1)), &[]).good(), [5; 512]);
}

/// A READ that comes with data out has no use for it. Where that data comes wrong while the READ is held, it ends as it
/// would have: with one answer, its data.
#[test]
fn wrong_data_for_a_held_read() {
    let (bench, gate) = stalled(|builder| builder);
    let settings = Settings { initial_r2t: false, immediate_data: false, ..Settings::default() };
    let mut client = Client::login(bench.portal(), InitiatorConfig { settings, ..config(1) }).unwrap();
    client.run(Command::TestUnitReady, &[]);
    let mut reads = begin_reads(&mut client, 16);
    wait_until_full(&gate);
    let cdb = Command::Read(Rw::shortest(0, BLOCKS)).encode().unwrap().padded();
    let request = ScsiRequest::write(0, cdb, Bytes::from(image(8192)));
    let read_len = MIB as u32;
    let task = client.engine.submit(ScsiRequest { read_len, ..request }).unwrap();
    let mut wire = Vec::new();
    client.engine.transmit().drain_into(&mut wire);
    // The command has an additional header of 8 bytes; DataSN of the Data-Out behind it.
    let data_out = 48 + 8;
    assert_eq!((wire[4], wire[data_out] & 0x3f), (2, 0x05));
    wire[data_out + 39] = 9;
    client.stream.write_all(&wire).unwrap();
    assert_eq!(client.listen(MOMENT), []);
    open(&bench, &gate);
    reads.push((task, 0));
    take_reads(&mut client, reads);
    client.run(Command::TestUnitReady, &[]).good();
}

/// A connection that ends takes what it held along. Its session is over when the disk has answered what it was given,
/// and nothing more goes there.
#[test]
fn a_lost_connection_takes_its_held_reads_along() {
    for stop in [false, true] {
        let (mut bench, gate) = stalled(|builder| builder);
        let mut client = Client::ready(bench.portal(), 1);
        let mut ordered = Client::ready(bench.portal(), 2);
        let before = gate.seen();
        begin_reads(&mut client, 40);
        wait_until_full(&gate);
        // It waits for all of them, and so for none once they are gone.
        let write = ordered.begin_write(0, &image(512), Attribute::Ordered);
        assert_eq!(ordered.listen(MOMENT), []);
        let mut client = Some(client);
        let mut stopping = None;
        if stop {
            let target = bench.target.take().unwrap();
            stopping = Some(bench.runtime.spawn(target.stop()));
        } else {
            client = None;
        }
        std::thread::sleep(MOMENT);
        open(&bench, &gate);
        if let Some(stopping) = stopping {
            bench.runtime.block_on(async {
                tokio::time::timeout(Duration::from_secs(10), stopping).await.expect("it stops").unwrap();
            });
        } else {
            assert_eq!(ordered.hear(1, LONG), [Heard::Ended(write, GOOD)]);
            bench.wait_for_sessions(1);
        }
        // The flush of a target that stops counts too.
        assert_eq!(gate.seen() - before, 17, "a read that was held reached the disk");
        assert_eq!(gate.held(), []);
        drop(client);
    }
}

/// Reads of 3 GiB, in the window and beside it: what is in memory of them is bounded, and so is their number.
#[test]
fn what_is_held_has_no_memory_and_its_number_is_bounded() {
    let (bench, gate) = stalled(|builder| builder);
    let mut client = Client::ready(bench.portal(), 1);
    let before = gate.seen();
    // The window is 128, and the engine takes 16 immediate commands.
    for number in 0..200_u32 {
        for immediate in [false, true] {
            let mut raw = RawScsiCommand::blank();
            raw.opcode |= if immediate { IMMEDIATE } else { 0 };
            raw.flags = FINAL | RawScsiCommand::READ;
            raw.expected_len = (8 << 20).into();
            raw.itt = (1000 + number * 2 + u32::from(immediate)).into();
            raw.cmd_sn = (2 + number).into();
            raw.cdb = Command::Read(Rw::shortest(0, 16384)).encode().unwrap().padded();
            let mut tx = iscsi::Transmit::<Bytes>::default();
            tx.push(raw, &[]);
            let mut wire = Vec::new();
            tx.drain_into(&mut wire);
            client.stream.write_all(&wire).unwrap();
        }
    }
    let mut rejected = 0;
    client.watch(MOMENT, |event| {
        if let Event::Rejected { reason: RejectReason::TooManyImmediate, .. } = event {
            rejected += 1;
        }
        true
    });
    assert_eq!(rejected, 200 - 16);
    assert_eq!((gate.seen() - before, at_the_disk(&gate)), (2, READS_HIGH));
    // They go on as others end, and never more at a time.
    let mut stream = client.stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    for round in 2..10 {
        bench.runtime.block_on(gate.release_all());
        wait_until_full(&gate);
        assert_eq!(gate.seen() - before, round * 2);
    }
    client.stream.shutdown(Shutdown::Both).unwrap();
    reader.join().unwrap().unwrap();
    drop(client);
    open(&bench, &gate);
    bench.wait_for_sessions(0);
}

/// The bug: reads that waited for an ORDERED command did not count, and when it ended all of them went to the disk at
/// once, whatever their size: a session could make the target hold 1 GiB.
#[test]
fn reads_whose_turn_comes_at_once_do_not_run_at_once() {
    let (bench, gate) = stalled(|builder| builder);
    let (mut slow, mut client) = (with_an_ordered_write(&bench), Client::ready(bench.portal(), 2));
    let before = gate.seen();
    let reads = begin_reads(&mut client, 100);
    assert_eq!(client.listen(MOMENT), []);
    assert_eq!(gate.seen(), before);
    assert!(matches!(slow.hear(1, LONG)[..], [Heard::Ended(_, GOOD)]));
    wait_until_full(&gate);
    assert_eq!(gate.seen() - before, 1 + 16);
    open(&bench, &gate);
    take_reads(&mut client, reads);
}

/// The same with a disk that is fast, and an initiator that does not take its answers: what waits to be sent is
/// bounded, and nothing is forgotten when it does take them.
#[test]
fn reads_whose_turn_comes_wait_for_the_socket() {
    let (bench, gate) = stalled(|builder| builder);
    gate.clear();
    let (mut slow, mut client) = (with_an_ordered_write(&bench), Client::ready(bench.portal(), 2));
    let before = gate.seen();
    let reads = begin_reads(&mut client, 120);
    assert_eq!(client.listen(MOMENT), []);
    assert_eq!(gate.seen(), before);
    assert!(matches!(slow.hear(1, LONG)[..], [Heard::Ended(_, GOOD)]));
    std::thread::sleep(MOMENT);
    // The socket's buffers take some MiB beside what the target holds.
    let seen = gate.seen() - before;
    assert!((3..60).contains(&seen), "{seen} MiB were read for one who takes nothing");
    take_reads(&mut client, reads);
}

/// A session with an ORDERED write whose data is called for; it is sent when the client next listens.
fn with_an_ordered_write(bench: &Bench) -> Client {
    let settings = Settings { initial_r2t: true, immediate_data: false, ..Settings::default() };
    let mut slow = Client::login(bench.portal(), InitiatorConfig { settings, ..config(1) }).unwrap();
    slow.run(Command::TestUnitReady, &[]);
    slow.begin_write(0, &image(4096), Attribute::Ordered);
    std::thread::sleep(MOMENT);
    slow
}
