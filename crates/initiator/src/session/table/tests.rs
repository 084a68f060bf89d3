//! The table alone: an engine that has logged in takes its commands, and the tests say how they end.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use block::{Geometry, IoFuture};
use iscsi::{InitiatorConfig, Isid, LoginGrant, Residual, Seed, Target, TargetAuth, TargetConfig};
use iscsi::{TargetEvent, Verdict};
use scsi::{Lun, SenseFormat, Status};

use super::*;
use crate::probe::Limits;
use crate::session::request::Answer;

const BLOCK: u64 = 512;
const TRANSFER: u64 = 8 * BLOCK;

struct Bench {
    table: Table,
    engine: Initiator<Chunk>,
}

fn engine(now: Instant) -> Initiator<Chunk> {
    let config = InitiatorConfig::new("iqn.2026-01.test:i", "iqn.2026-01.test:t", Isid::random([1, 2, 3], 4));
    let mut engine = Initiator::<Chunk>::new(now, config, Seed::new([1; 32])).unwrap();
    let mut target = Target::<bytes::Bytes>::new(now, TargetConfig::default(), Seed::new([2; 32])).unwrap();
    while !engine.is_ready() {
        let mut wire = Vec::new();
        engine.transmit().drain_into(&mut wire);
        let mut bytes = &wire[..];
        while let Some(event) = target.receive(now, &mut bytes).unwrap() {
            if let TargetEvent::Login(_) = event {
                let grant = LoginGrant { tsih: 1, auth: TargetAuth::None, target_alias: None };
                target.grant(grant).unwrap();
            }
        }
        let mut wire = Vec::new();
        target.transmit().drain_into(&mut wire);
        let mut bytes = &wire[..];
        while engine.receive(now, &mut bytes).unwrap().is_some() {}
    }
    engine
}

fn bench() -> Bench {
    let now = crate::conn::now();
    let geometry = Geometry {
        size: 1 << 20,
        logical_block: 512,
        physical_block: 512,
        optimal_io: 0,
        read_only: false,
        discard_granularity: 512,
    };
    let limits =
        Limits { transfer: TRANSFER, discard: None, write_same: 64 * BLOCK, unmap_zeroes: false, fua: false };
    let info = LunInfo {
        lun: Lun::ZERO,
        vendor: String::new(),
        product: String::new(),
        revision: String::new(),
        wwid: None,
        geometry,
        limits,
    };
    let table = Table::new("disk".into(), info, Duration::from_secs(60), now);
    Bench { table, engine: engine(now) }
}

type End = IoFuture<'static, Result<(), BlockError>>;

impl Bench {
    fn admit(&mut self, action: Action, offset: u64, len: u64) -> End {
        let (promise, future) = IoFuture::promised();
        self.table.admit(Request::new(action, offset, len, Answer::Plain(promise)));
        self.table.submit(&mut self.engine);
        future
    }

    fn write(&mut self, len: u64, stable: bool) -> IoFuture<'static, block::Completion> {
        let data = std::iter::once(Arc::new(Buf::zeroed(usize::try_from(len).unwrap()))).collect();
        let (promise, future) = IoFuture::promised();
        let action = Action::Write { data, stable };
        self.table.admit(Request::new(action, 0, len, Answer::Transfer(promise)));
        self.table.submit(&mut self.engine);
        future
    }

    /// Ranges in flight, by the place of their task.
    fn in_flight(&self) -> Vec<(u64, u64)> {
        let flights = self.table.flights.iter().flatten();
        flights.map(|flight| (flight.share.start, flight.share.len)).collect()
    }

    /// The connection dies, and a new one takes what can be sent again.
    fn lose(&mut self, error: &ConnectionError) -> bool {
        let changes = self.table.lost(self.engine.take_unfinished(), error);
        self.engine = engine(self.table.now);
        self.table.submit(&mut self.engine);
        changes
    }

    /// All commands in flight end like this.
    fn end_all(&mut self, status: Status, sense: Option<Sense>) {
        let outcome = Outcome {
            verdict: Verdict::Completed,
            status: status.code(),
            sense: sense.map(|sense| sense.encode(SenseFormat::Fixed)).unwrap_or_default(),
            residual: Residual::None,
            read_residual: Residual::None,
            received: 0,
        };
        for (task, request) in self.engine.take_unfinished() {
            drop(request);
            self.table.take_end(task, &outcome);
        }
        self.engine = engine(self.table.now);
        self.table.release();
        self.table.submit(&mut self.engine);
    }
}

