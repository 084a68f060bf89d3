//! Bytes that no honest peer sends: never a panic, never a hang, an error that names PDU and field or key.

use bytes::Bytes;
use fixtures::Random;
use iscsi::pdu::{Bhs, FINAL, IMMEDIATE, Opcode, RawLoginRequest, RawNopOut, RawScsiCommand, RawSnack};
use iscsi::text::{DigestPolicy, Settings};
use iscsi::{InitiatorConfig, Payload, SessionError, TargetConfig, Transmit};
use proptest::prelude::*;

use crate::capture::From;
use crate::capture::{Reader, load};
use crate::pair::{Pair, config};

pub(crate) fn wire(push: impl FnOnce(&mut Transmit<Bytes>)) -> Vec<u8> {
    let mut tx = Transmit::default();
    push(&mut tx);
    let mut wire = Vec::new();
    tx.drain_into(&mut wire);
    wire
}

/// A pair past its login.
pub(crate) fn ready(settings: Settings) -> Pair {
    let initiator = InitiatorConfig { settings: settings.clone(), ..config() };
    let mut pair = Pair::new(initiator, TargetConfig { settings, ..TargetConfig::default() });
    pair.run().unwrap();
    pair
}

fn login(flags: u8, text: &[u8]) -> Vec<u8> {
    let mut raw = RawLoginRequest::blank();
    raw.opcode |= IMMEDIATE;
    raw.flags = flags;
    wire(|tx| tx.push(raw, text))
}

pub(crate) fn command(write: u32, first: bool) -> RawScsiCommand {
    let mut raw = RawScsiCommand::blank();
    raw.flags = if first { RawScsiCommand::WRITE } else { FINAL | RawScsiCommand::WRITE };
    raw.expected_len = write.into();
    raw.itt = 77.into();
    raw.cmd_sn = 1.into();
    raw.cdb = [0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
    raw
}

#[test]
fn a_target_names_what_is_wrong_in_a_login() {
    let base = b"InitiatorName=iqn.a:b\0TargetName=iqn.c:d\0";
    let long = [&base[..], b"X-a=", &b"x".repeat(8100)[..], b"\0"].concat();
    for (flags, text, message, status) in [
        (0x87, &b"TargetName=iqn.c:d\0"[..], "Login Request: `InitiatorName` is missing", (2, 7)),
        (0x87, b"InitiatorName=iqn.a:b\0", "Login Request: `TargetName` is missing", (2, 7)),
        (
            0x87,
            b"InitiatorName=iqn.a:b\0SessionType=Odd\0",
            "login refused: session type not supported (0209)",
            (2, 9),
        ),
        (0x87, b"nonsense\0", "Login Request: text at byte 0 is not a key=value pair", (2, 0)),
        (
            0x87,
            b"InitiatorName=iqn.a:b\0TargetName=iqn.c:d\0MaxBurstLength=5\0",
            "Login Request: `MaxBurstLength=5`: must be a number in the key's range",
            (2, 0),
        ),
        (
            0x87,
            b"InitiatorName=iqn.a:b\0InitiatorName=iqn.a:b\0TargetName=iqn.c:d\0",
            "Login Request: the key `InitiatorName` comes a second time",
            (2, 0),
        ),
    ] {
        let mut pair = Pair::new(config(), TargetConfig::default());
        let error = pair.feed_target(&login(flags, text)).unwrap_err();
        assert_eq!(error.to_string(), message);
        let mut out = Vec::new();
        pair.target.transmit().drain_into(&mut out);
        let answer = Reader::new().read(From::Target, &out);
        assert_eq!(answer.len(), 1);
        let header = answer[0].pdu.as_bytes();
        assert_eq!((header[36], header[37]), status);
    }
    // Good, with a key nobody knows.
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.feed_target(&login(0x87, &long)).unwrap();
    let mut out = Vec::new();
    pair.target.transmit().drain_into(&mut out);
    let answer = Reader::new().read(From::Target, &out);
    assert_eq!(answer[0].key("X-a"), Some("NotUnderstood"));
    assert!(pair.target.is_ready());
}

#[test]
fn a_login_of_endless_text_or_steps_ends() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    let more = login(0x44, &b"a".repeat(8000));
    let error = (0..100).find_map(|_| pair.feed_target(&more).err()).unwrap();
    assert_eq!(error.to_string(), "Login Request: the text is longer than 65536 bytes");
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.feed_target(&login(0x04, b"InitiatorName=iqn.a:b\0TargetName=iqn.c:d\0")).unwrap();
    let error = (0..100).find_map(|_| pair.feed_target(&login(0x04, b"")).err()).unwrap();
    assert_eq!(error.to_string(), "login is not over after 64 requests");
}

