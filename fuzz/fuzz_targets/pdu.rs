//! A byte stream cut into PDUs, whole and in parts: the same headers and the same amount of data come out.
#![no_main]

use iscsi::framer::{Framer, Piece};
use iscsi::pdu::{BHS_LEN, Pdu};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&flags, stream)) = bytes.split_first() else { return };
    if let Some(header) = stream.first_chunk::<BHS_LEN>() {
        if let Ok(pdu) = Pdu::parse(header) {
            assert_eq!(pdu.as_bytes(), header, "a header that parses is kept as it came");
        }
    }
    let whole = cut(flags, stream, usize::MAX);
    let parts = cut(flags, stream, usize::from(flags >> 3) + 1);
    assert_eq!(whole, parts, "how the bytes arrive changes nothing");
});

/// The PDUs' headers, and how much data there was before the end or the error.
fn cut(flags: u8, stream: &[u8], step: usize) -> (Vec<String>, usize) {
    let mut framer = Framer::new();
    framer.set_digests(flags & 1 != 0, flags & 2 != 0);
    let (mut headers, mut data) = (Vec::new(), 0);
    for mut part in stream.chunks(step.min(stream.len().max(1))) {
        loop {
            match framer.next(&mut part) {
                Ok(Some(Piece::Header)) => headers.push(format!("{:?} {:?}", framer.bhs(), framer.ahs())),
                Ok(Some(Piece::Data(bytes))) => data += bytes.len(),
                Ok(Some(Piece::End)) => {}
                Ok(None) => break,
                Err(_) => return (headers, data),
            }
        }
    }
    (headers, data)
}
