//! Data of writes that comes wrong: the write ends with the sense that RFC 7143, 11.4.7.2 has for it, nothing of it
//! reaches the disk, and the session goes on.

use iscsi::pdu::{Bhs, FINAL, Opcode, RawDataOut, RawR2t, RawScsiCommand};
use iscsi::text::Settings;
use iscsi::{DataFault, TargetConfig};
use zerocopy::FromBytes as _;

use crate::bad_input::{command, ready, wire};
use crate::capture::{From, Reader};
use crate::pair::{Pair, config};

const NONE: u32 = 0xffff_ffff;

/// A Data-Out: TTT, DataSN, offset, bytes, and whether it is the last.
#[derive(Clone, Copy)]
struct Out(u32, u32, u32, usize, bool);

fn data_out(out: Out) -> Vec<u8> {
    let Out(ttt, data_sn, offset, len, last) = out;
    let mut raw = RawDataOut::blank();
    raw.flags = if last { FINAL } else { 0 };
    raw.itt = 77.into();
    raw.ttt = ttt.into();
    raw.data_sn = data_sn.into();
    raw.buffer_offset = offset.into();
    wire(|tx| tx.push(raw, &vec![2; len]))
}

/// What the target has to send: opcode and header of each PDU.
fn sent(pair: &mut Pair) -> Vec<(Opcode, Vec<u8>)> {
    let mut bytes = Vec::new();
    pair.target.transmit().drain_into(&mut bytes);
    let pdus = Reader::new().read(From::Target, &bytes);
    pdus.iter().map(|pdu| (pdu.opcode(), [pdu.pdu.as_bytes(), &pdu.data].concat())).collect()
}

/// The session is sound: a command with the same tag and the next number is done.
fn goes_on(pair: &mut Pair) {
    let mut raw = command(4096, false);
    raw.cmd_sn = 2.into();
    pair.feed_target(&wire(|tx| tx.push(raw, &[7; 4096]))).unwrap();
    let answers = sent(pair);
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].0, answers[0].1[3]), (Opcode::ScsiResponse, 0));
    assert_eq!(pair.disk[..4096], [7; 4096]);
}

/// CHECK CONDITION, ABORTED COMMAND, with this additional sense; nothing on the disk.
fn ended_with(pair: &mut Pair, asc: u8, ascq: u8) {
    let answers = sent(pair);
    let (opcode, bytes) = &answers[0];
    assert_eq!((answers.len(), *opcode, bytes[3]), (1, Opcode::ScsiResponse, 2), "{answers:?}");
    let sense = &bytes[48 + 2..];
    assert_eq!((sense[2], sense[12], sense[13]), (0x0b, asc, ascq));
    assert!(pair.disk.iter().all(|byte| *byte == 0));
}

/// libiscsi's `iSCSIdatasn` ended the whole session once: a DataSN out of its place was an error of the connection.
#[test]
fn unsolicited_data_out_of_its_place_ends_its_write_alone() {
    let start = |pair: &mut Pair| {
        pair.feed_target(&wire(|tx| tx.push(command(4096, true), &[1; 512]))).unwrap();
    };
    let good = [Out(NONE, 0, 512, 1024, false), Out(NONE, 1, 1536, 2560, true)];
    let mut pair = ready(Settings::default());
    start(&mut pair);
    for out in good {
        pair.feed_target(&data_out(out)).unwrap();
    }
    assert_eq!(sent(&mut pair)[0].1[3], 0);
    assert_eq!(pair.disk[512..4096], [2; 3584]);

    let lost = DataFault::OutOfSequence;
    let cases: [(usize, Out, DataFault, &str); 8] = [
        (0, Out(NONE, 1, 512, 1024, false), lost, "DataSN is 0x1, must be the next of its sequence"),
        (0, Out(NONE, 27, 512, 1024, false), lost, "DataSN is 0x1b, must be the next of its sequence"),
        (
            0,
            Out(NONE, u32::MAX, 512, 1024, false),
            lost,
            "DataSN is 0xffffffff, must be the next of its sequence",
        ),
        (1, Out(NONE, 0, 1536, 2560, true), lost, "DataSN is 0x0, must be the next of its sequence"),
        (
            0,
            Out(NONE, 0, 0, 1024, false),
            lost,
            "Buffer Offset is 0x0, must be where the data before it ended",
        ),
        (
            0,
            Out(NONE, 0, 1024, 512, false),
            lost,
            "Buffer Offset is 0x400, must be where the data before it ended",
        ),
        (
            1,
            Out(NONE, 1, 1536, 2564, true),
            DataFault::WrongAmount,
            "DataSegmentLength is 0xa04, must be within what may come",
        ),
        (
            1,
            Out(NONE, 1, 1536, 2560, false),
            DataFault::WrongAmount,
            "F is 0x0, must be 1 in the PDU that brings the last of what may come unasked",
        ),
    ];
    for (at, bad, fault, message) in cases {
        let mut pair = ready(Settings::default());
        start(&mut pair);
        for (n, out) in good.into_iter().enumerate() {
            // The answer waits for the end of the sequence.
            assert!(pair.target.transmit().is_empty(), "{message}");
            pair.feed_target(&data_out(if n == at { bad } else { out })).unwrap();
        }
        assert_eq!(pair.bad_data, [(fault, format!("SCSI Data-Out: {message}"))]);
        let (asc, ascq) = fault.additional_sense();
        ended_with(&mut pair, asc, ascq);
        // What still comes for it is dropped without a word.
        pair.feed_target(&data_out(Out(NONE, 2, 4096, 512, true))).unwrap();
        assert!(pair.target.transmit().is_empty());
        goes_on(&mut pair);
    }
}