fn poll<T: Unpin>(future: &mut IoFuture<'static, T>) -> Option<T> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

#[test]
fn a_write_is_cut_to_what_a_command_carries_and_answered_once() {
    let mut bench = bench();
    let mut end = bench.write(3 * TRANSFER - BLOCK, false);
    assert_eq!(bench.in_flight(), [(0, TRANSFER), (TRANSFER, TRANSFER), (2 * TRANSFER, TRANSFER - BLOCK)]);
    assert!(poll(&mut end).is_none());
    bench.end_all(Status::Good, None);
    assert!(poll(&mut end).unwrap().1.is_ok());
    assert!(bench.table.is_idle());
}

#[test]
fn what_a_connection_leaves_behind_is_sent_again_in_its_order() {
    let mut bench = bench();
    let mut flush = bench.admit(Action::Flush, 0, 0);
    assert!(!bench.lose(&ConnectionError::Closed), "a flush changes nothing");
    let mut end = bench.write(2 * TRANSFER, false);
    assert!(bench.lose(&ConnectionError::Closed), "a write may still be under way");
    assert_eq!(bench.in_flight(), [(0, 0), (0, TRANSFER), (TRANSFER, TRANSFER)]);
    bench.end_all(Status::Good, None);
    assert!(poll(&mut flush).unwrap().is_ok());
    assert!(poll(&mut end).unwrap().1.is_ok());
    let _zero = bench.admit(Action::Zero, 0, BLOCK);
    assert!(bench.lose(&ConnectionError::Closed), "zeroes are a write too");
}

#[test]
fn a_command_that_breaks_every_connection_fails_in_the_end() {
    let mut bench = bench();
    let mut end = bench.write(BLOCK, false);
    let fault = || {
        ConnectionError::Session(iscsi::SessionError::Unexpected {
            pdu: iscsi::pdu::Opcode::NopIn,
            when: "in a test",
        })
    };
    for _ in 1..FAULTS {
        bench.lose(&fault());
        assert!(poll(&mut end).is_none());
    }
    bench.lose(&fault());
    let Some((_, Err(BlockError::Unreachable { why, .. }))) = poll(&mut end) else { panic!("no error") };
    assert!(why.contains("3 connections died of it"), "{why}");
    // Connections that just end may have other reasons: there it takes time as well.
    let mut end = bench.write(BLOCK, false);
    for _ in 0..2 * LOSSES {
        bench.lose(&ConnectionError::Closed);
    }
    assert!(poll(&mut end).is_none());
    bench.table.now += LOSS_TIME;
    bench.lose(&ConnectionError::Closed);
    assert!(poll(&mut end).is_some());
}

#[test]
fn a_command_without_answer_fails_after_a_few_times() {
    let mut bench = bench();
    let mut end = bench.write(BLOCK, false);
    let limit = Duration::from_secs(5);
    for _ in 0..TIMEOUTS {
        assert!(!bench.table.is_overdue(limit));
        assert!(poll(&mut end).is_none());
        bench.table.now += limit;
        assert!(bench.table.is_overdue(limit));
        bench.lose(&ConnectionError::CommandTimeout { seconds: 5 });
    }
    let Some((_, Err(BlockError::Io { source, .. }))) = poll(&mut end) else { panic!("no error") };
    assert_eq!(source.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_busy_unit_is_asked_again_until_patience_ends() {
    let mut bench = bench();
    let mut end = bench.write(BLOCK, false);
    bench.end_all(Status::Busy, None);
    assert_eq!(bench.in_flight(), [], "not at once");
    bench.table.now = bench.table.next_release().unwrap();
    bench.table.release();
    bench.table.submit(&mut bench.engine);
    assert_eq!(bench.in_flight(), [(0, BLOCK)]);
    bench.table.now += Duration::from_secs(60);
    bench.end_all(Status::Busy, None);
    let Some((_, Err(BlockError::Io { source, .. }))) = poll(&mut end) else { panic!("no error") };
    assert_eq!(source.kind(), io::ErrorKind::ResourceBusy);
}

#[test]
fn without_force_unit_access_a_stable_write_is_flushed() {
    let mut bench = bench();
    let mut end = bench.write(BLOCK, true);
    bench.end_all(Status::Good, None);
    assert_eq!(bench.in_flight(), [(BLOCK, 0)], "the flush");
    assert!(poll(&mut end).is_none());
    bench.end_all(Status::Good, None);
    assert!(poll(&mut end).unwrap().1.is_ok());
}

#[test]
fn without_write_same_zeroes_are_written() {
    let mut bench = bench();
    let mut end = bench.admit(Action::Zero, 0, 2 * TRANSFER);
    assert_eq!(bench.in_flight(), [(0, 2 * TRANSFER)]);
    let unknown = Sense::illegal(AdditionalSense::INVALID_OPERATION_CODE);
    bench.end_all(Status::CheckCondition, Some(unknown));
    assert_eq!(bench.in_flight(), [(0, TRANSFER), (TRANSFER, TRANSFER)]);
    bench.end_all(Status::Good, None);
    assert!(poll(&mut end).unwrap().is_ok());
}

#[test]
fn a_failed_share_fails_its_request_when_the_others_have_ended() {
    let mut bench = bench();
    let mut end = bench.write(2 * TRANSFER, false);
    let sense = Sense::new(SenseKey::MediumError, AdditionalSense::WRITE_ERROR);
    bench.end_all(Status::CheckCondition, Some(sense));
    assert!(matches!(poll(&mut end), Some((bufs, Err(BlockError::Io { .. }))) if bufs.len() == 1));
    assert!(bench.table.is_idle());
}