#[test]
fn commands_before_login_and_login_after_it() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    let error = pair.feed_target(&wire(|tx| tx.push(command(0, false), &[]))).unwrap_err();
    assert_eq!(error, SessionError::Unexpected { pdu: Opcode::ScsiCommand, when: "before login was over" });
    let mut pair = ready(Settings::default());
    let error = pair.feed_target(&login(0x87, b"")).unwrap_err();
    assert_eq!(error.to_string(), "Login Request came after login");
}

/// A header alone is enough for a segment that is too long.
#[test]
fn a_segment_beyond_what_was_agreed() {
    let mut raw = command(1 << 23, false);
    raw.set_data_len(300_000);
    let mut pair = ready(Settings::default());
    let data = Payload::new(Bytes::from(vec![0; 300_000]));
    let error = pair.feed_target(&wire(|tx| tx.push_data(raw, &[], &data, 0..300_000))[..48]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SCSI Command: DataSegmentLength is 300000, beyond the 262144 bytes of MaxRecvDataSegmentLength"
    );
}

#[test]
fn what_is_not_built_is_rejected_and_the_session_goes_on() {
    let mut pair = ready(Settings::default());
    let mut snack = RawSnack::blank();
    snack.flags = FINAL;
    pair.feed_target(&wire(|tx| tx.push(snack, &[]))).unwrap();
    let mut odd = RawNopOut::blank();
    odd.opcode = 0x1c;
    pair.feed_target(&wire(|tx| tx.push(odd, &[]))).unwrap();
    let mut out = Vec::new();
    pair.target.transmit().drain_into(&mut out);
    let answers = Reader::new().read(From::Target, &out);
    let reasons: Vec<u8> = answers.iter().map(|answer| answer.pdu.as_bytes()[2]).collect();
    assert_eq!(reasons, [0x04, 0x05]);
    assert!(answers.iter().all(|answer| answer.opcode() == Opcode::Reject && answer.data.len() == 48));
}

#[test]
fn commands_outside_the_window_are_dropped_without_a_word() {
    let mut pair = ready(Settings::default());
    for cmd_sn in [0_u32, 0xffff_ffff, 1 + 128, 5000] {
        let mut raw = command(512, false);
        raw.cmd_sn = cmd_sn.into();
        pair.feed_target(&wire(|tx| tx.push(raw, &[1; 512]))).unwrap();
        assert!(pair.target.transmit().is_empty());
    }
    let mut raw = command(512, false);
    raw.cmd_sn = 2.into();
    let error = pair.feed_target(&wire(|tx| tx.push(raw, &[1; 512]))).unwrap_err();
    assert_eq!(error.to_string(), "SCSI Command: CmdSN is 0x2, must be ExpCmdSN; a command was left out");
}