#[test]
fn unsolicited_data_that_was_not_agreed() {
    let settings = Settings { immediate_data: false, initial_r2t: true, ..Settings::default() };
    let small = Settings { first_burst: 1024, ..Settings::default() };
    let mut none = command(0, false);
    none.cdb[0] = 0;
    let cases: [(Settings, RawScsiCommand, usize, DataFault, &str); 5] = [
        (
            settings.clone(),
            command(4096, false),
            512,
            DataFault::Unexpected,
            "DataSegmentLength is 0x200, must be 0, since ImmediateData is No",
        ),
        (
            small,
            command(4096, false),
            2048,
            DataFault::WrongAmount,
            "DataSegmentLength is 0x800, must be up to FirstBurstLength",
        ),
        (
            Settings::default(),
            command(100, false),
            512,
            DataFault::WrongAmount,
            "DataSegmentLength is 0x200, must be up to Expected Data Transfer Length",
        ),
        (
            Settings::default(),
            none,
            512,
            DataFault::Unexpected,
            "DataSegmentLength is 0x200, must be 0, since the command writes nothing",
        ),
        (
            Settings { initial_r2t: true, ..Settings::default() },
            command(4096, true),
            512,
            DataFault::Unexpected,
            "F is 0x0, must be 1, since InitialR2T is Yes",
        ),
    ];
    for (settings, raw, len, fault, message) in cases {
        let mut pair = ready(settings);
        pair.feed_target(&wire(|tx| tx.push(raw, &vec![1; len]))).unwrap();
        if !raw.is_final() {
            // The data that was promised is waited for.
            assert!(pair.target.transmit().is_empty());
            pair.feed_target(&data_out(Out(NONE, 0, 512, 3584, true))).unwrap();
        }
        assert_eq!(pair.bad_data, [(fault, format!("SCSI Command: {message}"))]);
        let (asc, ascq) = fault.additional_sense();
        ended_with(&mut pair, asc, ascq);
    }
}

/// A write of 4096 bytes, asked for in R2Ts of 1024 bytes, `count` of them at a time.
fn solicited(count: u16) -> (Pair, Vec<RawR2t>) {
    let settings = Settings {
        immediate_data: false,
        initial_r2t: true,
        max_burst: 1024,
        first_burst: 512,
        max_outstanding_r2t: count,
        ..Settings::default()
    };
    let mut pair = Pair::new(
        iscsi::InitiatorConfig { settings: settings.clone(), ..config() },
        TargetConfig { settings, ..TargetConfig::default() },
    );
    pair.run().unwrap();
    pair.feed_target(&wire(|tx| tx.push(command(4096, false), &[]))).unwrap();
    let r2ts = sent(&mut pair).iter().map(|(_, bytes)| RawR2t::read_from_bytes(bytes).unwrap()).collect();
    (pair, r2ts)
}

