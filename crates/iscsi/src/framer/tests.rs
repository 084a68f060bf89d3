use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::pdu::{Bhs, Pdu, RawNopOut, RawScsiCommand, push_extended_cdb};
use crate::transmit::{Payload, Transmit};

/// One PDU as it came out of the framer.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    bhs: Vec<u8>,
    ahs: Vec<u8>,
    data: Vec<u8>,
}

fn read(framer: &mut Framer, mut bytes: &[u8], step: usize) -> Result<Vec<Whole>, FrameError> {
    let mut out: Vec<Whole> = Vec::new();
    let mut data = Vec::new();
    while !bytes.is_empty() {
        let (mut now, later) = bytes.split_at(step.clamp(1, bytes.len()));
        bytes = later;
        while let Some(piece) = framer.next(&mut now)? {
            match piece {
                Piece::Header => {}
                Piece::Data(part) => data.extend_from_slice(part),
                Piece::End => out.push(Whole {
                    bhs: framer.bhs().as_bytes().to_vec(),
                    ahs: framer.ahs().to_vec(),
                    data: std::mem::take(&mut data),
                }),
            }
        }
        assert!(now.is_empty());
    }
    Ok(out)
}

fn command(write: bool) -> RawScsiCommand {
    let mut raw = RawScsiCommand::blank();
    raw.flags = 0x80 | if write { RawScsiCommand::WRITE } else { 0 };
    raw
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(300)))]

    #[test]
    fn any_chunking_gives_back_what_was_sent(
        header in any::<bool>(), digest in any::<bool>(), step in 1..3000_usize,
        lens in proptest::collection::vec(0..2000_usize, 1..6), ahs in 0..40_usize,
    ) {
        let mut tx: Transmit<Bytes> = Transmit::default();
        tx.set_digests(header, digest);
        let mut framer = Framer::new();
        framer.set_digests(header, digest);
        let mut want = Vec::new();
        for len in lens {
            let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let mut extra = Vec::new();
            push_extended_cdb(&mut extra, &vec![9; ahs]);
            let mut raw = command(true);
            raw.ahs_words = (extra.len() / 4) as u8;
            let half = len / 2;
            let payload = Payload::from_parts([
                Bytes::copy_from_slice(&data[..half]), Bytes::copy_from_slice(&data[half..]),
            ]);
            tx.push_data(raw, &extra, &payload, 0..len);
            raw.set_data_len(len as u32);
            want.push(Whole { bhs: raw.as_bytes().to_vec(), ahs: extra, data });
        }
        let mut wire = Vec::new();
        tx.drain_into(&mut wire);
        let got = read(&mut framer, &wire, step).unwrap();
        for whole in &got {
            prop_assert!(Pdu::parse(whole.bhs.as_slice().try_into().unwrap()).is_ok());
        }
        prop_assert_eq!(got, want);
        prop_assert!(framer.at_boundary());
    }

    #[test]
    fn a_flipped_bit_is_caught_by_digests(at in 0..(48 + 4 + 100 + 4_usize), bit in 0..8_u32) {
        let mut tx: Transmit<Bytes> = Transmit::default();
        tx.set_digests(true, true);
        tx.push(RawNopOut::blank(), &[5; 100]);
        let mut wire = Vec::new();
        tx.drain_into(&mut wire);
        wire[at] ^= 1_u8 << bit;
        let mut framer = Framer::new();
        framer.set_digests(true, true);
        // A flipped length asks for more than there is, or is refused; all else is a digest error.
        match read(&mut framer, &wire, 1000) {
            Err(_) => {}
            Ok(pdus) => prop_assert!(pdus.is_empty() && (4..8).contains(&at)),
        }
    }
}

#[test]
fn a_long_segment_is_refused_by_its_header_alone() {
    let mut raw = command(true);
    raw.set_data_len(8193);
    let mut framer = Framer::new();
    let error = read(&mut framer, raw.as_bytes(), 48).unwrap_err();
    assert_eq!(error, FrameError::TooLong { opcode: 1, len: 8193, max: 8192 });
    assert!(error.to_string().starts_with("SCSI Command: DataSegmentLength is 8193"), "{error}");
    framer = Framer::new();
    framer.set_max_data(8193);
    assert_eq!(read(&mut framer, raw.as_bytes(), 48), Ok(vec![]));
    assert_eq!(framer.data_left(), 8193);
}
