//! Whole sessions: login, commands, management, logout.

use std::time::Duration;

use iscsi::pdu::{TaskFunction, TaskResponse};
use iscsi::{
    InitiatorConfig, Isid, LoginStatus, Residual, ScsiRequest, SessionError, TargetAuth, TargetConfig,
    Verdict,
};

use crate::pair::{BLOCK, INITIATOR, Pair, TARGET, chap, config};

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251 + seed) as u8).collect()
}

#[test]
fn login_write_read_logout() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.run().unwrap();
    assert_eq!(pair.seen.logged_in, 1);
    for (seed, blocks) in [1, 8, 200, 1000].into_iter().enumerate() {
        let data = pattern(blocks * BLOCK, seed);
        let write = pair.write(16, &data);
        pair.run().unwrap();
        let (outcome, _) = pair.outcome(write);
        assert_eq!(
            (outcome.verdict, outcome.status, outcome.residual),
            (Verdict::Completed, 0, Residual::None)
        );
        let read = pair.read(16, blocks);
        pair.run().unwrap();
        let (outcome, got) = pair.outcome(read);
        assert_eq!((outcome.status, outcome.residual), (0, Residual::None));
        assert_eq!(outcome.received as usize, data.len());
        assert!(got == data);
    }
    pair.initiator.logout(pair.now).unwrap();
    pair.run().unwrap();
    assert!(pair.seen.logged_out);
    assert!(pair.seen.other.is_empty(), "{:?}", pair.seen.other);
}

#[test]
fn residuals_and_sense() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    let long = pair.submit(ScsiRequest::read(0, crate::pair::read10(0, 1), 4096));
    let short = pair.submit(ScsiRequest::read(0, crate::pair::read10(0, 8), 512));
    let bad = pair.submit(ScsiRequest::new(0, [0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    pair.run().unwrap();
    assert_eq!(pair.outcome(long).0.residual, Residual::Underflow(4096 - 512));
    assert_eq!(pair.outcome(short).0.residual, Residual::Overflow(8 * 512 - 512));
    let (outcome, _) = pair.outcome(bad);
    assert_eq!((outcome.status, outcome.sense[2]), (2, 5));
}

#[test]
fn chap_one_way_and_mutual() {
    let own = || Some(chap("oxtarget", "targetsecret2"));
    let users = || vec![chap("other", "othersecret22"), chap("oxuser", "secretsecret1")];
    let failed = |pair: &mut Pair| pair.run().unwrap_err();
    let login = |credentials, theirs, own| {
        let config = InitiatorConfig { credentials, target_credentials: theirs, ..config() };
        let mut pair = Pair::new(config, TargetConfig::default());
        pair.auth = TargetAuth::Chap { users: users(), own };
        pair
    };
    let good = || Some(chap("oxuser", "secretsecret1"));
    let refused = SessionError::Login { status: LoginStatus::AUTHENTICATION_FAILED };
    assert_eq!(login(good(), None, None).run(), Ok(()));
    assert_eq!(login(good(), own(), own()).run(), Ok(()));
    assert_eq!(failed(&mut login(None, None, own())), refused);
    assert_eq!(failed(&mut login(Some(chap("oxuser", "wrongsecret11")), None, own())), refused);
    assert_eq!(failed(&mut login(Some(chap("nobody", "secretsecret1")), None, own())), refused);
    assert_eq!(failed(&mut login(good(), own(), None)), refused);
    let wrong = failed(&mut login(good(), Some(chap("oxtarget", "wrong")), own()));
    assert_eq!(wrong, SessionError::Chap { what: "the target's response is wrong" });
    // The target asks nothing while the initiator insists on proof.
    let mut pair = Pair::new(
        InitiatorConfig { credentials: good(), target_credentials: own(), ..config() },
        TargetConfig::default(),
    );
    assert_eq!(failed(&mut pair), refused);
    // One-way credentials are no obstacle where none are asked for.
    let mut pair = Pair::new(InitiatorConfig { credentials: good(), ..config() }, TargetConfig::default());
    assert_eq!(pair.run(), Ok(()));
    assert_eq!(pair.seen.logged_in, 1);
}

#[test]
fn discovery_of_many_targets() {
    let mut pair =
        Pair::new(InitiatorConfig::discovery(INITIATOR, Isid::random([1, 2, 3], 0)), TargetConfig::default());
    pair.records = (0..5000)
        .map(|i| iscsi::TargetRecord {
            name: format!("{TARGET}{i}"),
            addresses: vec!["[fe80::1]:3260,1".into()],
        })
        .collect();
    pair.run().unwrap();
    pair.initiator.send_targets("All").unwrap();
    pair.run().unwrap();
    assert_eq!(pair.seen.targets, pair.records);
}

#[test]
fn a_refused_login_says_why() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.refuse = Some(LoginStatus::NOT_FOUND);
    let error = pair.run().unwrap_err();
    assert_eq!(error.to_string(), "login refused: target not found (0203)");
    assert!(error.hint().is_some());
}

#[test]
fn the_window_holds_commands_back_and_opens_again() {
    let mut pair = Pair::new(config(), TargetConfig { queue_depth: 4, ..TargetConfig::default() });
    pair.run().unwrap();
    pair.hold = true;
    let tasks: Vec<_> = (0..20).map(|_| pair.read(0, 1)).collect();
    pair.run().unwrap();
    assert_eq!(pair.held.len(), 4);
    pair.hold = false;
    for (task, command) in std::mem::take(&mut pair.held) {
        pair.command(task, &command);
    }
    pair.run().unwrap();
    for task in tasks {
        assert_eq!(pair.outcome(task).0.status, 0);
    }
}

#[test]
fn abort_and_reset() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.run().unwrap();
    pair.hold = true;
    let tasks: Vec<_> = (0..3).map(|_| pair.read(0, 1)).collect();
    pair.run().unwrap();
    pair.initiator.manage(TaskFunction::AbortTask, 0, Some(tasks[1])).unwrap();
    pair.run().unwrap();
    assert_eq!(pair.seen.managed, [TaskResponse::Complete]);
    assert_eq!(pair.outcome(tasks[1]).0.verdict, Verdict::Aborted);
    pair.initiator.manage(TaskFunction::LogicalUnitReset, 0, None).unwrap();
    let later = pair.read(0, 1);
    pair.run().unwrap();
    assert_eq!(pair.outcome(tasks[0]).0.verdict, Verdict::Aborted);
    assert_eq!(pair.outcome(tasks[2]).0.verdict, Verdict::Aborted);
    assert_eq!(pair.initiator.in_flight(), 1);
    let unfinished = pair.initiator.take_unfinished();
    assert_eq!(unfinished.iter().map(|(task, _)| *task).collect::<Vec<_>>(), [later]);
}