#[test]
fn solicited_data_that_is_not_what_was_called_for() {
    let cases: [(Out, DataFault, &str); 6] = [
        (
            Out(0, 1, 0, 1024, true),
            DataFault::OutOfSequence,
            "DataSN is 0x1, must be the next of its sequence",
        ),
        (
            Out(0, 0, 512, 512, true),
            DataFault::OutOfSequence,
            "Buffer Offset is 0x200, must be where the data before it ended",
        ),
        (
            Out(0, 0, 0, 512, true),
            DataFault::WrongAmount,
            "F is 0x1, must be set in the PDU that brings the last of what was called for, and there alone",
        ),
        (
            Out(0, 0, 0, 1024, false),
            DataFault::WrongAmount,
            "F is 0x0, must be set in the PDU that brings the last of what was called for, and there alone",
        ),
        (
            Out(0, 0, 0, 1536, true),
            DataFault::WrongAmount,
            "DataSegmentLength is 0x600, must be within what may come",
        ),
        (
            Out(NONE, 0, 0, 512, true),
            DataFault::Unexpected,
            "Target Transfer Tag is 0xffffffff, must be that of an R2T",
        ),
    ];
    for (bad, fault, message) in cases {
        let (mut pair, r2ts) = solicited(1);
        let ttt = r2ts[0].ttt.get();
        let bad = if bad.0 == 0 { Out(ttt, bad.1, bad.2, bad.3, bad.4) } else { bad };
        pair.feed_target(&data_out(bad)).unwrap();
        if bad.0 == NONE {
            // What was called for is still to come.
            assert!(pair.target.transmit().is_empty());
            pair.feed_target(&data_out(Out(ttt, 0, 0, 1024, true))).unwrap();
        }
        assert_eq!(pair.bad_data, [(fault, format!("SCSI Data-Out: {message}"))]);
        let (asc, ascq) = fault.additional_sense();
        ended_with(&mut pair, asc, ascq);
    }
}

#[test]
fn the_answer_waits_for_every_sequence_that_was_called_for() {
    let (mut pair, r2ts) = solicited(3);
    let [a, b, c] = [0, 1, 2].map(|n| r2ts[n].ttt.get());
    pair.feed_target(&data_out(Out(b, 5, 1024, 512, false))).unwrap();
    pair.feed_target(&data_out(Out(99, 0, 0, 512, true))).unwrap();
    pair.feed_target(&data_out(Out(a, 0, 0, 1024, true))).unwrap();
    pair.feed_target(&data_out(Out(c, 0, 2048, 1024, true))).unwrap();
    assert!(pair.target.transmit().is_empty(), "no R2T, no answer");
    pair.feed_target(&data_out(Out(b, 6, 1536, 512, true))).unwrap();
    assert_eq!(pair.bad_data.len(), 1);
    ended_with(&mut pair, 0x47, 0x05);
}

/// Data behind the end of what was called for, or for no write at all: nobody knows what the initiator means.
#[test]
fn data_for_what_takes_none_ends_the_session() {
    let mut pair = ready(Settings::default());
    pair.feed_target(&wire(|tx| tx.push(command(4096, true), &[1; 512]))).unwrap();
    let mut other = data_out(Out(NONE, 0, 512, 512, true));
    other[19] = 78;
    let error = pair.feed_target(&other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SCSI Data-Out: Initiator Task Tag is 0x4e, must be that of a command in flight"
    );
    let mut pair = ready(Settings::default());
    pair.hold = true;
    let mut read = command(4096, false);
    read.flags = FINAL | RawScsiCommand::READ;
    pair.feed_target(&wire(|tx| tx.push(read, &[]))).unwrap();
    let error = pair.feed_target(&data_out(Out(NONE, 0, 0, 512, true))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SCSI Data-Out: Initiator Task Tag is 0x4d, must be that of a write that waits for data"
    );
}

/// An abort in the middle of spoiled data ends the wait; what comes later is dropped.
#[test]
fn an_abort_ends_a_spoiled_write() {
    let (mut pair, r2ts) = solicited(1);
    pair.feed_target(&data_out(Out(r2ts[0].ttt.get(), 3, 0, 512, false))).unwrap();
    let task = pair.target.tasks()[0];
    assert!(pair.target.abort(task));
    pair.feed_target(&data_out(Out(r2ts[0].ttt.get(), 4, 512, 512, true))).unwrap();
    assert!(pair.target.transmit().is_empty());
    assert!(pair.bad_data.is_empty());
}
