//! A target's and an initiator's engine under a peer that sends anything. What they send back grows with what they
//! were sent and no faster, whatever its length fields say.
#![no_main]

use bytes::Bytes;
use iscsi::pdu::TaskResponse;
use iscsi::{
    Event, Initiator, InitiatorConfig, Isid, LoginGrant, Response, ScsiRequest, Seed, Target, TargetAuth,
    TargetConfig, TargetEvent,
};
use std::time::Instant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&which, stream)) = bytes.split_first() else { return };
    let now = Instant::now();
    if which & 1 == 0 { target(now, stream) } else { initiator(now, stream) }
});

fn target(now: Instant, mut bytes: &[u8]) {
    let Ok(mut target) = Target::<Bytes>::new(now, TargetConfig::default(), Seed::new([1; 32])) else { return };
    let mut sent = Vec::new();
    loop {
        match target.receive(now, &mut bytes) {
            Ok(Some(TargetEvent::Login(_))) => {
                let _ = target.grant(LoginGrant { tsih: 1, auth: TargetAuth::None, target_alias: None });
            }
            Ok(Some(TargetEvent::Command { task, .. })) => {
                target.solicit(task, 4096);
                target.respond(task, &Response::read(Bytes::from_static(&[7; 512])));
            }
            Ok(Some(TargetEvent::TaskManagement { itt, .. })) => target.manage_done(itt, TaskResponse::Complete),
            Ok(Some(TargetEvent::SendTargets { .. })) => target.targets(&[]),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
        sent.clear();
        target.transmit().drain_into(&mut sent);
    }
}

fn initiator(now: Instant, mut bytes: &[u8]) {
    let config = InitiatorConfig::new("iqn.2026-01.a:b", "iqn.2026-01.a:c", Isid::random([1, 2, 3], 0));
    let Ok(mut initiator) = Initiator::<Bytes>::new(now, config, Seed::new([1; 32])) else { return };
    let read = ScsiRequest::read(0, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512);
    if initiator.submit(read).is_err() {
        return;
    }
    let mut sent = Vec::new();
    loop {
        match initiator.receive(now, &mut bytes) {
            Ok(Some(Event::DataIn { offset, data, .. })) => {
                let end = usize::try_from(offset).expect("32 bits fit") + data.len();
                assert!(end <= 512, "data beyond the buffer was let through");
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
        sent.clear();
        initiator.transmit().drain_into(&mut sent);
    }
}
