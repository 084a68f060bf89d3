//! A byte stream cut into PDUs, whole and in parts: the same headers and the same amount of data come out.
//!
//! Input: a byte that chooses the digests and the length of the parts, then the stream.

use iscsi::framer::{Framer, Piece};
use iscsi::pdu::{BHS_LEN, Pdu};
use zerocopy::IntoBytes;

pub(crate) fn run(bytes: &[u8]) {
    let Some((&flags, stream)) = bytes.split_first() else { return };
    if let Some(header) = stream.first_chunk::<BHS_LEN>()
        && let Ok(pdu) = Pdu::parse(header)
    {
        assert_eq!(pdu.as_bytes(), header, "a header that parses is kept as it came");
    }
    let whole = cut(flags, stream, usize::MAX);
    let parts = cut(flags, stream, usize::from(flags >> 3) + 1);
    assert_eq!(whole, parts, "how the bytes arrive changes nothing");
}

/// The PDUs' headers, and how much data there was before the end or the error.
fn cut(flags: u8, stream: &[u8], step: usize) -> (Vec<u8>, usize) {
    let mut framer = Framer::new();
    framer.set_digests(flags & 1 != 0, flags & 2 != 0);
    let (mut headers, mut data) = (Vec::new(), 0);
    for mut part in stream.chunks(step.min(stream.len().max(1))) {
        loop {
            match framer.next(&mut part) {
                Ok(Some(Piece::Header)) => headers.extend([framer.bhs().as_bytes(), framer.ahs()].concat()),
                Ok(Some(Piece::Data(bytes))) => data += bytes.len(),
                Ok(Some(Piece::End)) => {}
                Ok(None) => break,
                Err(_) => return (headers, data),
            }
        }
    }
    (headers, data)
}

/// The beginning of each captured direction.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    crate::traffic::streams(4096).map(|(_, bytes)| [&[0x80], &bytes[..]].concat()).collect()
}
