//! Targets that fail, lie, hang and come back.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use block::{BlockDevice as _, BlockDeviceExt as _, BlockError, Op};
use initiator::{ConnectError, ConnectionError, IscsiDevice, LunError};
use iscsi::{Credentials, LoginStatus, SessionError, TargetAuth};
use scsi::{AdditionalSense, Sense, SenseKey, Status};

use crate::mock::{Act, Meet, Mock, Seen};
use crate::setup::{check, check_many, open, options, url, write, write_many};

/// Does `act` with the `count`th command of the first connection.
fn once(count: usize, act: Act) -> impl Fn(Seen) -> Act + Send + Sync + 'static {
    move |seen| if seen.connection == 1 && seen.count == count { act.clone() } else { Act::Serve }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_dropped_connection_loses_and_doubles_nothing() {
    for act in [Act::Close, Act::ServeAndClose, Act::Cut(20), Act::Cut(100)] {
        let mock = Mock::start(once(20, act.clone())).await;
        let device = open(&mock.url()).await.expect("open");
        write_many(&device, 64, 4096, 1).await;
        check_many(&device, 64, 4096, 1).await;
        assert_eq!(mock.state.connections.load(Ordering::SeqCst), 2, "{act:?}");
    }
}

#[tokio::test]
async fn a_target_that_stops_in_mid_pdu_costs_a_connection_and_no_data() {
    // 70,000 bytes in the middle of the data of a large read, which goes straight into its place.
    let mock = Mock::start(|seen| match seen {
        Seen { connection: 1..=3, opcode: 0x28, .. } => Act::Cut(70_000),
        _ => Act::Serve,
    })
    .await;
    let device = open(&mock.url()).await.expect("open");
    write(&device, 0, 2 << 20, 1).await.expect("write");
    check(&device, 0, 2 << 20, 1).await;
    assert_eq!(mock.state.connections.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_target_that_falls_silent_is_pinged_and_left() {
    let mock = Mock::start(once(3, Act::Stall)).await;
    let device = open(&mock.url()).await.expect("open");
    let start = Instant::now();
    write_many(&device, 8, 4096, 1).await;
    check_many(&device, 8, 4096, 1).await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(mock.state.connections.load(Ordering::SeqCst), 2);
}

/// The same without a word: the connection stays, and the rest of the PDU never comes. In a header, in its data, and
/// where the socket waits for half of a long segment before it wakes anybody.
#[tokio::test]
async fn a_target_that_stops_in_mid_pdu_and_keeps_the_connection_is_left() {
    let places = [20, 100, 70_000];
    let mock = Mock::start(move |seen| match seen {
        Seen { connection: connection @ 1..=3, opcode: 0x28, .. } => Act::Choke(places[connection - 1]),
        _ => Act::Serve,
    })
    .await;
    let device = open(&mock.url()).await.expect("open");
    write(&device, 0, 2 << 20, 1).await.expect("write");
    let start = Instant::now();
    check(&device, 0, 2 << 20, 1).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(mock.state.connections.load(Ordering::SeqCst), 4);
}

/// The socket may wait for half of a long segment before it wakes anybody. On a slow line that takes longer than a
/// ping and its answer are given: bytes that had come would have counted for silence, and the connection for dead.
#[tokio::test]
async fn a_segment_that_trickles_in_is_no_silence() {
    let mock = Mock::start(|seen| match seen.opcode {
        0x28 => Act::Dribble(20_000, Duration::from_millis(40)),
        _ => Act::Serve,
    })
    .await;
    let device = open(&mock.url()).await.expect("open");
    write(&device, 0, 1 << 20, 1).await.expect("write");
    let start = Instant::now();
    check(&device, 0, 1 << 20, 1).await;
    let limits = options().ping_interval.expect("a ping") + options().ping_timeout;
    assert!(start.elapsed() > 2 * limits, "{:?}", start.elapsed());
    assert_eq!(mock.state.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_damaged_pdu_is_found_by_its_digest() {
    let mock = Mock::start(once(3, Act::Damage)).await;
    let device =
        open(&format!("{}?header_digest=crc32c&data_digest=crc32c", mock.url())).await.expect("open");
    write(&device, 0, 64 << 10, 1).await.expect("write");
    check(&device, 0, 64 << 10, 1).await;
    check(&device, 0, 64 << 10, 1).await;
    assert_eq!(mock.state.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_target_that_keeps_breaking_the_protocol_fails_the_read_with_its_name() {
    // A Data-In that says it carries 16 MiB less one; one of a task that there never was; an opcode of nothing.
    let lie = |edit: &dyn Fn(&mut [u8])| {
        let mut pdu = vec![0; 48];
        pdu[0] = 0x25;
        edit(&mut pdu);
        pdu
    };
    for (pdu, name) in [
        (lie(&|pdu| pdu[5..8].fill(0xff)), "MaxRecvDataSegmentLength"),
        (lie(&|pdu| pdu[16..20].fill(0x33)), "Initiator Task Tag"),
        (lie(&|pdu| pdu[0] = 0x3e), "opcode"),
    ] {
        let mock = Mock::start(move |seen| match seen.opcode {
            0x28 => Act::Raw(pdu.clone()),
            _ => Act::Serve,
        })
        .await;
        let device = open(&mock.url()).await.expect("open");
        let error = device.read_at(0, 4096).await.expect_err("no data can come");
        assert!(matches!(&error, BlockError::Unreachable { why, .. } if why.contains(name)), "{error:?}");
        assert_eq!(mock.state.connections.load(Ordering::SeqCst), 3, "{error:?}");
        // The session is there again for others.
        write(&device, 0, 4096, 1).await.expect("write");
    }
}

#[tokio::test]
async fn a_wrong_digest_each_time_fails_the_read_with_its_name() {
    let mock = Mock::start(|seen| if seen.opcode == 0x28 { Act::Damage } else { Act::Serve }).await;
    let device =
        open(&format!("{}?header_digest=crc32c&data_digest=crc32c", mock.url())).await.expect("open");
    let error = device.read_at(0, 4096).await.expect_err("damaged");
    assert!(matches!(&error, BlockError::Unreachable { why, .. } if why.contains("digest")), "{error:?}");
}

#[tokio::test]
async fn a_command_that_kills_every_connection_fails_in_the_end() {
    let mock = Mock::start(|seen| if seen.opcode == 0x28 { Act::Cut(100) } else { Act::Serve }).await;
    let mut options = options();
    options.replacement_timeout = Duration::from_secs(1);
    let device = IscsiDevice::open(&url(&mock.url()), options).await.expect("open");
    let error = device.read_at(0, 4096).await.expect_err("no answer can come");
    assert!(
        matches!(&error, BlockError::Unreachable { why, .. } if why.contains("5 connections")),
        "{error:?}"
    );
    assert!(mock.state.connections.load(Ordering::SeqCst) < 10);
}

#[tokio::test]
async fn io_fails_when_the_target_stays_away_and_goes_on_when_it_is_back() {
    let mock = Mock::start(|_| Act::Serve).await;
    let mut options = options();
    options.replacement_timeout = Duration::from_millis(700);
    let device = IscsiDevice::open(&url(&mock.url()), options).await.expect("open");
    write(&device, 0, 4096, 1).await.expect("write");
    let (address, state) = mock.stop().await;
    let start = Instant::now();
    let error = device.read_at(0, 4096).await.expect_err("the target is away");
    assert!(
        matches!(&error, BlockError::Unreachable { why, .. } if why.contains("cannot connect")),
        "{error:?}"
    );
    assert!((600..3000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    // From now on it fails at once.
    let start = Instant::now();
    assert!(device.flush().await.is_err());
    assert!(start.elapsed() < Duration::from_millis(100));
    let _mock = Mock::restart(address, state).await;
    for _ in 0..100 {
        if device.read_at(0, 4096).await.is_ok() {
            return check(&device, 0, 4096, 1).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not back after 10 s");
}

#[tokio::test]
async fn a_restart_of_the_target_is_survived_by_what_is_in_flight() {
    let mock = Mock::start(|_| Act::Serve).await;
    let device = open(&mock.url()).await.expect("open");
    write(&device, 0, 4096, 1).await.expect("write");
    let (address, state) = mock.stop().await;
    let restart = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        Mock::restart(address, state).await
    };
    let ((), _mock) = tokio::join!(write_many(&device, 100, 4096, 2), restart);
    check_many(&device, 100, 4096, 2).await;
}

#[tokio::test]
async fn another_unit_behind_the_lun_is_never_written() {
    let mock = Mock::start(once(1, Act::Close)).await;
    let mut options = options();
    options.replacement_timeout = Duration::from_millis(700);
    let device = IscsiDevice::open(&url(&mock.url()), options).await.expect("open");
    *mock.state.serial.lock().expect("serial") = b"two".to_vec();
    let error = write(&device, 0, 4096, 1).await.expect_err("another unit");
    assert!(
        matches!(&error, BlockError::Unreachable { why, .. } if why.contains("another unit")),
        "{error:?}"
    );
    assert_eq!(mock.state.writes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_the_unit_wants_again_is_sent_again() {
    let busy = [
        Act::Fail(Status::Busy.code(), None),
        Act::Fail(Status::TaskSetFull.code(), None),
        Act::Fail(2, Some(Sense::attention(AdditionalSense::POWER_ON))),
        Act::Fail(2, Some(Sense::new(SenseKey::AbortedCommand, AdditionalSense::PROTOCOL_SERVICE_CRC_ERROR))),
        Act::Fail(2, Some(Sense::new(SenseKey::NotReady, AdditionalSense::BECOMING_READY))),
    ];
    let mock = Mock::start(move |seen| busy.get(seen.count - 1).cloned().unwrap_or(Act::Serve)).await;
    let device = open(&mock.url()).await.expect("open");
    write(&device, 0, 4096, 1).await.expect("write");
    check(&device, 0, 4096, 1).await;
    assert_eq!(mock.state.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_the_unit_refuses_is_an_error_that_says_so() {
    let medium =
        Sense::new(SenseKey::MediumError, AdditionalSense::UNRECOVERED_READ_ERROR).with_information(9);
    let protect = Sense::new(SenseKey::DataProtect, AdditionalSense::WRITE_PROTECTED);
    let acts = [
        Act::Fail(2, Some(medium)),
        Act::Fail(Status::ReservationConflict.code(), None),
        Act::Fail(2, Some(protect)),
    ];
    let mock = Mock::start(move |seen| acts.get(seen.count - 1).cloned().unwrap_or(Act::Serve)).await;
    let device = open(&mock.url()).await.expect("open");
    let error = device.read_at(4096, 4096).await.expect_err("medium error");
    assert!(matches!(error, BlockError::Io { op: Op::Read, offset: 4096, len: 4096, .. }), "{error:?}");
    let text = causes(&error);
    assert!(text.contains("unrecovered read error") && text.contains("at block 9"), "{text}");
    let error = write(&device, 0, 4096, 1).await.expect_err("conflict");
    assert!(causes(&error).contains("RESERVATION CONFLICT"), "{error:?}");
    let error = write(&device, 0, 4096, 1).await.expect_err("protected");
    assert!(matches!(error, BlockError::ReadOnly { .. }), "{error:?}");
    check(&device, 0, 0, 1).await;
}

#[tokio::test]
async fn a_logout_that_the_target_asks_for_is_a_reconnection() {
    let mock = Mock::start(once(5, Act::AskLogout)).await;
    let device = open(&mock.url()).await.expect("open");
    write_many(&device, 64, 4096, 1).await;
    check_many(&device, 64, 4096, 1).await;
    assert_eq!(mock.state.logouts.load(Ordering::SeqCst), 1);
    assert_eq!(mock.state.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn logins_that_never_end_are_given_up() {
    let mock = Mock::start(|_| Act::Serve).await;
    *mock.state.meet.lock().expect("meet") = Meet::Silence;
    let start = Instant::now();
    let error = open(&mock.url()).await.expect_err("silence");
    assert!(start.elapsed() < Duration::from_secs(4));
    assert!(causes(&error).contains("login is not over after 2 s"), "{error:?}");
    *mock.state.meet.lock().expect("meet") = Meet::Endless;
    let error = open(&mock.url()).await.expect_err("endless");
    assert!(causes(&error).contains("login is not over after"), "{error:?}");
}

#[tokio::test]
async fn refused_and_redirected_logins() {
    let mock = Mock::start(|_| Act::Serve).await;
    let front = Mock::start(|_| Act::Serve).await;
    *front.state.meet.lock().expect("meet") = Meet::Redirect(mock.address);
    let device = open(&front.url()).await.expect("redirected");
    write(&device, 0, 4096, 1).await.expect("write");
    assert_eq!(mock.state.writes.load(Ordering::SeqCst), 1);
    // In a circle.
    *mock.state.meet.lock().expect("meet") = Meet::Redirect(front.address);
    assert!(matches!(open(&front.url()).await, Err(ConnectError::Redirects { .. })));
    *front.state.meet.lock().expect("meet") = Meet::Refuse(LoginStatus::NOT_FOUND);
    let error = open(&front.url()).await.expect_err("refused");
    assert!(matches!(
        &error,
        ConnectError::Login { source: ConnectionError::Session(SessionError::Login { status }), .. }
            if *status == LoginStatus::NOT_FOUND
    ));
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn chap_lets_in_who_knows_the_secret() {
    let mock = Mock::start(|_| Act::Serve).await;
    *mock.state.meet.lock().expect("meet") = Meet::Grant(TargetAuth::Chap {
        users: vec![Credentials::new("me", *b"secretsecret")],
        own: Some(Credentials::new("it", *b"otherothersecret")),
    });
    let at = |login: &str| mock.url().replace("iscsi://", &format!("iscsi://{login}"));
    open(&at("me%secretsecret@")).await.expect("one way");
    let mutual = format!("{}?target_user=it&target_password=otherothersecret", at("me%secretsecret@"));
    open(&mutual).await.expect("both ways");
    for wrong in [
        at("me%secretsecreT@"),
        at("you%secretsecret@"),
        mock.url(),
        format!("{}?target_user=it&target_password=wrongwrongwrong", at("me%secretsecret@")),
    ] {
        let error = open(&wrong).await.expect_err(&wrong);
        assert!(error.hint().is_some(), "{error:?}");
        assert!(!format!("{error:?}").contains("secretsecre"), "{error:?}");
    }
}

#[tokio::test]
async fn a_missing_lun_is_told_with_those_that_are_there() {
    let mock = Mock::start(|_| Act::Serve).await;
    let url = mock.url();
    let error = open(&format!("{}{}", url.trim_end_matches('0'), 300)).await.expect_err("no such lun");
    let ConnectError::Lun(LunError::Missing { lun, luns }) = error else { panic!("{error:?}") };
    assert_eq!((lun.number(), luns), (300, vec![scsi::Lun::ZERO]));
}

#[tokio::test]
async fn the_second_host_takes_over() {
    let (first, second) = (Mock::start(once(10, Act::Close)).await, Mock::start(|_| Act::Serve).await);
    let hosts = format!("iscsi://{},{}/", first.address, second.address);
    let text = first.url().replace(&format!("iscsi://{}/", first.address), &hosts);
    let device = open(&text).await.expect("open");
    let (_, state) = (write_many(&device, 32, 4096, 1).await, &second.state);
    assert_eq!(state.connections.load(Ordering::SeqCst), 1);
    // And where the first is down from the start.
    let (_, _) = first.stop().await;
    let device = open(&text).await.expect("open by the second");
    write(&device, 0, 4096, 2).await.expect("write");
    check(&device, 0, 4096, 2).await;
}

#[tokio::test]
async fn nobody_listens() {
    let mock = Mock::start(|_| Act::Serve).await;
    let text = mock.url();
    mock.stop().await;
    let error = open(&text).await.expect_err("nobody there");
    assert!(matches!(error, ConnectError::Tcp { .. }), "{error:?}");
    assert!(error.hint().is_some());
}
