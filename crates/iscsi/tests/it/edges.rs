//! Corners that ordinary sessions do not reach.

use bytes::Bytes;
use iscsi::chap::{Algorithm, Secret, decode_binary, encode_binary};
use iscsi::pdu::{Bhs, FINAL, IMMEDIATE, Opcode, RawLoginRequest, RawScsiCommand, RawTaskRequest};
use iscsi::{
    Event, InitiatorConfig, LoginStatus, Residual, Response, ScsiRequest, SessionError, TargetAuth,
    TargetConfig, TargetEvent, Transmit,
};

use crate::capture::{Captured, From, Reader};
use crate::pair::{Pair, TARGET, chap, config};

const NAMES: &[u8] = b"InitiatorName=iqn.a:b\0TargetName=iqn.2026-01.test.oxsan:tgt1\0";

fn wire(raw: impl Bhs, text: &[u8]) -> Vec<u8> {
    let mut tx: Transmit<Bytes> = Transmit::default();
    tx.push(raw, text);
    let mut wire = Vec::new();
    tx.drain_into(&mut wire);
    wire
}

fn login(flags: u8) -> RawLoginRequest {
    let mut raw = RawLoginRequest::blank();
    raw.opcode |= IMMEDIATE;
    raw.flags = flags;
    raw
}

/// What the target has sent.
fn answers(pair: &mut Pair) -> Vec<Captured> {
    let mut out = Vec::new();
    pair.target.transmit().drain_into(&mut out);
    Reader::new().read(From::Target, &out)
}

fn ready() -> Pair {
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.run().unwrap();
    pair
}

#[test]
fn a_login_keeps_its_identity_and_its_version() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.feed_target(&wire(login(0x04), NAMES)).unwrap();
    let mut other = login(0x87);
    other.isid = [9; 6];
    let error = pair.feed_target(&wire(other, b"")).unwrap_err();
    assert!(error.to_string().contains("the same in all requests of a login"), "{error}");
    let mut pair = Pair::new(config(), TargetConfig::default());
    let mut new = login(0x87);
    new.version_min = 1;
    let error = pair.feed_target(&wire(new, NAMES)).unwrap_err();
    assert_eq!(error, SessionError::Login { status: LoginStatus::UNSUPPORTED_VERSION });
    assert_eq!(answers(&mut pair)[0].pdu.as_bytes()[36..38], [2, 5]);
}

#[test]
fn a_redirection_gives_its_address() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    let mut out = Vec::new();
    pair.initiator.transmit().drain_into(&mut out);
    let mut bytes = out.as_slice();
    let event = pair.target.receive(pair.now, &mut bytes).unwrap();
    assert!(matches!(event, Some(TargetEvent::Login(info)) if info.target_name.as_deref() == Some(TARGET)));
    pair.target.refuse(LoginStatus::MOVED_TEMPORARILY, Some("10.0.0.9:3260"));
    let mut out = Vec::new();
    pair.target.transmit().drain_into(&mut out);
    let error = pair.feed_initiator(&out).unwrap_err();
    let addresses = vec!["10.0.0.9:3260".to_owned()];
    assert_eq!(error, SessionError::Redirected { status: LoginStatus::MOVED_TEMPORARILY, addresses });
}

#[test]
fn a_challenge_sent_back_is_refused() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    let own = Some(chap("oxtarget", "targetsecret2"));
    pair.auth = TargetAuth::Chap { users: vec![chap("oxuser", "secretsecret1")], own };
    pair.feed_target(&wire(login(0x00), &[NAMES, b"AuthMethod=CHAP\0"].concat())).unwrap();
    pair.feed_target(&wire(login(0x00), b"CHAP_A=6,7\0")).unwrap();
    let said = answers(&mut pair);
    let challenge = said[1].key("CHAP_C").unwrap();
    assert_eq!(said[1].key("CHAP_A"), Some("7"), "SHA-256, since SHA-1 is not built");
    let id: u8 = said[1].key("CHAP_I").unwrap().parse().unwrap();
    let bytes = decode_binary("CHAP_C", challenge).unwrap();
    let response = encode_binary(&Algorithm::Sha256.response(id, &Secret::new(*b"secretsecret1"), &bytes));
    let text = format!("CHAP_N=oxuser\0CHAP_R={response}\0CHAP_I=1\0CHAP_C={challenge}\0");
    let error = pair.feed_target(&wire(login(0x81), text.as_bytes())).unwrap_err();
    assert_eq!(error, SessionError::Chap { what: "the initiator sent this end's own challenge back" });
    assert_eq!(answers(&mut pair)[0].key("CHAP_R"), None);
}

