//! A target's and an initiator's engine under a peer that sends anything.
//!
//! Input: a byte that chooses the engine, whether it asks for CHAP and for digests, then what its peer sends.

use std::time::Instant;

use bytes::Bytes;
use iscsi::pdu::TaskResponse;
use iscsi::text::{DigestPolicy, Settings};
use iscsi::{
    Credentials, Event, Initiator, InitiatorConfig, Isid, LoginGrant, Response, ScsiRequest, Seed, Target,
    TargetAuth, TargetConfig, TargetEvent,
};

/// Bits of the first byte: the engine under test is the initiator, not the target.
const INITIATOR: u8 = 1;
/// Both ends prove themselves by CHAP.
const CHAP: u8 = 2;
/// Digests are wanted.
const DIGESTS: u8 = 4;

/// Bytes that the initiator reads.
const READ: usize = 512;

pub(crate) fn run(bytes: &[u8]) {
    let Some((&flags, mut stream)) = bytes.split_first() else { return };
    let mut sent = Vec::new();
    if flags & INITIATOR == 0 {
        let mut end = TargetEnd::new(flags);
        while end.step(&mut stream, &mut sent) {
            sent.clear();
        }
    } else {
        let mut end = InitiatorEnd::new(flags);
        while end.step(&mut stream, &mut sent) {
            sent.clear();
        }
    }
}

/// Captured initiators and targets, and our own two engines with each other: of those the tags fit.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let captured = crate::traffic::streams(8192)
        .map(|(by_initiator, bytes)| [&[if by_initiator { 0 } else { INITIATOR }], &bytes[..]].concat());
    captured.chain([0, CHAP, DIGESTS, CHAP | DIGESTS].into_iter().flat_map(exchange)).collect()
}

/// A login and a read between our own engines: what each end sent.
fn exchange(flags: u8) -> [Vec<u8>; 2] {
    let (mut initiator, mut target) = (InitiatorEnd::new(flags), TargetEnd::new(flags));
    let (mut to_target, mut to_initiator) = (vec![flags], vec![flags | INITIATOR]);
    let mut bytes = Vec::new();
    initiator.engine.transmit().drain_into(&mut bytes);
    while !bytes.is_empty() {
        to_target.extend(&bytes);
        let mut answer = Vec::new();
        let mut left = &bytes[..];
        while target.step(&mut left, &mut answer) {}
        to_initiator.extend(&answer);
        bytes.clear();
        let mut left = &answer[..];
        while initiator.step(&mut left, &mut bytes) {}
    }
    assert!(initiator.done, "our own engines understand each other");
    [to_target, to_initiator]
}

/// What both ends offer.
fn settings(flags: u8) -> Settings {
    let digest = if flags & DIGESTS == 0 { DigestPolicy::PreferNone } else { DigestPolicy::PreferCrc32c };
    Settings { header_digest: digest, data_digest: digest, ..Settings::default() }
}

/// How the initiator, and how the target, proves itself.
fn credentials(flags: u8) -> Option<[Credentials; 2]> {
    let both = [("user", "secretsecret1"), ("target", "targetsecret2")];
    (flags & CHAP != 0).then(|| both.map(|(name, secret)| Credentials::new(name, secret)))
}

/// A time to begin with. The engines never read a clock.
#[allow(clippy::disallowed_methods, reason = "driver: the engines' clock needs a beginning, and never moves")]
fn start() -> Instant {
    Instant::now()
}

struct TargetEnd {
    now: Instant,
    engine: Target<Bytes>,
    auth: TargetAuth,
}

impl TargetEnd {
    fn new(flags: u8) -> Self {
        let now = start();
        let config = TargetConfig { settings: settings(flags), ..TargetConfig::default() };
        let engine = Target::new(now, config, Seed::new([1; 32])).expect("the defaults are fine");
        let auth = credentials(flags)
            .map_or(TargetAuth::None, |[user, own]| TargetAuth::Chap { users: vec![user], own: Some(own) });
        Self { now, engine, auth }
    }

    /// Takes one event's worth of `bytes`; whether there may be more.
    fn step(&mut self, bytes: &mut &[u8], sent: &mut Vec<u8>) -> bool {
        let event = self.engine.receive(self.now, bytes);
        let more = matches!(event, Ok(Some(_)));
        match event {
            Ok(Some(TargetEvent::Login(_))) => {
                let grant = LoginGrant { tsih: 1, auth: self.auth.clone(), target_alias: None };
                crate::keep(self.engine.grant(grant));
            }
            Ok(Some(TargetEvent::Command { task, .. })) => {
                self.engine.solicit(task, 4096);
                self.engine.respond(task, &Response::read(Bytes::from_static(&[7; READ])));
            }
            Ok(Some(TargetEvent::TaskManagement { itt, .. })) => {
                self.engine.manage_done(itt, TaskResponse::Complete);
            }
            Ok(Some(TargetEvent::SendTargets { .. })) => self.engine.targets(&[]),
            Ok(_) => {}
            Err(error) => crate::keep((error.to_string(), error.hint())),
        }
        self.engine.transmit().drain_into(sent);
        more
    }
}

struct InitiatorEnd {
    now: Instant,
    engine: Initiator<Bytes>,
    done: bool,
}

impl InitiatorEnd {
    fn new(flags: u8) -> Self {
        let now = start();
        let [user, target] = credentials(flags).map_or([None, None], |both| both.map(Some));
        let config = InitiatorConfig {
            settings: settings(flags),
            credentials: user,
            target_credentials: target,
            ..InitiatorConfig::new("iqn.2026-01.a:b", "iqn.2026-01.a:c", Isid::random([1, 2, 3], 0))
        };
        let mut engine =
            Initiator::new(now, config, Seed::new([2; 32])).expect("the names are good, the rest default");
        let len = u32::try_from(READ).expect("short");
        let read = ScsiRequest::read(0, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], len);
        engine.submit(read).expect("the first command has room");
        Self { now, engine, done: false }
    }

    /// Takes one event's worth of `bytes`; whether there may be more.
    fn step(&mut self, bytes: &mut &[u8], sent: &mut Vec<u8>) -> bool {
        let event = self.engine.receive(self.now, bytes);
        let more = matches!(event, Ok(Some(_)));
        match event {
            Ok(Some(Event::DataIn { offset, data, .. })) => {
                let end = usize::try_from(offset).expect("32 bits fit") + data.len();
                assert!(end <= READ, "data beyond the buffer was let through");
            }
            Ok(Some(event)) => self.done |= matches!(event, Event::Done { .. }),
            Ok(None) => {}
            Err(error) => crate::keep((error.to_string(), error.hint())),
        }
        self.engine.transmit().drain_into(sent);
        more
    }
}
