//! Text keys, and a negotiation with a peer that says anything.
#![no_main]

use iscsi::text::{Negotiator, Role, Settings, TextWriter, parse_pairs};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
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
    let _ = negotiator.finish();
    parse_pairs(out.as_bytes()).expect("our own text parses");
});
