//! Every captured PDU decodes, and encodes to the same bytes; every captured CHAP response is computed anew.

use std::collections::BTreeMap;

use bytes::Bytes;
use iscsi::chap::{Algorithm, Secret, decode_binary};
use iscsi::pdu::{Opcode, Pdu, parse_ahs};
use iscsi::text::parse_pairs;
use iscsi::{Payload, Transmit};

use crate::capture::{ALL, Captured, From, load};

pub(crate) fn encode(captured: &Captured) -> Vec<u8> {
    let mut tx: Transmit<Bytes> = Transmit::default();
    tx.set_digests(captured.header_digest, captured.data_digest);
    let data = Payload::new(Bytes::copy_from_slice(&captured.data));
    let mut pad = [0; 3];
    pad[..captured.padding.len()].copy_from_slice(&captured.padding);
    let (ahs, range) = (&captured.ahs, 0..captured.data.len());
    macro_rules! push {
        ($($opcode:ident)*) => {
            match captured.pdu { $(Pdu::$opcode(raw) => tx.push_padded(raw, ahs, &data, range, pad),)* }
        };
    }
    push!(NopOut ScsiCommand TaskRequest LoginRequest TextRequest DataOut LogoutRequest Snack NopIn ScsiResponse
        TaskResponse LoginResponse TextResponse DataIn LogoutResponse R2t AsyncMessage Reject);
    let mut wire = Vec::new();
    tx.drain_into(&mut wire);
    wire
}

#[test]
fn every_pdu_decodes_and_encodes_to_the_same_bytes() {
    // Counts as the recorder's own reader gave them.
    let want: [&[(Opcode, usize)]; 5] = [
        &[
            (Opcode::DataIn, 1132),
            (Opcode::DataOut, 254),
            (Opcode::LoginRequest, 3),
            (Opcode::LogoutRequest, 1),
            (Opcode::NopIn, 2),
            (Opcode::R2t, 8),
            (Opcode::ScsiCommand, 1161),
            (Opcode::ScsiResponse, 32),
            (Opcode::TextRequest, 2),
        ],
        &[
            (Opcode::DataIn, 1616),
            (Opcode::DataOut, 31),
            (Opcode::LoginRequest, 31),
            (Opcode::LogoutRequest, 4),
            (Opcode::R2t, 1),
            (Opcode::ScsiCommand, 1659),
            (Opcode::ScsiResponse, 43),
        ],
        &[(Opcode::DataIn, 3301), (Opcode::LoginRequest, 41), (Opcode::ScsiCommand, 3318)],
        &[
            (Opcode::DataIn, 7700),
            (Opcode::LoginRequest, 15),
            (Opcode::NopIn, 47),
            (Opcode::NopOut, 48),
            (Opcode::ScsiCommand, 8106),
            (Opcode::TaskRequest, 8),
            (Opcode::TaskResponse, 8),
        ],
        &[(Opcode::DataIn, 81), (Opcode::DataOut, 6), (Opcode::ScsiCommand, 260), (Opcode::TaskRequest, 1)],
    ];
    for (name, want) in ALL.into_iter().zip(want) {
        let mut counts: BTreeMap<Opcode, usize> = BTreeMap::new();
        let mut digests = 0;
        for connection in load(name) {
            for captured in &connection.pdus {
                *counts.entry(captured.opcode()).or_default() += 1;
                assert!(encode(captured) == captured.wire, "{name}: {captured:?}");
                assert_eq!(captured.opcode().from_target(), captured.from == From::Target);
                parse_ahs(&captured.ahs).unwrap();
                digests += usize::from(captured.header_digest || captured.data_digest);
                if matches!(captured.opcode(), Opcode::LoginRequest | Opcode::LoginResponse) {
                    parse_pairs(&captured.data).unwrap();
                }
            }
        }
        for (opcode, count) in want {
            assert_eq!(counts.get(opcode), Some(count), "{name}: {opcode}");
        }
        assert_eq!(digests > 100, name.starts_with('b'), "{name}: {digests}");
    }
}

#[test]
fn a_connection_ends_in_the_middle_of_a_pdu() {
    let left: usize = load("d-lio-multipath").iter().map(|connection| connection.unfinished).sum();
    assert_eq!(left, 36);
}

/// Secrets by CHAP name, from the captures' notes.
pub(crate) fn secret(name: &str) -> Option<&'static str> {
    Some(match name {
        "oxuser" => "secretsecret1",
        "oxtarget" => "targetsecret2",
        "liouser" => "liosecret12345",
        "tgtuser" => "tgtsecret12345",
        _ => return None,
    })
}

#[test]
fn chap_responses_are_what_we_compute() {
    let (mut right, mut wrong, mut mutual) = (0, 0, 0);
    for name in ["b-tgtd-chap-digest", "c-libiscsi-lio"] {
        for connection in load(name) {
            // What each end asked last.
            let mut asked: BTreeMap<From, (u8, Vec<u8>)> = BTreeMap::new();
            let mut accepted = None;
            for captured in &connection.pdus {
                if let Pdu::LoginResponse(raw) = &captured.pdu
                    && let Some(verdict) = accepted.take()
                {
                    assert_eq!(raw.status_class == 0, verdict, "the target agrees");
                }
                if let (Some(user), Some(response)) = (captured.key("CHAP_N"), captured.key("CHAP_R")) {
                    let other = if captured.from == From::Initiator { From::Target } else { From::Initiator };
                    let (id, challenge) = asked.get(&other).unwrap();
                    let response = decode_binary("CHAP_R", response).unwrap();
                    let good = secret(user).is_some_and(|secret| {
                        Algorithm::Md5.verify(*id, &Secret::new(secret.as_bytes()), challenge, &response)
                    });
                    match (captured.from, good) {
                        (From::Initiator, true) => right += 1,
                        (From::Initiator, false) => wrong += 1,
                        (From::Target, good) => {
                            assert!(good, "the target's proof");
                            mutual += 1;
                        }
                    }
                    if captured.from == From::Initiator {
                        accepted = Some(good);
                    }
                }
                if let (Some(id), Some(challenge)) = (captured.key("CHAP_I"), captured.key("CHAP_C")) {
                    let challenge = decode_binary("CHAP_C", challenge).unwrap();
                    asked.insert(captured.from, (id.parse().unwrap(), challenge));
                }
            }
        }
    }
    assert!(right >= 8 && wrong >= 3 && mutual >= 4, "{right} right, {wrong} wrong, {mutual} mutual");
}
