//! Text keys, and a negotiation with a peer that says anything.
//!
//! Input: a byte that chooses our role and the kind of session, then the text.

use iscsi::text::{Negotiator, Role, Settings, TextWriter, parse_pairs};

use crate::traffic::{LOGIN_REQUEST, LOGIN_RESPONSE, TEXT_REQUEST, TEXT_RESPONSE, pdus};

pub(crate) fn run(bytes: &[u8]) {
    let Some((&flags, text)) = bytes.split_first() else { return };
    let Ok(pairs) = parse_pairs(text) else { return };
    let role = if flags & 1 == 0 { Role::Initiator } else { Role::Target };
    let mut negotiator = Negotiator::new(role, Settings::default(), flags & 2 != 0);
    let mut out = TextWriter::default();
    if role == Role::Initiator {
        negotiator.offer(&mut out);
    }
    for pair in &pairs {
        if negotiator.take(pair.key, pair.value, &mut out).is_err() {
            return;
        }
    }
    crate::keep(negotiator.finish());
    parse_pairs(out.as_bytes()).expect("our own text parses");
}

/// What real initiators and targets said to each other.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = pdus()
        .filter_map(|pdu| match pdu.opcode() {
            LOGIN_REQUEST | TEXT_REQUEST => Some([&[1], &pdu.data[..]].concat()),
            LOGIN_RESPONSE | TEXT_RESPONSE => Some([&[0], &pdu.data[..]].concat()),
            _ => None,
        })
        .collect();
    seeds.sort();
    seeds.dedup();
    seeds
}