/// One exchange of everything: the bytes of each direction, PDU by PDU where they were sent.
fn corrupt(settings: &Settings, at: usize, flip: u8, to_target: bool) -> Option<SessionError> {
    let initiator = InitiatorConfig { settings: settings.clone(), ..config() };
    let mut pair =
        Pair::new(initiator, TargetConfig { settings: settings.clone(), ..TargetConfig::default() });
    pair.write(3, &[5; 4096]);
    pair.read(3, 20);
    let mut passed = 0_usize;
    for _ in 0..200 {
        for side in [true, false] {
            let mut bytes = Vec::new();
            if side {
                pair.initiator.transmit().drain_into(&mut bytes);
            } else {
                pair.target.transmit().drain_into(&mut bytes);
            }
            if side == to_target {
                if let Some(byte) = at.checked_sub(passed).and_then(|at| bytes.get_mut(at)) {
                    *byte ^= flip;
                }
                passed += bytes.len();
            }
            let result = if side { pair.feed_target(&bytes) } else { pair.feed_initiator(&bytes) };
            if let Err(error) = result {
                return Some(error);
            }
        }
    }
    // Nobody saw it: harmless bits, or a stream that waits for what will not come. Time ends that.
    let now = pair.now + std::time::Duration::from_secs(3600);
    pair.initiator
        .handle_timeout(now)
        .err()
        .or_else(|| pair.initiator.handle_timeout(now + std::time::Duration::from_secs(3600)).err())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(1500)))]

    #[test]
    fn a_flipped_byte_never_panics(at in 0..16_000_usize, flip in 1..=255_u8, to_target in any::<bool>()) {
        // What it comes to may be anything but a panic; most are errors with a name.
        if let Some(error) = corrupt(&Settings::default(), at, flip, to_target) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_flipped_byte_behind_the_login_is_caught_by_digests(at in 0..12_000_usize, flip in 1..=255_u8, to_target in any::<bool>()) {
        let settings = Settings {
            header_digest: DigestPolicy::Always, data_digest: DigestPolicy::Always, ..Settings::default()
        };
        // The first login PDU has no digest; it is at most 600 bytes long.
        let (login, whole) = (600, if to_target { 600 + 48 + 4 + 4096 + 4 } else { 600 + 10_000 });
        let at = login + at % (whole - login);
        let error = corrupt(&settings, at, flip, to_target);
        // A flipped length waits for bytes that do not come, and the ping's silence ends it.
        prop_assert!(error.is_some());
    }

    #[test]
    fn any_bytes_at_any_time(bytes in proptest::collection::vec(any::<u8>(), 0..400), op in 0..18_usize, logged_in in any::<bool>()) {
        let mut bytes = bytes;
        if bytes.len() > 48 {
            bytes[0] = Opcode::ALL[op].code() | bytes[0] & 0x40;
            bytes[4] = 0;
            bytes[5] = 0;
            bytes[6] = 0;
        }
        let mut pair = if logged_in { ready(Settings::default()) } else { Pair::new(config(), TargetConfig::default()) };
        if logged_in {
            pair.write(0, &[1; 8192]);
            pair.read(0, 8);
            pair.initiator.transmit().drain_into(&mut Vec::new());
        }
        let _ = pair.feed_target(&bytes);
        let _ = pair.feed_initiator(&bytes);
    }
}

/// Captured sessions with bytes changed: the corpus of the fuzz targets, on the stable toolchain.
#[test]
fn captured_bytes_with_changes_never_panic() {
    let mut random = Random::new(1);
    let mut ended = [0_usize; 2];
    for name in ["a-tgtd-basic", "b-tgtd-chap-digest", "e-libiscsi-tests"] {
        for connection in load(name) {
            for _ in 0..12 {
                for (end, side) in [From::Initiator, From::Target].into_iter().enumerate() {
                    let pdus = connection.pdus.iter().filter(|captured| captured.from == side).take(12);
                    let mut bytes: Vec<u8> = pdus.flat_map(|captured| captured.wire.clone()).collect();
                    for _ in 0..1 + random.below(4) {
                        let at = random.below(bytes.len());
                        bytes[at] ^= 1 << random.below(8);
                    }
                    let mut pair = Pair::new(config(), TargetConfig::default());
                    let result = match side {
                        From::Initiator => pair.feed_target(&bytes),
                        From::Target => pair.feed_initiator(&bytes),
                    };
                    ended[end] += usize::from(result.is_err());
                }
            }
        }
    }
    assert!(ended[0] > 0 && ended[1] > 0, "{ended:?}");
}