#[test]
fn silence_is_answered_with_pings_and_death_with_an_error() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    pair.run().unwrap();
    let lost = pair.write(0, &[7; 512]);
    // Never delivered.
    pair.initiator.transmit().drain_into(&mut Vec::new());
    let mut quiet = Pair::new(config(), TargetConfig::default());
    quiet.run().unwrap();
    for _ in 0..20 {
        quiet.pass(Duration::from_secs(5)).unwrap();
        quiet.run().unwrap();
        pair.now += Duration::from_secs(1);
    }
    assert!(quiet.seen.other.is_empty());
    assert_eq!(pair.pass(Duration::ZERO), Ok(()), "a ping goes out");
    let error = pair.pass(Duration::from_secs(5)).unwrap_err();
    assert_eq!(error, SessionError::PingTimeout { millis: 5000 });
    let unfinished = pair.initiator.take_unfinished();
    assert_eq!(unfinished.len(), 1);
    assert_eq!(unfinished[0].0, lost);
    assert_eq!(unfinished[0].1.write.parts()[0][..], [7; 512]);
}

#[test]
fn a_login_that_never_ends_is_cut_off() {
    let mut pair = Pair::new(config(), TargetConfig::default());
    assert_eq!(pair.pass(Duration::from_secs(14)), Ok(()));
    assert_eq!(pair.pass(Duration::from_secs(1)), Err(SessionError::LoginTimeout { seconds: 15 }));
    let due = pair.target.poll_timeout().unwrap();
    assert_eq!(pair.target.handle_timeout(due), Err(SessionError::LoginTimeout { seconds: 15 }));
}