#[test]
fn one_secret_for_both_directions_is_refused() {
    let same = |name| Some(chap(name, "secretsecret1"));
    let config = InitiatorConfig { credentials: same("a"), target_credentials: same("b"), ..config() };
    let error =
        iscsi::Initiator::<Bytes>::new(crate::pair::start(), config, iscsi::Seed::new([0; 32])).unwrap_err();
    assert_eq!(error.to_string(), "the same CHAP secret is set for both directions");
}

#[test]
fn news_reaches_the_initiator() {
    let mut pair = ready();
    pair.target.unit_news(5, &[0x70, 0, 6]);
    pair.target.ask_logout(30);
    pair.target.announce_drop(3);
    pair.run().unwrap();
    let seen = pair.seen.other.join("\n");
    assert!(seen.contains("UnitNews { lun: 5, sense: [112, 0, 6] }"), "{seen}");
    assert!(seen.contains("LogoutWanted { within: 30s }"), "{seen}");
    assert!(seen.contains("GoingDown { time2wait: 3 }"), "{seen}");
    // StatSN kept step.
    let read = pair.read(0, 1);
    pair.run().unwrap();
    assert_eq!(pair.outcome(read).0.status, 0);
}

#[test]
fn an_abort_ahead_of_its_command_takes_the_commands_number() {
    let mut pair = ready();
    let abort = |itt: u32, cmd_sn: u32| {
        let mut raw = RawTaskRequest::blank();
        raw.opcode |= IMMEDIATE;
        raw.flags = FINAL | 1;
        raw.itt = itt.into();
        raw.ref_itt = 99.into();
        raw.cmd_sn = 1.into();
        raw.ref_cmd_sn = cmd_sn.into();
        wire(raw, b"")
    };
    pair.feed_target(&abort(1, 1)).unwrap();
    pair.feed_target(&abort(2, 0)).unwrap();
    let said = answers(&mut pair);
    assert_eq!(said.iter().map(|answer| answer.pdu.as_bytes()[2]).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(said[0].word(28), 2, "ExpCmdSN has gone on");
    let mut late = RawScsiCommand::blank();
    late.flags = FINAL;
    late.itt = 99.into();
    late.cmd_sn = 1.into();
    pair.feed_target(&wire(late, b"")).unwrap();
    assert!(answers(&mut pair).is_empty(), "the aborted command is dropped");
}

#[test]
fn too_many_immediate_commands_and_a_tag_used_twice_are_rejected() {
    let mut pair = ready();
    pair.hold = true;
    let command = |itt: u32| {
        let mut raw = RawScsiCommand::blank();
        raw.opcode |= IMMEDIATE;
        raw.flags = FINAL;
        raw.itt = itt.into();
        raw.cmd_sn = 1.into();
        wire(raw, b"")
    };
    pair.feed_target(&command(0)).unwrap();
    pair.feed_target(&command(0)).unwrap();
    for itt in 1..17 {
        pair.feed_target(&command(itt)).unwrap();
    }
    let reasons: Vec<u8> = answers(&mut pair).iter().map(|answer| answer.pdu.as_bytes()[2]).collect();
    assert_eq!(reasons, [0x07, 0x06]);
    assert_eq!(pair.held.len(), 16);
}

#[test]
fn a_command_that_reads_and_writes() {
    let mut pair = ready();
    pair.hold = true;
    let mut cdb = [0_u8; 32];
    cdb[0] = 0x7f;
    let mut request = ScsiRequest::write(0, cdb, Bytes::from(vec![3; 1024]));
    request.read_len = 2048;
    let task = pair.submit(request);
    let mut out = Vec::new();
    pair.initiator.transmit().drain_into(&mut out);
    let mut bytes = out.as_slice();
    let mut written = vec![0; 1024];
    while let Some(event) = pair.target.receive(pair.now, &mut bytes).unwrap() {
        match event {
            TargetEvent::Command { task, command } => {
                assert_eq!((command.write_len, command.read_len), (1024, 2048));
                assert_eq!(command.cdb.as_bytes(), cdb);
                pair.target.solicit(task, 1024);
            }
            TargetEvent::DataOut { offset, data, .. } => {
                written[offset as usize..][..data.len()].copy_from_slice(data);
            }
            TargetEvent::WriteReady { task } => {
                pair.target.respond(task, &Response::read(Bytes::from(vec![4; 1500])));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(written, [3; 1024]);
    pair.run().unwrap();
    let (outcome, data) = pair.outcome(task);
    assert_eq!((outcome.residual, outcome.read_residual), (Residual::None, Residual::Underflow(548)));
    assert!(data[..1500] == [4; 1500] && data[1500..] == [0; 548]);
}

#[test]
fn a_write_that_fails_at_once_drops_its_data() {
    let mut pair = ready();
    // Beyond the disk: refused before its unsolicited data and without an R2T.
    let data = Bytes::from(vec![1; 200_000]);
    let bad = pair.submit(ScsiRequest::write(0, crate::pair::write10(1 << 20, 390), data));
    let good = pair.write(0, &[9; 512]);
    pair.run().unwrap();
    assert_eq!(pair.outcome(bad).0.status, 2);
    assert_eq!(pair.outcome(good).0.status, 0);
    assert_eq!(pair.disk[..512], [9; 512]);
}

#[test]
fn bytes_may_be_read_straight_into_their_place() {
    let mut pair = ready();
    pair.disk[..4096].fill(6);
    let task = pair.read(0, 8);
    let mut out = Vec::new();
    pair.initiator.transmit().drain_into(&mut out);
    pair.feed_target(&out).unwrap();
    let mut out = Vec::new();
    pair.target.transmit().drain_into(&mut out);
    let (header, data) = out.split_at(48);
    assert!(pair.initiator.receive(pair.now, &mut &header[..]).unwrap().is_none());
    assert_eq!(pair.initiator.expects(), Some((task, 0, 4096)));
    let mut place = vec![0; 4096];
    place.copy_from_slice(data);
    let mut bytes = place.as_slice();
    let event = pair.initiator.receive(pair.now, &mut bytes).unwrap();
    assert!(matches!(event, Some(Event::DataIn { data, .. }) if std::ptr::eq(data.as_ptr(), place.as_ptr())));
    assert_eq!(pair.initiator.expects(), None);
    assert!(matches!(pair.initiator.receive(pair.now, &mut bytes).unwrap(), Some(Event::Done { .. })));
}

#[test]
fn a_status_number_that_skips_ends_the_session() {
    let mut pair = ready();
    pair.read(0, 1);
    let mut out = Vec::new();
    pair.initiator.transmit().drain_into(&mut out);
    pair.feed_target(&out).unwrap();
    let mut out = Vec::new();
    pair.target.transmit().drain_into(&mut out);
    out[27] = out[27].wrapping_add(1);
    let error = pair.feed_initiator(&out).unwrap_err();
    assert!(error.to_string().starts_with("SCSI Data-In: StatSN is"), "{error}");
    assert_eq!(Opcode::of(out[0]), Some(Opcode::DataIn));
}

#[test]
fn nothing_follows_a_logout() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.run().unwrap();
    // A write that waits for its R2T, and a read that the target holds back.
    let write = pair.write(0, &vec![1; 512 * 1024]);
    pair.hold = true;
    let read = pair.read(0, 1);
    let mut out = Vec::new();
    pair.initiator.transmit().drain_into(&mut out);
    pair.feed_target(&out).unwrap();
    let held = std::mem::take(&mut pair.held);
    pair.initiator.logout(pair.now).unwrap();
    pair.target.solicit(held[0].0, 512 * 1024);
    let mut r2t = Vec::new();
    pair.target.transmit().drain_into(&mut r2t);
    assert_eq!(Opcode::of(r2t[0]), Some(Opcode::R2t));
    pair.feed_initiator(&r2t).unwrap();
    let mut out = Vec::new();
    pair.initiator.transmit().drain_into(&mut out);
    assert_eq!((Opcode::of(out[0]), out.len()), (Some(Opcode::LogoutRequest), 48));
    pair.feed_target(&out).unwrap();
    for (task, command) in &held {
        assert!(!pair.target.abort(*task), "{command:?} is over");
        pair.target.respond(*task, &Response::good());
    }
    pair.run().unwrap();
    assert!(pair.seen.logged_out && pair.seen.done.is_empty());
    let unfinished: Vec<_> = pair.initiator.take_unfinished().iter().map(|(task, _)| *task).collect();
    assert_eq!(unfinished, [write, read]);
}
